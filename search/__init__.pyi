from .results.result import Result as Result
from .study.finish import Finished as Finished
from .study.finish import finish as finish
from .study.run import run as run
from .study.verify import Check as Check
from .study.verify import verify as verify
