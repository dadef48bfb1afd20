from .form import Form as Form
from .form import Found as Found
from .form import Rewrites as Rewrites
from .repeat import repeated as repeated
from .rewriting import Rewritten as Rewritten
from .rewriting import rewrite as rewrite
