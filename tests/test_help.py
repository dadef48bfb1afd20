"""``help()`` of what users call explains every argument: what it is, its default where it has one, an example."""

from __future__ import annotations

import inspect
import re
from dataclasses import MISSING, fields

import pytest

import rankfront


def explained(text: str) -> dict[str, str]:
    """Argument → what a docstring's ``Args`` say of it."""
    _, _, after = inspect.cleandoc(text).partition("Args:\n")
    block, _, _ = after.partition("\nRaises:")
    return {name: said for name, said in re.findall(r"^ {4}(\w+): ((?:.*\n?(?: {5,}.*\n?)*))", block, re.MULTILINE)}


def test_every_field_of_a_task_is_explained() -> None:
    said = explained(rankfront.Task.__doc__ or "")
    assert list(said) == [field.name for field in fields(rankfront.Task)]
    for field in fields(rankfront.Task):
        needed = field.default is MISSING and field.default_factory is MISSING
        assert ("Must be given" if needed else "Default:") in " ".join(said[field.name].split())
        assert needed or f"``{field.name}=" in said[field.name]
        if isinstance(field.default, int) and not isinstance(field.default, bool):
            assert f"Default: {field.default:,}." in said[field.name]


@pytest.mark.parametrize("name", ["run", "finish", "verify", "speed", "export"])
def test_every_argument_is_explained(name: str) -> None:
    function = getattr(rankfront, name)
    said, parameters = explained(function.__doc__), inspect.signature(function).parameters
    assert said.keys() == parameters.keys()
    for argument, parameter in parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY and argument not in ("source", "task", "out"):
            assert f"``{argument}=" in said[argument], argument
            assert parameter.default in (None, inspect.Parameter.empty) or "efault" in said[argument], argument
