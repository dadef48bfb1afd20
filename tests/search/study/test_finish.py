import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rankfront import RankfrontError, Result, Task, finish, load, run, verify
from rankfront.objectives.io import checkpoint as checkpoint_file
from rankfront.search.cli.main import main
from rankfront.search.report.progress import Progress
from tests.conftest import blobs, perceptron


@pytest.fixture
def out(task: Task, tmp_path: Path) -> Path:
    run(task, budget="params=60%", trials=4, out=tmp_path / "out", device="cpu", progress=False)
    return tmp_path / "out"


def test_the_best_model_is_trained_on_and_saved(task: Task, out: Path) -> None:
    done = finish(task, out, epochs=3, device="cpu", progress=False)
    assert done.score >= done.before and done.test is not None
    assert done.folder == out / "finished" / "params=60%"
    again = load(out / "finished", perceptron(seed=9))
    x, y = blobs(200, 2)
    assert float((again(x).argmax(1) == y).double().mean()) == pytest.approx(done.score)
    assert sum(p.numel() for p in again.parameters()) == done.metrics.params
    assert not (done.folder / "checkpoint.safetensors").exists()
    assert "Finished model" in (out / "report.html").read_text()


def test_interrupted_it_goes_on_to_the_same_model(task: Task, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = finish(task, out, epochs=4, device="cpu", progress=False)
    (whole.folder / "plan.json").unlink()
    save = checkpoint_file.Checkpoint.save
    saved: list[int] = []

    def stop_after_two(self: checkpoint_file.Checkpoint, step: int, *rest: object) -> None:
        save(self, step, *rest)
        saved.append(step)
        if len(saved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint_file.Checkpoint, "save", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        finish(task, out, epochs=4, device="cpu", progress=False)
    resumed = finish(task, out, epochs=4, device="cpu", progress=False)
    assert len(saved) == 4
    assert resumed.score == whole.score
    for ours, theirs in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_run_in_python_ends_with_how_it_is_called_there(task: Task, out: Path) -> None:
    said = (out / "run.log").read_text()
    assert f"`rankfront.finish(task, {str(out)!r}, epochs=5)` fine-tunes it longer" in said


def test_finished_it_only_reports(task: Task, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = finish(task, out, epochs=2, device="cpu", progress=False)
    monkeypatch.setattr("rankfront.objectives.objective.finetune", lambda *_, **__: pytest.fail("trained"))
    again = finish(task, out, epochs=2, device="cpu", progress=False)
    assert (again.score, again.test, again.metrics) == (first.score, first.test, first.metrics)


def test_what_cannot_be_is_said(task: Task, out: Path) -> None:
    with pytest.raises(RankfrontError, match="epochs must be 1 or more, but got 0"):
        finish(task, out, epochs=0, progress=False)
    with pytest.raises(RankfrontError, match="it differs in the model's weights"):
        finish(replace(task, model=perceptron(seed=5)), out, epochs=1, device="cpu", progress=False)
    with pytest.raises(RankfrontError, match="kept by no trial"):
        finish(task, out, epochs=1, budget="params=0.1%", device="cpu", progress=False)


def smaller(out: Path) -> str:
    """A budget that another trial is best within."""
    retained = Result.open(out).retained
    return f"params={min(t.metrics['params'] for t in retained) / 1000}K"


def test_each_budget_has_a_folder_of_its_own(task: Task, out: Path, tmp_path: Path) -> None:
    budget = smaller(out)
    first = finish(task, out, epochs=1, device="cpu", progress=False)
    files = {path: path.read_bytes() for path in first.folder.iterdir()}
    second = finish(task, out, epochs=1, budget=budget, device="cpu", progress=False)
    assert second.folder == out / "finished" / budget and second.folder != first.folder
    assert {path: path.read_bytes() for path in first.folder.iterdir()} == files
    result = Result.open(out)
    assert {(m.budget, m.trial) for m in result.finished} == {("params=60%", first.trial), (budget, second.trial)}
    with pytest.raises(RankfrontError, match=r"must hold one model, but holds 2: .*; name one of these folders"):
        load(out / "finished", task.model)
    load(second.folder, task.model)
    page = (out / "report.html").read_text()
    assert "Finished model, params=60%" in page and f"Finished model, {budget}" in page


def test_export_gives_the_finished_model_of_the_budget(task: Task, out: Path, tmp_path: Path) -> None:
    done = finish(task, out, epochs=1, device="cpu", progress=False)
    result = Result.open(out)
    weights, _ = result.export(tmp_path / "a.safetensors")
    assert weights.read_bytes() == (done.folder / "model.safetensors").read_bytes()
    load(weights, task.model)
    weights, _ = result.export(tmp_path / "b.safetensors", finished=False)
    assert weights.read_bytes() == result.weights(result.best_trial()).read_bytes()
    weights, _ = result.export(tmp_path / "c.safetensors", smaller(out))  # of which none is finished
    assert weights.read_bytes() == result.weights(result.best_trial(smaller(out))).read_bytes()


def flatten(finished: Path) -> None:
    """Turn a finished model's folder into what an older version wrote: flat in ``finished/``, without its budget."""
    for path in list(finished.iterdir()):
        path.rename(finished.parent / path.name)
    finished.rmdir()
    plan = finished.parent / "plan.json"
    about = json.loads(plan.read_text())
    del about["budget"]
    plan.write_text(json.dumps(about))


def test_what_an_older_version_finished_is_read(task: Task, out: Path, tmp_path: Path) -> None:
    done = finish(task, out, epochs=1, device="cpu", progress=False)
    flatten(done.folder)
    (found,) = Result.open(out).finished
    assert (found.trial, found.budget, found.score) == (done.trial, None, done.score)
    load(out / "finished", task.model)
    assert all(check.holds for check in verify(task, out, device="cpu", progress=False))
    weights, _ = Result.open(out).export(tmp_path / "a.safetensors")
    assert weights.read_bytes() == (out / "finished" / "model.safetensors").read_bytes()


class StopsWhileTraining(Progress):
    """Progress that lets the score raise from the moment on when a fine-tune has begun."""

    def __init__(self) -> None:
        super().__init__(shown=False)
        self.training = False

    def __call__(self, what: str, done: int, total: int) -> None:
        self.training |= what.startswith("fine-tuning") and done > 0

    def score(self, outputs: torch.Tensor, targets: torch.Tensor) -> float:
        if self.training:
            raise KeyboardInterrupt
        return float((outputs.argmax(1) == targets).double().mean())


@pytest.mark.parametrize("where", ["score", "checkpoint"])
@pytest.mark.parametrize("before", ["nothing", "another budget", "fewer epochs", "an older version"])
def test_verify_holds_after_a_finish_that_was_interrupted(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, before: str
) -> None:
    out, stops = tmp_path / "out", StopsWhileTraining()
    task = replace(task, score=stops.score)
    run(task, budget="params=60%", trials=4, out=out, device="cpu", progress=False)
    if before != "nothing":
        budget = smaller(out) if before == "another budget" else None
        done = finish(task, out, epochs=1, budget=budget, device="cpu", progress=False)
        if before == "an older version":
            flatten(done.folder)
    known = Result.open(out).finished

    with monkeypatch.context() as patched:
        if where == "checkpoint":
            patched.setattr(checkpoint_file.Checkpoint, "save", lambda *_: stops.score(*blobs(1, 1)))
        with pytest.raises(KeyboardInterrupt):
            finish(task, out, epochs=3, device="cpu", progress=stops)
    assert stops.training
    stops.training = False
    checks = verify(task, out, device="cpu", progress=False)
    assert checks and all(check.holds for check in checks)
    assert Result.open(out).finished == known
    finish(task, out, epochs=3, device="cpu", progress=False)
    assert all(check.holds for check in verify(task, out, device="cpu", progress=False))


def test_the_command_line_knows_finished_models(
    task: Task, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = finish(task, out, epochs=1, device="cpu", progress=False)

    def said(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        assert ended.value.code == 0
        return capsys.readouterr().out

    assert f"finished within params=60%: trial {done.trial}, 1 epochs" in said("front", str(out))
    (known,) = json.loads(said("front", str(out), "--json"))["finished"]
    assert known["folder"] == str(done.folder) and known["accuracy"] == done.score
    to = ["--to", str(tmp_path / "m.safetensors")]
    assert f"the finished model of trial {done.trial} (1 epochs)" in said("export", str(out), *to)
    assert "finished" not in said("export", str(out), *to, "--unfinished").replace("--unfinished", "")


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = tmp_path / "mine.py"
    study.write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).resolve().parents[3])!r})\n"
        "from rankfront import FineTune, Task\n"
        "from tests.conftest import blobs, trained_perceptron\n"
        "def study(seed, image_size=0):\n"
        "    return Task(trained_perceptron(), blobs(400, 1), blobs(200, 2), name='mine', calibration=200)\n"
    )
    options = ["--out", str(tmp_path / "out"), "--device", "cpu", "--kinds", "svd,tt", "--image-size", "3"]
    with pytest.raises(SystemExit) as ended:
        main(["run", str(study), "--trials", "2", "--budget", "params=60%", *options])
    assert ended.value.code == 0
    with pytest.raises(SystemExit) as ended:
        main(["finish", str(tmp_path / "out"), "--epochs", "2", "--device", "cpu"])
    assert ended.value.code == 0
    assert "finished model" in capsys.readouterr().out
    for wrong, said in (
        (["run", str(study), "--weights", "w.pt"], "takes no --weights"),
        (["run", str(study), "--kinds", "svd,pca"], "but got 'pca'"),
        (["finish", str(tmp_path), "--epochs", "2"], "must hold a study.db, but has none"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(wrong)
        assert ended.value.code == 2 and said in capsys.readouterr().err
