from .objectives.data.split import Split as Split
from .objectives.errors import RankfrontError as RankfrontError
from .objectives.errors import TrialError as TrialError
from .objectives.export.model_files import load as load
from .objectives.metrics.score import Score as Score
from .objectives.metrics.values import Metrics as Metrics
from .objectives.plan import DENSE as DENSE
from .objectives.plan import Choice as Choice
from .objectives.plan import Plan as Plan
from .objectives.task import Task as Task
from .objectives.training.settings import FineTune as FineTune
from .search.results.result import Result as Result
from .search.study.check import Check as Check
from .search.study.export import Exported as Exported
from .search.study.export import export as export
from .search.study.finish import Finished as Finished
from .search.study.finish import finish as finish
from .search.study.run import run as run
from .search.study.speed import speed as speed
from .search.study.verify import verify as verify

__version__: str
