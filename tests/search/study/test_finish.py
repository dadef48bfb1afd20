from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rankfront import RankfrontError, Task, finish, load, run
from rankfront.objectives.io import checkpoint as checkpoint_file
from rankfront.search.cli.main import main
from tests.conftest import blobs, perceptron


@pytest.fixture
def out(task: Task, tmp_path: Path) -> Path:
    run(task, budget="params=60%", trials=4, out=tmp_path / "out", device="cpu", progress=False)
    return tmp_path / "out"


def test_the_best_model_is_trained_on_and_saved(task: Task, out: Path) -> None:
    done = finish(task, out, epochs=3, device="cpu", progress=False)
    assert done.score >= done.before and done.test is not None
    again = load(out / "finished", perceptron(seed=9))
    x, y = blobs(200, 2)
    assert float((again(x).argmax(1) == y).double().mean()) == pytest.approx(done.score)
    assert sum(p.numel() for p in again.parameters()) == done.metrics.params
    assert not (out / "finished" / "checkpoint.safetensors").exists()
    assert "Finished model" in (out / "report.html").read_text()


def test_interrupted_it_goes_on_to_the_same_model(task: Task, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = finish(task, out, epochs=4, device="cpu", progress=False)
    (out / "finished" / "plan.json").unlink()
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
