"""The contract of an engine: it gives what the network gives, for factors of every kind, and says what it lacks."""

from __future__ import annotations

import importlib
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rankfront import DENSE, Plan, RankfrontError, Task
from rankfront.objectives.data.calling import apply
from rankfront.objectives.engines.cuda import OnDevice
from rankfront.objectives.engines.eager import ENGINE as EAGER
from rankfront.objectives.engines.engine import InPyTorch
from rankfront.objectives.engines.inductor import ENGINE as INDUCTOR
from rankfront.objectives.engines.registry import ENGINES, engine_named
from rankfront.objectives.objective import Objective

COMPILED = ("inductor", "cuda-inductor")
QUICK = [name for name in ENGINES if name not in COMPILED]


class Convolutions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        return self.head(torch.relu(self.norm(self.second(x))).mean((2, 3)))


class Tokens(nn.Module):
    """Takes a mapping of integers and a mask, gives two tensors."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table, self.inner, self.head = nn.Embedding(20, 12), nn.Linear(12, 12), nn.Linear(12, 4)

    def forward(self, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        hidden = torch.tanh(self.inner(self.table(ids))) * mask[..., None]
        return {"logits": self.head(hidden.mean(1)), "hidden": hidden}


IMAGES = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(1))
TEXT = {
    "ids": torch.randint(20, (8, 6), generator=torch.Generator().manual_seed(1)),
    "mask": (torch.rand(8, 6, generator=torch.Generator().manual_seed(2)) > 0.3).float(),
}


def floats(outputs: Any) -> list[Tensor]:
    return list(outputs.values()) if isinstance(outputs, dict) else [outputs]


def agree(engine: str, model: nn.Module, inputs: Any) -> None:
    model.eval()
    with torch.no_grad():
        expected = floats(apply(model, inputs))
    found = ENGINES[engine].runner(model, inputs, 1)()
    assert len(found) == len(expected)
    rtol, atol = (1e-3, 1e-4) if ENGINES[engine].device == "cpu" else (1e-2, 1e-2)  # GPUs may compute in TF32
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=rtol, atol=atol)


def skip_without(engine: str) -> None:
    try:
        ENGINES[engine].check()
    except RankfrontError as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize("engine", QUICK)
@pytest.mark.parametrize(("make", "inputs"), [(Convolutions, IMAGES), (Tokens, TEXT)], ids=["images", "a mapping"])
def test_it_gives_what_the_network_gives(engine: str, make: type[nn.Module], inputs: Any) -> None:
    skip_without(engine)
    agree(engine, make(), inputs)


@pytest.fixture(scope="module")
def objective() -> Objective:
    y = torch.zeros(8, dtype=torch.long)
    task = Task(Convolutions().eval(), (IMAGES.repeat(8, 1, 1, 1), y.repeat(8)), (IMAGES, y), calibration=32, name="t")
    made = Objective(task, device=torch.device("cpu"))
    made.prepare()
    return made


@pytest.mark.parametrize("engine", QUICK)
@pytest.mark.parametrize("kind", ["svd", "svd-identity", "spatial", "spatial-identity", "tucker2", "tt"])
def test_factors_of_every_kind_run(engine: str, kind: str, objective: Objective) -> None:
    skip_without(engine)
    options = objective.decompositions.options
    plan = {name: DENSE for name in objective.by_name}
    for name, found in options.items():
        ranks = [option for option in found if option.kind == kind]
        if ranks:
            plan[name] = ranks[len(ranks) // 2]
    assert any(choice != DENSE for choice in plan.values())
    agree(engine, objective.factorize(Plan(plan)), IMAGES)


@pytest.mark.parametrize("engine", COMPILED)
def test_a_compiled_network_gives_what_the_network_gives(engine: str) -> None:
    skip_without(engine)
    agree(engine, nn.Linear(12, 4), torch.randn(3, 12))


@pytest.mark.parametrize(("make", "inputs"), [(Convolutions, IMAGES), (Tokens, TEXT)], ids=["images", "a mapping"])
@pytest.mark.parametrize("inner", [EAGER, INDUCTOR], ids=["eager", "compiled"])
def test_an_engine_on_a_device_gives_what_the_network_gives(
    inner: InPyTorch, make: type[nn.Module], inputs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENGINES._modules, "here", "here")  # pyright: ignore
    module = SimpleNamespace(ENGINE=OnDevice("here", "Here", "cpu", inner))
    monkeypatch.setitem(sys.modules, f"{OnDevice.__module__.rpartition('.')[0]}.here", module)
    waits, wait = [], torch.cpu.synchronize
    monkeypatch.setattr(torch.cpu, "synchronize", lambda: waits.append(wait()))
    model = make()
    agree("here", model, inputs)
    assert len(waits) == 2, "as it is made ready, and in a run"
    run = ENGINES["here"].runner(model, inputs, 1)
    before = [output.clone() for output in run()]
    with torch.no_grad():
        next(model.parameters()).zero_()
    assert all(torch.equal(a, b) for a, b in zip(run(), before, strict=True)), "it runs a copy"


def test_what_a_device_does_not_take_is_told() -> None:
    class Refusing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("expected all tensors to be on the same device")

    with pytest.raises(RankfrontError, match=r"Here does not take this network: .*expected all tensors"):
        OnDevice("here", "Here", "cpu", EAGER).runner(Refusing(), torch.ones(1, 2), 1)


def test_networks_of_one_class_are_compiled_each_by_itself() -> None:
    inputs = [torch.ones(1, size) for size in (3, 4)]
    modules = [nn.Sequential(nn.Linear(size, 2)).eval() for size in (3, 4)]
    runners = INDUCTOR.runners(modules, inputs, 1)
    compiled = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    for module, given, run in zip(modules, inputs, runners, strict=True):
        torch.testing.assert_close(run()[0], module(given))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == compiled


def test_threads_of_onnx_runtime_rest_between_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that spin after a pass would slow the network that is measured in turn with this one."""
    onnxruntime = pytest.importorskip("onnxruntime")
    opened: list[Any] = []
    session = onnxruntime.InferenceSession

    def noted(*given: Any, **more: Any) -> Any:
        opened.append(session(*given, **more))
        return opened[-1]

    monkeypatch.setattr(onnxruntime, "InferenceSession", noted)
    ENGINES["onnxruntime"].runner(Convolutions().eval(), IMAGES, 2)()
    (one,) = opened
    assert one.get_session_options().get_session_config_entry("session.force_spinning_stop") == "1"


