"""A bound on the score: how much worse than the dense model a network may be.

>>> floor = read_floor("accuracy=99%")
>>> round(floor.worst(0.9, Scale("accuracy", proportion=True)), 4)  # minimised: the score's negative
-0.891
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...objectives.errors import RankfrontError
from ...objectives.metrics.scale import Scale
from ..storage.identity import SCORE

NAMES = (SCORE, "accuracy")
"""What the score is called in a budget: always ``score``; ``accuracy`` where that is its name."""

_FORM = re.compile(r"\s*([a-zA-Z_]+)\s*=\s*(-?[0-9]+(?:\.[0-9]+)?|-?\.[0-9]+)\s*(%?)\s*")


@dataclass(frozen=True)
class Floor:
    """The worst score that a network may have: a share of the dense model's, or absolute."""

    name: str
    text: str
    amount: float
    is_share: bool

    def check(self, scale: Scale) -> None:
        """Raise `RankfrontError` where the score has another name, or never is so large."""
        if self.name not in (SCORE, scale.name):
            raise RankfrontError(f"budget {self.text} must be on the study's score, {scale.name}, or called score")
        if scale.proportion and not self.is_share and self.amount > 1:
            raise RankfrontError(
                f"budget {self.text} must be at most 1, since {scale.name} is a proportion: did you mean {self.text}%?"
            )

    def worst(self, dense: float, scale: Scale) -> float:
        """Return the largest minimised score that is allowed.

        Args:
            dense: the dense model's score, as the task gave it.
            scale: how it reads. A share is of the dense model's score: at least 99 % of an accuracy, at most 105 % of
                a perplexity.

        Raises:
            RankfrontError: see `check`; or it is to be a share of a negative one.
        """
        self.check(scale)
        if self.is_share and dense < 0:
            raise RankfrontError(
                f"budget {self.text} must be a score, since a share of the dense model's {dense:.4g} says nothing"
            )
        return scale.minimised(self.amount * dense if self.is_share else self.amount)


def read_floor(text: str) -> Floor | None:
    """Return the bound on the score that a text means; None where it bounds something else."""
    match = _FORM.fullmatch(text)
    if match is None or match[1] not in NAMES:
        return None
    return Floor(
        match[1], f"{match[1]}={match[2]}{match[3]}", float(match[2]) / (100 if match[3] else 1), bool(match[3])
    )
