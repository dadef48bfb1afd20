"""A network to be written: what it is called with, along which dimensions that may differ, and its traced program."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, ShapesCollection
from torch.fx import GraphModule

from ..boundary import sentence
from ..data.batch import Batch
from ..data.calling import Inputs, called_with
from ..data.samples import axis_of
from ..data.structure import tensors_of
from ..engines.silence import silent
from ..errors import RankfrontError
from .batch_norm import fold_batch_norm


@dataclass(frozen=True)
class Network:
    """What exporters write."""

    model: nn.Module
    """In eval mode, on the CPU, in the form that ships."""
    example: Batch
    """What it is traced with."""
    fixed: bool = False
    """Whether it takes batches of the example's size alone."""
    folded: bool = False
    """Whether batch norm is folded into the layers before."""
    calibration: Sequence[Batch] = ()
    """Training batches: ranges of activations are taken from them, where these become int8."""

    @cached_property
    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What it is traced with, by position and by keywords."""
        return called_in_order(self.model, self.example.inputs)

    @cached_property
    def program(self) -> ExportedProgram:
        """What ``torch.export`` makes of the network.

        Raises:
            RankfrontError: it cannot be traced, or not for batches of any size.
        """
        program = self._traced(self.model)
        if self.folded:
            module = program.module()
            assert isinstance(module, GraphModule)
            program = self._traced(fold_batch_norm(module))
        return program

    def tensors(self, inputs: Inputs) -> list[Tensor]:
        """Return the tensors of a batch's inputs in the order in which a file takes them."""
        return tensors_of(called_in_order(self.model, inputs))

    def _traced(self, model: nn.Module) -> ExportedProgram:
        arguments, keywords = self.arguments
        try:
            with warnings.catch_warnings(), silent(), torch.no_grad():
                warnings.simplefilter("ignore")
                shapes = None if self.fixed else self._shapes().dynamic_shapes(model, arguments, keywords)
                return torch.export.export(model, arguments, keywords, dynamic_shapes=shapes)
        except Exception as error:  # whatever the tracer raises
            how = "" if self.fixed else " for batches of any size (--batch-size N writes it for one size)"
            raise RankfrontError(f"this network cannot be traced by torch.export{how}: {sentence(error)}") from error

    def _shapes(self) -> ShapesCollection:
        """Return along which dimension each input holds its samples: as many as there are."""
        shapes = ShapesCollection()
        for tensor in tensors_of(self.arguments):
            axis = axis_of(tensor, self.example.samples, self.example.dim)
            if axis is not None:
                shapes[tensor] = {axis: Dim.DYNAMIC}
        return shapes


def called_in_order(model: nn.Module, inputs: Inputs) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return what a model is called with, the keywords in the order in which ``forward`` has them."""
    arguments, keywords = called_with(model, inputs)
    return arguments, in_order(model, keywords)


def in_order(model: nn.Module, keywords: dict[str, Any]) -> dict[str, Any]:
    """Return keywords in the order in which a model's ``forward`` has them, as a file takes its inputs."""
    names = [name for name in inspect.signature(model.forward).parameters if name in keywords]
    return {**{name: keywords[name] for name in names}, **keywords}
