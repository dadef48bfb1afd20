"""Networks of any floating-point type are trained, scored, saved and loaded in that type."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rankfront import FineTune, Task, load
from rankfront.objectives.data.batch import Batch
from rankfront.objectives.data.split import Split
from rankfront.objectives.io.checkpoint import Checkpoint
from rankfront.objectives.training.finetune import finetune
from rankfront.objectives.training.low_precision import MasterWeights
from tests.conftest import blobs, go, perceptron

CPU = torch.device("cpu")
LOW = [torch.float16, torch.bfloat16]


def cross_entropy(outputs: Tensor, batch: Batch) -> Tensor:
    return functional.cross_entropy(outputs.float(), batch.targets)


def validation(x: Tensor, y: Tensor) -> Callable[[nn.Module], float]:
    @torch.no_grad()
    def validate(model: nn.Module) -> float:
        return float(functional.cross_entropy(model.eval()(x).float(), y))

    return validate


def trained(model: nn.Module, dtype: torch.dtype, settings: FineTune, **kwargs: Any) -> float:
    x, y = blobs(400, 1)
    x = x.to(dtype)
    loss = kwargs.pop("loss", cross_entropy)
    return finetune(model, Split((x, y)), loss, validation(x, y), settings, seed=0, device=CPU, **kwargs)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("dtype", LOW)
def test_training_gains_what_it_gains_in_float32(dtype: torch.dtype, optimizer: str) -> None:
    settings = FineTune(3, lr=1e-3 if optimizer == "adamw" else 1e-2, optimizer=optimizer, batch_size=50)
    wide = trained(perceptron(), torch.float32, settings)
    model = perceptron().to(dtype)
    start = validation(*(t.to(dtype) if t.is_floating_point() else t for t in blobs(400, 1)))(model)
    low = trained(model, dtype, settings)
    assert wide < 0.95 * start and low == pytest.approx(wide, rel=0.05)
    assert {p.dtype for p in model.parameters()} == {dtype}


@pytest.mark.parametrize("dtype", LOW)
def test_steps_smaller_than_a_weights_precision_add_up(dtype: torch.dtype) -> None:
    weight = nn.Parameter(torch.ones(4, dtype=dtype))
    weights = MasterWeights([weight])
    optimizer = torch.optim.SGD(weights.trained, 1e-4)
    for _ in range(200):
        weight.grad = None
        weights.scaled(weight.float().sum()).backward()
        assert weights.take_gradients()
        optimizer.step()
        weights.give_weights()
    torch.testing.assert_close(weight.float(), torch.full((4,), 1 - 0.02), rtol=1e-2, atol=0)
    assert bool((weight < 1).all())


def test_wide_weights_are_trained_as_they_are() -> None:
    parameters = [nn.Parameter(torch.ones(2, dtype=dtype)) for dtype in (torch.float32, torch.float64)]
    weights = MasterWeights(parameters)
    assert all(ours is theirs for ours, theirs in zip(weights.trained, parameters, strict=True))
    loss = torch.ones((), requires_grad=True)
    assert weights.scaled(loss) is loss and weights.state() == {}


def test_gradients_that_overflow_are_computed_again() -> None:
    model = perceptron().half()
    before = copy.deepcopy(model.state_dict())
    least = trained(
        model, torch.float16, FineTune(1, lr=1e-3), loss=lambda outputs, batch: 200 * cross_entropy(outputs, batch)
    )
    assert torch.isfinite(torch.tensor(least))
    assert all(bool(torch.isfinite(value).all()) for value in model.state_dict().values())
    assert any(not torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("dtype", [*LOW, torch.float32])
def test_an_interrupted_training_goes_on_as_an_undisturbed_one(dtype: torch.dtype, tmp_path: Path) -> None:
    settings = FineTune(3, lr=1e-2, batch_size=50)
    whole = perceptron().to(dtype)
    trained(whole, dtype, settings)
    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors", "key")

    class Stop(Exception):
        pass

    calls: list[int] = []

    def interrupting(outputs: Tensor, batch: Batch) -> Tensor:
        calls.append(1)
        if len(calls) == 12:  # in the second epoch
            raise Stop
        return cross_entropy(outputs, batch)

    with pytest.raises(Stop):
        trained(perceptron().to(dtype), dtype, settings, loss=interrupting, checkpoint=checkpoint)
    again = perceptron().to(dtype)
    trained(again, dtype, settings, checkpoint=checkpoint)
    assert all(torch.equal(ours, whole.state_dict()[name]) for name, ours in again.state_dict().items())


def convolutional() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.ConvTranspose2d(16, 24, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 64), nn.ReLU(), nn.Linear(64, 4),
    ).eval()  # fmt: skip


class Mixed(nn.Module):
    """A body of 16 bits, norms and a head of 32 or 64, as many language models have it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(12, 32).half(), nn.LayerNorm(32)
        self.body, self.head = nn.Linear(32, 32).bfloat16(), nn.Linear(32, 4).double()

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.first(x.half()).float()).relu()
        return self.head(self.body(y.bfloat16()).double().relu())


@pytest.mark.parametrize("dtype", [*LOW, torch.float64])
def test_a_study_in_its_own_type(dtype: torch.dtype, tmp_path: Path) -> None:
    x = torch.randn(120, 3, 6, 6, dtype=dtype)
    model = convolutional().to(dtype)
    y = model(x).argmax(1)
    task = Task(model, (x, y), (x, y), calibration=64, finetune=FineTune(1, lr=1e-3), name="net")
    result = go(task, tmp_path, trials=3, budget="params=60%")
    assert [record.state for record in result.records] == ["complete"] * 3, result.records
    best = load(tmp_path, convolutional().to(dtype))
    assert {p.dtype for p in best.parameters()} == {dtype}
    assert bool(torch.isfinite(best(x)).all()) and torch.equal(best(x), result.best(x))


def test_a_study_of_several_types(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Mixed().eval()
    x, y = blobs(200, 1)
    task = Task(model, (x, y), (x, y), calibration=64, finetune=FineTune(1, lr=1e-3), name="mixed")
    result = go(task, tmp_path, trials=3, budget="params=60%")
    assert [record.state for record in result.records] == ["complete"] * 3, result.records
    best = load(tmp_path, Mixed())
    types = {name.split(".")[0]: p.dtype for name, p in best.named_parameters()}
    assert types == {"first": torch.float16, "norm": torch.float32, "body": torch.bfloat16, "head": torch.float64}
    torch.testing.assert_close(best(x), result.best(x))
