"""Which engine a run measures latency in: options given, else the budget's, else the stored study's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...objectives.engines.registry import ENGINES, QUICK, default_engine, engine_named
from ...objectives.engines.setting import BATCH_SIZE, DTYPE, ENGINE, MACHINE, NONE, THREADS, EngineSetting
from ...objectives.errors import RankfrontError
from ...objectives.given import flag, text, whole
from ...objectives.metrics.latency import LATENCY
from .computing import Computing
from .options import option

if TYPE_CHECKING:
    from ...objectives.engines.engine import Engine
    from ...objectives.task import Task
    from ..space.budget import Budget


@dataclass(frozen=True, kw_only=True)
class EngineOptions(Computing):
    """The options of ``run`` that say what latency is.

    Raises:
        RankfrontError: naming what, the rule and the value.
    """

    engine: str | None = option(
        None,
        metavar="NAME",
        help=f"Predict and measure latency in this engine: one of {', '.join(ENGINES)}. A budget on latency does, too "
        f"[default: none; under such a budget the first of {', '.join(QUICK)} that is installed]",
        example='"openvino"',
        choices=tuple(ENGINES),
    )
    engine_batch_size: int | None = option(
        None, metavar="N", reader=int, help="Samples in a pass whose latency is meant [default: 1]", example="16"
    )
    engine_threads: int | None = option(
        None, metavar="N", reader=int, help="Threads of the CPU for that pass [default: PyTorch's]", example="1"
    )
    keep_latency: bool = option(
        False,
        reader=bool,
        help="Where the study's latencies were measured on another machine: go on with them, and measure none here.",
        example="True",
    )

    def __post_init__(self) -> None:
        """Check every option by itself."""
        super().__post_init__()
        object.__setattr__(self, "keep_latency", flag("keep_latency", self.keep_latency))
        if self.engine is not None:
            text("engine", self.engine, f"one of {', '.join(ENGINES)}")
            self.check_engine(self.engine)
        for name in ("engine_batch_size", "engine_threads"):
            if (given := getattr(self, name)) is not None:
                object.__setattr__(self, name, whole(name, given, least=1))

    def check_engine(self, name: str) -> None:
        """Refuse an engine that is not here, where it is to measure; raises `RankfrontError`."""
        engine = engine_named(name)
        if not self.keep_latency:
            engine.check()

    def engine_asked(self, budget: Budget | None) -> dict[str, Any]:
        """Return what was given, as a study's identity says it; None where it was not."""
        named = self.engine or (None if budget is None else budget.engine)
        return {ENGINE: named, BATCH_SIZE: self.engine_batch_size, THREADS: self.engine_threads}

    def engine_setting(
        self, budget: Budget, objectives: Sequence[str], known: Mapping[str, Any]
    ) -> EngineSetting | None:
        """Return where latency is measured; None where nothing asks for it.

        Args:
            budget: the run's.
            objectives: the run's.
            known: what the stored study is known by; empty where there is none.

        Raises:
            RankfrontError: the engine is another than the budget's, or not installed.
        """
        if None not in (self.engine, budget.engine) and self.engine != budget.engine:
            raise RankfrontError(
                f"engine must be the one that the budget names, but is {self.engine}, and the budget is on "
                f"latency@{budget.engine}: a study measures latency in one engine"
            )
        stored = None if (name := known.get(ENGINE, NONE)) == NONE else str(name)
        given = (*self.engine_asked(budget).values(), stored)
        bounded = LATENCY.name in objectives or any(bound.metric == LATENCY.name for bound in budget.bounds)
        if not bounded and all(each is None for each in given):
            return None
        named = self.engine or budget.engine or stored
        engine = default_engine() if named is None else engine_named(named)
        if self.keep_latency and not known:
            raise RankfrontError(
                "keep_latency needs a study whose latencies were measured, and there is none yet: leave it out, or "
                "give that study's folder (out) or database (storage)"
            )
        there = known.get(MACHINE) if self.keep_latency else None
        if there is None or there == _machine(engine):
            engine.check()
            there = None
        from torch import get_num_threads

        return EngineSetting(
            engine.name,
            self.engine_batch_size or int(known.get(BATCH_SIZE, 1)),
            self.engine_threads or int(known.get(THREADS, get_num_threads())),
            elsewhere=there,
        )


def engine_identity(setting: EngineSetting | None, task: Task) -> dict[str, Any]:
    """Return what a study is known by of its latencies: they are those of one machine, too."""
    if setting is None:
        return {ENGINE: NONE}
    import torch

    dtype = next((p.dtype for p in task.model.parameters()), torch.get_default_dtype())
    return {
        **setting.plain(),
        DTYPE: str(dtype).removeprefix("torch."),
        MACHINE: setting.elsewhere or _machine(setting.engine),
    }


def _machine(engine: Engine) -> str | None:
    """Return the model of what an engine runs on here; None where there is no such device."""
    import torch

    from ..storage.manifest import processor

    there_is_one = torch.get_device_module(engine.device).is_available()
    return processor(torch.device(engine.device)) if there_is_one else None
