"""A dry run says what would fail in every trial, warns of what hardly works, and leaves everything as it was."""

from __future__ import annotations

import copy
import errno
import math
import random
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from rankfront import Choice, FineTune, Plan, RankfrontError, Split
from rankfront.objectives.checks import MOST_TEST
from rankfront.objectives.dry_run import DryRun
from rankfront.objectives.export.model_files import save_weights
from rankfront.objectives.io import tensors
from rankfront.objectives.kinds.registry import KINDS
from rankfront.objectives.objective import Objective
from tests.conftest import blobs, dry_run, go, perceptron, trained_perceptron
from tests.objectives.dry_run_tasks import (
    CPU,
    HELD_OUT,
    Wrapped,
    X,
    Y,
    images,
    refused,
    task,
)


def test_a_collation_given_later_takes_the_place_of_the_former() -> None:
    first = task(train=(X, X, Y), validation=(X, X, Y), collate=lambda batch: (batch[0], batch[2]))
    other = replace(first, collate=lambda batch: (batch[1], batch[2] * 0))
    assert int(next(other.train.batches(5)).targets.max()) == 0


def test_what_is_well_passes_without_a_word() -> None:
    assert dry_run(task()) == []


class Counting(Dataset[tuple[Tensor, Tensor]]):
    def __init__(self) -> None:
        self.read = 0

    def __len__(self) -> int:
        return 500

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        self.read += 1
        return X[index % 80] + torch.randn(12), Y[index % 80]


def test_everything_is_left_as_it_was(tmp_path: Path) -> None:
    data, model = Counting(), trained_perceptron()
    order = torch.Generator().manual_seed(3)
    loader = DataLoader(data, 100, shuffle=True, generator=order, num_workers=1, persistent_workers=True)
    objective = Objective(task(model, train=loader), device=CPU)
    before = [torch.get_rng_state(), order.get_state()]
    numpy_before, python_before = np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002  # pyright: ignore
    weights, dense = copy.deepcopy(model.state_dict()), copy.deepcopy(objective.dense.state_dict())
    workers = loader._iterator
    data.read = 0
    DryRun.of(objective).run(tmp_path)
    assert data.read < 60
    assert loader._iterator is workers
    for state, now in zip(before, (torch.get_rng_state(), order.get_state()), strict=True):
        assert torch.equal(state, now)
    assert (np.random.get_state()[1] == numpy_before).all()  # noqa: NPY002  # pyright: ignore
    assert random.getstate() == python_before
    for held, now in ((weights, model), (dense, objective.dense)):
        assert all(torch.equal(value, now.state_dict()[name]) for name, value in held.items())
    assert not any(parameter.grad is not None for parameter in objective.dense.parameters())


def test_there_is_no_dry_run_where_everything_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = task(finetune=FineTune(epochs=0), trials=1, name="done")
    go(asked, tmp_path / "out", sampler="knapsack")
    monkeypatch.setattr(DryRun, "run", lambda *_: 1 / 0)
    assert len(go(asked, tmp_path / "out").trials) == 1


def test_the_split_of_bytes_is_transformed_where_it_is_read() -> None:
    data = torch.zeros(40, 3, 8, 8, dtype=torch.uint8).random_(), torch.arange(40) % 4
    split = Split(data, transform=lambda x: x.float() / 255)
    assert all("3 channels" not in said for said in dry_run(images(train=split, validation=split)))


def test_a_network_that_trains_untrained_layers_alone() -> None:
    model = perceptron()
    model[0].requires_grad_(False)
    assert dry_run(task(model)) == []


def normed(freeze: Callable[[nn.Module], object]) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 4)).train()
    freeze(model[1])
    return model


@pytest.mark.parametrize("freeze", [lambda norm: norm.requires_grad_(False), lambda norm: norm.eval()])
def test_frozen_norms_are_not_trained_in_the_dry_run_either(freeze: Callable[[nn.Module], object]) -> None:
    single = DataLoader(TensorDataset(X, Y), 1)
    assert dry_run(task(normed(freeze), train=single)) == []
    assert "freeze the norms" in refused(lambda: task(normed(lambda norm: norm), train=single))


