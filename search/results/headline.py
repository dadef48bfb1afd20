"""What a study has reached, in one sentence: the figures, the dense model's beside them, on what they were measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...objectives.metrics.latency import LATENCY
from ...objectives.metrics.values import Metrics
from .best import best_or_none
from .measured import setting_of, speeds_of
from .speeds import MeasuredSpeed, speeds_in

if TYPE_CHECKING:
    from .result import Result

SAID = {"params": "parameters", "flops": "flops"}
"""The metrics that the sentence names, and how; those that the budget bounds it names, too."""

UNMEASURED = "the front is measured when no trial of the study runs and it has not been interrupted"


@dataclass(frozen=True)
class Headline:
    """The sentence, and what stands below it."""

    sentence: str
    measured: str
    """Which model it is, on what its score was taken, and how sure it is."""


def headline_of(result: Result) -> Headline | None:
    """Return the headline of the best model within the study's budget, the finished one where there is one.

    None where no trial keeps the budget.
    """
    best = best_or_none(result)
    if best is None:
        return None
    finished = result.finished_within()
    scale, dense = result.scale, result.dense
    if finished is not None:
        which = f"Trial {finished.trial}, fine-tuned for {finished.epochs} more epochs"
        score, test, metrics = finished.score, finished.test, finished.metrics
        interval = scale.interval(test, dense.samples["test"])
    else:
        which = f"Trial {best.trial}, the best within {result.budget}"
        score, test, metrics = best.score, result.test_score(best.trial), best.metrics
        interval = result.test_interval(best.trial)
    dense_test = result.test_score(None)
    split, shown, reference = ("validation", score, dense.score) if test is None else ("test", test, dense_test)
    if test is None:
        interval = None if finished is not None else result.interval(best)
    counted = [said for name in dense.costs if (said := _times(result, name, metrics))]
    measured_speed = None if finished is not None else _speed(result, best.trial)
    costs = ", ".join([*counted, *([] if measured_speed is None else [str(measured_speed)])])
    beside = "" if reference is None else f" (dense {scale.show(reference)})"
    sentence = f"{costs}: " if costs else ""
    sentence += f"{_named(scale.name)} {scale.show(shown)} on {split}{beside}"
    samples = dense.samples[split]
    measured = f"{which}. Scored on {samples:,} {split} samples"
    measured += ", which the search never saw" if split == "test" else ", by which it was chosen: that flatters it"
    if interval is not None:
        measured += f"; 95 % interval {scale.show_interval(*interval)}"
    if setting_of(result) is not None and best.trial not in speeds_of(result):
        measured += f". Its latency is predicted; {UNMEASURED}"
    if measured_speed is not None:
        by = measured_speed
        measured += (
            f". Speed by {by.ms:.3g} ms against {by.dense_ms:.3g} ms a pass of {by.batch_size} on {by.machine}, "
            f"{by.threads} thread{'s' * (by.threads != 1)}"
        )
    return Headline(sentence[0].upper() + sentence[1:], measured + ".")


def _speed(result: Result, trial: int) -> MeasuredSpeed | None:
    """Return the speed that the headline names: in its engine, or that in which the dense one is fastest."""
    if (own := speeds_of(result).get(trial)) is not None:
        return own
    known = [speed for speed in speeds_in(result.study) if speed.trial == trial]
    return min(known, key=lambda speed: (speed.batch_size, speed.dense_ms), default=None)


def times(before: float, after: float) -> str:
    """Return how many times smaller an amount has become; of one that grew, how many times larger.

    >>> times(1000, 87), times(20.0, 23.0), times(5_000_000, 4000), times(100, 100)
    ('11.5× fewer', '1.15× the', '1,250× fewer', 'the same')
    """
    if not after or not before or abs(before / after - 1) < 0.005:
        return "the same"
    ratio = max(before / after, after / before)
    number = f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}"
    return f"{number}× fewer" if before > after else f"{number}× the"


def _times(result: Result, name: str, metrics: Metrics) -> str:
    bounded = {bound.metric for bound in result.budget.bounds}
    if name not in metrics or name == LATENCY.name or (name not in SAID and name not in bounded):
        return ""  # what is predicted is no claim
    return f"{times(result.dense.metrics[name], metrics[name])} {SAID.get(name, name)}"


def _named(score: str) -> str:
    return score.replace("_", " ")
