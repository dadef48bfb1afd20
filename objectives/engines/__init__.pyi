from .engine import Engine as Engine
from .pairs import Pairs as Pairs
from .pairs import measure_pairs as measure_pairs
from .registry import ENGINES as ENGINES
