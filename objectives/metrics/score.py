"""How good a network is on a split: accuracy, a metric object such as torchmetrics', or a score of the user's own."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from torch import nn
from torch.nn import functional
from torch.nn.modules import loss

from ..boundary import in_users_code
from ..described import shown
from ..errors import RankfrontError, TrialError
from ..given import check_order
from ..model.outputs import IGNORED
from .accuracy import right_of
from .measured import Measured
from .pair import Batches
from .scale import ACCURACY as ACCURACY_SCALE
from .scale import Scale
from .streamed import NEEDED, Select, StreamedMean, StreamedMetric, is_metric, main_and_targets
from .whole_split import WholeSplit

ROUNDING = 1e-4
"""How far a proportion may be outside of 0 to 1: a mean of many numbers in float32 is rounded."""


@dataclass(frozen=True)
class Score:
    """One number that says how good a network is.

    ``of_batches`` gets pairs ``(outputs, targets)`` one after the other, on the CPU, as the model and the data gave
    them, so a score that needs no more than sums holds no split in memory. It returns a number, or a `Measured`.
    """

    scale: Scale
    of_batches: Callable[[Batches], Any]
    keeps_outputs: bool = field(default=False, kw_only=True)
    """Whether it holds the outputs of the whole split at once: then they must fit in memory."""

    @classmethod
    def of_metric(
        cls,
        metric: Any,
        name: str | None = None,
        *,
        select: Select = main_and_targets,
        key: str | None = None,
        higher_is_better: bool | None = None,
        form: str = ".4g",
    ) -> Score:
        """Return the score that a metric object computes, batch by batch: any of torchmetrics, or one like these.

        Args:
            metric: an object with ``update``, ``compute`` and ``reset``.
            name: in tables, plots and files; from the object's class if not given.
            select: ``select(outputs, targets)`` returns what ``update`` is called with: a tuple, or a dict of keywords;
                the main output (such as ``logits``) and the targets if not given.
            key: which entry, where ``compute`` returns a mapping; which metric of a ``MetricCollection``.
            higher_is_better: the metric's own if not given.
            form: how it is shown.

        Raises:
            RankfrontError: it is no such object, or does not say whether higher is better.

        >>> from torchmetrics import MeanSquaredError
        >>> Score.of_metric(MeanSquaredError()).scale
        Scale(name='mean_squared_error', higher_is_better=False, proportion=False, form='.4g')
        """
        if not is_metric(metric):
            what = f"the class {metric.__name__}" if isinstance(metric, type) else repr(metric)
            raise RankfrontError(f"a metric must be an object with {', '.join(NEEDED)}, but got {what:.60}")
        if isinstance(metric, nn.ModuleDict):  # a MetricCollection
            if key is None or key not in metric:
                raise RankfrontError(
                    f"a score must be one metric, but got a {type(metric).__name__} of {', '.join(metric)}: "
                    "pick one by rankfront.Score.of_metric(collection, key=…)"
                )
            metric, key = metric[key], None
        if higher_is_better is None:
            higher_is_better = getattr(metric, "higher_is_better", None)
        if not isinstance(higher_is_better, bool):
            raise RankfrontError(
                f"a score must have a direction, but {type(metric).__name__} does not say whether higher is better: "
                "rankfront.Score.of_metric(metric, higher_is_better=…) does"
            )
        scale = Scale(_snake_case(type(metric).__name__) if name is None else name, higher_is_better, form=form)
        return cls(scale, StreamedMetric(metric, select, key))

    @classmethod
    def of_mean(
        cls,
        function: Callable[[Any, Any], Any],
        name: str = "score",
        *,
        higher_is_better: bool = True,
        form: str = ".4g",
    ) -> Score:
        """Return the mean over samples of ``function(outputs, targets)`` of each batch.

        Args:
            function: returns a value a sample, or one number: the batch's mean.
            name: in tables, plots and files.
            higher_is_better: False for a loss, an error.
            form: how it is shown.
        """
        return cls(Scale(name, higher_is_better, form=form), StreamedMean(function))

    @classmethod
    def of_split(
        cls,
        function: Callable[[Any, Any], Any],
        name: str = "score",
        *,
        higher_is_better: bool = True,
        proportion: bool = False,
        form: str = ".4g",
    ) -> Score:
        """Return the score ``function(outputs, targets)`` of a whole split, its batches joined.

        All outputs of the split must fit in memory. Each tensor is joined along the dimension of the samples; a part of
        the outputs that cannot be joined may be there as long as the function does not use it.

        Args:
            function: returns one number.
            name: in tables, plots and files.
            higher_is_better: False for a loss, a perplexity, an error.
            proportion: whether it is the share of samples that are right (see `Scale`).
            form: how it is shown.
        """
        return cls(Scale(name, higher_is_better, proportion, form), WholeSplit(function), keeps_outputs=True)

    def measured(self, batches: Batches) -> Measured:
        """Return the score, and what its interval is computed from.

        Raises:
            RankfrontError: it is not one number.
            TrialError: it is not finite.
        """
        with in_users_code("the score"):
            found = self.of_batches(batches)
        found = found if isinstance(found, Measured) else Measured(found)
        try:
            value = float(found.value)
        except (TypeError, ValueError, RuntimeError):
            many = ": return one, such as their mean" if getattr(found.value, "ndim", 0) else ""
            raise RankfrontError(f"a score must be one number, but got {shown(found.value)}{many}") from None
        if not math.isfinite(value):
            raise TrialError(
                f"a score must be a finite number, but got {value}: look for NaN in the network's outputs, in the "
                "targets, and in what the score divides by"
            )
        if self.scale.proportion:
            if not -ROUNDING <= value <= 1 + ROUNDING:
                raise RankfrontError(
                    f"a score that is a proportion must be from 0 to 1, but got {value:g}: divide by the number of "
                    "samples, or leave out proportion=True"
                )
            value = min(max(value, 0.0), 1.0)
        return replace(found, value=value)

    def of(self, batches: Batches) -> float:
        """Return the score; raises what `measured` raises."""
        return self.measured(batches).value

    @classmethod
    def given(cls, score: Any, ignored: int = IGNORED) -> Score:
        """Return what a task's ``score`` means: None is accuracy, a function is one of the whole split.

        Args:
            score: None, a score, a metric object or a function.
            ignored: the target that accuracy does not count, besides -100.

        Raises:
            RankfrontError: it is none of these.
        """
        if score is None:
            counts = right_of if ignored == IGNORED else partial(right_of, ignored=(IGNORED, ignored))
            return replace(ACCURACY, of_batches=counts)
        if isinstance(score, Score):
            return score
        if is_metric(score):
            return cls.of_metric(score)
        if isinstance(score, type):
            raise RankfrontError(
                f"score must be a function or an object, but got the class {score.__name__}: make one of it"
            )
        if isinstance(score, str) and score.lower() in ("accuracy", "acc"):
            raise RankfrontError(
                f"score must be a function or a rankfront.Score, but got {score!r}: leave it out, "
                "accuracy is what counts where none is given"
            )
        if not callable(score):
            raise RankfrontError(
                f"score must be a function or a rankfront.Score, but got {shown(score)} "
                "(an object with update, compute and reset, such as torchmetrics', is taken, too)"
            )
        check_order("score", score)
        if _is_torchs_loss(score):
            own = getattr(score, "__name__", type(score).__name__)
            raise RankfrontError(
                f"score must be higher where a network is better, but {own} is a loss of torch's: say it by "
                f"rankfront.Score.of_split({own}, {_snake_case(own)!r}, higher_is_better=False)"
            )
        return cls.of_split(score)


ACCURACY = Score(ACCURACY_SCALE, right_of)


def _is_torchs_loss(score: Any) -> bool:
    """Return whether it is a loss that torch has, as a module or a function: less is better of each."""
    if isinstance(score, nn.Module):
        return type(score).__module__ == loss.__name__
    name = getattr(score, "__name__", "")
    named = name.endswith("_loss") or "cross_entropy" in name or name == "kl_div"
    return named and getattr(functional, name, None) is score


def _snake_case(name: str) -> str:
    """Return ``mean_squared_error`` of ``MeanSquaredError``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
