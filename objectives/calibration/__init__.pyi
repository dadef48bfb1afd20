from .moments import Moments as Moments
from .moments import Statistic as Statistic
from .samples import Samples as Samples
from .samples import draw as draw
