"""``bytes``: the size of the file to ship, ``model.safetensors``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, final

from .amounts import BYTE_UNITS
from .metric import Metric, Subject

if TYPE_CHECKING:
    from pathlib import Path

    from ..io.saved import Entry
    from ..model.layer import Layer
    from ..plan import Choice, Plan


@final
class Bytes(Metric):
    """Bytes of the saved weights, header included."""

    name = "bytes"
    label = "bytes of the saved weights"
    unit = "B"
    units = BYTE_UNITS
    example = "bytes=200KB"

    def measure(self, subject: Subject) -> int:
        """Return the size that the file will have; nothing is written."""
        from ..io.saved import file_bytes

        return file_bytes(subject.saved(subject.model))

    def measure_shipped(self, path: Path, subject: Subject) -> int:
        """Return the size of the file itself."""
        return path.stat().st_size

    def predictor(self, subject: Subject, layers: Mapping[str, Layer]) -> FileSize:
        """Return what knows every plan's file, tensor by tensor."""
        return FileSize(subject, layers)


@final
class FileSize:
    """The dense model's file, and which of its tensors each choice for a layer replaces; exact for every plan."""

    additive = False
    """A file's header is a few bytes larger or smaller than the sum of its entries."""

    def __init__(self, subject: Subject, layers: Mapping[str, Layer]) -> None:
        self.layers = layers
        self._saved = subject.saved
        self._whole = {entry.name: entry for entry in self._saved(subject.model)}
        self._dense = {name: self._dense_entries(layer) for name, layer in layers.items()}
        self._factorized: dict[tuple[str, Choice], list[Entry]] = {}

    def of(self, plan: Plan) -> int:
        """Return the size of the file that the plan's network is saved to."""
        from ..io.saved import file_bytes

        tensors = dict(self._whole)
        for name, choice in plan.items():
            for entry in self._dense[name]:
                del tensors[entry.name]
            tensors.update((entry.name, entry) for entry in self._entries(name, choice))
        return file_bytes(tensors.values())

    def changes(self, layer: Layer, choices: Sequence[Choice]) -> list[float]:
        """Return what each choice adds: its own tensors' bytes less those of the dense layer.

        The header of the file is worked out for a kind's largest rank and taken for its others, which have the same
        tensors; for every rank where tensors change their type (int8).
        """
        from torch import nn

        from ..io.saved import file_bytes
        from ..kinds.registry import kind_named

        dense = file_bytes(self._dense[layer.name])
        entries = {entry.dtype for entry in self._entries(layer.name, choices[0])}
        if isinstance(layer.module, nn.Linear) and entries - {layer.module.weight.dtype}:
            return [file_bytes(self._entries(layer.name, choice)) - dense for choice in choices]
        itemsize = layer.module.weight.element_size()
        old = dense - itemsize * layer.params
        headers: dict[str, int] = {}
        rows: list[float] = []
        for choice in reversed(choices):
            change = header = 0
            if choice.rank is not None:
                params = kind_named(choice.kind).cost(layer, choice.rank).params
                change = params - layer.params
                if choice.kind not in headers:
                    new = file_bytes(self._entries(layer.name, choice))
                    headers[choice.kind] = new - itemsize * params - old
                header = headers[choice.kind]
            rows.append(itemsize * change + header)
        return rows[::-1]

    def _dense_entries(self, layer: Layer) -> list[Entry]:
        names = (_under(path, part.name) for path in layer.paths for part in self._saved(layer.module))
        return [self._whole[name] for name in names if name in self._whole]

    def _entries(self, name: str, choice: Choice) -> list[Entry]:
        """Return the tensors that a layer has in the file under a choice."""
        from ..kinds.registry import kind_named

        if choice.rank is None:
            return self._dense[name]
        if (name, choice) not in self._factorized:
            module = kind_named(choice.kind).skeleton(self.layers[name], choice.rank)
            self._factorized[name, choice] = [e._replace(name=_under(name, e.name)) for e in self._saved(module)]
        return self._factorized[name, choice]


def _under(path: str, name: str) -> str:
    """Return a tensor's name in the state dict, given its module's path; the root's is empty."""
    return f"{path}.{name}" if path else name


BYTES = Bytes()
