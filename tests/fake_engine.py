"""An engine whose times are a known function of the network, and a clock that runs only while it runs."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rankfront.objectives.data.calling import apply
from rankfront.objectives.engines import timing
from rankfront.objectives.engines.eager import outputs_of
from rankfront.objectives.engines.engine import InPyTorch, Runner
from rankfront.objectives.engines.registry import ENGINES
from rankfront.objectives.metrics.flops import count_flops

FIXED = 2e-6
"""Seconds of every pass."""


def by_flops(model: nn.Module, inputs: Any) -> float:
    """Return a nanosecond for each operation, and `FIXED`: what layers take adds up."""
    return FIXED + 1e-9 * count_flops(model, inputs)


def in_steps(step: int) -> Callable[[nn.Module, Any], float]:
    """Return a nanosecond for each weight where both numbers of channels are rounded up to multiples of ``step``."""

    def seconds(model: nn.Module, inputs: Any) -> float:
        layers = (m for m in model.modules() if isinstance(m, nn.Linear))
        sizes = ((-(-n // step) * step for n in layer.weight.shape) for layer in layers)
        return FIXED + 1e-9 * sum(rows * columns for rows, columns in sizes)

    return seconds


@dataclass
class FakeEngine(InPyTorch):
    """Runs networks in PyTorch; says that they took what ``seconds`` says."""

    seconds: Callable[[nn.Module, Any], float] = by_flops
    now: float = 0.0
    name: str = "fake"
    label: str = "Fake"
    runs: int = 0
    slower: float = 0.0
    """By what share of its first time every run takes longer than the one before."""

    def runner(self, model: nn.Module, inputs: Any, threads: int) -> Runner:
        took = self.seconds(model, inputs)
        with torch.inference_mode():
            outputs = outputs_of(apply(model, inputs))

        def run() -> list[Tensor]:
            self.now += took * (1 + self.slower * self.runs)
            self.runs += 1
            return outputs

        return run

    def clock(self) -> float:
        return self.now


def installed(monkeypatch: pytest.MonkeyPatch, engine: FakeEngine) -> FakeEngine:
    """Make an engine one of those on offer, under its name, and its clock the one that all measurements read."""
    module = types.ModuleType(f"rankfront.objectives.engines.{engine.name}")
    vars(module)["ENGINE"] = engine
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(ENGINES._modules, engine.name, engine.name)  # pyright: ignore
    monkeypatch.setattr(timing, "perf_counter", engine.clock)
    return engine
