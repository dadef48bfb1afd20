"""Where a network runs when it is used: one file an engine, and measuring two networks in pairs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
