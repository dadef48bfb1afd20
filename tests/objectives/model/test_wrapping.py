"""A wrapped or prepared model is taken out of that where this is exact; otherwise one sentence says what to do."""

from __future__ import annotations

import copy
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from rankfront import FineTune, RankfrontError, Task, load
from rankfront.objectives.model.copying import copied
from rankfront.objectives.model.wrapping import unwrapped
from rankfront.objectives.objective import Objective
from tests.conftest import blobs, go, perceptron

X, Y = blobs(200, 1)


def compiled(model: nn.Module) -> nn.Module:
    wrapped: Any = torch.compile(model, backend="eager")
    wrapped(X[:2])
    return wrapped


def compiled_in_place(model: nn.Module) -> nn.Module:
    model.compile(backend="eager")
    model[2].compile(backend="eager")
    model(X[:2])
    return model


def inside(wrap: Callable[[nn.Module], nn.Module]) -> Callable[[nn.Module], nn.Module]:
    def wrapped(model: nn.Module) -> nn.Module:
        model[2] = wrap(model[2])
        return model

    return wrapped


def distributed(model: nn.Module) -> nn.Module:
    wrapped = nn.parallel.DistributedDataParallel.__new__(nn.parallel.DistributedDataParallel)
    nn.Module.__init__(wrapped)  # without the process group, which a test does not have
    wrapped.module = model
    return wrapped


