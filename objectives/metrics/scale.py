"""How a score reads: its name, its direction, how it is shown and how sure it is.

A study stores this beside its scores, so that its results are read without the user's code.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import RankfrontError
from ..given import flag, text

ROUNDING = 1e-5
"""Relative difference of two scores in float32 that differ by the order of their sums alone."""


@dataclass(frozen=True)
class Scale:
    """What is known of a score besides its value.

    Raises:
        RankfrontError: a field is of another type, the name is no plain word, or the form cannot format a number.
    """

    name: str
    """In tables, plots and files: letters, digits and underscores."""
    higher_is_better: bool = True
    proportion: bool = False
    """Whether it is the share of samples that are right: shown in percent, with an interval that `interval` knows."""
    form: str = ".4g"
    """How other scores are shown: a format of Python's."""

    def __post_init__(self) -> None:
        """Check the fields."""
        for field in ("higher_is_better", "proportion"):
            flag(f"a score's {field}", getattr(self, field))
        for field in ("name", "form"):
            text(f"a score's {field}", getattr(self, field))
        if not self.name.isidentifier():
            raise RankfrontError(
                f"a score's name must be made of letters, digits and underscores, but got {self.name!r:.60}"
            )
        try:
            format(1.0, self.form)
        except ValueError:
            raise RankfrontError(
                f"a score's form must format a number, such as .4g, but got {self.form!r:.60}"
            ) from None

    def minimised(self, score: float) -> float:
        """Return what is minimised: the score, or its negative where higher is better.

        The function is its own inverse. It is the only place where a score's sign is changed.
        """
        return -score if self.higher_is_better else score

    def show(self, score: float | None) -> str:
        """Return ``97.43 %`` for a proportion, else the score in its form; a dash where there is none.

        >>> Scale("accuracy", proportion=True).show(0.97431), Scale("loss").show(0.97431), Scale("loss").show(None)
        ('97.43 %', '0.9743', '–')
        """
        if score is None or math.isnan(score):
            return "–"
        return f"{100 * score:.2f} %" if self.proportion else format(score, self.form)

    def show_interval(self, low: float, high: float) -> str:
        """Return an interval in brackets, as it follows a score.

        >>> Scale("accuracy", proportion=True).show_interval(0.826, 0.945)
        '[82.6, 94.5]'
        """
        ends = (f"{100 * end:.1f}" if self.proportion else format(end, self.form) for end in (low, high))
        return f"[{', '.join(ends)}]"

    @property
    def axis(self) -> tuple[float, str]:
        """What a plot multiplies scores by, and the unit that it writes after the score's name."""
        return (100.0, " (%)") if self.proportion else (1.0, "")

    def interval(self, score: float | None, samples: int, confidence: float = 0.95) -> tuple[float, float] | None:
        """Return the confidence interval of a proportion measured on so many samples (Wilson, JASA 1927).

        None for any other score: its value alone does not tell; a bootstrap may (`Measured.interval`).

        >>> low, high = Scale("accuracy", proportion=True).interval(0.9, 100)
        >>> round(low, 3), round(high, 3)
        (0.826, 0.945)
        """
        if not self.proportion or score is None or math.isnan(score) or samples < 1:
            return None
        from scipy.stats import binomtest

        found = binomtest(round(score * samples), samples).proportion_ci(confidence, method="wilson")
        return float(found.low), float(found.high)

    def equal(self, stored: float, found: float) -> bool:
        """Return whether two scores of one machine are the same; not of a proportion, up to rounding errors.

        They depend on how samples are put into batches, as last bits do.
        """
        return found == stored if self.proportion else math.isclose(found, stored, rel_tol=ROUNDING)

    def agrees(self, stored: float, found: float, samples: int) -> bool:
        """Return whether two scores agree up to differences between machines.

        Of a proportion the stored score must lie in the 95 % interval of the new one; of any other score the two
        differ by at most a thousandth.
        """
        if (interval := self.interval(found, samples)) is not None:
            return interval[0] <= stored <= interval[1]
        return abs(found - stored) <= 1e-3 * max(abs(found), abs(stored))

    def plain(self) -> dict[str, Any]:
        """Return plain data that `Scale.read` reads."""
        return asdict(self)

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Scale:
        """Read what `plain` returned; raises `RankfrontError` for anything else."""
        try:
            return cls(**data)
        except TypeError as error:
            raise RankfrontError(f"a stored score must have the fields of a Scale, but: {error}") from None

    @classmethod
    def of_old_study(cls, name: str) -> Scale:
        """Return the scale of a study that stored the score's name alone: ``accuracy``, or any higher-is-better one."""
        return cls(name, proportion=name == "accuracy")


ACCURACY = Scale("accuracy", proportion=True)
