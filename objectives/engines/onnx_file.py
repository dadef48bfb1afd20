"""A network as an ONNX file, for the engines that read one."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from ..boundary import sentence
from ..data.calling import Inputs, called_with
from ..data.structure import tensors_of
from ..errors import RankfrontError
from .engine import check_installed


def write_onnx(model: nn.Module, inputs: Inputs, path: Path, engine: str) -> list[Tensor]:
    """Write a network as ONNX for inputs of this shape; return the tensors it takes, in the file's order.

    Raises:
        RankfrontError: the packages are missing, or the exporter does not take this network.
    """
    check_installed(engine, "onnx", "onnxscript")
    arguments, keywords = called_with(model, inputs)
    try:
        with warnings.catch_warnings(), _silent(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                model, arguments, kwargs=dict(keywords), dynamo=True, external_data=False, verbose=False
            )
        assert program is not None
        program.save(str(path))
    except Exception as error:  # whatever the exporter raises
        raise RankfrontError(f"this network cannot be written as ONNX: {sentence(error)}") from error
    return tensors_of((arguments, keywords))


@contextlib.contextmanager
def _silent():
    """Keep the exporter's own talk from the terminal."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(level)
