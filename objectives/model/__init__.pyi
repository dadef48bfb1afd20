from .attention import Attention as Attention
from .attention import unpacked as unpacked
from .layer import Layer as Layer
from .layer import Layers as Layers
from .layer import find_layers as find_layers
from .replace import can_replace as can_replace
from .replace import replaced as replaced
