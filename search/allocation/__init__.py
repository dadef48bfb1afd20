"""Plans within limits from errors and costs alone: the knapsack and the published rules."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
