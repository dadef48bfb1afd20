"""``.pt2``: PyTorch's own exported program, loaded by ``torch.export.load(path).module()``."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, final

import torch
from torch import Tensor, nn
from torch.utils import _pytree

from ..boundary import sentence
from ..data.structure import tensors_of
from ..engines.silence import silent
from ..errors import RankfrontError
from ..export.int8 import check_installed, dynamically_quantized, quantized
from .exporter import Session
from .int8 import LINEARS, Int8, Kinds8
from .network import Network


@final
class Pt2:
    """Written by ``torch.export``; int8 by torchao, of Linears alone, a scale for each output."""

    label = "PyTorch's exported program"
    engines = ("eager",)
    int8: ClassVar[Kinds8] = {"weights": LINEARS, "dynamic": LINEARS}
    any_batch = True

    def check(self, int8: str | None) -> None:
        """Raise `RankfrontError` where int8 needs a package that is missing."""
        if int8 is not None:
            check_installed()

    def write(self, network: Network, path: Path, int8: Int8 | None) -> None:
        """Write the file."""
        if int8 is not None:
            made = quantized if int8.how == "weights" else dynamically_quantized
            network = replace(network, model=made(network.model, int8.floats))
        program = network.program
        try:
            with warnings.catch_warnings(), silent():
                warnings.simplefilter("ignore")
                torch.export.save(program, path)
        except Exception as error:  # whatever its writer raises
            raise RankfrontError(f"this network cannot be written as {self.label}: {sentence(error)}") from error

    def opened(self, path: Path, engine: str, threads: int) -> Session:
        """Return what runs the file in PyTorch."""
        with warnings.catch_warnings(), silent():
            warnings.simplefilter("ignore")
            program = torch.export.load(path)
        module: nn.Module = program.module()
        spec = program.call_spec.in_spec
        assert spec is not None

        def run(taken: Sequence[Tensor]) -> list[Tensor]:
            torch.set_num_threads(threads)
            arguments, keywords = _pytree.tree_unflatten(list(taken), spec)
            with torch.inference_mode():
                return tensors_of(module(*arguments, **keywords))

        return run


EXPORTER = Pt2()
