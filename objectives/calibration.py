"""Calibration: moments of what passes each layer, over a few hundred training samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from .data import Batch, apply
from .errors import RankfrontError
from .kind import Kind, Moments
from .layer import Layer, first_input

Progress = Callable[[int, int], None]
"""Told ``(done, total)`` as work goes on."""


class _Sums:
    """Running sums of rows: multiplied in their own precision batch by batch, added up in float64."""

    def __init__(self) -> None:
        self.count = 0
        self.first: Tensor | float = 0.0
        self.second: Tensor | float = 0.0

    def add(self, rows: Tensor) -> None:
        rows = rows.float()
        self.count += len(rows)
        self.first = self.first + rows.sum(0, dtype=torch.float64)
        self.second = self.second + (rows.T @ rows).double()

    def moments(self) -> Moments:
        assert isinstance(self.first, Tensor) and isinstance(self.second, Tensor)
        return Moments(self.count, self.first / self.count, self.second / self.count)


def calibrate(
    model: nn.Module,
    layers: Mapping[str, tuple[Layer, Kind]],
    batches: Sequence[Batch],
    progress: Progress | None = None,
) -> dict[str, Moments]:
    """Gather the moments that each (layer, kind) wants, in one pass over ``batches``.

    Args:
        model: the dense model, run in eval mode where its weights are.
        layers: what to gather, under any key: a layer of that model and the kind that observes it.
        batches: of training data, where the model is.
        progress: told how many batches are read.

    Raises:
        RankfrontError: a layer's outputs are not finite.
    """
    sums = {key: _Sums() for key in layers}
    hooks = []
    for key, (layer, kind) in layers.items():

        def note(
            _: nn.Module,
            inputs: tuple[Tensor, ...],
            keywords: dict[str, Tensor],
            output: Tensor,
            key: str = key,
            layer: Layer = layer,
            kind: Kind = kind,
        ) -> None:
            sums[key].add(kind.observe(layer, first_input(inputs, keywords), output))

        users = {id(m): m for path in layer.paths if (m := model.get_submodule(path))}
        hooks.extend(module.register_forward_hook(note, with_kwargs=True) for module in users.values())
    was_training = model.training
    try:
        model.eval()
        with torch.no_grad():
            for done, batch in enumerate(batches, 1):
                apply(model, batch.inputs)
                if progress is not None:
                    progress(done, len(batches))
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    moments = {key: total.moments() for key, total in sums.items()}
    for key, (layer, _) in layers.items():
        if not bool(torch.isfinite(moments[key].second).all()):
            raise RankfrontError(f"calibration outputs must be finite, but those of layer {layer} are not")
    return moments
