"""``onnxruntime``: ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

from torch import Tensor

from .from_onnx import FromOnnx, Session


@final
class OnnxRuntime(FromOnnx):
    """Runs the network's ONNX file."""

    name = "onnxruntime"
    label = "ONNX Runtime"

    def opened(self, path: Path, taken: Sequence[Tensor], threads: int) -> Session:
        """Return what runs a session."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        feed = {known.name: tensor.numpy() for known, tensor in zip(session.get_inputs(), taken, strict=True)}
        return lambda: session.run(None, feed)


ENGINE = OnnxRuntime()
