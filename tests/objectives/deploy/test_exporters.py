"""The contract of an exporter: its file gives what the network gives, factors of every kind in it, for any batch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rankfront import DENSE, Plan, RankfrontError, Task
from rankfront.objectives.data.batch import Batch
from rankfront.objectives.deploy.check import Compared, check
from rankfront.objectives.deploy.exporter import Exporter, Session
from rankfront.objectives.deploy.file import FileMaker
from rankfront.objectives.deploy.fixed_size import of_any_size
from rankfront.objectives.deploy.network import Network
from rankfront.objectives.deploy.registry import EXPORTERS, exporter_ending
from rankfront.objectives.kinds.registry import KINDS
from rankfront.objectives.objective import Objective


class Mixed(nn.Module):
    """Layers for every kind; takes images and a number for each, gives two tensors."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.ModuleList(nn.Conv2d(3 if n == 0 else 12, 12, 3, padding=1) for n in range(5))
        self.norm = nn.BatchNorm2d(12)
        self.read = nn.Parameter(torch.randn(12, 12) / 3)
        self.heads = nn.ModuleList(nn.Linear(12, 12) for _ in range(3))

    def forward(self, image: Tensor, shift: Tensor) -> dict[str, Tensor]:
        for layer in self.body:
            image = torch.relu(layer(image))
        flat = self.norm(image).mean((2, 3)) + shift[:, None]
        flat = nn.functional.linear(flat, self.read)
        for head in self.heads:
            flat = torch.tanh(head(flat))
        return {"flat": flat, "image": image}


ORDER = ["svd", "svd-identity", "spatial", "spatial-identity", "tucker2", "tt", "svd", "svd-identity"]


def batch(samples: int, seed: int = 1) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    inputs = {
        "shift": torch.randn(samples, generator=draw),
        "image": torch.randn(samples, 3, 8, 8, generator=draw),
        "index": torch.arange(samples),
    }
    return Batch(inputs, torch.zeros(samples, dtype=torch.long))


@pytest.fixture(scope="module")
def objective() -> Objective:
    data = batch(40)

    def loss(outputs: dict[str, Tensor], targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs["flat"], targets)

    def score(outputs: dict[str, Tensor], targets: Tensor) -> float:
        return float(outputs["flat"].mean())

    pair = data.inputs, data.targets
    made = Objective(
        Task(Mixed().eval(), pair, pair, loss=loss, score=score, calibration=40, name="mixed"),
        device=torch.device("cpu"),
    )
    made.prepare()
    return made


