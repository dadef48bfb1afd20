"""Whatever the user's own code raises is told in one sentence that names it, with the exception chained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn
from torch.utils.data import Dataset

import rankfront
from rankfront import RankfrontError
from tests.conftest import go, perceptron
from tests.refusals import DATA, LONGEST, task


class Bad(RuntimeError):
    pass


def fails(*_: Any) -> Any:
    raise Bad("a mistake\nof the user's")


class BadNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = perceptron()

    def forward(self, x: Tensor) -> Tensor:
        return fails(self.net(x))


class BadData(Dataset[tuple[Tensor, Tensor]]):
    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return fails()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"model": BadNet()}, "model"),
        ({"loss": fails}, "loss"),
        ({"score": fails}, "score"),
        ({"train": BadData()}, "data"),
        ({"validation": BadData()}, "data"),
        ({"train": rankfront.Split(DATA, transform=fails)}, "transform"),
    ],
    ids=lambda value: None,
)
def test_what_the_users_own_code_raises(tmp_path: Path, change: Any, what: str) -> None:
    with pytest.raises(RankfrontError) as caught:
        go(task(**change), tmp_path / "out", trials=1)
    said = str(caught.value)
    assert what in said and "Bad" in said and "a mistake of the user's" in said
    assert len(said) < LONGEST and "\n" not in said
    cause: BaseException | None = caught.value
    while cause is not None and not isinstance(cause, Bad):
        cause = cause.__cause__
    assert cause is not None, "the exception is chained"
