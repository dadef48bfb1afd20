"""Rewrite a user's modules into plain ones, and keep only what leaves the model's outputs as they are."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from ...boundary import sentence
from ...data.structure import Inputs, place
from ..copying import copied
from ..same import computed, same, tolerance
from .form import Form, Found
from .registry import FORMS


@dataclass(frozen=True)
class Rewritten:
    """A copy of a user's model in plain modules, what was rewritten in it, and why other modules were not."""

    model: nn.Module
    rewrites: dict[str, dict[str, Any]]
    reasons: dict[str, str]

    @property
    def found(self) -> Found:
        """The two without the model."""
        return Found(self.rewrites, self.reasons)


def rewrite(model: nn.Module, samples: Sequence[Inputs], options: Collection[str] = ()) -> Rewritten:
    """Return a copy of ``model`` in which all modules that can be are plain ones; ``model`` stays as it is.

    Args:
        model: the user's model.
        samples: what it can be called with; a rewrite is kept where the outputs on all of them stay the same.
        options: the fields of the task that are True, of those that a form asks for (`Form.option`).
    """
    rewriting = _Rewriting(copied(model), samples)
    reasons: dict[str, str] = {}
    offered: set[str] = set()
    for form in FORMS.values():
        try:
            found = form.find(rewriting.model, rewriting.samples)
        except Exception as error:
            if not rewriting.runs:  # the traced pass that follows says it, with the layer's name
                break
            warnings.warn(f"the model is not rewritten by {form.name}, which failed: {sentence(error)}", stacklevel=2)
            continue
        reasons = {path: why for path, why in found.reasons.items() if not _within(path, offered)} | reasons
        new = {
            path: data
            for path, data in found.rewrites.items()
            if path not in rewriting.rewrites and not _within(path, offered)
        }
        if form.option is not None and form.option not in options:
            reasons = {path: form.offer(data) for path, data in new.items()} | reasons
            offered.update(new)
        elif new and rewriting.runs:
            rewriting.settle(form, new)
    reasons = {**reasons, **rewriting.reasons}
    left = {path: reason for path, reason in reasons.items() if path not in rewriting.rewrites}
    return Rewritten(rewriting.model, rewriting.rewrites, left)


def _within(path: str, others: Iterable[str]) -> bool:
    """Return whether a module is one of others, or a part of one."""
    return any(f"{path}.".startswith(f"{other}.") for other in others)


class _Rewriting:
    """A model that is rewritten step by step, as long as it computes what it did."""

    def __init__(self, model: nn.Module, samples: Sequence[Inputs]) -> None:
        first = next(iter(model.parameters()), None)
        self.model = model
        self.samples = [place(sample, "cpu" if first is None else first.device) for sample in samples]
        self.rewrites: dict[str, dict[str, Any]] = {}
        self.reasons: dict[str, str] = {}

    @cached_property
    def _expected(self) -> list[Tensor]:
        return computed(self.model, self.samples)

    @property
    def runs(self) -> bool:
        """Whether the model accepts the samples."""
        try:
            return self._expected is not None
        except Exception:  # whatever the user's forward raises
            return False

    def settle(self, form: Form, rewrites: Mapping[str, Mapping[str, Any]]) -> None:
        """Make these rewrites; where the outputs change, try halves of them, so that those that change it are left."""
        expected = self._expected
        try:
            candidate = form.rewritten(self.model, rewrites)
            outputs = computed(candidate, self.samples)
            why = f"its outputs change when it is rewritten ({form.name})"
            kept = same(expected, outputs, tolerance([*expected, *self.model.parameters()]))
        except Exception as error:  # such as a forward that reads an attribute of the user's module
            kept = False
            why = f"the model fails when it is rewritten ({form.name}): {type(error).__name__}: {error}"
            why = why.splitlines()[0][:160]
        else:
            if kept:
                self.model = candidate
                self.rewrites |= {path: {"form": form.name, **data} for path, data in rewrites.items()}
                return
        if len(rewrites) == 1:
            self.reasons |= dict.fromkeys(rewrites, why)
            return
        paths = list(rewrites)
        for part in (paths[: len(paths) // 2], paths[len(paths) // 2 :]):
            self.settle(form, {path: rewrites[path] for path in part})
