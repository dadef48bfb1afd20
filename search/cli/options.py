"""The command line's options, made of the dataclasses in which they are written: see `study.options`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from ..study.options import Reading, readings
from .completion import folders, one_of, ready_or_files

Dir = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="A study's folder, as `rankfront run` wrote it.", autocompletion=folders),
]
Study = Annotated[
    str,
    typer.Argument(
        metavar="STUDY", help="A ready study's name, or your own Python file.", autocompletion=ready_or_files
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")]
Named = Annotated[
    str | None,
    typer.Option(
        "--study",
        metavar="STUDY",
        help="Load the model and data from this file, not from the study's own.",
        autocompletion=ready_or_files,
    ),
]


def whole_number(value: str | int) -> int:
    """Read a whole number; typer passes a default through it too."""
    if not str(value).removeprefix("-").isdecimal():
        raise typer.BadParameter(f"must be a whole number, but got {value!r:.60}")
    return int(value)


def options_of(
    *classes: type, only: tuple[str, ...] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Replace a command's ``debug, **options`` at its end by one option for each field of these classes, then debug.

    Args:
        classes: made of `study.options.option`.
        only: the names of the fields that are wanted; all if not given.
    """
    found = {name: known for options in classes for name, known in readings(options).items()}
    wanted = {name: found[name] for name in (found if only is None else only)}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def call(**values: Any) -> None:
            command(**{name: None if value == [] else value for name, value in values.items()})

        own = inspect.signature(command, eval_str=True)
        *kept, debug, _ = own.parameters.values()
        made = [_parameter(name, default, reading) for name, (default, reading) in wanted.items()]
        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*kept, *made, debug)]
        call.__signature__ = own.replace(parameters=parameters)  # pyright: ignore[reportAttributeAccessIssue]
        call.__annotations__ = {p.name: p.annotation for p in parameters}
        return call

    return decorate


def part_of(options: type, values: dict[str, Any]) -> dict[str, Any]:
    """Return those of a command's values that are fields of this class."""
    return {f.name: values[f.name] for f in fields(options) if f.name in values}


def _parameter(name: str, default: Any, reading: Reading) -> inspect.Parameter:
    """Return a field as a parameter that typer reads."""
    flag = reading.reader is bool
    dashed = name.replace("_", "-")
    names = [f"--{dashed}" + (f"/--no-{dashed}" if flag else "")]
    option = typer.Option(
        *names,
        metavar=reading.metavar,
        help=reading.help,
        parser=whole_number if reading.reader is int else None,
        show_default=default is not None,
        autocompletion=one_of(reading.choices) if reading.choices else None,
    )
    value = list[str] if reading.reader is list else reading.reader
    annotation = Annotated[value | None if default is None else value, option]
    default = inspect.Parameter.empty if default is MISSING else default
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
