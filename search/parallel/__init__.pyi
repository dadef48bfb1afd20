from .channel import Channel as Channel
from .supervisor import Supervisor as Supervisor
