from .history import History as History
from .problem import Problem as Problem
from .registry import DEFAULT as DEFAULT
from .registry import SAMPLERS as SAMPLERS
from .registry import check_sampler as check_sampler
from .registry import make_sampler as make_sampler
from .sampler import Sampler as Sampler
