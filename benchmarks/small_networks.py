"""Small networks that samplers race on and that no package ships."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """Two 3×3 convolutions and a way around them, ``(N, in, H, W) → (N, out, H / stride, W / stride)``."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.around = nn.Identity() if stride == 1 else nn.Conv2d(channels, out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(y + self.around(x))


def small_resnet() -> nn.Module:
    """Return a ResNet of six blocks, ``(N, 3, 64, 64) → (N, 10)``."""
    stem = [nn.Conv2d(3, 32, 5, 2, 2, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)]
    shapes = [(32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 128, 1)]
    return nn.Sequential(
        *stem, *(Block(*shape) for shape in shapes), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10)
    )


class Attention(nn.Module):
    """A transformer's block, ``(N, T, D) → (N, T, D)``: attention of four heads, then two Linears."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(width, width) for _ in range(4))
        self.up_proj, self.down_proj = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        y = self.norm1(x)
        heads = (part(y).unflatten(-1, (4, -1)).transpose(1, 2) for part in (self.q_proj, self.k_proj, self.v_proj))
        x = x + self.o_proj(functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))
        return x + self.down_proj(functional.gelu(self.up_proj(self.norm2(x))))


class DigitsTransformer(nn.Module):
    """Six blocks of width 64 on the 16 patches of 2×2 pixels of a digit, ``(N, 1, 8, 8) → (N, 10)``; 38 layers."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place = nn.Linear(4, 64), nn.Parameter(torch.zeros(16, 64))
        self.blocks = nn.Sequential(*(Attention(64) for _ in range(6)))
        self.norm, self.head = nn.LayerNorm(64), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        patches = functional.unfold(x, 2, stride=2).transpose(1, 2)  # (N, 16, 4)
        return self.head(self.norm(self.blocks(self.embed(patches) + self.place)).mean(1))


class Bottleneck(nn.Module):
    """Three Linears and a way around them, ``(N, D) → (N, D)``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.down, self.middle, self.up = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        return x + self.up(functional.relu(self.middle(functional.relu(self.down(self.norm(x))))))


def deep_network() -> nn.Module:
    """Return a residual network of 60 Linears, ``(N, 1, 8, 8) → (N, 10)``."""
    blocks = [Bottleneck(64) for _ in range(19)]
    ends = [nn.LayerNorm(64), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10)]
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), *blocks, *ends)
