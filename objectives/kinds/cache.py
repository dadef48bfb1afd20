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

VERSION = "9"
"""To be raised whenever the same weights and data would decompose into something else."""


IMPORTANCE = "importance"
"""The tensor with what the layer's output is worth."""


@torch.no_grad()
def key_of(dense: nn.Module, calibration: Sequence[Batch], whiten: bool, sensitivity: str = "none") -> str:
    """Return a hash of weights, outputs and samples; with a new hash everything is decomposed anew.

    A layer's statistics depend on the layers before it, so all weights of the model are hashed, its outputs on the
    first batch, and the samples that were drawn for calibration.
    """
    drawn = [tensor for batch in calibration for tensor in tensors_of(batch.inputs)]
    computed = tensors_of(apply(dense, calibration[0].inputs))
    return fingerprint(named([*drawn, *computed]), fingerprint(dense.state_dict()), whiten, sensitivity)


class DecompositionCache:
    """A folder of safetensors files, one per layer and kind; names are hashes of all that the content depends on."""

    def __init__(self, folder: Path | None, calibration_key: str) -> None:
        self.folder = folder
        self.calibration_key = calibration_key

    def load(self, layer: Layer, kind: Kind) -> tuple[Decomposition, float | None] | None:
        """Return the decomposition and the layer's importance; None where no file has them, or of other data."""
        if self.folder is None or not (path := self._path(layer, kind)).exists():
            return None
        try:
            tensors, metadata = read_tensors(path)
            if metadata.get("key") == self._key(layer, kind):
                importance = tensors.pop(IMPORTANCE, None)
                return kind.restore(layer, tensors), None if importance is None else float(importance)
        except (RankfrontError, KeyError):
            pass
        return None

    def store(self, layer: Layer, kind: Kind, decomposition: Decomposition, importance: float | None) -> Decomposition:
        """Keep a decomposition and the layer's importance for the next start; return it as it lies in the file.

        A file's tensors are mapped into memory: the decompositions of a large network need not fit into it.
        """
        if self.folder is None:
            return decomposition
        metadata = {"key": self._key(layer, kind), "layer": layer.name}
        known = {} if importance is None else {IMPORTANCE: torch.tensor(importance, dtype=torch.float64)}
        path = self._path(layer, kind)
        write_tensors(path, {**decomposition.tensors(), **known}, metadata)
        return kind.restore(layer, read_tensors(path)[0])

    def _path(self, layer: Layer, kind: Kind) -> Path:
        assert self.folder is not None
        return self.folder / f"{self._key(layer, kind)[:24]}.safetensors"

    def _key(self, layer: Layer, kind: Kind) -> str:
        tensors = {n: t for n in ("weight", "bias") if (t := getattr(layer.module, n)) is not None}
        return fingerprint(tensors, VERSION, kind.name, layer, self.calibration_key)
