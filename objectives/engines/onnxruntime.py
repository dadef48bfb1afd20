"""``onnxruntime``: ONNX Runtime on the CPU."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from ..boundary import sentence
from ..data.calling import Inputs
from ..errors import RankfrontError
from .engine import Runner, check_installed
from .onnx_file import write_onnx


@final
class OnnxRuntime:
    """Runs the network's ONNX file."""

    name = "onnxruntime"
    label = "ONNX Runtime"

    def runner(self, model: nn.Module, inputs: Inputs, threads: int) -> Runner:
        """Return what runs a session."""
        check_installed(self.name, "onnxruntime")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            taken = write_onnx(model, inputs, path, self.name)
            try:
                session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            except Exception as error:  # whatever the runtime raises
                raise RankfrontError(f"ONNX Runtime does not take this network: {sentence(error)}") from error
        feed = {known.name: tensor.numpy() for known, tensor in zip(session.get_inputs(), taken, strict=True)}

        def run() -> list[Tensor]:
            found = (torch.from_numpy(output) for output in session.run(None, feed))
            return [tensor for tensor in found if tensor.is_floating_point()]

        return run


ENGINE = OnnxRuntime()
