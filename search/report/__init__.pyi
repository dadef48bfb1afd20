from .format import trial_line as trial_line
from .page import write_report as write_report
from .progress import Progress as Progress
from .progress import showing as showing
