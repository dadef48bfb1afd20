"""A network as an ONNX file, for the engines that read one; many small networks as a file each.

PyTorch's exporter takes seconds for the smallest network, and hardly longer for many: so these are written as one
network, which is then cut.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..boundary import sentence
from ..data.calling import Inputs, called_with
from ..data.structure import tensors_of
from ..errors import RankfrontError
from .silence import silent


def write_onnx(model: nn.Module, inputs: Inputs, path: Path) -> list[Tensor]:
    """Write a network as ONNX for inputs of this shape; return the tensors it takes, in the file's order.

    Raises:
        RankfrontError: the exporter does not take this network.
    """
    arguments, keywords = called_with(model, inputs)
    _export(model, arguments, keywords, path)
    return tensors_of((arguments, keywords))


def write_each(modules: Sequence[nn.Module], inputs: Sequence[Tensor], folder: Path) -> list[Path]:
    """Write modules of one input and one output as a file each; return the paths.

    Raises:
        RankfrontError: the exporter does not take one of them.
    """
    import onnx
    from onnx.utils import Extractor

    whole = folder / "all.onnx"
    # Each gets its own tensor: of one that several took, the exporter would make one input.
    _export(_SideBySide(modules).eval(), tuple(given.clone() for given in inputs), {}, whole)
    extractor = Extractor(onnx.load(whole))
    graph = extractor.graph
    paths = [folder / f"{n}.onnx" for n in range(len(modules))]
    for path, taken, given in zip(paths, graph.input, graph.output, strict=True):
        onnx.save(extractor.extract_model([taken.name], [given.name]), path)
    return paths


class _SideBySide(nn.Module):
    """Modules that have nothing to do with each other."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.side = nn.ModuleList(modules)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(module(given) for module, given in zip(self.side, inputs, strict=True))


def _export(model: nn.Module, arguments: tuple[Any, ...], keywords: Mapping[str, Any], path: Path) -> None:
    try:
        with warnings.catch_warnings(), silent(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                model, arguments, kwargs=dict(keywords), dynamo=True, external_data=False, verbose=False
            )
        assert program is not None
        program.save(str(path))
    except Exception as error:  # whatever the exporter raises
        raise RankfrontError(f"this network cannot be written as ONNX: {sentence(error)}") from error