def test_a_full_disk_is_told_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tensors, "save_file", full)
    with pytest.raises(RankfrontError, match=r"^cannot write .*: the disk is full$"):
        DryRun.of(Objective(task(), device=CPU)).run(tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_networks_are_saved_for_a_moment_where_the_study_will_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No folder is made for it: it would be removed while another worker is about to write into it."""
    saved: list[Path] = []
    monkeypatch.setattr("tempfile.mkdtemp", lambda *_, **__: 1 / 0)

    def save(path: Path, *arguments: Any, **options: Any) -> None:
        saved.append(path)
        save_weights(path, *arguments, **options)

    monkeypatch.setattr("rankfront.objectives.dry_run.save_weights", save)
    (tmp_path / "there").mkdir()
    for folder in (tmp_path / "new" / "study", tmp_path / "there"):
        DryRun.of(Objective(task(), device=CPU)).run(folder)
    assert [path.parent for path in saved] == [tmp_path, tmp_path / "there"]
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_no_more_test_samples_are_scored_than_tell_whether_the_score_works() -> None:
    class Read(Dataset[tuple[Tensor, Tensor]]):
        seen = 0

        def __len__(self) -> int:
            return 5000

        def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
            Read.seen += 1
            return X[index % 80], Y[index % 80]

    def score(outputs: Any, targets: Any) -> float:
        if len(targets) < 60:
            raise ValueError("too few")
        return 0.5

    assert dry_run(task(test=Read(), score=score)) == []
    assert MOST_TEST <= Read.seen < 2 * MOST_TEST
    Read.seen = 0
    assert dry_run(task(test=Read(), score=lambda o, t: 0.5 if len(t) in (70, 5000) else 1 / 0)) == []
    assert Read.seen < 2 * MOST_TEST
    with pytest.raises(RankfrontError, match="the score must accept"):
        dry_run(task(test=blobs(90, 3), score=lambda o, t: 0.5 if len(t) == 70 else 1 / 0))


@pytest.mark.parametrize("most", [1, 2, 4])
def test_no_batch_is_larger_than_those_of_the_trials(most: int) -> None:
    sizes: list[int] = []
    model = Wrapped(lambda m, x: sizes.append(len(x)) or m.net(x))
    objective = Objective(task(model, finetune=FineTune(batch_size=most), eval_batch_size=most), device=CPU)
    sizes.clear()
    with tempfile.TemporaryDirectory() as folder:
        DryRun.of(objective).run(Path(folder))
    assert sizes and max(sizes) <= most


@pytest.mark.parametrize("without", [torch.no_grad(), torch.inference_mode()], ids=["no_grad", "inference_mode"])
def test_a_forward_without_gradients_trains_nothing(without: Any) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = trained_perceptron()

        def forward(self, x: Tensor) -> Tensor:
            with without:
                return self.net(x)

    assert "the model's outputs must have a gradient in training, but have none" in refused(lambda: task(Net()))
    assert dry_run(task(Net(), finetune=FineTune(epochs=0))) == []


def test_a_model_that_takes_its_inputs_out_of_their_mapping() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = trained_perceptron()

        def forward(self, inputs: dict[str, Tensor]) -> Tensor:
            return self.net(inputs.pop("x"))

    assert dry_run(task(Net(), train=({"x": X}, Y), validation=({"x": HELD_OUT[0]}, HELD_OUT[1]))) == []


def test_a_model_that_differentiates_in_its_forward() -> None:
    class Forces(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))

        def forward(self, x: Tensor) -> Tensor:
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                return torch.autograd.grad(self.net(x).sum(), x, create_graph=True)[0]

    score: Any = lambda outputs, targets: -float(nn.functional.mse_loss(outputs, targets))  # noqa: E731
    given = {"train": (X, X), "validation": (HELD_OUT[0],) * 2, "loss": nn.functional.mse_loss, "score": score}
    objective = Objective(task(Forces(), **given), device=CPU)
    assert float(objective.costs.dense["flops"]) > 2 * 3 * 12 * 16
    objective.prepare()
    plan = Plan({name: Choice("svd", KINDS["svd"].smallest(layer)) for name, layer in objective.by_name.items()})
    assert math.isfinite(objective(plan, 0).score)