@pytest.fixture(scope="module")
def mixed(objective: Objective) -> nn.Module:
    """A network with factors of every kind."""
    options, kinds, plan = objective.decompositions.options, iter(ORDER), {}
    for name in objective.by_name:
        kind = "stored" if "parametrizations" in name else next(kinds)
        found = [option for option in options.get(name, ()) if option.kind == kind]
        plan[name] = found[len(found) // 2] if found else DENSE
    assert {choice.kind for choice in plan.values()} == set(KINDS), plan
    return objective.factorize(Plan(plan)).eval()


def maker(objective: Objective, exporter: Exporter, engine: str | None = None, int8: str | None = None) -> FileMaker:
    name = next(iter(exporter.engines), "") if engine is None else engine
    return FileMaker(exporter, name, 1, int8, objective.task.validation, objective.task.score, 16)


def available(ending: str, int8: str | None = None) -> Exporter:
    try:
        EXPORTERS[ending].check(int8)
    except RankfrontError as error:
        pytest.skip(str(error))
    return EXPORTERS[ending]


@pytest.mark.parametrize("ending", EXPORTERS)
def test_factors_of_every_kind_are_written_and_give_the_same(
    ending: str, mixed: nn.Module, objective: Objective, tmp_path: Path
) -> None:
    exporter = available(ending)
    network = Network(mixed, batch(3), fixed=not exporter.any_batch, folded=True)
    file = maker(objective, exporter).write(network, tmp_path / "w" / f"m{ending}")
    assert file.difference.largest < 1e-3 < file.difference.of
    for samples in (1, 2, 7):
        given = batch(samples, seed=samples)
        with torch.no_grad():
            expected = mixed(given.inputs["image"], given.inputs["shift"])
        for ours, theirs in zip(file.session(network.tensors(given.inputs)), expected.values(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_plain_code_loads_where_rankfront_is_not(mixed: nn.Module, objective: Objective, tmp_path: Path) -> None:
    network = Network(mixed, batch(3))
    maker(objective, EXPORTERS[".py"]).write(network, tmp_path / "w" / "model.py")
    given = batch(4).inputs
    with torch.no_grad():
        expected = mixed(given["image"], given["shift"])
    torch.save([given, expected], tmp_path / "known.pt")
    code = (
        "import sys; sys.modules['rankfront'] = None\n"
        "import torch; from model import load\n"
        "given, known = torch.load('../known.pt')\n"
        "found = load()(given['image'], given['shift'])\n"
        "assert found.keys() == {'flat', 'image'}\n"
        "for name in found: torch.testing.assert_close(found[name], known[name])\n"
        "found['flat'].sum().backward()\n"  # it can be trained further
        "assert not [m for m in sys.modules if m.startswith('rankfront') and sys.modules[m]]\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "w", capture_output=True, text=True, env={"PYTHONPATH": "."}
    )
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "w" / "model.py").read_text()
    assert "rankfront" not in text.replace("written by rankfront", "")


def test_torchscript_and_the_old_onnx_exporter_take_factors_of_every_kind(mixed: nn.Module, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    given = batch(3).inputs
    arguments = given["image"], given["shift"]
    with torch.no_grad():
        expected = mixed(*arguments)
    traced = torch.jit.trace(mixed, arguments, strict=False)
    torch.testing.assert_close(traced(*arguments), expected)
    for name, module in mixed.named_children():
        if name in ("body", "heads"):
            for layer in module:
                torch.jit.script(layer)
    path = str(tmp_path / "old.onnx")
    axes = {"image": {0: "batch"}, "shift": {0: "batch"}}
    torch.onnx.export(mixed, arguments, path, dynamo=False, input_names=["image", "shift"], dynamic_axes=axes)
    session = onnxruntime.InferenceSession(path)
    found = session.run(None, {name: given[name][:2].numpy() for name in axes})
    for ours, theirs in zip(found, expected.values(), strict=True):
        torch.testing.assert_close(torch.from_numpy(ours), theirs[:2], rtol=1e-3, atol=1e-4)


class Chosen(nn.Module):
    """What it computes depends on its data."""

    def forward(self, x: Tensor) -> Tensor:
        return x if float(x.sum()) > 0 else -x


class OneSize(nn.Module):
    """Takes batches of three alone."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.randn(3, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


@pytest.mark.parametrize(
    ("model", "said"),
    [(Chosen(), "cannot be traced by torch.export for batches of any size"), (OneSize(), "--batch-size N writes it")],
)
def test_what_cannot_be_traced_is_told(model: nn.Module, said: str) -> None:
    with pytest.raises(RankfrontError, match=said):
        _ = Network(model.eval(), Batch(torch.ones(3, 4), torch.zeros(3))).program


def test_one_size_can_be_written_for_it() -> None:
    model = OneSize().eval()
    program = Network(model, Batch(torch.ones(3, 4), torch.zeros(3)), fixed=True).program
    torch.testing.assert_close(program.module()(torch.ones(3, 4)), model(torch.ones(3, 4)))


@pytest.mark.parametrize(
    ("session", "said"),
    [
        (lambda taken: [2 * taken[0]], "must give what the network gives, but its outputs differ by at most 1"),
        (lambda taken: [taken[0] * float("nan")], "must give what the network gives"),
        (lambda taken: [taken[0][:1]], r"must give outputs of shapes \[\(2, 3\)\], but gives \[\(1, 3\)\]"),
        (lambda taken: [], "must give outputs of shapes"),
        (lambda taken: 1 / 0, r"does not run on inputs of shape \(2, 3\): ZeroDivisionError"),
    ],
)
@pytest.mark.parametrize("int8", [False, True])
def test_a_file_that_gives_something_else_is_an_error(session: Session, said: str, int8: bool) -> None:
    compared = Compared(nn.Identity(), session, "the file")
    with pytest.raises(RankfrontError, match="root mean square" if int8 and "at most" in said else said):
        compared(torch.ones(2, 3))
        check(compared.difference, "the file", int8=int8)


def test_infinities_and_nothing_are_the_same() -> None:
    compared = Compared(nn.Identity(), lambda taken: list(taken), "the file")
    compared(torch.tensor([[float("-inf"), 1.0]]))
    compared(torch.ones(0, 3))
    check(compared.difference, "the file", int8=False)
    assert (compared.difference.largest, compared.difference.of) == (0, 1)


@settings(max_examples=30)
@given(samples=st.integers(1, 9), size=st.integers(1, 5), dim=st.integers(0, 1))
def test_batches_of_one_size_serve_any(samples: int, size: int, dim: int) -> None:
    def session(taken: Sequence[Tensor]) -> list[Tensor]:
        assert taken[0].shape[dim] == size
        return [3 * taken[0], taken[0].sum(1 - dim) + taken[1].sum()]

    x, shared = torch.randn(samples, 11) if dim == 0 else torch.randn(11, samples), torch.tensor(2.0)
    once = [3 * x, x.sum(1 - dim) + 2]
    for found, expected in zip(of_any_size(session, size, dim)([x, shared]), once, strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("name", "ending"), [("a.onnx", ".onnx"), ("folder", None), ("model-v1.2", None), ("a.safetensors", None)]
)
def test_the_ending_says_which_exporter(name: str, ending: str | None) -> None:
    assert exporter_ending(Path(name)) == ending


def test_an_ending_that_nobody_writes() -> None:
    with pytest.raises(RankfrontError, match=r"must be a folder, or end in one of \.onnx, .*but got 'm\.tflite'"):
        exporter_ending(Path("m.tflite"))
