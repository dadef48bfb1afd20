"""What a study notes of the dense model: its score, its costs, and how the score reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...objectives.errors import RankfrontError
from ...objectives.kinds.left_dense import LeftDense
from ...objectives.metrics.registry import METRICS
from ...objectives.metrics.scale import Scale
from ...objectives.metrics.values import Metrics

if TYPE_CHECKING:  # bars are shown by commands that need no study: their help waits for no import
    from optuna.study import Study

DENSE, SCALE, SCORE_NAME, LEFT = "dense", "score scale", "score_name", "left dense"
"""Names of the study's user attributes; `SCORE_NAME` is all that older studies hold of the scale."""


@dataclass(frozen=True)
class DenseModel:
    """The dense model of a study: what every trial is compared with."""

    score: float
    """On validation."""
    metrics: Metrics
    samples: Mapping[str, int]
    """On how many samples each split's scores were computed; 0 for ``test`` while there is no score on it."""
    scale: Scale

    @property
    def costs(self) -> tuple[str, ...]:
        """The metrics that this study has, in the registry's order.

        A study that is older than a metric has none of it; a metric that is not registered here cannot be shown.
        """
        return tuple(name for name in METRICS if name in self.metrics)

    @classmethod
    def of(cls, study: Study) -> DenseModel:
        """Read what a study notes; raises `RankfrontError` where that is damaged."""
        noted = study.user_attrs
        try:
            dense = noted[DENSE]
            scale = Scale.read(noted[SCALE]) if SCALE in noted else Scale.of_old_study(noted[SCORE_NAME])
            return cls(float(dense["score"]), Metrics(dense["metrics"]), {"test": 0} | dense["samples"], scale)
        except (KeyError, TypeError, ValueError) as error:
            raise RankfrontError(
                f"study {study.study_name!r} must say what its dense model is, but it is damaged there: {error}"
            ) from None

    def note(self, study: Study) -> None:
        """Write it into a study."""
        dense: dict[str, Any] = {"score": self.score, "metrics": dict(self.metrics), "samples": dict(self.samples)}
        for name, value in ((SCORE_NAME, self.scale.name), (SCALE, self.scale.plain()), (DENSE, dense)):
            study.set_user_attr(name, value)


def note_samples(study: Study, split: str, samples: int) -> None:
    """Write into a study on how many samples of a split its scores were computed."""
    dense = study.user_attrs[DENSE]
    if dense["samples"].get(split) != samples:
        study.set_user_attr(DENSE, {**dense, "samples": {**dense["samples"], split: samples}})


def is_noted(study: Study) -> bool:
    """Return whether a study notes its dense model: from its first trial on it does."""
    return DENSE in study.user_attrs


def note_left_dense(study: Study, left: LeftDense) -> None:
    """Write into a study what of the dense model no factorization takes."""
    if study.user_attrs.get(LEFT) != left.plain():
        study.set_user_attr(LEFT, left.plain())


def left_dense_of(study: Study) -> LeftDense | None:
    """Return what a study notes of that; None of an older study, or where it is damaged."""
    try:
        return LeftDense.read(study.user_attrs[LEFT])
    except (KeyError, TypeError, ValueError):
        return None
