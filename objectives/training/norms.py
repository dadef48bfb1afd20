"""Norms with running statistics: which of them the user froze, and how they are trained.

A frozen batch norm is usual in detection, and wherever batches are small: it normalises by the statistics of a larger
data set, and neither fine-tuning nor re-estimation may change them.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from ..model.mode import in_mode

SINGLE = "Expected more than 1 value per channel"
"""How torch's error begins where a batch norm in training mode gets a batch of one sample (and no pixels)."""


def norms_of(model: nn.Module) -> dict[str, _NormBase]:
    """Return the batch and instance norms that have running statistics, by path."""
    return {
        path: module
        for path, module in model.named_modules()
        if isinstance(module, _NormBase) and module.running_mean is not None
    }


def frozen_norms(model: nn.Module, given: nn.Module | None = None) -> frozenset[str]:
    """Return the paths of the norms whose statistics the user froze.

    Those are norms with weights of which none is trained; those that the model's own ``train()`` leaves in eval mode;
    and those that the user had set to eval mode in a model in training mode.

    Args:
        model: the dense model, as it is factorized; left as it was.
        given: the model as the user gave it, whose modes are read.
    """
    norms = norms_of(model)
    with in_mode(model, training=True):
        frozen = {path for path, norm in norms.items() if not norm.training or _is_untrained(norm)}
    if given is not None and given.training:
        frozen |= {path for path, norm in norms_of(given).items() if not norm.training}
    return frozenset(frozen & norms.keys())


def set_training(model: nn.Module, frozen: Iterable[str]) -> None:
    """Set training mode, by the model's own ``train()``, but for frozen norms."""
    model.train()
    for path in frozen:
        model.get_submodule(path).eval()


def refuses_single(error: ValueError, samples: int) -> bool:
    """Return whether an error is a batch norm's, which cannot be trained on a batch of one sample."""
    return samples == 1 and str(error).startswith(SINGLE)


def _is_untrained(norm: _NormBase) -> bool:
    parameters = list(norm.parameters(recurse=False))
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)
