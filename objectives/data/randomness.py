"""Fix the seed; restore the random state afterwards, or where a run goes on."""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


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


def random_state(generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
    """Return the states of torch (on the CPU), numpy, ``random`` and the generators given, as tensors."""
    of_numpy: Any = np.random.get_state()  # noqa: NPY002
    _, keys, *rest = of_numpy
    version, internal, gauss = random.getstate()
    own = {f"random of generator {number}": generator.get_state() for number, generator in enumerate(generators)}
    return own | {
        "random": torch.get_rng_state(),
        "random of numpy": torch.tensor([*keys.tolist(), *rest], dtype=torch.float64),
        "random of python": torch.tensor([version, *internal], dtype=torch.int64),
        "random of python's gauss": torch.tensor([math.nan if gauss is None else gauss], dtype=torch.float64),
    }


def set_random_state(state: Mapping[str, Tensor], generators: Sequence[torch.Generator]) -> None:
    """Set what `random_state` returned."""
    for number, generator in enumerate(generators):
        generator.set_state(state[f"random of generator {number}"])
    torch.set_rng_state(state["random"])
    *keys, at, has_gauss, gauss = state["random of numpy"].tolist()
    np.random.set_state(("MT19937", np.array(keys, np.uint32), int(at), int(has_gauss), gauss))  # noqa: NPY002
    version, *internal = state["random of python"].tolist()
    gauss = float(state["random of python's gauss"])
    random.setstate((version, tuple(internal), None if math.isnan(gauss) else gauss))
