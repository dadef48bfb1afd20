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

    def opened(self, path: Path, threads: int) -> Session:
        """Return what runs a session."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        # Threads that wait for work keep a core busy for a while; not so while another network is timed.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        names = [known.name for known in session.get_inputs()]

        def run(taken: Sequence[Tensor]) -> Sequence[object]:
            return session.run(None, {name: tensor.numpy() for name, tensor in zip(names, taken, strict=True)})

        return run


ENGINE = OnnxRuntime()
