"""An engine that reads ONNX files: a network's, or those of many small networks, which are written at once."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..boundary import sentence
from ..data.calling import Inputs
from ..errors import RankfrontError
from .engine import Runner, check_installed
from .onnx_file import write_each, write_onnx

Session = Callable[[Sequence[Tensor]], Sequence[object]]
"""Runs a file's network once, on its input tensors in their order, and returns its outputs as arrays."""


class FromOnnx(ABC):
    """Runs networks from their ONNX files; subclasses say how a file is opened."""

    name: ClassVar[str]
    label: ClassVar[str]
    device: str = "cpu"

    def check(self) -> None:
        """Raise `RankfrontError` where the engine, or what writes ONNX files, is not installed."""
        check_installed(self.name, self.name, "onnx", "onnxscript")

    @abstractmethod
    def opened(self, path: Path, threads: int) -> Session:
        """Return what runs the network of a file, which need not stay, on so many threads of the CPU."""

    def runner(self, model: nn.Module, inputs: Inputs, threads: int) -> Runner:
        """Return what runs the network's file."""
        self.check()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            return self._runner(path, write_onnx(model, inputs, path), threads)

    def runners(self, modules: Sequence[nn.Module], inputs: Sequence[Tensor], threads: int) -> list[Runner]:
        """Return what runs each module's file."""
        self.check()
        with tempfile.TemporaryDirectory() as folder:
            paths = write_each(modules, inputs, Path(folder))
            return [self._runner(path, [given], threads) for path, given in zip(paths, inputs, strict=True)]

    def _runner(self, path: Path, taken: Sequence[Tensor], threads: int) -> Runner:
        try:
            session = self.opened(path, threads)
        except Exception as error:  # whatever the engine raises
            raise RankfrontError(f"{self.label} does not take this network: {sentence(error)}") from error

        def run() -> list[Tensor]:
            found = [torch.as_tensor(output) for output in session(taken)]
            return [tensor for tensor in found if tensor.is_floating_point()]

        return run
