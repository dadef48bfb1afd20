"""Short hashes of the tensors of a split, by which a study and a cache recognise its data."""

from __future__ import annotations

from torch import Tensor

from ..io.fingerprint import fingerprint, fingerprints, named
from .split import Split
from .structure import tensors_of


def fingerprint_of(split: Split) -> str | None:
    """Return a short hash of a split's tensors, of a transformed sample and of the augmentation's name.

    None for a Dataset or DataLoader: reading all of it may take long.
    """
    if not split.in_memory:
        return None
    augment = () if split.augment is None else (getattr(split.augment, "__qualname__", type(split.augment)),)
    return fingerprint(_hashed(split), *augment)[:16]


def fingerprints_of(split: Split) -> tuple[str, str, str] | None:
    """Return short hashes of the input tensors, of them and the targets, and of these and a transformed sample.

    None for a Dataset or DataLoader.
    """
    if not split.in_memory:
        return None
    inputs = len(tensors_of(split.source[0]))
    both = len(tensors_of(split.source))
    found = [digest[:16] for digest in fingerprints(_hashed(split))]
    return found[inputs], found[both], found[-1]


def _hashed(split: Split) -> dict[str, Tensor]:
    """Return what is hashed: a transform is recognised by its result for the first sample."""
    plain = split.transform is None and split.collate is None
    transformed = () if plain else tensors_of(split.few(1).inputs)
    return named([*tensors_of(split.source), *transformed])
