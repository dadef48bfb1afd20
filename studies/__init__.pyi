from .training import Recipe as Recipe
from .training import train_dense as train_dense
