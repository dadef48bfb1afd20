"""How long and how a factorized network is fine-tuned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..errors import RankfrontError

if TYPE_CHECKING:
    from ..data.split import Split


@dataclass(frozen=True)
class FineTune:
    """How long and how a factorized network is trained.

    It makes ``epochs`` passes over the training data, or ``steps`` optimizer steps where that is given; with 0 it is
    not trained. The loss is ``distill`` times the distance to the dense model's outputs and ``1 - distill`` times the
    true loss.
    """

    epochs: int = 1
    steps: int | None = None
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: float = 1e-3
    weight_decay: float = 1e-4
    momentum: float = 0.9
    batch_size: int = 128
    warmup: float = 0.1
    """Share of the steps over which the learning rate rises; then it falls as a cosine to zero."""
    distill: float = 0.7
    temperature: float = 2.0
    clip: float = 1.0
    """Largest norm of the gradient."""

    def __post_init__(self) -> None:
        """Check every value; raises `RankfrontError`."""
        rules: list[tuple[str, float, bool, str]] = [
            ("epochs", self.epochs, self.epochs >= 0, "0 or more"),
            ("steps", self.steps or 0, self.steps is None or self.steps >= 0, "0 or more"),
            ("lr", self.lr, self.lr > 0, "positive"),
            ("batch_size", self.batch_size, self.batch_size >= 1, "1 or more"),
            ("warmup", self.warmup, 0 <= self.warmup < 1, "at least 0 and below 1"),
            ("distill", self.distill, 0 <= self.distill <= 1, "from 0 to 1"),
            ("temperature", self.temperature, self.temperature > 0, "positive"),
            ("clip", self.clip, self.clip > 0, "positive"),
        ]
        for name, value, holds, rule in rules:
            if not holds:
                raise RankfrontError(f"finetune {name} must be {rule}, but got {value}")
        if self.optimizer not in ("adamw", "sgd"):
            raise RankfrontError(f"finetune optimizer must be adamw or sgd, but got {self.optimizer!r}")

    def total_steps(self, data: Split) -> int:
        """Return the number of optimizer steps on a training split."""
        return self.steps if self.steps is not None else self.epochs * data.steps(self.batch_size)
