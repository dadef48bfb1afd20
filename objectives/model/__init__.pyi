from .finding import Layers as Layers
from .finding import find_layers as find_layers
from .layer import Layer as Layer
from .replace import can_replace as can_replace
from .replace import replaced as replaced
