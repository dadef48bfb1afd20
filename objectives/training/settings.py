"""How long and how a factorized network is fine-tuned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..boundary import outermost_class
from ..described import shown
from ..errors import RankfrontError
from ..given import number, whole

if TYPE_CHECKING:
    from ..data.batched import Batched


@outermost_class
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
        read: dict[str, Any] = {
            "epochs": whole("finetune epochs", self.epochs, least=0),
            "steps": None if self.steps is None else whole("finetune steps", self.steps, least=0),
            "batch_size": whole("finetune batch_size", self.batch_size, least=1),
            "lr": number("finetune lr", self.lr, above=0),
            "weight_decay": number("finetune weight_decay", self.weight_decay, least=0),
            "momentum": number("finetune momentum", self.momentum, least=0, below=1),
            "warmup": number("finetune warmup", self.warmup, least=0, below=1),
            "temperature": number("finetune temperature", self.temperature, above=0),
            "clip": number("finetune clip", self.clip, above=0),
            "distill": number("finetune distill", self.distill, least=0, most=1),
        }
        for name, value in read.items():
            object.__setattr__(self, name, value)
        if not isinstance(self.optimizer, str) or self.optimizer not in ("adamw", "sgd"):
            raise RankfrontError(f"finetune optimizer must be adamw or sgd, but got {shown(self.optimizer)}")

    def total_steps(self, data: Batched) -> int:
        """Return the number of optimizer steps on a training split."""
        return self.steps if self.steps is not None else self.epochs * data.steps(self.batch_size)
