"""What a study is known by: settings, model, data, loss and score; another's is refused, and what differs is named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...objectives.errors import RankfrontError

if TYPE_CHECKING:
    from optuna.study import Study

IDENTITY = "identity"
"""The study's user attribute that says which model, data and settings it belongs to."""


def identity_in(study: Study) -> dict[str, Any]:
    """Return what the study is known by; raises `RankfrontError` where it is none of rankfront's."""
    stored = study.user_attrs.get(IDENTITY)
    if not isinstance(stored, dict):
        raise RankfrontError(f"study {study.study_name!r} must be one of rankfront's, but is another's")
    return stored


def check_same(stored: Mapping[str, Any], asked: Mapping[str, Any], where: str) -> None:
    """Refuse to go on with a study that was begun with something else.

    Args:
        stored: what the study is known by.
        asked: what is given now; only what it names is compared.
        where: the folder or database, for the message.

    Raises:
        RankfrontError: naming all that differs.
    """
    differing = [name for name in asked if stored.get(name) != asked[name]]
    if not differing:
        return
    said = "; ".join(f"its {name} is {_shown(stored.get(name))}, not {_shown(asked[name])}" for name in differing)
    if differing == ["dense model"]:
        said += " (does the code that makes the model give the same weights every time?)"
    raise RankfrontError(f"{where} belongs to another study: {said}; give another --out, or what it was begun with")


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, str) else str(value)
