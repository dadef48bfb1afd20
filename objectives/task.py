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

    ``train``, ``validation`` and ``test`` are each a pair of tensors ``(inputs, targets)``, a ``Dataset``, a
    ``DataLoader`` or whatever else gives batches each time it is looped over; batches are pairs, or mappings with
    labels. Inputs and targets are any nesting of tensors and containers. The search sees training and validation data
    only; ``test`` is scored once, for the final front (the dry run tries a few of its samples).

    Raises:
        RankfrontError: something is not what it must be.
    """

    model: nn.Module
    """The trained network; on the task without what is around it to run it (`DataParallel`, ``torch.compile`` …)."""
    train: Any
    validation: Any
    test: Any = None
    loss: Loss = None
    """``loss(outputs, targets)``, averaged over the batch; cross entropy if not given; ``"model"``: the model's own.

    Outputs are those that the model gives in training (see `Criterion`). With a cross entropy the soft targets of
    distillation are compared by KL divergence, with any other loss by mean squared difference.
    """
    score: Any = None
    """A metric object such as those of torchmetrics, a `Score`, or a function; accuracy if not given.

    A function ``score(outputs, targets)`` gets the whole split, higher is better: all its outputs must fit in memory.
    On the task it always is a `Score`.
    """
    exclude: tuple[str, ...] = ()
    """Name patterns (``fnmatch``) of layers to leave dense."""
    name: str = "model"
    finetune: FineTune = field(default_factory=FineTune)
    calibration: int = DEFAULT_CALIBRATION
    """How many training samples the layers' statistics are gathered on; positions of padding count as others do."""
    kinds: tuple[str, ...] = tuple(KINDS)
    """The kinds of factorization to choose from; all if not given."""
    whiten: bool = True
    """Decompose by the error of the layers' outputs; False: by that of their weights (plain SVD)."""
    sensitivity: Sensitivity = "auto"
    """Which changes of the network's outputs layers' errors are measured by: see `sensitivity`.

    ``"none"``: a layer's error is that of its own output.
    """
    refit: Literal["layer", "block"] | bool | None = "layer"
    """``"layer"``: re-solve the last factors inside the compressed network before fine-tuning (see `refit`).

    ``"block"``: then also train all factors of each block together towards what it gives in the dense network (see
    `block_refit`). None: neither. On the task it always is one of the three.
    """
    fold: bool = False
    """Fold a weight that is computed from another (weight norm, pruning …) into one that is stored: see `folded`."""
    int8: bool = False
    """Ship, and score, the Linears' weights as int8 (needs torchao)."""
    files: tuple[Path, ...] = ()
    """Small files to copy into every folder that a model is written to, such as a tokenizer's."""
    trials: int = 40
    """The study's total of trials where ``run`` is not told another."""
    budget: str | tuple[str, ...] = ()
    """The budget where ``run`` is not told another, such as ``"params=5%"``."""
    collate: Callable[[Any], tuple[Any, Any]] | None = None
    """``collate(batch)`` returns ``(inputs, targets)`` of whatever the data gives for a batch.

    It is needed where that is neither a pair nor a mapping with ``labels``, ``label``, ``targets`` or ``target``.
    """
    batch_dim: int | None = None
    """Along which dimension inputs, outputs and targets hold their samples; found from the data if not given."""
    eval_batch_size: int | None = None
    """Largest batch of the passes without gradients.

    If not given, it is the training batch size, or more where a pass takes very little memory (see `pass_size`).
    """

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
