from .bisection import largest_that_fits as largest_that_fits
from .registry import RULES as RULES
from .registry import rule_named as rule_named
from .repair import repaired as repaired
