"""How much longer layers of a kind take within the network than by themselves: whole networks of each kind tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from ..kinds.decompositions import Decompositions
from ..kinds.registry import kind_named
from ..metrics.latency_table import LatencyTable
from ..model.layer import Layer
from ..plan import DENSE, Choice, Plan

PARTS = 0.05, 0.25, 0.5, 1.0
"""Where between its least and most flops by the kind each layer is, in the networks that are measured.

With them the median error of ten plans was 5 % on MiniLM in OpenVINO and 7 % on ResNet-18 in ONNX Runtime, without any
factor 32 and 15 %."""

PLAIN = 0.25
"""The same of the network in which identity blocks are compared with plain factors."""


def with_factors(
    table: LatencyTable, decompositions: Decompositions, added: Callable[[Plan], float | None]
) -> LatencyTable:
    """Return the table with each kind's factor (see `LatencyTable.factor`).

    Args:
        table: of layers by themselves.
        decompositions: the layers and their options.
        added: returns what a plan's network takes more than the one with all layers dense, as a share of what that
            takes; None where it cannot be made or measured.
    """
    networks: dict[str, list[tuple[Mapping[str, tuple[Layer, Choice]], float]]] = {}
    for part in PARTS:
        for kind, options in _of_each_kind(table, decompositions, part):
            if (measured := added(_plan(options, decompositions))) is not None:
                networks.setdefault(kind, []).append((options, measured))
    return replace(table, factors={kind: table.factor(kind, found) for kind, found in networks.items()})


def with_slower(table: LatencyTable, decompositions: Decompositions, is_slower: Callable[[Plan], bool]) -> LatencyTable:
    """Return the table with the kinds whose identity blocks are no faster than plain factors.

    Args:
        table: of layers by themselves.
        decompositions: the layers and their options.
        is_slower: returns whether a plan's network, all layers of a kind in it, is no faster than its plain form.
    """
    slower = [
        kind
        for kind, options in _of_each_kind(table, decompositions, PLAIN)
        if kind_named(kind).base != kind and is_slower(_plan(options, decompositions))
    ]
    return replace(table, slower=tuple(slower))


def _plan(options: Mapping[str, tuple[Layer, Choice]], decompositions: Decompositions) -> Plan:
    return Plan(dict.fromkeys(decompositions.options, DENSE) | {name: o for name, (_, o) in options.items()})


def _of_each_kind(
    table: LatencyTable, decompositions: Decompositions, part: float
) -> Iterator[tuple[str, dict[str, tuple[Layer, Choice]]]]:
    """Yield each kind, and an option of it, at that part of its flops, for all layers that were measured by it."""
    kinds = dict.fromkeys(name for shape in table.shapes for name in shape.kinds)
    for kind in kinds:
        chosen: dict[str, tuple[Layer, Choice]] = {}
        for name, options in decompositions.options.items():
            known = table.shapes[table.layers[name]].kinds.get(kind)
            of_kind = [option for option in options if option.kind == kind]
            if of_kind and known is not None:
                layer = decompositions.layers[name]
                found = [option for option in of_kind if known.step.has(option)] or of_kind
                flops = np.array([kind_named(kind).cost(layer, o.rank).flops for o in found if o.rank is not None])
                wanted = flops.min() + part * (flops.max() - flops.min())
                chosen[name] = layer, found[int(np.abs(flops - wanted).argmin())]
        if chosen:
            yield kind, chosen
