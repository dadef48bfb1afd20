from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rankfront import Split
from rankfront.studies.training import Recipe, train_dense
from tests.conftest import blobs, perceptron


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "rankfront"


def train(
    lr: float = 1e-2, optimizer: Any = "adam", progress: Callable[[str, int, int], None] | None = None
) -> torch.nn.Module:
    recipe = Recipe(4, lr, batch_size=50, optimizer=optimizer, schedule="warm cosine", weight_decay=1e-4)
    return train_dense(perceptron(), Split(blobs(200, 1)), recipe, name="blobs", seed=0, progress=progress)


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_interrupted_it_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    def stop(what: str, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(optimizer=optimizer, progress=stop)
    epochs: list[int] = []
    resumed = train(optimizer=optimizer, progress=lambda what, done, total: epochs.append(done))
    assert epochs == [2, 3, 4]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    assert torch.equal(weights(resumed), weights(train(optimizer=optimizer)))


def test_finished_it_is_not_trained_again() -> None:
    first = train()
    epochs: list[int] = []
    again = train(progress=lambda what, done, total: epochs.append(done))
    assert epochs == [] and torch.equal(weights(again), weights(first))


def test_other_settings_are_trained_anew(cache: Path) -> None:
    train()
    train(lr=1e-3)
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize("damage", [lambda b: b[:100], lambda b: b""])
def test_a_damaged_file_is_trained_again(cache: Path, damage: Any) -> None:
    first = train()
    (path,) = cache.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert torch.equal(weights(train()), weights(first))
