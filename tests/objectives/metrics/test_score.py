from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler, SubsetRandomSampler, TensorDataset

from rankfront import RankfrontError, Score, Split, TrialError
from rankfront.objectives.metrics.accuracy import accuracy
from rankfront.objectives.metrics.evaluation import evaluate
from rankfront.objectives.metrics.score import ACCURACY


def test_accuracy() -> None:
    outputs = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    assert accuracy(outputs, torch.tensor([1, 0, 0, 0])) == 0.75


@pytest.mark.parametrize("shape", [(4,), (4, 2, 2)])
def test_accuracy_of_what_is_no_classifier(shape: tuple[int, ...]) -> None:
    with pytest.raises(RankfrontError, match="a score of its own"):
        accuracy(torch.zeros(shape), torch.zeros(4))


def test_the_score_sees_the_whole_split_at_once() -> None:
    seen: list[Any] = []

    def score(outputs: Tensor, targets: Tensor) -> float:
        seen.append((outputs, targets))
        return 0.5

    x, y = torch.randn(10, 3), torch.arange(10)
    model = nn.Linear(3, 2).train()
    found = evaluate(model, Split((x, y)), Score.of_split(score), batch_size=4)
    assert (found.score, found.samples) == (0.5, len(x))
    ((outputs, targets),) = seen
    torch.testing.assert_close(outputs, model(x).detach())
    assert torch.equal(targets, y)
    assert model.training


def test_outputs_may_be_dicts_and_tuples() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return {"a": x, "b": (x, x + 1)}

    x = torch.arange(5.0).view(5, 1)
    total = evaluate(Two(), Split((x, x)), Score.of_split(lambda out, y: float((out["b"][1] - y).sum())), batch_size=2)
    assert (total.score, total.samples) == (5, 5)


def test_a_score_that_is_no_number_fails_the_trial() -> None:
    data = Split((torch.zeros(3, 2), torch.zeros(3)))
    with pytest.raises(TrialError, match="finite number, but got nan"):
        evaluate(nn.Linear(2, 2), data, Score.of_split(lambda o, t: float("nan")))


X, Y = torch.randn(190, 4), torch.arange(190) % 3
PARTS: dict[str, tuple[Any, int]] = {
    "tensors": ((X, Y), 190),
    "a set": (TensorDataset(X, Y), 190),
    "a loader": (DataLoader(TensorDataset(X, Y), 100), 190),
    "a loader that drops the last batch": (DataLoader(TensorDataset(X, Y), 100, drop_last=True), 100),
    "a loader of some samples": (DataLoader(TensorDataset(X, Y), 32, sampler=SubsetRandomSampler(range(70))), 70),
    "a loader that repeats samples": (
        DataLoader(TensorDataset(X, Y), 32, sampler=RandomSampler(Y.tolist(), replacement=True, num_samples=400)),
        400,
    ),
}


@pytest.mark.parametrize(("data", "samples"), PARTS.values(), ids=PARTS)
def test_samples_are_those_that_were_scored(data: Any, samples: int) -> None:
    seen: list[int] = []

    def count(outputs: torch.Tensor, targets: torch.Tensor) -> float:
        seen.append(len(targets))
        return 0.0

    for score in (ACCURACY, Score.of_split(count)):
        assert evaluate(nn.Linear(4, 3), Split(data), score).samples == samples
    assert seen == [samples]


class Small(nn.Module):
    """Takes no more than three samples at once, as a GPU's memory may."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.refused = 0

    def forward(self, x: Tensor) -> Any:
        if len(x) > 3:
            self.refused += 1
            raise torch.OutOfMemoryError("simulated")
        return self.linear(x), torch.stack([x, x])


def test_where_memory_does_not_suffice_parts_are_batches_of_their_own() -> None:
    model, seen = Small(), []

    def right(outputs: Any, targets: Tensor) -> Tensor:
        seen.append(len(targets))
        assert outputs[1].shape == (2, len(targets), 4)
        return (outputs[0].argmax(1) == targets).double()

    expected = float((model.linear(X).argmax(1) == Y).double().mean())
    whole = Score.of_split(lambda outputs, targets: right(outputs, targets).mean())
    for score in (ACCURACY, Score.of_mean(right), whole):
        found = evaluate(model, Split((X, Y)), score, batch_size=50)
        assert found.score == pytest.approx(expected) and found.samples == len(X)
    assert max(seen[:-1]) <= 3 and seen[-1] == len(X)
    assert model.refused <= 3 * 5, "later batches are cut at once"


def test_a_sample_that_does_not_fit_alone_is_out_of_memory() -> None:
    class Never(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise torch.OutOfMemoryError("simulated")

    with pytest.raises(torch.OutOfMemoryError):
        evaluate(Never(), Split((X, Y)), ACCURACY, batch_size=8)