@pytest.mark.parametrize("engine", ["cuda", "cuda-inductor"])
def test_without_a_gpu_that_is_told(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for refused in (ENGINES[engine].check, lambda: ENGINES[engine].runner(nn.Linear(2, 2), torch.ones(1, 2), 1)):
        with pytest.raises(RankfrontError, match=rf"engine {engine} needs an NVIDIA GPU .* give another engine"):
            refused()


class Chosen(nn.Module):
    """What it computes depends on its data."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) if float(x.sum()) > 0 else x


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_network_that_cannot_be_written_is_told(engine: str) -> None:
    pytest.importorskip(engine)
    with pytest.raises(RankfrontError, match="cannot be written as ONNX"):
        ENGINES[engine].runner(Chosen().eval(), torch.ones(2, 4), 1)


@pytest.mark.parametrize(("engine", "module"), [("onnxruntime", "onnxruntime"), ("openvino", "onnx")])
def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch, engine: str, module: str) -> None:
    known = importlib.import_module

    def lacking(name: str, package: str | None = None) -> Any:
        if name == module:
            raise ImportError(name)
        return known(name, package)

    model, inputs = Convolutions().eval(), IMAGES
    runner = ENGINES[engine].runner
    monkeypatch.setattr(importlib, "import_module", lacking)
    with pytest.raises(RankfrontError, match=rf"engine {engine} needs the package {module}.*pip install 'rankfront"):
        runner(model, inputs, 1)


def test_an_engine_that_there_is_not() -> None:
    with pytest.raises(
        RankfrontError,
        match="engine must be one of eager, inductor, onnxruntime, openvino, cuda, cuda-inductor, but got",
    ):
        engine_named("tensorrt")
