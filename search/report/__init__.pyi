from .format import trial_in_words as trial_in_words
from .page import write_report as write_report
from .progress import Progress as Progress
from .progress import showing as showing
