"""``.xml``: OpenVINO's own format, with its weights in a ``.bin`` of the same name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar, final

from ..boundary import sentence
from ..engines.silence import silent
from ..errors import RankfrontError
from .exporter import Session, check_packages
from .int8 import LAYERS, Int8, Kinds8
from .network import Network
from .onnx import in_engine, nodes_of, write_program


@final
class OpenVinoIR:
    """Converted from ONNX, weights in their own precision; int8 by NNCF, convolutions too, a scale for each output."""

    label = "OpenVINO IR"
    engines = ("openvino",)
    int8: ClassVar[Kinds8] = {"weights": LAYERS, "static": LAYERS}
    any_batch = True

    def check(self, int8: str | None) -> None:
        """Raise `RankfrontError` where a package is missing."""
        check_packages(self.label, "engines", "openvino", "onnx", "onnxscript")
        if int8 is not None:
            with silent():
                check_packages(f"int8 in {self.label}", "nncf", "nncf")

    def write(self, network: Network, path: Path, int8: Int8 | None) -> None:
        """Write both files."""
        import openvino

        from ..engines.openvino import core

        plain = path.with_suffix(".onnx")
        write_program(network, plain)
        try:
            with silent():
                model = core().read_model(str(plain))
                if int8 is not None:
                    model = _quantized(model, network, int8, nodes_of(plain, network.model, int8.floats))
                openvino.save_model(model, str(path), compress_to_fp16=False)
        except Exception as error:  # whatever OpenVINO and NNCF raise
            raise RankfrontError(f"{self.label} does not take this network: {sentence(error)}") from error
        finally:
            for extra in path.parent.glob(f"{plain.name}*"):
                extra.unlink()

    def opened(self, path: Path, engine: str, threads: int) -> Session:
        """Return what runs the file in OpenVINO."""
        return in_engine(path, engine, threads)


def _quantized(model: Any, network: Network, int8: Int8, floats: list[str]) -> Any:
    """Return a model as int8, without the nodes of the ONNX file that it was read from that stay as they are."""
    import nncf

    # A node with a bias becomes several operations, whose names begin with its own.
    patterns = [f"{re.escape(name)}(/.*)?" for name in floats]
    ignored = nncf.IgnoredScope(patterns=patterns, validate=False)
    if int8.how == "weights":
        return nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM, ignored_scope=ignored)
    feeds = [[tensor.numpy() for tensor in network.tensors(batch.inputs)] for batch in network.calibration]
    # As in `onnx`, weights take 7 of the 8 bits: without VNNI sums of two products are cut off. Of itself NNCF does so
    # in the first layer only.
    portable = nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE)
    return nncf.quantize(
        model, nncf.Dataset(feeds), subset_size=len(feeds), ignored_scope=ignored, advanced_parameters=portable
    )


EXPORTER = OpenVinoIR()
