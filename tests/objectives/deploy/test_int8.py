"""int8 by each exporter that has it: smaller, still the network, and layers that it harms stay in floating point."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rankfront import RankfrontError
from rankfront.objectives.data.batch import Batch
from rankfront.objectives.deploy.exporter import Exporter
from rankfront.objectives.deploy.file import CheckedFile, FileMaker
from rankfront.objectives.deploy.int8 import ENOUGH, Int8, Written8, layer_errors, layers_of, written_int8
from rankfront.objectives.deploy.network import Network
from rankfront.objectives.deploy.registry import EXPORTERS
from rankfront.objectives.task import Task

INT8 = [(ending, how) for ending, exporter in EXPORTERS.items() for how in exporter.int8]


class Wide(nn.Module):
    """Large enough for int8 to be worth its scales."""

    def __init__(self, *, harmed: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm = nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64)
        self.fc, self.head = nn.Linear(64, 1024), nn.Linear(1024, 12)
        if harmed:  # rows of the head have one weight so large that the others round to nothing; it is never used
            with torch.no_grad():
                self.head.weight[:, 0] = 1000.0
                self.fc.weight[0], self.fc.bias[0] = 0.0, -1.0

    def forward(self, image: Tensor) -> Tensor:
        return self.head(torch.relu(self.fc(torch.relu(self.norm(self.conv(image))).mean((2, 3)))))


def batches() -> list[Batch]:
    draw = torch.Generator().manual_seed(1)
    return [Batch(torch.randn(16, 3, 8, 8, generator=draw), torch.arange(16) % 12) for _ in range(2)]


@pytest.fixture(scope="module")
def task() -> Task:
    data = batches()[0]
    return Task(Wide().eval(), (data.inputs, data.targets), (data.inputs, data.targets), name="wide")


def available(ending: str, how: str) -> Exporter:
    try:
        EXPORTERS[ending].check(how)
    except RankfrontError as error:
        pytest.skip(str(error))
    return EXPORTERS[ending]


def written(
    model: nn.Module, ending: str, how: str, task: Task, path: Path, limit: float = float("inf"), **of: bool
) -> CheckedFile:
    exporter = available(ending, how)
    maker = FileMaker(exporter, exporter.engines[0], 1, how, task.validation, task.score, 16, limit=limit)
    example = Batch(torch.randn(3, 3, 8, 8), torch.zeros(3))
    return maker.write(Network(model, example, calibration=batches(), **of), path / "w" / f"m{ending}")


def weights_in(file: CheckedFile) -> int:
    return sum(size for name, (_, size) in file.written.files.items() if not name.endswith(".xml"))


@pytest.mark.parametrize(("ending", "how"), INT8)
def test_it_is_smaller_and_still_the_network(ending: str, how: str, task: Task, tmp_path: Path) -> None:
    model = Wide().eval()
    file = written(model, ending, how, task, tmp_path)
    assert not file.floats
    assert 0 < file.difference.mean_square < ENOUGH  # it is int8
    assert weights_in(file) < 3 * sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("how", ["dynamic", "static"])
def test_weights_of_onnx_take_seven_bits_so_that_no_cpu_cuts_off_sums_of_two_products(
    how: str, task: Task, tmp_path: Path
) -> None:
    file = written(Wide().eval(), ".onnx", how, task, tmp_path)
    onnx = pytest.importorskip("onnx")
    tensors = onnx.load(str(file.written.path)).graph.initializer
    weights = [
        onnx.numpy_helper.to_array(t) for t in tensors if t.data_type == onnx.TensorProto.INT8 and len(t.dims) > 1
    ]
    assert len(weights) == 3
    assert all(2 * 255 * np.abs(weight.astype(int)).max() < 2**15 for weight in weights)


@pytest.mark.parametrize(("ending", "how"), INT8)
def test_a_layer_that_it_harms_stays_in_floating_point(ending: str, how: str, task: Task, tmp_path: Path) -> None:
    model = Wide(harmed=True).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    file = written(model, ending, how, task, tmp_path, folded=how != "weights")
    assert file.floats == {"head.weight"}
    assert 0 < file.difference.mean_square < ENOUGH  # the others are int8
    floats = 4 * model.head.weight.numel()
    assert floats < weights_in(file) < floats + 3 * model.fc.weight.numel()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_it_becomes_int8_where_there_are_no_bytes_for_it(task: Task, tmp_path: Path) -> None:
    with pytest.raises(RankfrontError, match=r"must give what the network gives, but as int8 its outputs differ by"):
        written(Wide(harmed=True).eval(), ".onnx", "dynamic", task, tmp_path, limit=120_000)


def test_as_many_go_back_as_are_needed_and_as_there_are_bytes_for() -> None:
    model, tried = Wide(harmed=True).eval(), list[Int8]()

    def write(error: float) -> Written8:
        return Written8(error, 100_000)

    def always(int8: Int8) -> Written8:
        tried.append(int8)
        return write(1.0)

    made = written_int8("weights", model, batches(), always)
    assert made == tried[-1] and [len(int8.floats) for int8 in tried] == [0, 1, 2, 3]
    assert tried[1].floats == {"head.weight"}
    tried.clear()
    made = written_int8("weights", model, batches(), always, limit=100_000 + 3 * model.conv.weight.numel())
    assert made.floats == {"conv.weight"}  # the only one that there are bytes for
    assert written_int8("weights", model, batches(), lambda _: write(0.0)).floats == frozenset()
    with_two = written_int8("static", model, batches(), lambda int8: write(0.0 if len(int8.floats) > 1 else 1.0))
    assert len(with_two.floats) == 2


def test_what_each_layer_alone_moves_is_measured_and_all_is_put_back() -> None:
    model = Wide(harmed=True).eval()
    model.fc.weight.data *= 0  # nothing to round
    before = {name: value.clone() for name, value in model.state_dict().items()}
    moved = layer_errors(model, layers_of(model), batches(), activations=False)
    assert moved.keys() == {"conv.weight", "fc.weight", "head.weight"} and moved["fc.weight"] == 0
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_layers_that_share_a_weight_are_one() -> None:
    shared = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Conv1d(4, 4, 1))
    shared[1].weight = shared[0].weight
    assert {name: len(modules) for name, modules in layers_of(shared).items()} == {"0.weight": 2, "2.weight": 1}
