"""Accuracy over samples and positions, with targets that are not counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from rankfront import RankfrontError, Score, Split, Task
from rankfront.objectives.data.structure import tensors_of
from rankfront.objectives.errors import TrialError
from rankfront.objectives.metrics.accuracy import accuracy, right_of
from rankfront.objectives.metrics.evaluation import evaluate
from rankfront.objectives.metrics.scale import ACCURACY
from tests.conftest import blobs, dry_run, perceptron


@given(st.integers(0, 2**20), st.sampled_from([(), (4,), (3, 4)]), st.sampled_from([None, -100, 255, 1]))
def test_positions_that_are_not_ignored_are_counted(seed: int, positions: tuple[int, ...], ignored: int | None) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(9, 6, *positions, generator=generator)
    targets = torch.randint(6, (9, *positions), generator=generator)
    if ignored is not None:
        targets[torch.rand(targets.shape, generator=generator) < 0.3] = ignored
        targets.view(-1)[0] = (ignored + 1) % 6
    counted = torch.ones_like(targets, dtype=torch.bool) if ignored is None else targets != ignored
    expected = (logits.argmax(1) == targets)[counted].double().mean()
    measured = right_of([(logits, targets)], (-100, ignored or -100))
    assert measured.value == pytest.approx(float(expected))
    assert measured.counted == int(counted.sum())
    last = right_of([(logits.movedim(1, -1), targets)], (-100, ignored or -100))
    if len(positions) != 1 or positions[0] != 6:
        assert last == measured


def test_the_losss_own_ignored_class_is_not_counted() -> None:
    x, y = blobs(100, 1)
    y[:40] = 3
    loss = nn.CrossEntropyLoss(ignore_index=3)
    task = Task(perceptron(), (x, y), (x, y), loss=loss)
    found = evaluate(task.model, task.validation, task.score, batch_size=30)
    counted = y != 3
    assert found.samples == int(counted.sum()) < 100
    assert found.score == pytest.approx(accuracy(task.model(x[counted]), y[counted]))
    assert found.interval == ACCURACY.interval(found.score, found.samples)


def test_the_interval_is_wilsons_on_positions() -> None:
    logits, targets = torch.randn(20, 3, 8, 8), torch.randint(3, (20, 8, 8))
    found = evaluate(nn.Identity(), Split((logits, targets)), Score.given(None), batch_size=6)
    assert found.samples == 20 * 64
    assert found.interval == ACCURACY.interval(found.score, 20 * 64)


@pytest.mark.parametrize(
    ("outputs", "targets", "said"),
    [
        (torch.zeros(9, 1), torch.zeros(9), r"got \(9, 1\) and \(9,\) \(of two classes with one output"),
        (torch.zeros(9), torch.zeros(9), r"got \(9,\) and \(9,\) \(of two classes with one output"),
        (torch.zeros(9, 4), torch.zeros(9, 4), r"got \(9, 4\) and \(9, 4\) \(of several labels a sample, or a regr"),
        (torch.zeros(9, 4), torch.zeros(9, 1), r"got \(9, 4\) and \(9, 1\): give"),
        (torch.zeros(9, 4, 3), torch.zeros(9), r"got \(9, 4, 3\) and \(9,\): give"),
        ({"a": torch.zeros(9, 4), "b": torch.zeros(9, 4)}, torch.zeros(9), r"got a dict of a \(9, 4\), b \(9, 4\) and"),
        (torch.zeros(9, 4), {"boxes": torch.zeros(9)}, r"and a dict of boxes \(9,\): give"),
        (
            torch.zeros(2, 4),
            torch.tensor([-100, -100]),
            r"every one is ignored .*: give validation and test data with other classes than -100, or",
        ),
    ],
)
def test_what_is_no_classifier_is_told(outputs: Any, targets: Any, said: str) -> None:
    with pytest.raises(RankfrontError, match=said):
        accuracy(outputs, targets)


@pytest.mark.parametrize("loss", [nn.MSELoss(), nn.functional.l1_loss, lambda o, t: ((o - t) ** 2).mean()])
@pytest.mark.parametrize("score", [lambda o, t: -float((o - t).square().mean()), None])
def test_targets_that_torch_would_broadcast_are_told(loss: Any, score: Any) -> None:
    x, y = torch.randn(60, 12), torch.randn(60)
    task = Task(perceptron(classes=1), (x, y), (x, y), loss=loss, score=score)
    with pytest.raises(RankfrontError, match=r"the loss must compare .* outputs \(8, 1\) against targets \(8,\): give"):
        dry_run(task)
    right = lambda o, t: loss(o[:, 0], t)  # noqa: E731
    if score is None:
        with pytest.raises(RankfrontError, match=r"accuracy needs outputs .* got \(8, 1\) and \(8,\)"):
            dry_run(Task(perceptron(classes=1), (x, y), (x, y), loss=right))
        return
    with pytest.raises(RankfrontError, match=r"the score must compare .* outputs \(8, 1\) against targets \(8,\)"):
        dry_run(Task(perceptron(classes=1), (x, y), (x, y), loss=right, score=score))
    fine = Task(perceptron(classes=1), (x, y), (x, y), loss=right, score=lambda o, t: score(o[:, 0], t))
    dry_run(fine)
    dry_run(Task(perceptron(classes=1), (x, y), (x, y), loss=right, score=lambda o, t: 0.5))
    column = Task(perceptron(classes=1), (x, y[:, None]), (x, y[:, None]), loss=loss, score=score)
    dry_run(column)


def test_two_dimensional_targets_as_the_outputs_are_no_trap() -> None:
    def score(outputs: Tensor, targets: Tensor) -> float:
        return -float((outputs - targets).abs().mean())

    x, y = torch.randn(60, 12), torch.randn(60, 4)

    dry_run(Task(perceptron(), (x, y), (x, y), loss=nn.MSELoss(), score=score))


@pytest.mark.parametrize(
    "score",
    [
        lambda o, t: ((o[:, 0] > 0) == t).double().mean(),
        lambda o, t: ((o.squeeze(1).sigmoid() > 0.5).long() == t).double().mean(),
        lambda o, t: -nn.functional.binary_cross_entropy_with_logits(o[:, 0], t.float()),
        lambda o, t: 1 - (o[:, 0] - t).square().sum() / (t - t.mean()).square().sum(),
        lambda o, t: torch.corrcoef(torch.stack([o[:, 0], t]))[0, 1],
    ],
)
@pytest.mark.parametrize("seed", range(6))
def test_what_squeezes_by_itself_is_taken(score: Any, seed: int) -> None:
    from rankfront.objectives.metrics.broadcast import broadcasts

    outputs = torch.randn(16, 1, generator=torch.Generator().manual_seed(seed))
    for targets in (outputs[:, 0] > 0, torch.randint(2, (16,)), torch.randn(16)):
        assert broadcasts(score, outputs, targets.float()) == (False, "")
        structure = {"logits": outputs, "loss": outputs.mean()}
        assert broadcasts(lambda o, t: score(o["logits"], t), structure, targets.float()) == (False, "")


@pytest.mark.parametrize(
    "score",
    [
        lambda o, t: ((o > 0) == t).double().mean(),
        lambda o, t: 1 - (o - t).square().sum() / (t - t.mean()).square().sum(),
        lambda o, t: (o - t).abs().mean(),
    ],
)
def test_what_broadcasts_is_found(score: Any) -> None:
    from rankfront.objectives.metrics.broadcast import broadcasts

    for shape, targets in (((16, 1), (16,)), ((16, 1, 5), (16, 5)), ((16,), (16, 1))):
        found, said = broadcasts(score, torch.randn(shape), torch.randn(targets))
        assert found and said == f"outputs {shape} against targets {targets}"


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 5), (4, 3, 2, 2)], ids=["samples", "positions", "pixels"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_outputs_that_are_no_numbers_are_no_class(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    targets = torch.zeros(shape[0], *shape[2:], dtype=torch.long)
    logits = torch.zeros(shape, dtype=dtype)
    logits[1, 2] = torch.nan
    with pytest.raises(TrialError, match="some are NaN"):
        right_of([(torch.zeros(shape), targets), (logits, targets)])
    targets[1] = -100
    assert right_of([(logits, targets)]).value == 1


@pytest.mark.parametrize("form", [lambda y: y, lambda y: {"logits": y}, lambda y: [y, y]])
def test_a_score_gets_outputs_in_full_precision(form: Callable[[Tensor], Any]) -> None:
    class Half(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return form(x.bfloat16())

    def dtypes(outputs: Any, targets: Tensor) -> float:
        return float(all(one.dtype == torch.float32 for one in tensors_of(outputs)))

    for score in (Score.of_split(dtypes), Score.of_mean(dtypes)):
        assert evaluate(Half(), Split(blobs(20, 1)), score).score == 1