WRAPPED: dict[str, Callable[[nn.Module], nn.Module]] = {
    "DataParallel": nn.DataParallel,
    "DistributedDataParallel": distributed,
    "torch.compile": compiled,
    "model.compile()": compiled_in_place,
    "compiled, in DataParallel": lambda m: nn.DataParallel(compiled(m)),
    "averaged": AveragedModel,
    "a layer in DataParallel": inside(nn.DataParallel),
    "a layer compiled": inside(lambda m: torch.compile(m, backend="eager")),
    "a layer compiled twice": inside(lambda m: torch.compile(nn.DataParallel(m), backend="eager")),
    "traced by fx": lambda m: torch.fx.symbolic_trace(m),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_the_result_is_that_of_the_plain_model_and_loads_into_its_class(name: str, tmp_path: Path) -> None:
    plain = perceptron().eval()
    wrapped = WRAPPED[name](copy.deepcopy(plain))
    task = Task(wrapped, (X, Y), (X, Y), calibration=64, finetune=FineTune(1), kinds=("svd",), name="wrapped")
    result = go(task, tmp_path, trials=2, budget="params=70%")
    assert set(result.best_trial().plan) == {"0", "2", "4"}
    expected = result.best(X)
    torch.testing.assert_close(load(tmp_path, perceptron(seed=4))(X), expected)
    torch.testing.assert_close(load(tmp_path, wrapped)(X), expected)
    own = go(
        Task(plain, (X, Y), (X, Y), calibration=64, finetune=FineTune(1), kinds=("svd",), name="wrapped"), tmp_path
    )
    assert len(own.records) >= 2  # the same study


def test_a_model_that_is_not_wrapped_is_itself() -> None:
    model = perceptron()
    assert unwrapped(model) is model and unwrapped(nn.DataParallel(model)) is model


def test_hooks_on_a_wrapper_are_refused() -> None:
    wrapped = nn.DataParallel(perceptron())
    wrapped.register_forward_hook(lambda m, i, o: 2 * o)
    with pytest.raises(RankfrontError, match="hooks must hang on the module inside a DataParallel"):
        Task(wrapped, (X, Y), (X, Y))


def quantized_by_torchao() -> nn.Module:
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    model = perceptron()
    quantize_(model, Int8WeightOnlyConfig())
    return model


def quantized_dynamically() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(perceptron(), {nn.Linear})


def sparse() -> nn.Module:
    model = perceptron()
    model[0].weight = nn.Parameter(model[0].weight.detach().to_sparse())
    return model


class FullyShardedDataParallel(nn.Module):
    pass


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "scripted": (lambda: torch.jit.script(perceptron()), r"is a torch\.jit\.ScriptModule.*give the module"),
    "traced": (lambda: torch.jit.trace(perceptron(), X[:1]), r"is a torch\.jit\.ScriptModule.*give the module"),
    "exported": (lambda: torch.export.export(perceptron(), (X[:2],)).module(), "torch.export made it"),
    "lazy": (lambda: nn.Sequential(nn.LazyLinear(4)), "'weight' of LazyLinear 0 is not initialised: call the model"),
    "a lazy convolution": (lambda: nn.Sequential(nn.ReLU(), nn.LazyConv2d(4, 3)), "LazyConv2d 1 is not initialised"),
    "quantized by torchao": (quantized_by_torchao, "'weight' of Linear 0 is a .*quantized.*before"),
    "quantized dynamically": (quantized_dynamically, r"Linear 0 is quantized: give the model as it was before"),
    "sparse": (sparse, "'weight' of Linear 0 is torch.sparse_coo: make it dense"),
    "meta": (lambda: perceptron().to("meta"), "on the meta device, without values: load the weights"),
    "sharded": (lambda: nn.Sequential(FullyShardedDataParallel()), "FullyShardedDataParallel 0 shards them"),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_taken_is_refused_at_once_in_one_sentence(name: str) -> None:
    build, said = REFUSED[name]
    with pytest.raises(RankfrontError, match=said) as refused:
        Task(build(), (X, Y), (X, Y))
    assert "\n" not in str(refused.value)


def test_lazy_modules_that_have_been_called_are_plain() -> None:
    model = nn.Sequential(nn.LazyLinear(16), nn.ReLU(), nn.LazyLinear(4))
    model(X[:2])
    made = Objective(Task(model, (X, Y), (X, Y)), device=torch.device("cpu"))
    assert {layer.name for layer in made.layers} == {"0", "2"}


def test_a_scripted_part_stays_dense() -> None:
    model = nn.Sequential(
        nn.Linear(12, 16), torch.jit.script(nn.Sequential(nn.ReLU(), nn.Linear(16, 16))), nn.Linear(16, 4)
    )
    made = Objective(Task(model, (X, Y), (X, Y)), device=torch.device("cpu"))
    assert {layer.name for layer in made.layers} == {"0", "2"}


class Refusing:
    def __deepcopy__(self, memo: dict[int, Any]) -> None:
        raise ValueError("not me")


HELD: dict[str, tuple[Callable[[], Any], str]] = {
    "a lock": (threading.Lock, "'held' of Sequential, a lock"),
    "a condition": (threading.Condition, "'held' of Sequential, a Condition"),
    "a file": (lambda: tempfile.TemporaryFile("w+"), "'held' of Sequential, a TextIOWrapper"),  # noqa: SIM115
    "a socket": (socket.socket, "'held' of Sequential, a socket"),
    "a generator": (lambda: (i for i in range(3)), "'held' of Sequential, a generator"),
    "one that refuses": (Refusing, r"'held' of Sequential, a Refusing \(ValueError: not me\)"),
    "a list of them": (lambda: [1, threading.Lock()], "'held' of Sequential, a list"),
}


@pytest.mark.parametrize("name", HELD)
@pytest.mark.parametrize("path", ["", "2"])
def test_what_cannot_be_copied_is_named(name: str, path: str) -> None:
    build, said = HELD[name]
    model = perceptron()
    model.get_submodule(path).held = held = build()
    said = said if not path else said.replace("Sequential", "Linear 2")
    with pytest.raises(RankfrontError, match=rf"one that copy.deepcopy copies, but does not copy {said}"):
        Objective(Task(model, (X, Y), (X, Y)), device=torch.device("cpu"))
    if hasattr(held, "close"):
        held.close()


@pytest.mark.parametrize("held", [torch.Generator(), {"notes": [1, 2]}, lambda x: x, perceptron])
def test_what_can_be_copied_does_no_harm(held: Any) -> None:
    model = perceptron()
    model.held = held
    assert copied(model)(X).shape == (200, 4)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_computed_tensors_are_copied_as_values() -> None:
    model = nn.Sequential(nn.utils.weight_norm(nn.Linear(12, 4)))
    model.seen = model(X)  # outputs that somebody keeps
    model.kept = {"last": [model.seen, (model(X),)]}
    model.register_buffer("running", 2 * model(X).sum(), persistent=False)
    found = copied(model)
    assert torch.equal(found.kept["last"][0], model.seen) and found.kept["last"][0] is found.seen
    torch.testing.assert_close(found(X), model(X))
    assert torch.equal(found.seen, model.seen) and not found.seen.requires_grad


def test_inference_mode_is_no_obstacle(tmp_path: Path) -> None:
    with torch.inference_mode():
        model = perceptron().eval()
        x = X + 0
    task = Task(model, (x, Y), (x, Y), calibration=64, finetune=FineTune(1), kinds=("svd",), name="inference")
    result = go(task, tmp_path, trials=2, budget="params=70%")
    assert all(record.state == "complete" for record in result.records)


def test_a_model_may_keep_a_reference_to_itself() -> None:
    class Looped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(12, 4)
            self.callbacks = [self.forward]

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x)

    model = Looped()
    model.lock = threading.Lock()
    with pytest.raises(RankfrontError, match="'lock' of Looped"):
        copied(model)
