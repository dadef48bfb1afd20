"""What one trial does to one model: factorize, fine-tune, score. Pure torch; never imports optuna or `search`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
