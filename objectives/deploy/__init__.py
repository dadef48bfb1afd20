"""Files that run elsewhere: one file an exporter, the forms a network ships in, and the check of what was written."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
