"""Read a few samples of a split, without a loader's workers and without changing any random state.

A study recognises its data by these samples. They are evenly spaced among those that the split's sampler gives; of a
stream they are the first.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..io.sketch import Sketch, common, sketch
from .batch import Batch
from .randomness import fixed_seed
from .split import Split

SAMPLES = 64
"""At most so many samples are read."""


@dataclass(frozen=True)
class Probe:
    """Samples of a split after its ``transform``, on the CPU, and their sketches."""

    batch: Batch
    inputs: Sketch
    """Values if two readings agree; else shapes only."""
    targets: Sketch
    fixed: bool
    """Whether two readings give the same samples."""


def read_probe(split: Split, samples: int = SAMPLES) -> Probe | None:
    """Return samples of a split, or None where they cannot be read one by one in this process."""
    try:
        batch = _read(split, samples, seed=0)
        sketches = [sketch((b.inputs, b.targets))["parts"] for b in (batch, _read(split, samples, seed=1))]
    except Exception:  # a Dataset that works in a loader's workers only; whatever else it is, training will say it
        return None
    inputs, targets = (common(*pair) for pair in zip(*sketches, strict=True))
    return Probe(batch, inputs, targets, sketches[0] == sketches[1])


def _read(split: Split, samples: int, seed: int) -> Batch:
    with fixed_seed(seed, *split.generators):
        return split.few(samples)
