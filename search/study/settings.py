"""How a study is run: what the user asks for, and what that comes to for one task and folder.

An option that is not given (None) is the stored study's own, where the folder holds one; else it is the task's, or
has a default.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...objectives.described import shown
from ...objectives.errors import RankfrontError
from ...objectives.given import folder_path, text, texts, whole
from ...objectives.metrics.registry import METRICS
from ..samplers.registry import DEFAULT, SAMPLERS, check_sampler, sampler_name
from ..space.budget import Budget
from ..storage.folder import Folder, folder_name
from ..storage.identity import SCORE
from ..storage.source import Source
from .cluster import ClusterOptions
from .duration import seconds
from .options import option
from .run_settings import RunSettings

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from ...objectives.task import Task
    from ..samplers.sampler import Sampler
    from ..storage.existing import ExistingStudy

DEFAULT_OBJECTIVES = (SCORE, "params", "flops")
DEFAULT_SEED = 0

FOCUSES = ("budget", "front")


@dataclass(frozen=True, kw_only=True)
class Settings(ClusterOptions):
    """The options of ``run``, checked.

    Raises:
        RankfrontError: naming what, the rule and the value.
    """

    budget: str | Sequence[str] | Budget | None = option(
        None,
        metavar="METRIC=AMOUNT",
        reader=list,
        help="Upper bounds: params=5% (of the dense model, kept), flops=10M, bytes=200KB. params=60%..95%: the "
        "front goes down to 60%. Several may be given; none is no bound. score=99% (of the dense model's) makes the "
        "best the smallest that is as good [default: the task's, mostly none]",
        example='["params=5%", "flops=30%"]',
    )
    objectives: str | Iterable[str] | None = option(
        None,
        metavar="NAMES",
        help=f"What the front trades: score and any of {','.join(METRICS)} [default: {','.join(DEFAULT_OBJECTIVES)}]",
        example='"score,params"',
        choices=(SCORE, *METRICS),
    )
    trials: int | None = option(
        None,
        metavar="N",
        reader=int,
        help="The study's total of trials, those of earlier runs included [default: the task's, mostly 40]",
        example="100",
    )
    timeout: str | float | None = option(
        None,
        metavar="TIME",
        help="Begin no further trial after this: 90s, 10m, 2h (a number: seconds) [default: no limit]",
        example='"10m"',
    )
    out: str | Path | None = option(
        None, metavar="DIR", reader=Path, help="The study's folder [default: runs/NAME]", example='"runs/mine"'
    )
    sampler: str | Sampler | BaseSampler | None = option(
        None,
        metavar="NAME",
        help=f"Who proposes plans: one of {', '.join(SAMPLERS)}; in Python an object, too [default: {DEFAULT}]",
        example='"knapsack"',
        choices=tuple(SAMPLERS),
    )
    focus: str | None = option(
        None,
        metavar="NAME",
        help="Where the default sampler proposes: budget (half of the trials at the budget, half below it) or front "
        "(most of them below it) [default: budget]",
        example='"front"',
        choices=FOCUSES,
    )
    shared: bool | None = option(
        None,
        reader=bool,
        help="Train weights that all plans share before the first trial, for a quarter of the trials' steps: they rank "
        "plans before these are trained [default: --no-shared]",
        example="True",
    )
    seed: int | None = option(
        None, metavar="N", reader=int, help=f"The seed of everything random [default: {DEFAULT_SEED}]", example="1"
    )
    files: str | None = option(
        None,
        metavar="URL",
        help="Where machines without a common folder share the study's files: s3://bucket/folder or another URL that "
        "fsspec opens; the study must lie in a --storage on a server",
        example='"s3://bucket/studies"',
    )
    source: Source | None = option(
        None,
        hidden=True,
        help="How the command line loaded the task; ``finish`` and ``verify`` load it again in this way.",
    )

    def __post_init__(self) -> None:
        """Check every option by itself, before anything else is done."""
        super().__post_init__()
        if self.source is not None and not isinstance(self.source, Source):
            raise RankfrontError(f"source is what the command line passes, but got {shown(self.source)}: leave it out")
        if self.sampler is not None:
            check_sampler(self.sampler)
        if self.focus is not None and self.focus not in FOCUSES:
            raise RankfrontError(f"focus must be {' or '.join(FOCUSES)}, but got {shown(self.focus)}")
        seconds(self.timeout)
        if self.files is not None:
            self._check_files()
        checked = {
            "trials": None if self.trials is None else whole("trials", self.trials, least=1),
            "seed": None if self.seed is None else whole("seed", self.seed, least=0, most=2**32 - 1),
            "budget": None if self.budget is None else Budget.of(self.budget),
            "objectives": None if self.objectives is None else _objectives(self.objectives),
            "out": None if self.out is None else folder_path("out", self.out),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if (budget := checked["budget"]) is not None and budget.engine is not None:
            self.check_engine(budget.engine)
        if self.out is not None:
            Folder(Path(self.out)).check()

    def _check_files(self) -> None:
        from ..storage.database import MACHINES, has_server
        from ..storage.remote_files import check_files

        check_files(text("files", self.files, "a URL such as s3://bucket/folder"))
        if not has_server(self.storage):
            raise RankfrontError(f"files needs {MACHINES}")

    def folder(self, name: str) -> Folder:
        """Return the folder of the study of that name."""
        return Folder(Path("runs") / folder_name(name) if self.out is None else Path(self.out))

    def asked(self) -> dict[str, Any]:
        """Return what was given of the options that a study keeps, as its identity says them."""
        given = {
            "budget": None if self.budget is None else str(Budget.of(self.budget)),
            "objectives": None if self.objectives is None else ", ".join([SCORE, *list(self.objectives)[1:]]),
            "sampler": None if self.sampler is None else sampler_name(self.sampler),
            "focus": self.focus,
            "seed": self.seed,
            **self.engine_asked(None if self.budget is None else Budget.of(self.budget)),
        }
        return {name: value for name, value in given.items() if value is not None}

    def _objectives_of(self, task: Task, otherwise: str) -> tuple[str, ...]:
        score, *costs = _objectives(self.objectives or otherwise)
        if score not in (SCORE, name := task.score.scale.name):
            raise RankfrontError(f"objectives must be {name} and any of {', '.join(METRICS)}, but got {score!r:.60}")
        return (SCORE, *costs)

    def for_task(self, task: Task, stored: ExistingStudy | None) -> RunSettings:
        """Return what is run: options given, else the stored study's, else the task's or the default.

        Raises:
            RankfrontError: the stored study's sampler is an object of the user's own, and none is given.
        """
        known = {} if stored is None else stored.identity
        given = task.budget if self.budget is None and "budget" not in known else self.budget
        budget = Budget.of(known["budget"] if given is None else given)
        objectives = self._objectives_of(task, str(known.get("objectives", ",".join(DEFAULT_OBJECTIVES))))
        trials = self.trials or (stored and stored.trials) or task.trials
        return RunSettings(
            budget=budget,
            objectives=objectives,
            engine=self.engine_setting(budget, objectives, known),
            trials=trials,
            timeout_s=seconds(self.timeout),
            folder=self.folder(task.name),
            storage=self.storage,
            sampler=_known_sampler(known.get("sampler", DEFAULT)) if self.sampler is None else self.sampler,
            device=self.torch_device(),
            shared=bool(known.get("shared", False) if self.shared is None else self.shared),
            focus=self.focus or known.get("focus", FOCUSES[0] if stored is None else FOCUSES[1]),
            seed=known.get("seed", DEFAULT_SEED) if self.seed is None else self.seed,
            source=self.source,
            workers=self.workers,
            cluster=self.asked_cluster(),
            files=self.files,
        )


def _known_sampler(name: str) -> str:
    if name not in SAMPLERS:
        raise RankfrontError(f"sampler must be given again: the study's own is {name}, an object that is not stored")
    return name


def _objectives(names: str | Iterable[str]) -> tuple[str, ...]:
    """Return the score, by `SCORE` or the name it was given, and the metrics, in the registry's order."""
    names = tuple(name.strip() for name in texts("objectives", names, "'score,params'"))
    if sum(name not in METRICS for name in names) != 1 or len(set(names)) < len(names):
        got = ", ".join(names) or "none"
        raise RankfrontError(
            f"objectives must be the score and any of {', '.join(METRICS)}, each once, but got {got:.60}"
        )
    return (*(name for name in names if name not in METRICS), *(name for name in METRICS if name in names))
