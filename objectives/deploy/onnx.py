"""``.onnx``: for ONNX Runtime, OpenVINO, TensorRT and most others."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn

from ..boundary import sentence
from ..engines.registry import ENGINES
from ..engines.silence import silent
from ..errors import RankfrontError
from .exporter import Session, check_packages
from .int8 import LAYERS, Int8, Kinds8
from .network import Network

LARGEST = 2**31 - 2**24
"""Bytes of parameters beyond which they go to a file of their own, ``model.onnx.data``: one file holds 2 GiB."""

GEMM = "_MatMul"
"""What the quantizer adds to the name of a Gemm that it makes a MatMul of."""


@final
class Onnx:
    """Written by PyTorch's exporter; int8 by ONNX Runtime's quantizer, a scale for each output channel.

    Weights take 7 of the 8 bits: CPUs of x86 without VNNI add two products in 16 bits, and cut off what is larger
    (the quantizer's own documentation). With all 8 a file that is right on one machine is wrong on another: the outputs
    of digits' CNN moved by 12 % on an AMD EPYC with AVX2, by 1.0 % with 7 bits, and by 0.8 % with exact sums of 8.
    """

    label = "ONNX"
    engines = ("onnxruntime", "openvino")
    int8: ClassVar[Kinds8] = {"dynamic": LAYERS, "static": LAYERS}
    any_batch = True

    def check(self, int8: str | None) -> None:
        """Raise `RankfrontError` where a package is missing."""
        check_packages(self.label, "engines", "onnx", "onnxscript", "onnxruntime")

    def write(self, network: Network, path: Path, int8: Int8 | None) -> None:
        """Write the file."""
        if int8 is None:
            write_program(network, path)
            return
        from onnxruntime.quantization import QuantType, quantize_dynamic, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        plain, ready = (path.with_suffix(f".{name}.onnx") for name in ("float", "ready"))
        write_program(network, plain)
        try:
            with warnings.catch_warnings(), silent():
                warnings.simplefilter("ignore")
                options: dict[str, Any] = {
                    "per_channel": True,
                    "weight_type": QuantType.QInt8,
                    "reduce_range": True,
                    "nodes_to_exclude": nodes_of(plain, network.model, int8.floats),
                }
                quant_pre_process(str(plain), str(ready), skip_symbolic_shape=True, skip_optimization=True)
                if int8.how == "dynamic":
                    quantize_dynamic(str(ready), str(path), **options)
                else:
                    feeds: Any = _Batches(self.names(plain), network)
                    quantize_static(str(ready), str(path), feeds, activation_type=QuantType.QUInt8, **options)
        except Exception as error:  # whatever the quantizer raises
            raise RankfrontError(f"ONNX Runtime's quantizer does not take this network: {sentence(error)}") from error
        finally:
            for extra in path.parent.glob(f"{path.stem}.*.onnx*"):
                extra.unlink()

    def names(self, path: Path) -> list[str]:
        """Return the names of a file's inputs."""
        import onnx

        return [known.name for known in onnx.load(str(path), load_external_data=False).graph.input]

    def opened(self, path: Path, engine: str, threads: int) -> Session:
        """Return what runs the file in an engine."""
        return in_engine(path, engine, threads)


class _Batches:
    """Calibration batches, as ONNX Runtime's quantizer asks for them."""

    def __init__(self, names: list[str], network: Network) -> None:
        self._feeds: Iterator[dict[str, Any]] = (
            {name: tensor.numpy() for name, tensor in zip(names, network.tensors(batch.inputs), strict=True)}
            for batch in network.calibration
        )

    def get_next(self) -> dict[str, Any] | None:
        """Return the next inputs; None at the end."""
        return next(self._feeds, None)


def write_program(network: Network, path: Path) -> None:
    """Write a network's program as ONNX; raises `RankfrontError` where the exporter does not take it."""
    size = sum(tensor.nbytes for tensor in network.program.state_dict.values())
    try:
        with warnings.catch_warnings(), silent(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(network.program, dynamo=True, external_data=size > LARGEST, verbose=False)
            assert program is not None
            _without_notes(program.model)
            program.save(str(path), external_data=size > LARGEST)
    except Exception as error:  # whatever the exporter raises
        raise RankfrontError(f"this network cannot be written as ONNX: {sentence(error)}") from error


def _without_notes(model: Any) -> None:
    """Take out what the exporter noted of each node: its class, its line in the user's code; often most of the file."""
    for graph in (model.graph, *(function for function in model.functions.values())):
        for node in graph.all_nodes():
            node.metadata_props.clear()
            node.doc_string = None
            for value in node.outputs:
                value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
    model.metadata_props.clear()
    model.graph.metadata_props.clear()


def nodes_of(path: Path, model: nn.Module, weights: frozenset[str]) -> list[str]:
    """Return the names of a file's nodes that compute with these weights of the network, or with their transposes."""
    import onnx
    from onnx.numpy_helper import to_array

    found = onnx.load(str(path)).graph
    kept = {name: tensor for name, tensor in model.named_parameters() if name in weights}
    names = set(kept)
    transposes = [tensor.detach().mT for tensor in kept.values() if tensor.ndim == 2]
    for initializer in found.initializer if transposes else ():
        if len(initializer.dims) == 2 and initializer.name not in names:
            value = torch.from_numpy(to_array(initializer).copy())
            if any(value.shape == other.shape and torch.equal(value, other) for other in transposes):
                names.add(initializer.name)
    nodes = [node.name for node in found.node if names & set(node.input)]
    return [*nodes, *(f"{name}{GEMM}" for name in nodes)]


def in_engine(path: Path, engine: str, threads: int) -> Session:
    """Return what runs a file in one of the engines that read files; raises `RankfrontError` where it refuses."""
    runs: Any = ENGINES[engine]
    try:
        session = runs.opened(path, threads)
    except Exception as error:  # whatever the engine raises
        raise RankfrontError(f"{runs.label} does not take {path.name}: {sentence(error)}") from error

    def run(taken: Any) -> list[Tensor]:
        return [torch.as_tensor(output).clone() for output in session(taken)]

    return run


EXPORTER = Onnx()
