"""What is likely wrong where a model refuses its inputs, or a loss its targets, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from ..data.structure import tensors_of
from .outputs import class_dimension, labels_of, main_output


def of_inputs(model: nn.Module, inputs: Any) -> str:
    """Return a sentence's end on inputs of another type or layout than the model takes; nothing where they fit."""
    listed = (
        [key for key, value in inputs.items() if isinstance(value, list | tuple)] if isinstance(inputs, Mapping) else []
    )
    if listed:
        return (
            f": {listed[0]} is a {type(inputs[listed[0]]).__name__}, not a tensor: give tensors of equal length "
            "(Hugging Face's datasets do after set_format('torch')), or a DataLoader whose collate_fn pads"
        )
    weights = next((p.dtype for p in model.parameters() if p.is_floating_point()), None)
    tensors = tensors_of(inputs)
    two = getattr(getattr(model, "config", None), "is_encoder_decoder", False)
    if two and isinstance(inputs, Mapping) and "decoder_input_ids" not in inputs:
        return (
            ": an encoder-decoder model also takes decoder_input_ids, the labels shifted right: give them in the batch"
        )
    first = next((t for t in tensors if t.is_floating_point()), None)
    if weights is not None and first is not None and first.dtype != weights:
        return f": the inputs are {_name(first.dtype)}, the weights {_name(weights)}: give inputs.to({weights})"
    conv = next((m for m in model.modules() if isinstance(m, _ConvNd)), None)
    if conv is not None and tensors:
        image, channels = tensors[0], conv.in_channels
        if not image.is_floating_point():
            return (
                f": the inputs are {_name(image.dtype)}, the weights {_name(weights)}: "
                "give floats, by rankfront.Split(data, transform=lambda x: x.float() / 255)"
            )
        if image.ndim == conv.weight.ndim and image.shape[1] != channels and image.shape[-1] == channels:
            return (
                f": the inputs {tuple(image.shape)} have their {channels} channels last, "
                "a convolution takes them in dimension 1: give inputs.movedim(-1, 1)"
            )
    if weights is not None and first is None and tensors and not _embeds(model):
        return f": the inputs are {_name(tensors[0].dtype)}, the weights {_name(weights)}: give floats"
    return ""


def of_targets(outputs: Any, targets: Any) -> str:
    """Return a sentence's end on targets that are no classes as cross entropy takes them; nothing where they fit."""
    main, labels = main_output(outputs), labels_of(targets)
    if isinstance(labels, list | tuple) and labels and isinstance(labels[0], str):
        return ": targets are texts: give classes, whole numbers from 0"
    if main is None or not isinstance(labels, Tensor) or main.ndim < 2:
        return ""
    classes = main.shape[class_dimension(outputs, targets)]
    if labels.ndim == main.ndim and labels.shape[1] == 1:
        return ": targets (N, 1) must be (N,): give targets.squeeze(1)"
    if labels.shape == main.shape and not labels.is_floating_point():
        return ": targets like one-hot rows must be classes (N,): give targets.argmax(1)"
    if labels.ndim == main.ndim - 1 and labels.is_floating_point():
        return f": targets are {_name(labels.dtype)}, classes must be whole numbers: give targets.long()"
    if labels.ndim == main.ndim - 1 and labels.numel():
        low, high = int(labels.min()), int(labels.max())
        if low >= 0 and high >= classes:
            counted = ", counted from 1? give targets - 1" if low >= 1 and high == classes else ""
            return (
                f": targets go up to {high}, but the model's {classes} outputs are classes 0 to {classes - 1}{counted}"
            )
    return ""


def _embeds(model: nn.Module) -> bool:
    return any(isinstance(m, nn.Embedding | nn.EmbeddingBag) for m in model.modules())


def _name(dtype: object) -> str:
    return str(dtype).removeprefix("torch.")
