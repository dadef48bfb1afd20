"""The choices of every layer, the budget, and the way between Optuna's parameters and plans."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
