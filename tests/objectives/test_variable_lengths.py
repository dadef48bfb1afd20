"""Batches of different lengths go all the way: calibration, refit, distillation, statistics of batch norm, score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence, pad_sequence
from torch.utils.data import DataLoader

from rankfront import FineTune, RankfrontError, Score, Task
from rankfront.objectives.objective import Objective
from rankfront.objectives.plan import Plan
from tests.conftest import dry_run

N = 72
LENGTHS = [3 + i % 7 + i // 16 for i in range(N)]
"""The longest of every batch of 16 is another."""
TEXTS = [torch.arange(1, n + 1) * (i + 1) % 19 + 1 for i, n in enumerate(LENGTHS)]
IMAGES = [torch.randn(3, n + 3, 8, generator=torch.Generator().manual_seed(n)) for n in LENGTHS]
LABELS = torch.arange(N) % 3


class Tagger(nn.Module):
    """A class for every token, of padded tokens ``(N, T)``."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.layers = (
            nn.Embedding(20, 12),
            nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 3)),
        )

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.layers(self.embedding(input_ids))


class Ragged(nn.Module):
    """A class for every image of a list."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 12, 3), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 12, 3))
        self.head = nn.Linear(12, 3)

    def forward(self, images: list[Tensor]) -> Tensor:
        return self.head(torch.stack([self.body(image[None]).mean((2, 3))[0] for image in images]))


class Packed(nn.Module):
    """A class for every packed sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(4, 8, batch_first=True)
        self.head = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 3))

    def forward(self, sequences: PackedSequence) -> Tensor:
        return self.head(self.rnn(sequences)[1][0][-1])


def padded(items: list[int]) -> Any:
    tokens = pad_sequence([TEXTS[i] for i in items], batch_first=True)
    return {"input_ids": tokens, "labels": (tokens % 3).masked_fill(tokens == 0, -100)}


def listed(items: list[int]) -> Any:
    return [IMAGES[i] for i in items], LABELS[items]


def packed(items: list[int]) -> Any:
    sequences = [TEXTS[i][:, None] * torch.linspace(-0.1, 0.1, 4) for i in items]
    return pack_sequence(sequences, enforce_sorted=False), LABELS[items]


CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[list[int]], Any], int]] = {
    "padded tokens": (Tagger, padded, sum(LENGTHS)),
    "images in a list": (Ragged, listed, N),
    "packed sequences": (Packed, packed, N),
}
"""The model, the collation, the number of predictions."""


@pytest.mark.parametrize("name", CASES)
def test_a_trial_on_batches_of_different_lengths(name: str) -> None:
    make, collate, predictions = CASES[name]
    torch.manual_seed(0)
    loader = DataLoader(range(N), 16, collate_fn=collate)  # pyright: ignore[reportArgumentType]
    task = Task(make().eval(), loader, loader, calibration=48, kinds=("svd",), finetune=FineTune(epochs=1, lr=1e-2))
    objective = Objective(task, device=torch.device("cpu"))
    objective.prepare()
    assert objective.scored(objective.dense).samples == predictions
    plan = Plan({layer: options[len(options) // 2] for layer, options in objective.decompositions.options.items()})
    assert len(plan) >= 2
    outcome = objective(plan, 0)
    assert outcome.score_before_finetuning is not None and 0 <= outcome.score <= 1
    assert objective._start().distance(objective.started(plan, "layer")[0]) <= objective._start().distance(
        objective.factorize(plan)
    )


def test_a_score_over_a_whole_split_of_padded_batches_is_refused_before_anything_is_done() -> None:
    def right(outputs: Tensor, targets: Tensor) -> float:
        return float((outputs.argmax(-1) == targets)[targets != -100].double().mean())

    loader = DataLoader(range(N), 16, collate_fn=padded)  # pyright: ignore[reportArgumentType]
    with pytest.raises(RankfrontError, match=r"cannot be joined over batches .*: give a score that takes batches one"):
        dry_run(Task(Tagger(), loader, loader, score=right))
    assert not any(
        "joined" in warning for warning in dry_run(Task(Tagger(), loader, loader, score=Score.of_mean(right)))
    )
