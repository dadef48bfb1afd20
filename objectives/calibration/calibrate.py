"""Calibration: moments of what passes each layer, over a few hundred training samples."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from ..data.batch import Batch
from ..data.samples import axis_of
from ..data.structure import apply
from ..errors import RankfrontError
from ..model.layer import Layer, first_input
from ..model.mode import in_mode
from ..progress import CountCallback
from .moments import Moments, MomentSums, Statistic
from .patches import input_rows, output_rows

Key = TypeVar("Key", bound=Hashable)


def calibrate(
    model: nn.Module,
    layers: Mapping[Key, tuple[Layer, Statistic]],
    batches: Sequence[Batch],
    progress: CountCallback | None = None,
) -> dict[Key, Moments]:
    """Gather the moments of layers' inputs or outputs, in one pass over ``batches``.

    Every position counts, those of padding, too: a layer computes them, and what it gives there may be used.

    Args:
        model: the dense model, run in eval mode where its weights are.
        layers: what to gather, under any key: a layer of that model and whose moments are wanted.
        batches: of training data, where the model is.
        progress: called with the number of batches read, and of all.

    Returns:
        The moments by key; a layer that fewer than two rows reach, as where the data decides what is called, has none.

    Raises:
        RankfrontError: what a layer takes or gives is not finite.
    """
    sums = {key: MomentSums() for key in layers}
    passed = batches[0]
    hooks = []
    for key, (layer, statistic) in layers.items():

        @torch.no_grad()  # whatever the model's forward enables
        def note(
            _: nn.Module,
            inputs: tuple[Tensor, ...],
            keywords: dict[str, Tensor],
            output: Tensor,
            key: Key = key,
            layer: Layer = layer,
            statistic: Statistic = statistic,
        ) -> None:
            if not output.numel():  # an expert that no token of this batch was sent to
                return
            if statistic == "inputs":
                rows = input_rows(layer.module, _samples_first(first_input(inputs, keywords), layer, passed))
            else:
                rows = output_rows(layer.module, _samples_first(output, layer, passed))
                if layer.module.bias is not None:
                    rows = rows - layer.module.bias
            sums[key].add(rows.flatten(0, 1))

        # Before the user's own hooks, which may change the output.
        hooks.extend(m.register_forward_hook(note, with_kwargs=True, prepend=True) for m in layer.modules_in(model))
    try:
        with in_mode(model, training=False), torch.no_grad():
            for done, passed in enumerate(batches, 1):
                apply(model, passed.inputs)
                if progress is not None:
                    progress(done, len(batches))
    finally:
        for hook in hooks:
            hook.remove()
    drawn = sum(batch.samples for batch in batches)
    moments: dict[Key, Moments] = {}
    for key, (layer, statistic) in layers.items():
        total = sums.pop(key)  # not all sums and moments at once
        if total.count < 2:
            if drawn < 2 and total.count:
                raise RankfrontError(
                    f"calibration must give every layer 2 samples or more, but layer {layer} saw 1: give more training "
                    "samples, or batches that can be cut into samples"
                )
            continue
        moments[key] = total.moments()
        if not bool(torch.isfinite(moments[key].covariance).all()):
            raise RankfrontError(
                f"calibration {statistic} must be finite, but those of layer {layer} are not: it, what comes before "
                "it, or the training inputs hold NaN or infinity"
            )
    return moments


def _samples_first(tensor: Tensor, layer: Layer, batch: Batch) -> Tensor:
    """Return what passes a Linear of a sequence-first model as ``(N, T, …)``: some positions of each count."""
    turned = batch.dim == 1 and tensor.ndim > 2 and isinstance(layer.module, nn.Linear)
    return tensor.transpose(0, 1) if turned and axis_of(tensor, batch.samples, 1) == 1 else tensor
