from .finished import FinishedModel as FinishedModel
from .front import best_within as best_within
from .front import front_of as front_of
from .front import retained_of as retained_of
from .result import Result as Result
from .tables import front_table as front_table
from .tables import trial_table as trial_table
