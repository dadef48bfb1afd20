"""The options of ``finish``, ``verify`` and ``speed``; those of ``verify`` are options of ``run``, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...objectives.described import shown
from ...objectives.device_name import check_device_name
from ...objectives.engines.registry import ENGINES, QUICK, engine_named
from ...objectives.errors import RankfrontError
from ...objectives.given import folder_path, number, text, texts, whole
from ..report.progress import Progress
from ..space.budget import Budget
from .options import option, read_as

if TYPE_CHECKING:
    import torch

    from ...objectives.task import Task
    from ...objectives.training.settings import FineTune


@dataclass(frozen=True, kw_only=True)
class Computing:
    """The options of whatever computes, checked: ``run``, ``finish`` and ``verify``.

    Raises:
        RankfrontError: naming what, the rule and the value.
    """

    storage: str | None = option(
        None, metavar="URL", help="A database in place of DIR/study.db.", example='"sqlite:////tmp/study.db"'
    )
    device: str = option(
        "auto",
        metavar="NAME",
        help="Where to compute: auto, cpu or cuda.",
        example='"cpu"',
        choices=("auto", "cpu", "cuda"),
    )
    progress: bool | Progress = option(True, hidden=True, help="Whether to show what is going on.", example="False")

    def __post_init__(self) -> None:
        """Check every option by itself, before anything else is done."""
        object.__setattr__(self, "device", str(self.device))  # a torch.device reads as its name
        check_device_name(self.device)
        if not isinstance(self.progress, (bool, Progress)):
            raise RankfrontError(f"progress must be True or False, but got {shown(self.progress)}")
        if self.storage is not None:
            text("storage", self.storage, "a database URL such as sqlite:///study.db")
            from ..storage.database import check_url

            check_url(self.storage)

    def torch_device(self) -> torch.device:
        """Return the device; raises `RankfrontError` where there is none of that name."""
        from ...objectives.device import choose_device

        return choose_device(self.device)


@dataclass(frozen=True)
class OfStudy(Computing):
    """What is called with a task and the folder of its study, checked."""

    task: Task
    out: str | Path

    def __post_init__(self) -> None:
        """Check every argument by itself."""
        from ...objectives.task import check_task

        check_task(self.task)
        object.__setattr__(self, "out", folder_path("out", self.out))
        super().__post_init__()


@dataclass(frozen=True, kw_only=True)
class OfBest(Computing):
    """The option of what is done with the best model within a budget, checked."""

    budget: str | Sequence[str] | Budget | None = option(
        None,
        metavar="METRIC=AMOUNT",
        reader=list,
        help="Which model: the best within these upper bounds, as for run; none is no bound [default: the study's own]",
        example='"params=3%"',
    )

    def __post_init__(self) -> None:
        """Check every option by itself."""
        super().__post_init__()
        if self.budget is not None:
            object.__setattr__(self, "budget", Budget.of(self.budget))


@dataclass(frozen=True, kw_only=True)
class FinishSettings(OfBest):
    """The options of ``finish``, checked."""

    epochs: int = field(metadata=read_as(metavar="N", reader=int, help="Passes over the training data.", example="20"))
    lr: float | None = option(
        None, metavar="RATE", reader=float, help="Learning rate [default: the task's]", example="1e-4"
    )

    def __post_init__(self) -> None:
        """Check every option by itself."""
        super().__post_init__()
        object.__setattr__(self, "epochs", whole("epochs", self.epochs, least=1))
        if self.lr is not None:
            object.__setattr__(self, "lr", number("lr", self.lr, above=0))

    def finetune(self, task: Task) -> FineTune:
        """Return how a task's model is fine-tuned; raises `RankfrontError` where the learning rate cannot be."""
        lr = task.finetune.lr if self.lr is None else self.lr
        return replace(task.finetune, epochs=self.epochs, steps=None, lr=lr)


@dataclass(frozen=True, kw_only=True)
class SpeedSettings(Computing):
    """The options of ``speed``, checked; it measures where each engine runs."""

    engine: str | Sequence[str] | None = option(
        None,
        metavar="NAMES",
        help=f"Where to measure: any of {', '.join(ENGINES)} [default: {','.join(QUICK)}, if installed]",
        example='"openvino,onnxruntime"',
        choices=tuple(ENGINES),
    )
    batch_size: int = option(1, metavar="N", reader=int, help="Samples in a pass.", example="32")
    threads: int | None = option(
        None, metavar="N", reader=int, help="Threads of the CPU [default: PyTorch's]", example="1"
    )
    budget: str | Sequence[str] | Budget | None = option(
        None,
        metavar="METRIC=AMOUNT",
        reader=list,
        help="Which model: the best within these upper bounds, as for run; none is no bound [default: the study's own]",
        example='"params=3%"',
    )

    def __post_init__(self) -> None:
        """Check every option by itself."""
        super().__post_init__()
        object.__setattr__(self, "batch_size", whole("batch_size", self.batch_size, least=1))
        if self.threads is not None:
            object.__setattr__(self, "threads", whole("threads", self.threads, least=1))
        if self.budget is not None:
            object.__setattr__(self, "budget", Budget.of(self.budget))
        for name in () if self.engine is None else texts("engine", self.engine, "'openvino'"):
            engine_named(name)
