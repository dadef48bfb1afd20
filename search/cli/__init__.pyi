from .options import options_of as options_of
