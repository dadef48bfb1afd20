from .figures import figures_of as figures_of
from .hypervolume import draw_volumes as draw_volumes
from .hypervolume import volume_data as volume_data
from .ranks import draw_ranks as draw_ranks
from .ranks import rank_data as rank_data
from .score import draw_score as draw_score
from .score import score_data as score_data
