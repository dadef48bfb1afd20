"""For the site: functions whose arguments are a dataclass's fields are shown with those, as `help()` shows them."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import griffe


class CalledWith(griffe.Extension):
    """Take signature and docstring of what `search.study.options.called_with` made from the function itself."""

    def on_function_instance(self, *, func: griffe.Function, **_: Any) -> None:
        """Replace what was read from the file."""
        if func.docstring is None or "{options}" not in func.docstring.value:
            return
        made = getattr(importlib.import_module(func.module.canonical_path), func.name)
        func.docstring.value = inspect.getdoc(made) or ""
        func.parameters = griffe.Parameters(
            *(
                griffe.Parameter(
                    parameter.name,
                    annotation=str(parameter.annotation),
                    kind=getattr(griffe.ParameterKind, parameter.kind.name.lower()),
                    default=None if parameter.default is parameter.empty else repr(parameter.default),
                )
                for parameter in inspect.signature(made).parameters.values()
            )
        )
