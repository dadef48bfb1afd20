"""A layer of the dense model that can be factorized.

A layer is a weight, not a module: one that is used under several names (a module registered twice, or two modules that
share their parameters) is one layer with several ``paths``, factorized once.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
"""Transposed convolutions. Their weight is ``(in, out/groups, kernel)``."""

TYPES = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *TRANSPOSED)
"""The modules that can be factorized; subclasses of them have a behaviour of their own."""

Linear = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d


@dataclass(frozen=True)
class Layer:
    """An ``nn.Linear`` or (transposed) convolution of the dense model, with the shapes it saw for one input."""

    name: str
    paths: tuple[str, ...]
    module: Linear = field(compare=False, repr=False)
    calls: tuple[tuple[torch.Size, torch.Size], ...] = field(compare=False, repr=False)
    """Input and output shape of each call in one forward pass on a batch of one, or in the passes of `inputs` such."""
    inputs: int = field(default=1, compare=False, repr=False)
    """Of how many inputs the calls are: several where the data decides which layers are called (see `trace`)."""

    @property
    def out_features(self) -> int:
        """Number of outputs (Linear) or output channels (convolution)."""
        return self.module.out_channels if isinstance(self.module, _ConvNd) else self.module.out_features

    @property
    def transposed(self) -> bool:
        """Whether it is a transposed convolution."""
        return isinstance(self.module, TRANSPOSED)

    @property
    def in_features(self) -> int:
        """Number of inputs to one output: ``in`` (Linear), ``in/groups · kernel`` (convolution)."""
        return self.module.weight.numel() // (self.out_features or 1)

    @property
    def width(self) -> int:
        """How many dimensions one group can hand on at one position: ``min(out/groups, in_features)``."""
        return min(self.out_features // self.groups, self.in_features)

    @property
    def groups(self) -> int:
        """Number of a convolution's groups; 1 for a Linear."""
        return self.module.groups if isinstance(self.module, _ConvNd) else 1

    @property
    def kernel(self) -> tuple[int, ...]:
        """A convolution's kernel size; empty for a Linear."""
        return self.module.kernel_size if isinstance(self.module, _ConvNd) else ()

    @property
    def grouped_weight(self) -> Tensor:
        """The weight as one matrix a group, ``(groups, out/groups, in_features)``, float64."""
        return self.grouped(self.module.weight.detach().double())

    def grouped(self, weight: Tensor) -> Tensor:
        """Return what has the weight's shape as one matrix a group, ``(groups, out/groups, in_features)``."""
        if self.transposed:
            weight = weight.unflatten(0, (self.groups, -1)).transpose(1, 2)  # (groups, out/groups, in/groups, kernel)
        return weight.reshape(self.groups, -1, self.in_features)

    @property
    def weights(self) -> int:
        """Number of parameters without the bias."""
        return self.module.weight.numel()

    @property
    def positions(self) -> float:
        """At how many positions (pixels, tokens) one input passes the layer, over all its calls."""
        return self.per_input(sum(out.numel() // self.out_features for _, out in self.calls))

    @property
    def input_positions(self) -> float:
        """How many positions one input to a convolution has before it, over all its calls."""
        channels = self.module.in_channels if isinstance(self.module, _ConvNd) else self.module.in_features
        return self.per_input(sum(taken.numel() // channels for taken, _ in self.calls))

    def per_input(self, amount: int) -> float:
        """Return the mean for one input of an amount over all calls; an integer where it is one."""
        return amount // self.inputs if amount % self.inputs == 0 else amount / self.inputs

    @property
    def params(self) -> int:
        """Number of parameters of the dense layer, its bias included."""
        return self.module.weight.numel() + self.bias_params

    @property
    def bias_params(self) -> int:
        """Number of parameters of the layer's bias, 0 where it has none."""
        return 0 if self.module.bias is None else self.out_features

    @property
    def flops(self) -> float:
        """Number of operations for one input, 2 per multiply-add, biases not counted (as torch counts).

        A transposed convolution multiplies at every place of its input.
        """
        return 2 * (self.input_positions if self.transposed else self.positions) * self.module.weight.numel()

    def modules_in(self, model: nn.Module) -> list[nn.Module]:
        """Return the modules of a model that use this layer's weight, each once."""
        return list({id(m): m for path in self.paths if (m := model.get_submodule(path))}.values())

    def __str__(self) -> str:
        return f"{self.name} {type(self.module).__name__}{tuple(self.module.weight.shape)}"


def first_input(inputs: tuple[Tensor, ...], keywords: dict[str, Tensor]) -> Tensor:
    """Return what a Linear or convolution was called with: by position, or as ``input=``."""
    return inputs[0] if inputs else keywords["input"]
