"""Repeat rewrites that were found earlier, on a network of the same architecture."""

from __future__ import annotations

from torch import nn

from ...errors import RankfrontError
from ..copying import copied
from .form import Rewrites
from .registry import FORMS


def repeated(model: nn.Module, rewrites: Rewrites) -> nn.Module:
    """Return a copy of ``model`` in which the same modules are rewritten in the same way.

    Raises:
        RankfrontError: a form is unknown, or the model has no such module.
    """
    for path, rewrite in rewrites.items():
        if (name := rewrite.get("form")) not in FORMS:
            raise RankfrontError(
                f"a rewrite's form must be one of {', '.join(FORMS)}, but that of {path!r} is {name!r:.60}"
            )
    found = model
    for name, form in FORMS.items():
        mine = {path: rewrite for path, rewrite in rewrites.items() if rewrite["form"] == name}
        if mine:
            try:
                found = form.rewritten(found, mine)
            except Exception as error:  # whatever a module of another class lacks
                raise RankfrontError(
                    f"the model must have the modules that were rewritten ({', '.join(list(mine)[:3])}), "
                    f"but rewriting them as {name} failed: {type(error).__name__}: {error} (another architecture?)"
                ) from error
    return copied(model) if found is model else found
