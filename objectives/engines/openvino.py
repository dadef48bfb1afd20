"""``openvino``: Intel's OpenVINO on the CPU."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, final

from .from_onnx import FromOnnx, Session


@final
class OpenVino(FromOnnx):
    """Runs the network's ONNX file, compiled for latency, in the precision that it has."""

    name = "openvino"
    label = "OpenVINO"

    def opened(self, path: Path, threads: int) -> Session:
        """Return what runs a compiled model, of an ONNX file or of OpenVINO's own ``.xml``."""
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",
        }
        compiled: Any = core().compile_model(str(path), "CPU", settings)
        request = compiled.create_infer_request()
        return lambda taken: request.infer([tensor.numpy() for tensor in taken]).to_tuple()


@functools.cache
def core() -> Any:
    """Return this process's only core: with one for each network OpenVINO 2026.4.1 crashed it some time later."""
    import openvino

    return openvino.Core()


ENGINE = OpenVino()
