"""A registry: things by name, each imported when it is asked for, so that names can be read without importing torch."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, final

Thing = TypeVar("Thing")


@final
class Registry(Mapping[str, Thing]):
    """Things by name, in the order of ``modules``.

    Args:
        package: the folder of their files, ``__package__``.
        modules: the name of each and its file's.
        attribute: what each is called in its file.
    """

    def __init__(self, package: str | None, modules: Mapping[str, str], attribute: str) -> None:
        self._package, self._modules, self._attribute = package, modules, attribute

    def __getitem__(self, name: str) -> Thing:
        module: Any = importlib.import_module(f".{self._modules[name]}", self._package)
        return getattr(module, self._attribute)

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)
