"""The options of ``export`` and ``code``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...objectives.described import did_you_mean
from ...objectives.engines.registry import ENGINES, engine_named
from ...objectives.errors import RankfrontError
from ...objectives.given import flag, whole
from .computing import OfBest
from .options import option

FORMS = ("fastest", "identity", "plain")
INT8 = ("weights", "dynamic", "static")


@dataclass(frozen=True, kw_only=True)
class CodeSettings(OfBest):
    """The options of ``code``, checked; it computes on the CPU."""

    form: str = option(
        "fastest",
        metavar="NAME",
        help="What identity blocks become: plain (two factors, more parameters, counted against the budget), identity "
        "(as they are) or fastest (both are measured).",
        example='"plain"',
        choices=FORMS,
    )
    batch_size: int | None = option(
        None, metavar="N", reader=int, help="Write for batches of this size alone [default: any size]", example="1"
    )

    def __post_init__(self) -> None:
        """Check every option by itself."""
        super().__post_init__()
        _check_one_of("form", self.form, FORMS)
        if self.batch_size is not None:
            object.__setattr__(self, "batch_size", whole("batch_size", self.batch_size, least=1))


@dataclass(frozen=True, kw_only=True)
class ExportSettings(CodeSettings):
    """The options of ``export``, checked."""

    engine: str | None = option(
        None,
        metavar="NAME",
        help=f"Check the file in this engine, and measure it there against the dense network: {', '.join(ENGINES)}.",
        example='"openvino"',
        choices=tuple(ENGINES),
    )
    fold_batch_norm: bool = option(
        False, reader=bool, help="Fold batch norm into the layers before it.", example="True"
    )
    int8: str | None = option(
        None,
        metavar="HOW",
        help="Write int8: weights (alone), dynamic (activations in every pass, too) or static (by ranges that "
        "training samples have).",
        example='"weights"',
        choices=INT8,
    )

    def __post_init__(self) -> None:
        """Check every option by itself."""
        super().__post_init__()
        if self.engine is not None:
            engine_named(self.engine)
        if self.int8 is not None:
            _check_one_of("int8", self.int8, INT8)
        object.__setattr__(self, "fold_batch_norm", flag("fold_batch_norm", self.fold_batch_norm))


def _check_one_of(name: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        raise RankfrontError(
            f"{name} must be one of {', '.join(known)}, but got {value!r:.60}{did_you_mean(str(value), known)}"
        )
