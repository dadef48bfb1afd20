"""Keep decompositions on disk, so that a study that is interrupted computes none of them again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from ..data.batch import Batch
from ..data.structure import apply, tensors_of
from ..errors import RankfrontError
from ..io.fingerprint import fingerprint, named
from ..io.tensors import read_tensors, write_tensors
from ..model.layer import Layer
from .kind import Decomposition, Kind

VERSION = "6"
"""To be raised whenever the same weights and data would decompose into something else."""


@torch.no_grad()
def key_of(dense: nn.Module, calibration: Sequence[Batch], whiten: bool) -> str:
    """Return a hash of weights, outputs and samples; with a new hash everything is decomposed anew.

    A layer's statistics depend on the layers before it, so all weights of the model are hashed, its outputs on the
    first batch, and the samples that were drawn for calibration.
    """
    drawn = [tensor for batch in calibration for tensor in tensors_of(batch.inputs)]
    computed = tensors_of(apply(dense, calibration[0].inputs))
    return fingerprint(named([*drawn, *computed]), fingerprint(dense.state_dict()), whiten)


class DecompositionCache:
    """A folder of safetensors files, one per layer and kind; names are hashes of all that the content depends on."""

    def __init__(self, folder: Path | None, calibration_key: str) -> None:
        self.folder = folder
        self.calibration_key = calibration_key

    def load(self, layer: Layer, kind: Kind) -> Decomposition | None:
        """Return the decomposition, or None where the file is missing, damaged, or of other data."""
        if self.folder is None or not (path := self._path(layer, kind)).exists():
            return None
        try:
            tensors, metadata = read_tensors(path)
            if metadata.get("key") == self._key(layer, kind):
                return kind.restore(layer, tensors)
        except (RankfrontError, KeyError):
            pass
        return None

    def store(self, layer: Layer, kind: Kind, decomposition: Decomposition) -> None:
        """Keep a decomposition for the next start."""
        if self.folder is not None:
            metadata = {"key": self._key(layer, kind), "layer": layer.name}
            write_tensors(self._path(layer, kind), decomposition.tensors(), metadata)

    def _path(self, layer: Layer, kind: Kind) -> Path:
        assert self.folder is not None
        return self.folder / f"{self._key(layer, kind)[:24]}.safetensors"

    def _key(self, layer: Layer, kind: Kind) -> str:
        tensors = {n: t for n in ("weight", "bias") if (t := getattr(layer.module, n)) is not None}
        return fingerprint(tensors, VERSION, kind.name, layer, self.calibration_key)
