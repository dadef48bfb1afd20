"""``cuda-inductor``: ``torch.compile`` on an NVIDIA GPU."""

from __future__ import annotations

from .cuda import OnDevice
from .inductor import ENGINE as INDUCTOR

ENGINE = OnDevice("cuda-inductor", "torch.compile on CUDA", "cuda", INDUCTOR)
