from .decompositions import Decompositions as Decompositions
from .kind import Cost as Cost
from .kind import Decomposition as Decomposition
from .kind import Kind as Kind
from .registry import KINDS as KINDS
from .registry import kind_named as kind_named
from .registry import kinds_named as kinds_named
