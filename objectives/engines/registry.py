"""The engines by name: a new one is a file and a line here."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from ..described import did_you_mean
from ..errors import RankfrontError
from ..registry import Registry

if TYPE_CHECKING:
    from .engine import Engine

ENGINES: Registry[Engine] = Registry(
    __package__,
    {
        "eager": "eager",
        "inductor": "inductor",
        "onnxruntime": "onnxruntime",
        "openvino": "openvino",
        "cuda": "cuda",
        "cuda-inductor": "cuda_inductor",
    },
    "ENGINE",
)


QUICK = ("openvino", "onnxruntime", "eager")
"""Those that are measured where none is asked for: on the CPU, without minutes of compiling."""


def engine_named(name: str) -> Engine:
    """Return an engine; raises `RankfrontError` where there is none of that name."""
    if name not in ENGINES:
        raise RankfrontError(
            f"engine must be one of {', '.join(ENGINES)}, but got {name!r:.60}{did_you_mean(name, ENGINES)}"
        )
    return ENGINES[name]


def default_engine() -> Engine:
    """Return the first of the quick engines that is installed; eager PyTorch always is."""
    for name in QUICK:
        with contextlib.suppress(RankfrontError):
            ENGINES[name].check()
            return ENGINES[name]
    raise AssertionError("eager needs nothing")
