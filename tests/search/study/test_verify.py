"""Every figure of the front, found again; and every lie found out."""

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from rankfront import RankfrontError, Result, Task, finish, load, run, verify
from rankfront.objectives.io.files import digest
from rankfront.search.storage.trials import DIGEST, METRICS, SCORE


@pytest.fixture
def out(task: Task, tmp_path: Path) -> Path:
    run(task, out=tmp_path / "out", budget="params=60%", device="cpu", progress=False)
    return tmp_path / "out"


def wrong(task: Task, out: Path) -> list[str]:
    return [check.what for check in verify(task, out, device="cpu", progress=False) if not check.holds]


def set_attr(out: Path, name: str, value: object) -> None:
    result = Result.open(out)
    trial = result.study.trials[result.on_front[0].trial]
    with sqlite3.connect(out / "study.db") as database:
        database.execute(
            "UPDATE trial_user_attributes SET value_json = ? WHERE trial_id = ? AND key = ?",
            [json.dumps(value), trial._trial_id, name],
        )


def test_every_figure_holds(task: Task, out: Path) -> None:
    checks = verify(task, out, device="cpu", progress=False)
    assert all(check.holds for check in checks)
    assert {c.what for c in checks} == {"params", "flops", "bytes", "validation accuracy", "test accuracy", "best"}
    assert {c.trial for c in checks} == {t.trial for t in Result.open(out).on_front}


def test_other_weights_are_found_out(task: Task, out: Path) -> None:
    path = out / "models" / f"{Result.open(out).on_front[0].trial}.safetensors"
    tensors = load_file(path)
    name = next(iter(tensors))
    tensors[name] += 1e-6
    save_file(tensors, path)
    assert wrong(task, out) == ["weights"]
    path.unlink()
    assert wrong(task, out) == ["weights"]


def test_another_score_and_other_costs_are_found_out(task: Task, out: Path) -> None:
    first = Result.open(out).on_front[0]
    set_attr(out, SCORE, first.score + 0.01)
    assert wrong(task, out) == ["validation accuracy"]
    set_attr(out, SCORE, first.score)
    set_attr(out, METRICS, {**first.metrics, "flops": first.metrics.flops + 2})
    assert wrong(task, out) == ["flops"]


def test_on_another_machine_the_interval_decides(task: Task, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rankfront.search.study.verify.machine", lambda device: {"device": "another"})
    first = Result.open(out).on_front[0]
    set_attr(out, SCORE, first.score - 0.01)
    assert wrong(task, out) == []
    set_attr(out, SCORE, first.score - 0.2)
    assert wrong(task, out) == ["validation accuracy"]


def test_another_model_is_refused(task: Task, out: Path) -> None:
    with pytest.raises(RankfrontError, match="it differs in what the score returns"):
        verify(replace(task, score=lambda outputs, targets: 0.0), out, device="cpu", progress=False)


def test_what_is_shipped_is_what_was_scored(out: Path, task: Task, tmp_path: Path) -> None:
    result = Result.open(out)
    best = result.best_trial()
    assert digest(out / "best" / "model.safetensors") == result.study.trials[best.trial].user_attrs[DIGEST]
    weights, _ = result.export(tmp_path / "m.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(RankfrontError, match=r"must be the file that m\.plan.json was written for"):
        load(weights, task.model)


@pytest.mark.parametrize("name", ["best", "finished/params=60%"])
def test_damaged_files_to_ship_are_found_out(out: Path, task: Task, name: str) -> None:
    finish(task, out, epochs=1, device="cpu", progress=False)
    assert wrong(task, out) == []
    weights = out / name / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert wrong(task, out) == [name]
    weights.unlink()
    assert wrong(task, out) == [name]
