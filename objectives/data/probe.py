"""Read a few samples of a split, without a loader's workers and without changing any random state.

A study recognises its data by these samples. They are evenly spaced among those that the split's sampler gives.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader, default_collate

from ..io.sketch import Sketch, common, sketch
from .batch import Batch
from .randomness import fixed_seed
from .split import Split
from .structure import place

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
    source = split.source
    generators: list[torch.Generator] = []
    if isinstance(source, tuple):
        at = torch.tensor(_evenly(len(source[0]), samples))
        inputs, targets = (tensor[at.to(tensor.device)] for tensor in source)
    else:
        dataset: Any = source.dataset if isinstance(source, DataLoader) else source
        indices, collate, batched = range(len(split)), default_collate, True
        if isinstance(source, DataLoader):
            generators = _generators(source)
            collate, batched = source.collate_fn, source.batch_sampler is not None
            with fixed_seed(0, *generators):
                indices = _indices(source)
        at = [indices[i] for i in _evenly(len(indices), samples if batched else 1)]
        with fixed_seed(seed, *generators):
            items = dataset.__getitems__(at) if hasattr(dataset, "__getitems__") else [dataset[i] for i in at]
            inputs, targets = collate(items) if batched else collate(items[0])
    with fixed_seed(seed, *generators):
        inputs = place(inputs, "cpu")
        return Batch(inputs if split.transform is None else split.transform(inputs), place(targets, "cpu"))


def _indices(loader: DataLoader[Any]) -> list[Any]:
    """Return which samples a loader reads in one epoch, as often as it reads them, in ascending order."""
    sampler = loader.batch_sampler
    if sampler is None or type(sampler) is BatchSampler:
        found = list(loader.sampler)
    else:  # one of the user's own
        found = [index for batch in itertools.islice(sampler, len(loader)) for index in batch]
    try:
        return sorted(found)
    except TypeError:  # keys that have no order
        return sorted(found, key=repr)


def _generators(loader: DataLoader[Any]) -> list[torch.Generator]:
    """Return the random generators that reading from a loader draws from, besides the global ones."""
    holders = (loader, loader.sampler, loader.batch_sampler, getattr(loader.batch_sampler, "sampler", None))
    found = (getattr(holder, "generator", None) for holder in holders)
    return list({id(generator): generator for generator in found if isinstance(generator, torch.Generator)}.values())


def _evenly(total: int, samples: int) -> list[int]:
    """Return so many positions below ``total`` at even distances, the first and the last included."""
    if total <= samples:
        return list(range(total))
    return [round(i * (total - 1) / max(1, samples - 1)) for i in range(samples)]
