"""rankfront: which layers of a trained PyTorch model to factorize, how, and at what rank.

>>> import rankfront
>>> task = rankfront.Task(model, train=(x, y), validation=(xv, yv))  # doctest: +SKIP
>>> result = rankfront.run(task, budget="params=5%", trials=30)  # doctest: +SKIP
>>> result.front, result.figures["params"], result.best  # doctest: +SKIP
"""

from .objectives.data.split import Split
from .objectives.errors import RankfrontError, TrialError
from .objectives.export.model_files import load
from .objectives.metrics.score import Score
from .objectives.metrics.values import Metrics
from .objectives.plan import DENSE, Choice, Plan
from .objectives.task import Task
from .objectives.training.settings import FineTune
from .search.results.result import Result
from .search.study.finish import Finished, finish
from .search.study.run import run
from .search.study.verify import Check, verify

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
    "Score",
    "Split",
    "Task",
    "TrialError",
    "finish",
    "load",
    "run",
    "verify",
]
