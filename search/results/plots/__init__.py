"""The plots: each a function that returns plain data, and one that draws it. Tests look at the data."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
