"""The interface of an engine: what runs a network that is in use."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol

from torch import Tensor, nn

from ..data.calling import Inputs
from ..errors import RankfrontError

Runner = Callable[[], list[Tensor]]
"""Runs a network once, on the inputs that it was made for, and returns its floating-point outputs."""


class Engine(Protocol):
    """One way to run a network."""

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        ...

    @property
    def label(self) -> str:
        """What it is called in sentences."""
        ...

    @property
    def device(self) -> str:
        """The type of what it runs on: ``cpu`` or ``cuda``."""
        ...

    def check(self) -> None:
        """Raise `RankfrontError`, naming the install command, where a package or a device that it needs is missing."""
        ...

    def runner(self, model: nn.Module, inputs: Inputs, threads: int) -> Runner:
        """Return what runs the network on these inputs.

        Args:
            model: in eval mode on the CPU.
            inputs: a batch's.
            threads: of the CPU that it may use.

        Raises:
            RankfrontError: the engine is not installed, or does not take this network.
        """
        ...

    def runners(self, modules: Sequence[nn.Module], inputs: Sequence[Tensor], threads: int) -> list[Runner]:
        """Return what runs each of many small networks by itself, each on its own tensor; else as `runner`."""
        ...


class InPyTorch(ABC):
    """An engine that is PyTorch's own: nothing is to be installed, and networks are made ready one by one."""

    device: str = "cpu"

    def check(self) -> None:  # noqa: B027
        """Nothing is missing."""

    @abstractmethod
    def runner(self, model: nn.Module, inputs: Inputs, threads: int) -> Runner:
        """Return what runs the network on these inputs."""

    def runners(self, modules: Sequence[nn.Module], inputs: Sequence[Tensor], threads: int) -> list[Runner]:
        """Return what runs each module."""
        return [self.runner(module, given, threads) for module, given in zip(modules, inputs, strict=True)]


def check_installed(engine: str, *modules: str) -> None:
    """Raise `RankfrontError`, naming the install command, where one of the modules an engine needs is missing."""
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError:
            raise RankfrontError(
                f"engine {engine} needs the package {module}, which is not installed: pip install 'rankfront[engines]'"
            ) from None
