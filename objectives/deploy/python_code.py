"""``.py``: the network as a page of plain PyTorch, with its weights in a ``.safetensors`` of the same name.

It is what ``torch.export`` traced, one operation a line: no class of the user's is needed to run it, and none of ours.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node
from torch.fx.graph import CodeGen
from torch.utils import _pytree

from ..data.structure import parts_of, tensors_of
from ..errors import RankfrontError
from ..io.tensors import write_tensors
from .exporter import Session
from .int8 import Int8, Kinds8
from .network import Network

HEAD = '''"""A network in plain PyTorch, for inference: `model = load()`. Needs torch and safetensors.

It was compressed and written by rankfront. The weights lie in {weights}, beside this file.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import device, inf, nan, nn  # noqa: F401

aten = torch.ops.aten

BUFFERS = {buffers}
"""Tensors that are no parameters."""


class Model(nn.Module):
    """Takes {inputs}; gives what the compressed network gives in eval mode."""

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            *path, last = name.split(".")
            module = self
            for part in path:
                if part not in module._modules:
                    module.add_module(part, nn.Module())
                module = module.get_submodule(part)
            if name in BUFFERS:
                module.register_buffer(last, tensor)
            else:
                module.register_parameter(last, nn.Parameter(tensor))

    def forward(self, {inputs}):
{body}


def load(folder: str | Path = Path(__file__).parent) -> Model:
    """Return the network with its weights, in eval mode on the CPU."""
    return Model(load_file(Path(folder) / "{weights}")).eval()
'''


@final
class PythonCode:
    """Operations are called by their names in PyTorch, weights by the names that they had in the network."""

    label = "plain PyTorch code"
    engines = ("eager",)
    int8: ClassVar[Kinds8] = {}
    any_batch = True

    def check(self, int8: str | None) -> None:
        """Nothing is missing."""

    def write(self, network: Network, path: Path, int8: Int8 | None) -> None:
        """Write both files."""
        module = _inlined(network.program)
        with torch.no_grad():
            arguments, keywords = network.arguments
            outputs = network.model(*arguments, **keywords)
        tensors = {_target(node): _tensor(module, node) for node in module.graph.nodes if node.op == "get_attr"}
        weights = path.with_suffix(".safetensors")
        inputs = [str(node.target) for node in module.graph.nodes if node.op == "placeholder"]
        write_tensors(weights, {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()})
        buffers = sorted(name for name, tensor in tensors.items() if not isinstance(tensor, nn.Parameter))
        text = HEAD.format(inputs=", ".join(inputs), weights=weights.name, buffers=buffers, body=_body(module, outputs))
        path.write_text(text, encoding="utf-8")

    def opened(self, path: Path, engine: str, threads: int) -> Session:
        """Return what runs the file."""
        module = types.ModuleType(f"rankfront_{path.stem}")
        module.__file__ = str(path)
        try:
            exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), vars(module))
        except (SyntaxError, NameError) as error:
            raise RankfrontError(f"this network cannot be written as {self.label}: {error}") from error
        model = module.load()

        def run(taken: Sequence[Tensor]) -> list[Tensor]:
            torch.set_num_threads(threads)
            with torch.inference_mode():
                return tensors_of(model(*taken))

        return run


def _inlined(program: ExportedProgram) -> GraphModule:
    """Return a program's graph of operations alone; parts with a mode of their own (``no_grad``) are put in line."""

    def graph(program: ExportedProgram) -> GraphModule:
        module = program.module()
        assert isinstance(module, GraphModule)
        for node in reversed(list(module.graph.nodes)):
            # Checks of shapes, which are of no use without what they say.
            if node.op == "call_module" or (not node.users and "assert" in str(node.target)):
                module.graph.erase_node(node)
        module.graph.eliminate_dead_code()
        return module

    module = graph(program)
    if any(isinstance(_held(module, node), GraphModule) for node in module.graph.nodes if node.op == "get_attr"):
        module = graph(program.run_decompositions({}))
    return module


def _target(node: Node) -> str:
    return str(node.target)


def _held(module: GraphModule, node: Node) -> Any:
    path, _, name = _target(node).rpartition(".")
    return getattr(module.get_submodule(path), name)


def _tensor(module: GraphModule, node: Node) -> Tensor:
    held = _held(module, node)
    if not isinstance(held, Tensor):
        raise RankfrontError(
            f"this network cannot be written as plain PyTorch code: it holds {type(held).__name__}, no tensor"
        )
    return held


def _body(module: GraphModule, outputs: Any) -> str:
    """Return the lines of ``forward``."""
    graph = module.graph
    graph.set_codegen(CodeGen())
    read = {str(node.name) for node in graph.nodes if node.op == "get_attr"}
    weights: dict[str, str] = {}
    lines: list[str] = []
    for line in graph.python_code("self").src.splitlines():
        statement, _, freed = line.strip().partition(";  ")
        name, _, value = statement.partition(" = ")
        if name in read:  # a weight is read where it is used
            weights[name] = value
        elif statement and not statement.startswith(("def ", "return ", "@")):
            statement = re.sub(r"\w+", lambda found: weights.get(found[0], found[0]), statement)
            # What is no longer needed is freed, as it is in a network of modules.
            gone = [part for part in freed.split(" = ") if part not in ("None", "") and part not in read]
            freeing = f"; {' = '.join([*gone, 'None'])}" if gone else ""
            lines.append(statement.replace("torch.ops.aten.", "aten.") + freeing)
    given = [str(node) for node in _pytree.tree_leaves(graph.output_node().args[0]) if isinstance(node, Node)]
    lines.append(f"return {_literal(outputs, iter([weights.get(name, name) for name in given]))}")
    return "\n".join(f"        {line}" for line in lines)


def _literal(outputs: Any, names: Iterator[str]) -> str:
    """Return outputs as code: tensors by their names, a mapping (any class of one) as a dict."""
    if isinstance(outputs, Tensor):
        return next(names)
    if isinstance(outputs, Mapping):
        return "{" + ", ".join(f"{key!r}: {_literal(value, names)}" for key, value in outputs.items()) + "}"
    parts = parts_of(outputs)
    if parts is None:
        return repr(outputs)
    inside = [_literal(part, names) for part in parts.values()]
    if isinstance(outputs, list):
        return f"[{', '.join(inside)}]"
    return f"({', '.join(inside)}{',' if len(inside) == 1 else ''})"


EXPORTER = PythonCode()
