"""The registry of forms. A new form is a new file with a ``FORM`` in it, and one line here."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import final

from .form import Form

MODULES = {
    "folded": "folded",
    "operation": "operation",
    "attention": "attention",
    "stored": "storing",
}
"""Names of forms, in the order in which they are tried, and the files that hold them."""


@final
class Forms(Mapping[str, Form]):
    """Forms by name, in the order in which they are tried."""

    def __getitem__(self, name: str) -> Form:
        return importlib.import_module(f".{MODULES[name]}", __package__).FORM

    def __contains__(self, name: object) -> bool:
        return name in MODULES

    def __iter__(self) -> Iterator[str]:
        return iter(MODULES)

    def __len__(self) -> int:
        return len(MODULES)


FORMS = Forms()
