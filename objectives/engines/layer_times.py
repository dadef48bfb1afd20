"""Times of a network's layers in an engine: each at its real shape, dense and by every kind at a few ranks."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..data.calling import Inputs
from ..device import on_cpu
from ..kinds.decompositions import Decompositions
from ..metrics.latency_table import NO_STEP, KindTimes, LatencyTable, LayerTimes, Step, flops_on_step
from ..model.copying import copied
from ..model.layer import TYPES, Layer
from ..model.replace import HOOKS
from ..model.stored import Stored, Whole
from ..model.trace import trace
from ..plan import DENSE, Choice
from ..progress import CountCallback
from .between import between
from .engine import Engine, Runner
from .steps import PROBED, probed_ranks, step_of
from .timing import least_seconds

POSITIONS = (0.0, 0.1, 0.25, 0.5, 1.0)
"""Where between a layer's least and most flops by a kind its times are measured."""

MODULES, NUMBERS = 100, 2**26
"""At most so many modules, of so many parameters together, are made ready at once: it limits the memory."""

Key = tuple[str, ...]
Wanted = tuple[Layer, Choice]


class Job(NamedTuple):
    """A module that is run for a layer's option."""

    of: tuple[str, Choice]
    module: nn.Module
    given: Tensor
    times: int
    """How often a pass of the network calls it."""


@dataclass(frozen=True)
class LayerMeter:
    """Measures layers of one network in one engine.

    The network runs in turn with its layers, and a layer's time is taken as a share of the network's: a machine may be
    faster in one minute than in the next.
    """

    engine: Engine
    threads: int
    network: Runner
    """Runs the network with every layer dense, as it is saved."""
    seconds: float
    """What that takes."""
    decompositions: Decompositions
    numbers: int
    """How many numbers the network's parameters hold."""
    calls: Mapping[str, Counter[torch.Size]]
    """Layer → the shapes that it is called with in a pass, and how often each."""

    def table(self, dense: float, progress: CountCallback) -> LatencyTable:
        """Measure all that is needed to predict a plan's time.

        Args:
            dense: what the user's network takes, in seconds.
            progress: called with the number of modules measured, and of all.
        """
        options = self.decompositions.options
        layers = [self.decompositions.layers[name] for name in options if self.calls[name].total()]
        shapes: dict[Key, list[Layer]] = {}
        for layer in layers:
            shapes.setdefault(self._key(layer), []).append(layer)
        first = [some[0] for some in shapes.values()]
        wanted = [(layer, o) for layer in first for o in (DENSE, *_spread(layer, options[layer.name], {}))]
        probes = list(self._probes(first))
        known = self._seconds([*wanted, *probes], progress)
        steps = self._steps(probes, known)
        # Between steps a rank says nothing of its neighbours: those on them are measured, too.
        more = [
            (layer, option)
            for layer in first
            for option in _spread(layer, options[layer.name], steps)
            if (layer.name, option) not in known
        ]
        known |= self._seconds(more, progress)
        times = []
        for layer in first:
            found: dict[str, KindTimes] = {}
            for kind, some in groupby(_spread(layer, options[layer.name], steps), key=lambda option: option.kind):
                step = steps.get((type(layer.module), kind), NO_STEP)
                taken = [o for o in some if (layer.name, o) in known]
                if taken:
                    measured = [
                        (flops_on_step(layer, o, step.size), known[layer.name, o] / step.slower(o)) for o in taken
                    ]
                    found[kind] = KindTimes.of(measured, step)
            times.append(LayerTimes(round(1e9 * known[layer.name, DENSE]), found))
        places = {layer.name: n for n, some in enumerate(shapes.values()) for layer in some}
        unreached = {name: len(times) for name in options if name not in places}
        shapes_of = [*times, *([LayerTimes(0, {})] if unreached else [])]
        return LatencyTable(round(1e9 * dense), round(1e9 * self.seconds), shapes_of, places | unreached)

    def _probes(self, layers: Sequence[Layer]) -> Iterator[Wanted]:
        """Yield neighbouring ranks for each type and kind, of the largest layer that has so many."""
        found: dict[tuple[type, str], list[Wanted]] = {}
        for layer in sorted(layers, key=lambda layer: layer.flops):
            for kind in self.decompositions.kinds[layer.name]:
                ranks = [o.rank for o in self.decompositions.options[layer.name] if o.kind == kind.name]
                if probed := probed_ranks([rank for rank in ranks if isinstance(rank, int)]):
                    found[type(layer.module), kind.name] = [(layer, Choice(kind.name, rank)) for rank in probed]
        yield from itertools.chain.from_iterable(found.values())

    @staticmethod
    def _steps(probes: Iterable[Wanted], known: Mapping[tuple[str, Choice], float]) -> dict[tuple[type, str], Step]:
        """Return module's type and kind → the step of ranks that its times have; those without steps left out."""
        found: dict[tuple[type, str], dict[int, float]] = {}
        for layer, option in probes:
            if (layer.name, option) in known and isinstance(option.rank, int):
                found.setdefault((type(layer.module), option.kind), {})[option.rank] = known[layer.name, option]
        steps = {key: step_of(times) for key, times in found.items() if len(times) == PROBED}
        return {key: step for key, step in steps.items() if step.size > 1}

    def _seconds(self, wanted: Iterable[Wanted], progress: CountCallback) -> dict[tuple[str, Choice], float]:
        """Return layer and option → what all its calls in a pass take, in seconds; a singular one is left out."""
        unique = {(layer.name, option): (layer, option) for layer, option in wanted}
        jobs: list[Job] = []
        found: dict[tuple[str, Choice], float] = {}
        for done, (layer, option) in enumerate(unique.values()):
            jobs += self._jobs(layer, option)
            if len(jobs) >= MODULES or sum(_numbers(job.module) for job in jobs) >= NUMBERS:
                self._time(jobs, found)
                jobs = []
                progress(done + 1, len(unique))
        if jobs:
            self._time(jobs, found)
            progress(len(unique), len(unique))
        return found

    def _jobs(self, layer: Layer, option: Choice) -> Iterator[Job]:
        """Yield what is to be run for an option: a module for each shape that the layer is called with."""
        module = self._module(layer, option)
        if module is not None:
            for shape, count in self.calls[layer.name].items():
                yield Job((layer.name, option), *between(layer, module, shape), count)

    def _time(self, jobs: Sequence[Job], found: dict[tuple[str, Choice], float]) -> None:
        """Measure, and add to what was found."""
        modules = [job.module for job in jobs]
        runners = self.engine.runners(modules, [job.given for job in jobs], self.threads)
        for job, seconds in zip(jobs, self._in_turn(runners, modules), strict=True):
            found[job.of] = found.get(job.of, 0.0) + job.times * seconds

    def _in_turn(self, runners: Sequence[Runner], modules: Sequence[nn.Module]) -> list[float]:
        """Return seconds, of so many modules in turn that together they hold as many weights as the network.

        So their weights are as far away in the caches as they are in passes of the network.
        """
        times: list[float] = []
        part: list[Runner] = []
        numbers = 0
        for runner, module in zip(runners, modules, strict=True):
            part.append(runner)
            numbers += _numbers(module)
            if numbers >= self.numbers or len(times) + len(part) == len(runners):
                network, *taken = least_seconds([self.network, *part])
                times += [self.seconds * each / network for each in taken]
                part, numbers = [], 0
        return times

    def _module(self, layer: Layer, option: Choice) -> nn.Module | None:
        """Return a layer's module under an option, without the user's hooks; None where the factors are singular."""
        if option.rank is None:
            module = copied(layer.module)
            for name in HOOKS:
                getattr(module, name).clear()
        else:
            try:
                module = self.decompositions.module(layer, option)
            except np.linalg.LinAlgError:
                return None
        return on_cpu(module).eval().requires_grad_(False)

    def _key(self, layer: Layer) -> Key:
        """Return what the times of a layer depend on."""
        kinds = ",".join(kind.name for kind in self.decompositions.kinds[layer.name])
        shape = str(tuple(layer.module.weight.shape))
        return (
            type(layer.module).__name__,
            layer.module.extra_repr(),
            shape,
            str(layer.module.weight.dtype),
            kinds,
            str(sorted(self.calls[layer.name].items())),
        )


