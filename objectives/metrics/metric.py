"""What a metric is: something that a compressed network costs, such as its number of parameters.

A metric is one object. Whoever handles metrics (budget, front, tables, plots, page, command line, ``verify``) asks
the object, so a new metric is a new file, and its import and place in `registry`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from .amounts import shown

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from ..data.structure import Inputs
    from ..io.saved import Entry
    from ..model.layer import Layer
    from ..model.trace import Several
    from ..plan import Choice, Plan

_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*([a-zA-Z]*)")


@dataclass(frozen=True)
class Subject:
    """A network to be measured."""

    model: nn.Module
    example: Inputs | Several
    """The inputs of one sample, a batch of one; or of several, of which amounts are the mean."""
    saved: Callable[[nn.Module], Sequence[Entry]]
    """Returns the tensors that the network's file holds."""


class Predictor(Protocol):
    """What a metric will be for every plan, known before any network is built."""

    @property
    def additive(self) -> bool:
        """Whether the sum of `changes` over layers is exactly the difference of `of`; else it is nearly so."""
        ...

    def of(self, plan: Plan) -> float:
        """Return the amount for the whole compressed network: equal to what is measured on it."""
        ...

    def changes(self, layer: Layer, choices: Sequence[Choice]) -> Sequence[float]:
        """Return what each choice for one layer adds to the plan that leaves all dense (negative: it saves)."""
        ...


class Quantity(ABC):
    """What a metric is called, and how its amounts are written; less is better."""

    name: ClassVar[str]
    """In budgets, tables and files: letters and underscores."""
    said: ClassVar[str] = ""
    """What it is called in tables and sentences, where that is not its name."""
    label: ClassVar[str]
    """What a plot's axis says."""
    unit: ClassVar[str] = ""
    """Shown after an amount."""
    units: ClassVar[Mapping[str, float]]
    """Unit, in whatever case → its size. With ``""`` an amount without a unit is accepted."""
    example: ClassVar[str]
    """A budget that shows how an amount is written."""
    note: ClassVar[str] = ""
    """A sentence on how it is counted, which the page shows under its tables."""

    def parse(self, text: str) -> float:
        """Return the amount that a text such as ``200K`` means.

        Raises:
            ValueError: it is no number with one of the metric's units; the message says what it has instead.
        """
        match = _AMOUNT.fullmatch(text.strip())
        if match is None:
            raise ValueError("no number")
        factor = {unit.upper(): size for unit, size in self.units.items()}.get(match[2].upper())
        if factor is None:
            raise ValueError(f"unit {match[2]!r:.20}" if match[2] else "no unit")
        return float(match[1]) * factor

    def show(self, amount: float) -> str:
        """Return an amount with its unit, in three digits: ``5.01 M``."""
        return shown(amount, self.unit)

    def exact(self, amount: float) -> str:
        """Return an amount in all its digits: ``5,010,000``."""
        return f"{amount:,.0f}"

    @property
    def title(self) -> str:
        """What it is called in tables and sentences."""
        return self.said or self.name


class Metric(Quantity):
    """A metric that is counted or measured on every network."""

    @abstractmethod
    def measure(self, subject: Subject) -> float:
        """Return the amount that a network has."""

    def measure_shipped(self, path: Path, subject: Subject) -> float:
        """Return the amount of a network that was loaded from its file; what `measure` finds unless overridden.

        Args:
            path: the file.
            subject: the network as it was before it was saved; where it ships as int8, in floating point again.
        """
        return self.measure(subject)

    def predictor(self, subject: Subject, layers: Mapping[str, Layer]) -> Predictor | None:
        """Return what knows the amount of every plan of a dense model, or None where it must be measured.

        Args:
            subject: the dense model, its files as those of the compressed networks will be.
            layers: those that can be factorized, by name.
        """
        return None
