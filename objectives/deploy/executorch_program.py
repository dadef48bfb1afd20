"""``.pte``: ExecuTorch, for phones and small devices, with XNNPACK's kernels."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from ..boundary import sentence
from ..engines.silence import silent
from ..errors import RankfrontError
from .exporter import Session, check_packages
from .int8 import Int8, Kinds8
from .network import Network


@final
class ExecutorchProgram:
    """Memory is planned when it is written, so it takes batches of one size."""

    label = "ExecuTorch"
    engines: tuple[str, ...] = ()
    int8: ClassVar[Kinds8] = {}
    any_batch = False

    def check(self, int8: str | None) -> None:
        """Raise `RankfrontError` where the package is missing."""
        with silent():
            check_packages(self.label, "executorch", "executorch.exir")

    def write(self, network: Network, path: Path, int8: Int8 | None) -> None:
        """Write the file."""
        exir: Any = importlib.import_module("executorch.exir")
        xnnpack: Any = importlib.import_module("executorch.backends.xnnpack.partition.xnnpack_partitioner")
        program = network.program
        try:
            with warnings.catch_warnings(), silent(), torch.no_grad():
                warnings.simplefilter("ignore")
                lowered = exir.to_edge_transform_and_lower(program, partitioner=[xnnpack.XnnpackPartitioner()])
                path.write_bytes(lowered.to_executorch().buffer)
        except Exception as error:  # whatever its compiler raises
            raise RankfrontError(f"{self.label} does not take this network: {sentence(error)}") from error

    def opened(self, path: Path, engine: str, threads: int) -> Session:
        """Return what runs the file in ExecuTorch's runtime."""
        runtime: Any = importlib.import_module("executorch.runtime")
        try:
            program = runtime.Runtime.get().load_program(path.read_bytes())
            program.load_method("forward")
        except Exception as error:  # whatever its runtime raises
            raise RankfrontError(f"{self.label} does not take {path.name}: {sentence(error)}") from error

        def run(taken: Sequence[Tensor]) -> list[Tensor]:
            # Through the program: it alone holds the file's bytes, which a method reads when it runs.
            found = program.load_method("forward").execute(list(taken))
            return [output.clone() for output in found if isinstance(output, Tensor)]

        return run


EXPORTER = ExecutorchProgram()
