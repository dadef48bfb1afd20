"""Speed is measured on the networks themselves, kept with the study, and told where it is sure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from torch import Tensor, nn

from rankfront import RankfrontError, Result, Task, speed
from rankfront.objectives.engines.pairs import Pairs
from rankfront.search.results.headline import headline_of
from rankfront.search.results.speeds import MeasuredSpeed
from rankfront.search.study import measuring
from rankfront.search.study import speed as module
from tests.conftest import go


@pytest.fixture
def studied(task: Task, tmp_path: Path) -> tuple[Task, Path]:
    go(task, tmp_path / "out", budget="params=60%", trials=3)
    return task, tmp_path / "out"


def told(monkeypatch: pytest.MonkeyPatch, pairs: Pairs) -> None:
    def measure(dense: Callable[[], list[Tensor]], other: Callable[[], list[Tensor]], *, seconds: float) -> Pairs:
        assert [t.shape for t in dense()] == [t.shape for t in other()]
        return pairs

    monkeypatch.setattr(measuring, "measure_pairs", measure)


def test_it_is_measured_and_kept(studied: tuple[Task, Path]) -> None:
    task, out = studied
    (found,) = speed(task, out, engine="eager", batch_size=7, threads=1, progress=False)
    assert (found.engine, found.batch_size, found.threads) == ("PyTorch eager", 7, 1)
    assert 0 < found.low <= found.speedup <= found.high and found.ms > 0
    again = Result.open(out)
    assert again.study.user_attrs["speeds"][0]["speedup"] == found.speedup
    assert again.best_trial().trial == found.trial


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        (Pairs(0.003, 0.001, 2.94, 2.8, 3.1, 20), "2.9× faster in PyTorch eager"),
        (Pairs(0.001, 0.002, 0.5, 0.45, 0.6, 20), "2× slower in PyTorch eager"),
        (Pairs(0.001, 0.001, 1.02, 0.9, 1.1, 20), "as fast in PyTorch eager"),
    ],
)
def test_the_headline_tells_what_was_measured_and_nothing_else(
    studied: tuple[Task, Path], monkeypatch: pytest.MonkeyPatch, pairs: Pairs, said: str
) -> None:
    task, out = studied
    before = headline_of(Result.open(out))
    assert before is not None and "faster" not in before.sentence
    told(monkeypatch, pairs)
    speed(task, out, engine="eager", threads=1, progress=False)
    headline = headline_of(Result.open(out))
    assert headline is not None and said in headline.sentence
    assert f"{1000 * pairs.other_s:.3g} ms against {1000 * pairs.dense_s:.3g} ms" in headline.measured
    assert said.replace(" %", " %") in (out / "report.html").read_text()


def test_the_same_again_takes_the_place_of_the_first(
    studied: tuple[Task, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    task, out = studied
    for speedup in (2.0, 3.0):
        told(monkeypatch, Pairs(0.003, 0.001, speedup, speedup, speedup, 20))
        speed(task, out, engine="eager", threads=1, progress=False)
    speed(task, out, engine="eager", threads=1, batch_size=2, progress=False)
    stored = Result.open(out).study.user_attrs["speeds"]
    assert [(each["batch_size"], each["speedup"]) for each in stored] == [(1, 3.0), (2, 3.0)]


class Wrong:
    name, label = "wrong", "Wrong"

    def runner(self, model: nn.Module, inputs: Tensor, threads: int) -> Callable[[], list[Tensor]]:
        return lambda: [model(inputs).detach() + 1]


def test_an_engine_that_gives_something_else_is_an_error(
    studied: tuple[Task, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    task, out = studied
    monkeypatch.setattr(module, "_engines", lambda _: [Wrong()])
    with pytest.raises(RankfrontError, match="Wrong must give what PyTorch gives, but an output differs by 1"):
        speed(task, out, engine="eager", threads=1, progress=False)
    assert "speeds" not in Result.open(out).study.user_attrs


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"engine": "tensorrt"},
            "engine must be one of eager, inductor, onnxruntime, openvino, cuda, cuda-inductor, but got 'tensorrt'",
        ),
        ({"batch_size": 0}, "batch_size must be 1 or more, but got 0"),
        ({"threads": 0}, "threads must be 1 or more, but got 0"),
        ({"budget": "params=0.01%"}, "is kept by no trial"),
    ],
)
def test_what_cannot_be(studied: tuple[Task, Path], options: dict[str, object], said: str) -> None:
    task, out = studied
    with pytest.raises(RankfrontError, match=said):
        speed(task, out, progress=False, **options)  # pyright: ignore[reportArgumentType]


def test_as_the_headline_says_it() -> None:
    known = MeasuredSpeed(1, "OpenVINO", 1, 2, 5.0, 2.0, 2.5, 2.4, 2.6, "a CPU")
    assert str(known) == "2.5× faster in OpenVINO" and known.is_sure
