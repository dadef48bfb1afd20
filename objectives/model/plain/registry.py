"""The registry of forms. A new form is a new file with a ``FORM`` in it, and one line here."""

from __future__ import annotations

from ...registry import Registry
from .form import Form

MODULES = {
    "folded": "folded",
    "operation": "operation",
    "attention": "attention",
    "stored": "storing",
}
"""Names of forms, in the order in which they are tried, and the files that hold them."""


FORMS: Registry[Form] = Registry(__package__, MODULES, "FORM")
