"""What a study's dense model was rewritten to, and what was not: found once, made again whenever the study goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ...objectives.export.plan_files import REWRITES, rewrites_of
from .trials import PLAN

if TYPE_CHECKING:
    from optuna.study import Study
    from torch import nn

    from ...objectives.model.plain.form import Found, Rewrites

REASONS = "not rewritten"
"""The study's user attribute with path → why of modules that were not rewritten; older versions wrote none."""


def keep_rewrites(study: Study, found: Found) -> None:
    """Write into a study what was rewritten in its dense model, and why the rest was not."""
    for name, known in ((REWRITES, found.rewrites), (REASONS, found.reasons)):
        if name not in study.user_attrs:
            study.set_user_attr(name, known)


def layers_of(study: Study) -> tuple[str, ...]:
    """Return the names of the layers in the first plan that was stored; empty before the first trial."""
    plans = (trial.user_attrs.get(PLAN) for trial in study.get_trials(deepcopy=False))
    return tuple(next((plan for plan in plans if plan), ()))


def reasons_in(study: Study) -> dict[str, str]:
    """Return why modules of a study's dense model were not rewritten, by path."""
    known = study.user_attrs.get(REASONS)
    return {str(path): str(why) for path, why in known.items()} if isinstance(known, dict) else {}


def found_before(
    known: Rewrites | None, reasons: Mapping[str, str], layers: Iterable[str], model: nn.Module
) -> Found | None:
    """Return what was rewritten in the dense model of a stored study, and why the rest was not; None if not known yet.

    Args:
        known: what the study says; None in one that an older version began, where attentions alone were rewritten.
        reasons: what it says of the rest.
        layers: the names of the study's layers, as `layers_of` returns them.
        model: the user's model.
    """
    from ...objectives.model.plain.attention import unpacked_in
    from ...objectives.model.plain.form import Found

    names = [f"{name}." for name in layers]
    if known is None and not names:
        return None
    rewrites = unpacked_in(model, names) if known is None else known
    return Found({path: dict(rewrite) for path, rewrite in rewrites.items()}, dict(reasons))


def rewrites_in(study: Study) -> Rewrites | None:
    """Return what a study says was rewritten in its dense model; None in one that an older version began."""
    return rewrites_of(study.user_attrs)


def found_in(study: Study, model: nn.Module) -> Found | None:
    """Return what was found in a study's dense model, given one of its architecture: see `found_before`."""
    return found_before(rewrites_in(study), reasons_in(study), layers_of(study), model)
