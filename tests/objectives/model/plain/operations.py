"""Modules that compute one plain operation, and others that compute more."""

from __future__ import annotations

from collections.abc import Callable

import torch
from efficientnet_lite_pytorch.utils import Conv2dStaticSamePadding
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.linear import Linear as TimmLinear
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from torchvision.models.video.resnet import Conv3DSimple
from transformers.pytorch_utils import Conv1D


class OnlyInit(nn.Conv2d):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)


class Circular(nn.Conv2d):
    def __init__(self) -> None:
        super().__init__(4, 6, 3, padding=1, padding_mode="circular")


class Upsampling(nn.ConvTranspose2d):
    pass


class Own(nn.Module):
    """A Linear of somebody's own, with names of his own."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.b = nn.Parameter(torch.randn(6, 8)), nn.Parameter(torch.randn(6))
        self.in_features = 8

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.w.t() + self.b


class OwnConv(nn.Module):
    """A strided convolution of somebody's own, after a padding by another number than zero."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(6, 4, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        padded = x.new_full((*x.shape[:2], x.shape[2] + 3, x.shape[3] + 1), 1.5)
        padded[:, :, 2:-1, 1:] = x
        return functional.conv2d(padded, self.kernel, stride=2)


class NotEverySize(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        assert input.shape[2:] == (6, 6)
        return super().forward(input)


class Casting(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return functional.linear(input.float(), self.weight.float(), self.bias.float())


PLAIN: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "torchvision's Conv3DSimple": (lambda: Conv3DSimple(4, 6, stride=2), (1, 4, 3, 5, 5)),
    "timm's Linear": (lambda: TimmLinear(8, 6), (1, 8)),
    "timm's Conv2dSame": (lambda: Conv2dSame(4, 6, 3, 2), (1, 4, 8, 8)),
    "timm's Conv2dSame, dilated": (lambda: Conv2dSame(4, 6, 5, 2, dilation=2, groups=2), (1, 4, 9, 8)),
    "timm's Conv2dSame, where it pads nothing": (lambda: Conv2dSame(4, 6, 2, 2), (1, 4, 8, 8)),
    "timm's Conv2dSame without a stride": (lambda: Conv2dSame(4, 6, 3), (1, 4, 8, 8)),
    "static same": (lambda: Conv2dStaticSamePadding(4, 6, 3, stride=2, image_size=8, bias=False), (1, 4, 8, 8)),
    "static same, 1×1": (lambda: Conv2dStaticSamePadding(4, 6, 1, image_size=8), (1, 4, 8, 8)),
    "another __init__": (lambda: OnlyInit(4, 6), (1, 4, 5, 5)),
    "circular": (Circular, (1, 4, 5, 5)),
    "transposed": (lambda: Upsampling(4, 6, 3, 2, output_padding=1), (1, 4, 5, 5)),
    "of an attention": (lambda: NonDynamicallyQuantizableLinear(8, 6), (1, 8)),
    "Hugging Face's Conv1D": (lambda: Conv1D(6, 8), (1, 3, 8)),
    "Hugging Face's Conv1D, square": (lambda: Conv1D(8, 8), (1, 3, 8)),
    "a Linear of one's own": (Own, (1, 8)),
    "a convolution of one's own": (OwnConv, (1, 4, 6, 6)),
    "of one size": (lambda: NotEverySize(4, 6, 3), (1, 4, 6, 6)),
    "without a batch": (lambda: OnlyInit(4, 6), (4, 6, 6)),
    "that casts": (lambda: Casting(8, 6), (1, 8)),
}


class Twice(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


class Active(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).relu()


class Noisy(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        y = super().forward(input)
        return y + 0.01 * torch.randn_like(y) if self.training else y


class Normed(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(functional.normalize(input, dim=-1))


class Adapted(nn.Linear):
    """As LoRA starts: what is added is zero."""

    def __init__(self) -> None:
        super().__init__(8, 6)
        self.down, self.up = nn.Parameter(torch.randn(2, 8)), nn.Parameter(torch.zeros(6, 2))

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) + input @ self.down.T @ self.up.T


class AdaptedInside(nn.Linear):
    def __init__(self) -> None:
        super().__init__(8, 6)
        self.lora_a = nn.Linear(8, 2, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) + 0 * self.lora_a(input).sum()


class WithScale(nn.Linear):
    def forward(self, input: Tensor, scale: float = 1.0) -> Tensor:
        return scale * super().forward(input)


class Positional(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input + torch.arange(input.shape[-1], dtype=input.dtype))


class Reflecting(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(functional.pad(input, (1, 1, 1, 1), mode="reflect"))


class ByHalf(nn.Conv2d):
    """Pads by an amount that is neither constant nor TensorFlow's."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(functional.pad(input, (input.shape[-1] // 2, 0)))


def patched() -> nn.Module:
    linear = TimmLinear(8, 6)
    plain = linear.forward
    linear.forward = lambda x: 2 * plain(x)
    return linear


STAYS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "a scale": (lambda: Twice(8, 6), "Twice changes the output of its Linear"),
    "an activation": (lambda: Active(8, 6), "Active changes the output of its Linear"),
    "noise in training": (lambda: Noisy(8, 6), "Noisy computes something else in training"),
    "a normed input": (lambda: Normed(8, 6), "Normed changes the input of its Linear"),
    "an adapter": (Adapted, "Adapted holds 'down' of its own"),
    "an adapter's modules": (AdaptedInside, "AdaptedInside holds 'lora_a' of its own"),
    "a position": (lambda: Positional(8, 6, 1), "Positional changes the input of its Conv2d"),
    "reflection": (lambda: Reflecting(8, 6, 3), "Reflecting changes the input of its Conv2d"),
    "padding by half": (lambda: ByHalf(8, 6, 1), "ByHalf computes something else on inputs of another size"),
    "a forward of its own": (patched, "its 'forward' is not the one of its class"),
}
