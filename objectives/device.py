"""Where a study computes, and how: the CPU as it is, CUDA with its usual speed-ups."""

from __future__ import annotations

import contextlib

import torch
from torch import nn

from .device_name import check_device_name
from .errors import RankfrontError


def choose_device(name: str) -> torch.device:
    """Return the device of that name; ``auto`` is CUDA where there is one.

    Raises:
        RankfrontError: an unknown name, or CUDA without a usable GPU.
    """
    check_device_name(name)
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise RankfrontError("device cuda needs an NVIDIA GPU that torch can use, but it finds none")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def autocast(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Return the context for training: bf16 autocast on GPUs that support it, nothing elsewhere."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return contextlib.nullcontext()


def on_cpu(model: nn.Module) -> nn.Module:
    """Move ``model`` to the CPU, and its parameters into the layout that they have there."""
    return model.to("cpu", memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]


def to_device(model: nn.Module, device: torch.device) -> nn.Module:
    """Move ``model`` to ``device``; on CUDA its convolutions become channels-last."""
    model = model.to(device)
    if device.type == "cuda" and any(isinstance(m, nn.Conv2d) for m in model.modules()):
        # Only four-dimensional parameters change layout; values and shapes stay.
        model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return model
