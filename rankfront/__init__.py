"""rankfront: which layers of a trained PyTorch model to factorize, how, and at what rank.

>>> import rankfront
>>> task = rankfront.Task(model, train=(x, y), validation=(xv, yv))  # doctest: +SKIP
>>> result = rankfront.run(task, budget="params=5%", trials=30)  # doctest: +SKIP
>>> result.front, result.figures["params"], result.best  # doctest: +SKIP
"""

from .objectives.data import Split
from .objectives.errors import RankfrontError, TrialError
from .objectives.finetune import FineTune
from .objectives.metrics import Metrics
from .objectives.model_files import load
from .objectives.plan import DENSE, Choice, Plan
from .objectives.task import Task
from .search.finish import Finished, finish
from .search.result import Result
from .search.run import run
from .search.verify import Check, verify

__all__ = [
    "DENSE",
    "Check",
    "Choice",
    "FineTune",
    "Finished",
    "Metrics",
    "Plan",
    "RankfrontError",
    "Result",
    "Split",
    "Task",
    "TrialError",
    "finish",
    "load",
    "run",
    "verify",
]
