"""What a pass takes, predicted: the dense network's time, and what each layer's options add, from times of layers.

A layer's options were measured by themselves at a few ranks; between them their times are interpolated over their
flops. What is no layer, and a layer that stays dense, take what they take in the dense network, so the prediction for
that is what was measured. All times are integers, in nanoseconds: sums are exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, final

import numpy as np

from ..kinds.registry import kind_named

if TYPE_CHECKING:
    from ..model.layer import Layer
    from ..plan import Choice, Plan, Rank

FACTORS = 0.5, 2.0
"""Factors of kinds lie between these: what is further away is noise."""


class Step(NamedTuple):
    """The multiples of which ranks an engine computes without loss; 1 where there is no such size."""

    size: int = 1
    off: float = 1.0
    """How many times as long as the next multiple another rank takes."""

    @classmethod
    def read(cls, plain: int | Sequence[float]) -> Step:
        """Return a step from plain data; older studies have its size alone."""
        return cls(plain) if isinstance(plain, int) else cls(int(plain[0]), float(plain[1]))

    def slower(self, choice: Choice) -> float:
        """Return how many times as long a choice takes as the next multiple of the size."""
        return 1.0 if self.has(choice) else self.off

    def has(self, choice: Choice) -> bool:
        """Return whether a choice's rank is a multiple, or not one integer."""
        return not isinstance(choice.rank, int) or choice.rank % self.size == 0


NO_STEP = Step()


@dataclass(frozen=True)
class KindTimes:
    """What a layer of one shape takes, factorized by one kind."""

    flops: tuple[float, ...]
    """Of the ranks that were measured, ascending."""
    ns: tuple[int, ...]
    """What they take, ascending; times of ranks that are no multiple of the step are divided by its ``off``."""
    step: Step = NO_STEP

    @classmethod
    def of(cls, measured: Sequence[tuple[float, float]], step: Step = NO_STEP) -> KindTimes:
        """Take pairs of flops and seconds (see ``ns``); where more flops took less time, both take the mean."""
        flops, seconds = np.array(sorted(measured), float).T
        rising = np.maximum.accumulate(seconds), np.minimum.accumulate(seconds[::-1])[::-1]
        return cls(tuple(flops.tolist()), tuple(round(1e9 * each) for each in np.add(*rising) / 2), step)

    def at(self, layer: Layer, choice: Choice) -> int:
        """Return what an option takes, in nanoseconds."""
        on_step = np.interp(flops_on_step(layer, choice, self.step.size), self.flops, self.ns)
        return round(self.step.slower(choice) * on_step)


def flops_on_step(layer: Layer, choice: Choice, step: int) -> float:
    """Return the flops of an option's rank on the next step, where the layer can have that; else of its own rank."""
    assert choice.rank is not None
    kind = kind_named(choice.kind)
    rank: Rank = choice.rank
    if isinstance(rank, int):
        above = -(-rank // step) * step
        rank = above if kind.accepts(layer, above)[0] else rank
    return kind.cost(layer, rank).flops


@dataclass(frozen=True)
class LayerTimes:
    """What a layer of one shape takes: dense, and by kind; in nanoseconds."""

    dense: int
    kinds: Mapping[str, KindTimes]


@dataclass(frozen=True)
class LatencyTable:
    """The times of a network and of its layers, in one engine on one machine."""

    dense: int
    """The user's network, in nanoseconds."""
    start: int
    """The network with every layer dense, as it is saved: what was rewritten in it may take another time."""
    shapes: Sequence[LayerTimes]
    """Layers of one shape are measured once."""
    layers: Mapping[str, int]
    """Layer → the place of its shape."""
    factors: Mapping[str, float] = field(default_factory=dict)
    """Kind → how many times as long its layers take within the network as by themselves, measured on whole networks."""

    scale: float = 1.0
    """How much of what plans at the budget save by this table they really save."""

    slower: Sequence[str] = ()
    """The kinds whose identity blocks are no faster than the plain factors that they were made of."""

    def change(self, layer: Layer, choice: Choice) -> int:
        """Return what an option adds to a pass, in nanoseconds; a kind that was not measured adds nothing."""
        times = self.shapes[self.layers[layer.name]]
        if choice.rank is None or choice.kind not in times.kinds:
            return 0
        taken = self.factors.get(choice.kind, 1.0) * times.kinds[choice.kind].at(layer, choice)
        return round(self.scale * (taken - times.dense))

    def factor(self, kind: str, networks: Sequence[tuple[Mapping[str, tuple[Layer, Choice]], float]]) -> float:
        """Return the factor of a kind that whole networks tell, in which layers have options of it.

        Args:
            kind: the kind.
            networks: of each, layer → itself and its option; and what the network takes more than the one with all
                layers dense, as a share of what that takes (negative: less).
        """
        alone = within = 0.0
        for options, measured in networks:
            times = [(self.shapes[self.layers[name]], layer, choice) for name, (layer, choice) in options.items()]
            alone += sum(each.kinds[kind].at(layer, choice) for each, layer, choice in times)
            within += self.start * measured + sum(each.dense for each, _, _ in times)
        least, most = FACTORS
        return min(most, max(least, within / alone))

    def plain(self) -> dict[str, Any]:
        """Return it as JSON knows it."""
        shapes = [
            {
                "dense": shape.dense,
                "kinds": {
                    name: {"flops": times.flops, "ns": times.ns, "step": [*times.step]}
                    for name, times in shape.kinds.items()
                },
            }
            for shape in self.shapes
        ]
        return {
            "dense": self.dense,
            "start": self.start,
            "shapes": shapes,
            "layers": dict(self.layers),
            "factors": dict(self.factors),
            "scale": self.scale,
            "slower": [*self.slower],
        }

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> LatencyTable:
        """Return what `plain` made plain; raises KeyError, TypeError or ValueError where it is damaged."""
        shapes = [
            LayerTimes(
                int(shape["dense"]),
                {
                    name: KindTimes(tuple(times["flops"]), tuple(times["ns"]), Step.read(times["step"]))
                    for name, times in shape["kinds"].items()
                },
            )
            for shape in plain["shapes"]
        ]
        sizes = int(plain["dense"]), int(plain["start"])
        factors, scale, slower = dict(plain["factors"]), float(plain["scale"]), tuple(plain.get("slower", ()))
        return cls(*sizes, shapes, dict(plain["layers"]), factors, scale, slower)


@final
class PredictedLatency:
    """What a pass of every plan's network takes, in nanoseconds: a `Predictor`."""

    additive = True

    def __init__(self, table: LatencyTable, layers: Mapping[str, Layer]) -> None:
        self.table = table
        self.layers = layers

    def of(self, plan: Plan) -> int:
        """Return what the network that the plan makes takes."""
        return self.table.start + sum(self.table.change(self.layers[name], choice) for name, choice in plan.items())

    def changes(self, layer: Layer, choices: Sequence[Choice]) -> list[float]:
        """Return what each choice adds."""
        return [self.table.change(layer, choice) for choice in choices]
