"""Fix the seed; restore the random state afterwards."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch


@contextlib.contextmanager
def fixed_seed(seed: int, *generators: torch.Generator | None) -> Iterator[None]:
    """Seed torch (on the CPU), numpy, ``random`` and the generators given; restore their states at the end."""
    own = [torch.default_generator, *(g for g in generators if g is not None)]
    states = [generator.get_state() for generator in own]
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002  what datasets draw from
    try:
        for generator in own:
            generator.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        random.seed(seed)
        yield
    finally:
        for generator, state in zip(own, states, strict=True):
            generator.set_state(state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)
