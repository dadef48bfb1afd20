from .prediction import Prediction as Prediction
from .sampler import DirectionsSampler as DirectionsSampler
from .sensitivity import Sensitivity as Sensitivity
