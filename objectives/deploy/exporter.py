"""The interface of an exporter: what writes a network as a file of one format, and opens such a file again."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from torch import Tensor

from ..errors import RankfrontError
from .int8 import Int8, Kinds8
from .network import Network

Session = Callable[[Sequence[Tensor]], list[Tensor]]
"""Runs a file's network on its input tensors, in order, and returns its output tensors."""


class Exporter(Protocol):
    """One format of files."""

    @property
    def label(self) -> str:
        """What the format is called in sentences."""
        ...

    @property
    def engines(self) -> tuple[str, ...]:
        """The names of the engines that run such a file, the usual one first; empty where none of ours does."""
        ...

    @property
    def int8(self) -> Kinds8:
        """How it can write a network as int8, some of ``weights``, ``dynamic``, ``static``, and which layers then."""
        ...

    @property
    def any_batch(self) -> bool:
        """Whether a file may take batches of any size."""
        ...

    def check(self, int8: str | None) -> None:
        """Raise `RankfrontError`, naming the install command, where a package that it needs is missing."""
        ...

    def write(self, network: Network, path: Path, int8: Int8 | None) -> None:
        """Write a network.

        Args:
            network: what is written.
            path: the file, or the folder where the format has one; further files go beside it.
            int8: one of the ways that `int8` names, and which layers stay; None for floating point.

        Raises:
            RankfrontError: the format does not take this network.
        """
        ...

    def opened(self, path: Path, engine: str, threads: int) -> Session:
        """Return what runs a file.

        Args:
            path: what `write` wrote.
            engine: one of `engines`; without any, empty.
            threads: of the CPU that it may use.
        """
        ...


def check_packages(label: str, extra: str, *modules: str) -> None:
    """Raise `RankfrontError`, naming the install command, where a module that a format needs is missing."""
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError:
            raise RankfrontError(
                f"{label} needs the package {module}, which is not installed: pip install 'rankfront[{extra}]'"
            ) from None
