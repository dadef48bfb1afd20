"""``openvino``: Intel's OpenVINO on the CPU."""

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
class OpenVino:
    """Runs the network's ONNX file, compiled for latency, in the precision that it has."""

    name = "openvino"
    label = "OpenVINO"

    def runner(self, model: nn.Module, inputs: Inputs, threads: int) -> Runner:
        """Return what runs a compiled model."""
        check_installed(self.name, "openvino")
        import openvino

        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",
        }
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            taken = write_onnx(model, inputs, path, self.name)
            try:
                compiled: Any = openvino.Core().compile_model(str(path), "CPU", settings)
            except Exception as error:  # whatever the compiler raises
                raise RankfrontError(f"OpenVINO does not take this network: {sentence(error)}") from error
        request = compiled.create_infer_request()
        feed = [tensor.numpy() for tensor in taken]

        def run() -> list[Tensor]:
            found = (torch.from_numpy(output) for output in request.infer(feed).to_tuple())
            return [tensor for tensor in found if tensor.is_floating_point()]

        return run


ENGINE = OpenVino()
