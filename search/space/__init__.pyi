from .budget import Bound as Bound
from .budget import Budget as Budget
from .budget import check_possible as check_possible
from .candidates import Candidates as Candidates
from .dominance import non_dominated as non_dominated
from .limits import limits_at as limits_at
from .space import Space as Space
