from .batch import Batch as Batch
from .split import Split as Split
from .structure import apply as apply
from .structure import length as length
from .structure import place as place