def calls_of(model: nn.Module, layers: Iterable[Layer], inputs: Inputs) -> dict[str, Counter[torch.Size]]:
    """Return layer → the shapes that it is called with in a pass on these inputs; a read of a parameter is a ``(1,)``.

    Args:
        model: the dense network that the layers were found in.
        layers: its layers.
        inputs: of a batch, on the CPU.
    """
    calls = trace(model, inputs, lambda module: isinstance(module, (*TYPES, Whole))).passes[0]
    found: dict[str, Counter[torch.Size]] = {}
    for layer in layers:
        if isinstance(layer.module, Stored):
            found[layer.name] = Counter({torch.Size((1,)): len(calls.get(f"{layer.name}.0", ()))})
        else:
            found[layer.name] = Counter(shape for path in layer.paths for shape, _ in calls.get(path, ()))
    return found


def _numbers(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _spread(layer: Layer, options: Sequence[Choice], steps: Mapping[tuple[type, str], Step]) -> list[Choice]:
    """Return the options to measure, kind by kind: evenly spread over what they cost, and on steps."""
    chosen: list[Choice] = []
    cost = functools.partial(flops_on_step, layer, step=1)
    for kind, some in groupby(options, key=lambda option: option.kind):
        step = steps.get((type(layer.module), kind), NO_STEP).size
        if kind == DENSE.kind:
            continue
        found = list(some)
        on_steps = [o for o in found[:-1] if isinstance(o.rank, int) and o.rank % step == 0]
        ranked = sorted([*on_steps, found[-1]] if on_steps else found, key=cost)
        flops = np.array([cost(option) for option in ranked])
        wanted = flops[0] + np.array(POSITIONS) * (flops[-1] - flops[0])
        places = sorted({int(np.abs(flops - each).argmin()) for each in wanted})
        chosen += [ranked[place] for place in places]
    return chosen
