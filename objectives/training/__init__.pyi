from .batchnorm import reestimate_where_it_helps as reestimate_where_it_helps
from .distillation import SoftTargets as SoftTargets
from .distillation import distillation_loss as distillation_loss
from .settings import FineTune as FineTune
