"""What a study's dense model was rewritten to: found once, and made again whenever the study goes on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ...objectives.export.plan_files import REWRITES, rewrites_of
from .trials import PLAN

if TYPE_CHECKING:
    from optuna.study import Study
    from torch import nn

    from ...objectives.model.plain.form import Rewrites


def keep_rewrites(study: Study, rewrites: Rewrites) -> None:
    """Write into a study what was rewritten in its dense model."""
    if REWRITES not in study.user_attrs:
        study.set_user_attr(REWRITES, {path: dict(rewrite) for path, rewrite in rewrites.items()})


def layers_of(study: Study) -> tuple[str, ...]:
    """Return the names of the layers in the first plan that was stored; empty before the first trial."""
    plans = (trial.user_attrs.get(PLAN) for trial in study.get_trials(deepcopy=False))
    return tuple(next((plan for plan in plans if plan), ()))


def stored_rewrites(known: Rewrites | None, layers: Iterable[str], model: nn.Module) -> Rewrites | None:
    """Return what was rewritten in the dense model of a stored study; None where that is not known yet.

    Args:
        known: what the study says; None in one that an older version began, where attentions alone were rewritten.
        layers: the names of the study's layers, as `layers_of` returns them.
        model: the user's model.
    """
    from ...objectives.model.plain.attention import unpacked_in

    names = [f"{name}." for name in layers]
    return known if known is not None or not names else unpacked_in(model, names)


def rewrites_in(study: Study) -> Rewrites | None:
    """Return what a study says was rewritten in its dense model; None in one that an older version began."""
    return rewrites_of(study.user_attrs)


def rewrites_of_study(study: Study, model: nn.Module) -> Rewrites | None:
    """Return what was rewritten in a study's dense model, given one of its architecture: see `stored_rewrites`."""
    return stored_rewrites(rewrites_in(study), layers_of(study), model)
