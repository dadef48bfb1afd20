"""rankfront: which layers of a trained PyTorch model to factorize, how, and at what rank.

>>> import rankfront
>>> task = rankfront.Task(model, train=(x, y), validation=(xv, yv))  # doctest: +SKIP
>>> result = rankfront.run(task, budget="params=5%", trials=30)  # doctest: +SKIP
>>> result.front, result.figures["params"], result.best  # doctest: +SKIP
"""

import warnings
from importlib.metadata import version

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

__version__ = version("rankfront")

# Optuna imports tqdm's bars for notebooks, and tqdm warns where they cannot be drawn. No bar of its is shown here.
warnings.filterwarnings("ignore", message="IProgress not found")
