"""A study's best as a file: checked before it is there, described, found again by ``verify``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rankfront import RankfrontError, Result, Task, export, finish, verify
from rankfront.objectives.engines.pairs import Pairs
from rankfront.search.results.exports import EXPORT, read_export
from rankfront.search.study import export as module
from rankfront.search.study import measuring
from tests.conftest import go


@pytest.fixture
def out(task: Task, tmp_path: Path) -> Path:
    go(task, tmp_path / "out", budget="params=60%", trials=3)
    return tmp_path / "out"


@pytest.fixture
def blocks(task: Task, tmp_path: Path) -> Path:
    """A study whose plans have identity blocks."""
    from dataclasses import replace

    go(replace(task, kinds=("svd-identity",)), tmp_path / "blocks", budget="params=60%", trials=3)
    return tmp_path / "blocks"


def wrong(task: Task, out: Path) -> list[str]:
    return [check.what for check in verify(task, out, device="cpu", progress=False) if not check.holds]


def test_what_is_written_is_described_and_found_again(task: Task, out: Path, tmp_path: Path) -> None:
    done = export(task, out, tmp_path / "deep" / "m.pt2", progress=False)
    result = Result.open(out, model=task.model)
    best = result.best_trial()
    assert (done.trial, done.score) == (best.trial, best.score)
    assert sorted(path.name for path in done.path.parent.iterdir()) == ["m.pt2", "m.pt2.plan.json"]
    known = read_export(done.path)
    assert known.plan == best.plan and known.how["bytes"] == done.path.stat().st_size
    found = torch.export.load(done.path).module()(x := torch.randn(5, 12))
    torch.testing.assert_close(found, result.best(x))
    checks = [check for check in verify(task, out, device="cpu", progress=False) if check.what.startswith("m.pt2")]
    assert [check.what for check in checks] == ["m.pt2, bytes", "m.pt2, outputs", "m.pt2, accuracy"]
    assert all(check.holds for check in checks)


def test_a_changed_file_is_found_out_and_a_deleted_one_passed_over(task: Task, out: Path) -> None:
    to = out / "exports" / "model.py"
    export(task, out, to, progress=False)
    weights = to.with_suffix(".safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert wrong(task, out) == [str(weights)]
    (to.parent / "model.py.plan.json").write_text("{}")
    assert wrong(task, out) == [str(to)]
    to.unlink()
    assert wrong(task, out) == []


def test_other_outputs_are_found_out(task: Task, out: Path, tmp_path: Path) -> None:
    """A file whose bytes are those described, but which is of another network."""
    to = tmp_path / "m.pt2"
    export(task, out, to, progress=False)
    torch.export.save(torch.export.export(task.model, (torch.zeros(1, 12),)), to)
    from rankfront.objectives.io.files import digest

    described = to.with_name("m.pt2.plan.json")
    about = json.loads(described.read_text())
    about[EXPORT]["files"] = {"m.pt2": [digest(to), to.stat().st_size]}
    described.write_text(json.dumps(about))
    assert wrong(task, out) == ["m.pt2, outputs"]


def measured(monkeypatch: pytest.MonkeyPatch, speedup: float) -> None:
    def pairs(dense: Callable[[], list[Tensor]], other: Callable[[], list[Tensor]], *, seconds: float) -> Pairs:
        assert [t.shape for t in dense()] == [t.shape for t in other()]
        return Pairs(0.003, 0.003 / speedup, speedup, 0.95 * speedup, 1.05 * speedup, 20)

    monkeypatch.setattr(measuring, "measure_pairs", pairs)
    monkeypatch.setattr(module, "measure_pairs", pairs)


def test_the_speed_is_measured_and_verified_on_the_same_machine(
    task: Task, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured(monkeypatch, 2.0)
    done = export(task, out, tmp_path / "m.pt2", engine="eager", progress=False)
    assert done.speed is not None and done.speed.speedup == 2
    measured(monkeypatch, 2.08)
    assert wrong(task, out) == []
    measured(monkeypatch, 1.5)
    assert wrong(task, out) == ["m.pt2, speed"]
    monkeypatch.setattr("rankfront.search.study.verify_exports.cpu", lambda: "another CPU")
    assert wrong(task, out) == []


@pytest.mark.parametrize(("speedup", "form"), [(1.2, "plain"), (0.8, "identity")])
def test_identity_blocks_ship_in_the_form_that_is_fastest(
    task: Task, blocks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, speedup: float, form: str
) -> None:
    from dataclasses import replace

    task = replace(task, kinds=("svd-identity",))
    measured(monkeypatch, speedup)
    assert export(task, blocks, tmp_path / "m.pt2", budget="none", progress=False).form == form
    exact = Result.open(blocks).best_trial()
    tight = f"params={exact.metrics.params / 1000}K"  # which plain factors exceed
    assert export(task, blocks, tmp_path / "t.pt2", budget=tight, progress=False).form == "identity"
    with pytest.raises(RankfrontError, match=r"form plain must keep the budget, but their params would be \d+"):
        export(task, blocks, tmp_path / "p.pt2", budget=tight, form="plain", progress=False)
    assert not (tmp_path / "p.pt2").exists()


def test_the_finished_model_is_meant_where_there_is_one(task: Task, out: Path, tmp_path: Path) -> None:
    with pytest.raises(RankfrontError, match=r"must hold a finished model within params=60%.*rankfront finish"):
        export(task, out, tmp_path / "m.pt2", finished=True, progress=False)
    done = finish(task, out, epochs=1, device="cpu", progress=False)
    x = torch.randn(5, 12)
    for finished, model in ((None, done.model), (True, done.model), (False, Result.open(out, model=task.model).best)):
        path = export(task, out, tmp_path / f"{finished}.pt2", finished=finished, progress=False).path
        torch.testing.assert_close(torch.export.load(path).module()(x), model(x))
    assert wrong(task, out) == []


class Wrong:
    label, engines, int8, any_batch = "Wrong", (), (), True

    def check(self, int8: str | None) -> None:
        pass

    def write(self, network: Any, path: Path, int8: str | None) -> None:
        path.write_text("half")
        path.with_suffix(".bin").write_text("more")

    def opened(self, path: Path, engine: str, threads: int) -> Any:
        return lambda taken: [torch.ones(len(taken[0]), 4)]


@pytest.mark.parametrize("there", [False, True])
def test_a_mismatch_leaves_nothing_behind(
    task: Task, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    monkeypatch.setattr(module, "exporter_of", lambda path: Wrong())
    folder = tmp_path / "ship"
    if there:
        folder.mkdir()
        (folder / "m.wrong").write_text("an earlier one")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RankfrontError, match="the file in Wrong must give what the network gives, but its outputs"):
        export(task, out, folder / "m.wrong", progress=False)
    assert sorted(tmp_path.rglob("*")) == before
    assert not there or (folder / "m.wrong").read_text() == "an earlier one"
    assert "exports" not in Result.open(out).study.user_attrs


@pytest.mark.parametrize(
    ("to", "options", "said"),
    [
        ("m.safetensors", {}, "export writes a network, but 'm.safetensors' is for weights"),
        ("m.tflite", {}, "--to must be a folder, or end in one of .onnx"),
        ("m.pt2", {"int8": "static"}, ".pt2 cannot be written with int8 static: int8 there is weights or dynamic"),
        ("m.py", {"int8": "weights"}, ".py cannot be written with int8 weights: there is no int8 there"),
        ("m.pt2", {"int8": "all"}, "int8 must be one of weights, dynamic, static, but got 'all'"),
        ("m.pt2", {"form": "fast"}, "form must be one of fastest, identity, plain, but got 'fast'"),
        ("m.pt2", {"engine": "openvino"}, ".pt2 cannot be checked in engine openvino: what runs it is eager"),
        (
            "m.pt2",
            {"engine": "tensorrt"},
            "engine must be one of eager, inductor, onnxruntime, openvino, cuda, cuda-inductor, but got",
        ),
        ("m.pt2", {"batch_size": 0}, "batch_size must be 1 or more, but got 0"),
        ("m.pt2", {"batch_size": 1000}, "batch_size must be one that validation data come in, but got 1000"),
        ("m.pt2", {"budget": "params=0.01%"}, "is kept by no trial"),
        ("m.pt2", {"fold_batch_norm": 2}, "fold_batch_norm must be True or False"),
    ],
)
def test_what_cannot_be(task: Task, out: Path, tmp_path: Path, to: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(RankfrontError) as raised:
        export(task, out, tmp_path / to, progress=False, **options)
    assert said in str(raised.value)
    assert not (tmp_path / to).exists()


def test_a_folder_is_no_file(task: Task, out: Path, tmp_path: Path) -> None:
    (tmp_path / "m.pt2").mkdir()
    with pytest.raises(RankfrontError, match="must be a file to be written, but is a folder"):
        export(task, out, tmp_path / "m.pt2", progress=False)


def test_a_network_of_other_data_is_refused(task: Task, out: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    with pytest.raises(RankfrontError, match="it differs in"):
        export(replace(task, model=nn.Sequential(nn.Linear(12, 4)).eval()), out, tmp_path / "m.pt2", progress=False)
