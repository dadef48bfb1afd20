"""What a study was warned of before its first trial; the page shows it."""

from __future__ import annotations

from collections.abc import Iterable

from optuna.study import Study

WARNINGS = "warnings"
"""The study's user attribute with the sentences."""


def warnings_of(study: Study) -> list[str]:
    """Return the sentences."""
    return [str(said) for said in study.user_attrs.get(WARNINGS, ())]


def keep_warnings(study: Study, said: Iterable[str]) -> None:
    """Store further sentences."""
    known = warnings_of(study)
    if more := [sentence for sentence in said if sentence not in known]:
        study.set_user_attr(WARNINGS, [*known, *more])
