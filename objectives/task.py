"""What is to be compressed: a trained model, its data, its loss and score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from torch import nn

from .boundary import outermost_class
from .calibration.sensitivity import Sensitivity, check_sensitivity, name_of
from .data.split import Split
from .described import shown
from .errors import RankfrontError
from .export.architecture import checked_files
from .export.int8 import check_installed
from .given import check_function, check_order, flag, paths, text, texts, whole
from .kinds.registry import KINDS, kinds_named
from .metrics.registry import METRICS
from .metrics.score import ACCURACY, Score
from .metrics.streamed import is_metric
from .model.accepted import check_accepted
from .model.is_module import check_model
from .model.wrapping import unwrapped
from .start import read_refit
from .training.criterion import Criterion, Loss
from .training.settings import FineTune

DEFAULT_CALIBRATION = 1024
"""Calibration samples where nothing else is said."""

NAMES = {"train": "training", "validation": "validation", "test": "test"}
"""What splits are called in errors."""

LEAST_CALIBRATION = 16
"""Least number of calibration samples."""


@outermost_class
@dataclass(frozen=True)
class Task:
    """A trained model and all that is needed to score a compressed copy of it.

    The splits are each a pair ``(inputs, targets)`` of tensors ``(N, …)``, a ``Dataset``, a ``DataLoader`` or whatever
    else gives batches each time it is looped over; batches are pairs, or mappings with labels. Inputs and targets are
    any nesting of tensors and containers. Loss and score get outputs as the model gives them.

    Args:
        model: the trained network. On the task without what is around it to run it (`DataParallel` …). Must be given.
        train: what trials are trained and calibrated on. Must be given, as ``(x, y)`` or ``DataLoader(data, 64)``.
        validation: what the search is guided by. Must be given, in any form of ``train``.
        test: scored once, for the final front (the dry run tries a few samples). Default: none. ``test=(xt, yt)``.
        loss: ``loss(outputs, targets)`` returns the mean over the batch, ``()``; ``"model"``: the model's own. Beside a
            cross entropy, distillation compares soft targets by KL divergence, beside any other loss by mean squares.
            Default: cross entropy. ``loss=torch.nn.MSELoss()``.
        score: a metric object such as those of torchmetrics, a `Score`, or a function of the whole split's outputs and
            targets, higher is better. On the task a `Score`. Default: accuracy. ``score=torchmetrics.R2Score()``.
        exclude: name patterns (``fnmatch``) of layers to leave dense. Default: none. ``exclude=("head.*",)``.
        name: names the study and its folder. Default: ``"model"``. ``name="mine"``.
        finetune: how long each trial trains. Default: one epoch. ``finetune=rankfront.FineTune(epochs=3, lr=1e-3)``.
        calibration: how many training samples the layers' statistics are gathered on; positions of padding count as
            others do. At least 16. Default: 1,024. ``calibration=256``.
        kinds: the kinds of factorization to choose from. Default: all. ``kinds=("svd", "spatial")``.
        whiten: decompose by the error of the layers' outputs; ``whiten=False``: of their weights. Default: True.
        sensitivity: which changes of the outputs layers' errors are measured by: ``"outputs"``, ``"fisher"``, one of
            the two (``"auto"``), ``"none"`` (each layer's own output), or a function of the outputs that returns a
            random scalar, ``()``. Default: ``"auto"``. ``sensitivity="none"``.
        refit: ``"layer"``: solve the last factors anew inside the compressed network; ``"block"``: then also train all
            factors of each block towards what it gives in the dense one; ``"network"``: then also all factors towards
            its outputs; ``refit=None``: none of these. Default: ``"layer"``.
        fold: fold a weight that is computed from another (weight norm, pruning …). Default: False. ``fold=True``.
        int8: ship, and score, the Linears' weights as int8 (needs torchao). Default: False. ``int8=True``.
        files: small files to copy beside every model. Default: none. ``files=("tokenizer.json",)``.
        trials: the study's total of trials where ``run`` is not told another. Default: 40. ``trials=100``.
        budget: the budget where ``run`` is not told another. Default: none. ``budget=("params=5%", "flops=30%")``.
        collate: ``collate(batch)`` returns ``(inputs, targets)``, where a batch is neither a pair nor a mapping with
            ``labels``, ``label``, ``targets`` or ``target``. Default: none. ``collate=lambda b: (b["x"], b["y"])``.
        batch_dim: along which dimension inputs, outputs and targets hold their samples, 0 or 1. Default: found from the
            data. ``batch_dim=1``.
        eval_batch_size: the largest batch of passes without gradients. Default: that of training, or more where a pass
            takes very little memory. ``eval_batch_size=512``.

    Raises:
        RankfrontError: something is not what it must be.

    Examples:
        >>> import torch
        >>> x, y = torch.randn(100, 8), torch.randint(3, (100,))
        >>> Task(nn.Linear(8, 3), train=(x[:80], y[:80]), validation=(x[80:], y[80:]), budget="params=50%")
        <Task 'model': Linear of 27 parameters, samples: train 80, validation 20, score accuracy>
    """

    model: nn.Module
    train: Any
    validation: Any
    test: Any = None
    loss: Loss = None
    score: Any = None
    exclude: tuple[str, ...] = ()
    name: str = "model"
    finetune: FineTune = field(default_factory=FineTune)
    calibration: int = DEFAULT_CALIBRATION
    kinds: tuple[str, ...] = tuple(KINDS)
    whiten: bool = True
    sensitivity: Sensitivity = "auto"
    refit: Literal["layer", "block", "network"] | bool | None = "layer"
    fold: bool = False
    int8: bool = False
    files: tuple[Path, ...] = ()
    trials: int = 40
    budget: str | tuple[str, ...] = ()
    collate: Callable[[Any], tuple[Any, Any]] | None = None
    batch_dim: int | None = None
    eval_batch_size: int | None = None

    def __post_init__(self) -> None:
        """Read the data splits and check every field."""
        check_model(self.model)
        object.__setattr__(self, "model", unwrapped(self.model))
        check_accepted(self.model)
        check_function("collate", self.collate, "collate(batch)")
        if self.batch_dim is not None:
            object.__setattr__(self, "batch_dim", whole("batch_dim", self.batch_dim, least=0, most=1))
        if not isinstance(self.finetune, FineTune):
            raise RankfrontError(
                f"finetune must be a rankfront.FineTune, such as FineTune(epochs=1), but got {shown(self.finetune)}"
            )
        for name in ("train", "validation", "test"):
            source = getattr(self, name)
            if name == "test" and source is None:
                continue
            try:
                own = source.collate if isinstance(source, Split) else None
                split = Split(source, collate=self.collate or own, batch_dim=self.batch_dim, name=NAMES[name])
                object.__setattr__(self, name, split)
            except RankfrontError as error:
                raise RankfrontError(f"{name} {error}") from error
        check_sensitivity(self.sensitivity)
        object.__setattr__(self, "refit", read_refit(self.refit))
        if not isinstance(self.loss, str) or self.loss != "model":
            if isinstance(self.loss, str):
                raise RankfrontError(
                    f'loss must be a function loss(outputs, targets), or "model", but got {shown(self.loss)}: give the '
                    "function, such as torch.nn.functional.mse_loss; without one it is the cross entropy"
                )
            check_function("loss", self.loss, 'loss(outputs, targets), or "model"')
            check_order("loss", self.loss)
        read: dict[str, Any] = {
            "calibration": whole(
                "calibration",
                self.calibration,
                least=LEAST_CALIBRATION,
                why=" samples: with fewer, moments say nothing",
            ),
            "trials": whole("trials", self.trials, least=1),
            "name": text("name", self.name),
            "exclude": texts("exclude", self.exclude, "('head', 'blocks.*.norm')"),
            "budget": texts("budget", () if self.budget is None else self.budget, "'params=5%'"),
            "kinds": texts("kinds", self.kinds, "'svd,tt'"),
            **{name: flag(name, getattr(self, name)) for name in ("whiten", "int8", "fold")},
        }
        for name, value in read.items():
            object.__setattr__(self, name, value)
        if callable(self.score) and self.score is self.loss and not is_metric(self.score):
            raise RankfrontError(
                f"score must be higher where a network is better, but {shown(self.score)} is the loss: "
                "give rankfront.Score.of_mean(loss, 'loss', higher_is_better=False)"
            )
        score = Score.given(self.score, self.criterion.ignored)
        object.__setattr__(self, "score", score)
        object.__setattr__(self, "files", checked_files(paths("files", self.files)))
        if score.scale.name.removesuffix("_pct") in METRICS:
            raise RankfrontError(f"a score's name must not be a metric's, but got {score.scale.name!r}")
        if self.eval_batch_size is not None:
            object.__setattr__(self, "eval_batch_size", whole("eval_batch_size", self.eval_batch_size, least=1))
        if self.int8:
            check_installed()
        object.__setattr__(self, "kinds", tuple(kind.name for kind in kinds_named(self.kinds)))

    def __repr__(self) -> str:
        splits = (f"{n} {s.size or 'unknown'}" for n in ("train", "validation", "test") if (s := getattr(self, n)))
        params = sum(p.numel() for p in self.model.parameters())
        return (
            f"<Task {self.name!r}: {type(self.model).__name__} of {params:,} parameters, "
            f"samples: {', '.join(splits)}, score {self.score.scale.name}>"
        )

    @property
    def batch_size(self) -> int:
        """The batch size of training: the user's own loader's, else the fine-tune's."""
        own = getattr(self.train.source, "batch_size", None)
        return own if isinstance(own, int) and own > 0 else self.finetune.batch_size

    @property
    def criterion(self) -> Criterion:
        """The true loss."""
        return Criterion(self.loss)

    @property
    def score_is_default(self) -> bool:
        """Whether the score is accuracy because none was given."""
        return self.score.scale is ACCURACY.scale

    def settings(self) -> dict[str, Any]:
        """Return what changes a trial's result besides model, data, loss, score, budget and seed; plain data."""
        finetune = {f.name: getattr(self.finetune, f.name) for f in fields(self.finetune)}
        return {
            "finetune": finetune,
            "kinds": list(self.kinds),
            "calibration": self.calibration,
            "whiten": self.whiten,
            "sensitivity": name_of(self.sensitivity),
            "refit": {"layer": True, None: False}.get(self.refit, self.refit),  # as older studies have it
            "fold": self.fold,
            "int8": self.int8,
            "exclude": list(self.exclude),
        }


def check_task(task: object) -> None:
    """Raise `RankfrontError` for what is no task."""
    if not isinstance(task, Task):
        raise RankfrontError(
            f"task must be a rankfront.Task, but got {shown(task)}: Task(model, train=…, validation=…) makes one"
        )
