"""The interface of a form: one way in which a user's module is rewritten into plain ones that compute the same.

A rewrite is plain data, so that it can be stored in a model's files and repeated on another network of the same
architecture, without an example and without the weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from torch import nn

from ...data.structure import Inputs

Rewrites = Mapping[str, Mapping[str, Any]]
"""Path of a module → ``{"form": NAME, …}``: the form's name, and what it needs to repeat the rewrite; JSON data."""


class Found(NamedTuple):
    """What could be rewritten in a model, by one form or by all of them, and why the rest was not."""

    rewrites: dict[str, dict[str, Any]]
    """Path of a module → what `Form.rewritten` needs, JSON data; of all forms together also the form's name."""
    reasons: dict[str, str]
    """Path of a module that a form is made for, but cannot rewrite → why not."""


class Form(Protocol):
    """One way to rewrite modules."""

    @property
    def name(self) -> str:
        """The form's name in the registry and in files."""
        ...

    @property
    def option(self) -> str | None:
        """The field of the task that must be True, because the user must agree; None where nobody is asked."""
        ...

    def find(self, model: nn.Module, samples: Sequence[Inputs]) -> Found:
        """Return what can be rewritten.

        Args:
            model: a copy of the user's model, with the rewrites of earlier forms made. It is left as it was.
            samples: what the model can be called with (`data.structure.apply`), on the model's device.
        """
        ...

    def rewritten(self, model: nn.Module, rewrites: Mapping[str, Mapping[str, Any]]) -> nn.Module:
        """Return a copy of ``model`` in which these rewrites are made; ``model`` stays as it is.

        Must not run the model nor depend on what its weights are: it is used on networks that were just initialised,
        too. It may call one of these modules by itself, on inputs that it makes (`folded`). May raise whatever it likes
        where the model has no such module.
        """
        ...

    def inside(self, rewrite: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the layers that a rewritten module holds, by their names in it; empty where it is one itself.

        Who excludes the module by name excludes them.
        """
        ...

    def offer(self, rewrite: Mapping[str, Any]) -> str:
        """Return why the module stays as it is while the user has not agreed, and how he can."""
        ...
