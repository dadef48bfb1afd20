from .exporter import Exporter as Exporter
from .network import Network as Network
from .registry import EXPORTERS as EXPORTERS
