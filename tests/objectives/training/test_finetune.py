import contextlib
import math
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler

from rankfront import FineTune, RankfrontError, Split, TrialError
from rankfront.objectives.data.batch import Batch
from rankfront.objectives.io.checkpoint import Checkpoint
from rankfront.objectives.training.finetune import finetune
from tests.conftest import blobs, perceptron

CPU = torch.device("cpu")


def loss(outputs: torch.Tensor, batch: Batch) -> torch.Tensor:
    return nn.functional.cross_entropy(outputs, batch.targets)


def error_of(model: nn.Module) -> float:
    x, y = blobs(200, 2)
    with torch.no_grad():
        return float((model.eval()(x).argmax(1) != y).double().mean())


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_learns_and_returns_the_value_it_leaves_behind(optimizer: str) -> None:
    model = perceptron()
    before = error_of(model)
    settings = FineTune(epochs=5, optimizer=optimizer, lr=0.02, batch_size=50)  # pyright: ignore[reportArgumentType]
    least = finetune(model, Split(blobs(400, 1)), loss, error_of, settings, seed=0, device=CPU)
    assert least < before - 0.2
    assert error_of(model) == least


def test_keeps_the_best_epoch_and_not_the_last() -> None:
    scores = iter([0.9, 0.1, 0.8, 0.7])
    states: list[torch.Tensor] = []

    def validate(model: nn.Module) -> float:
        states.append(model.state_dict()["0.weight"].clone())
        return next(scores)

    model = perceptron()
    settings = FineTune(epochs=3, lr=0.1, batch_size=100)
    assert finetune(model, Split(blobs(400, 1)), loss, validate, settings, seed=0, device=CPU) == 0.1
    assert torch.equal(model.state_dict()["0.weight"], states[1])


def test_never_ends_above_where_it_began() -> None:
    scores = iter([0.1, 0.9])
    model = perceptron()
    weight = model[0].weight.detach().clone()
    settings = FineTune(epochs=1)
    assert finetune(model, Split(blobs(50, 1)), loss, lambda _: next(scores), settings, seed=0, device=CPU) == 0.1
    assert torch.equal(model[0].weight, weight)


@pytest.mark.parametrize(("settings", "steps"), [(FineTune(epochs=2, batch_size=100), 8), (FineTune(steps=5), 5)])
def test_takes_the_steps_asked_for(settings: FineTune, steps: int) -> None:
    taken = 0

    def counting(outputs: torch.Tensor, batch: Batch) -> torch.Tensor:
        nonlocal taken
        taken += 1
        return loss(outputs, batch)

    finetune(perceptron(), Split(blobs(400, 1)), counting, lambda _: 0.0, settings, seed=0, device=CPU)
    assert taken == steps == settings.total_steps(Split(blobs(400, 1)))


def test_same_seed_same_weights_whatever_the_global_state() -> None:
    def run(seed: int) -> torch.Tensor:
        torch.rand(3)
        model = nn.Sequential(perceptron(), nn.Dropout(0.5))
        finetune(model, Split(blobs(100, 1)), loss, lambda _: 0.0, FineTune(epochs=2), seed=seed, device=CPU)
        return model[0][0].weight.detach()

    assert torch.equal(run(3), run(3))
    assert not torch.equal(run(3), run(4))


def test_zero_epochs_only_scores() -> None:
    model = perceptron()
    weight = model[0].weight.detach().clone()
    finetune(model, Split(blobs(50, 1)), loss, lambda _: 0.5, FineTune(epochs=0), seed=0, device=CPU)
    assert torch.equal(model[0].weight, weight)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_fails_the_trial(value: float) -> None:
    with pytest.raises(TrialError, match="the loss must be finite"):
        finetune(
            perceptron(),
            Split(blobs(50, 1)),
            lambda outputs, batch: loss(outputs, batch) * value,
            lambda _: 0.0,
            FineTune(),
            seed=0,
            device=CPU,
        )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"epochs": -1}, "epochs must be 0 or more, but got -1"),
        ({"lr": 0.0}, "lr must be positive"),
        ({"warmup": 1.0}, "warmup"),
        ({"distill": 1.1}, "distill must be from 0 to 1"),
        ({"optimizer": "lion"}, "adamw or sgd, but got 'lion'"),
    ],
)
def test_checks_its_settings(wrong: dict[str, float], said: str) -> None:
    with pytest.raises(RankfrontError, match=said):
        FineTune(**wrong)  # pyright: ignore[reportArgumentType]


def test_a_checkpoint_of_another_format_is_begun_anew(tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def run(key: str, stop_after: int | None) -> list[int]:
        steps: list[int] = []

        def progress(done: int, total: int) -> None:
            steps.append(done)

        def stop(epoch: int) -> bool:
            if epoch == stop_after:
                raise Stopped
            return False

        checkpoint = Checkpoint(tmp_path / "kept.safetensors", key)
        arguments = (perceptron(), Split(blobs(400, 1)), loss, error_of, FineTune(epochs=3, batch_size=25))
        with contextlib.suppress(Stopped):
            finetune(*arguments, seed=0, device=CPU, progress=progress, checkpoint=checkpoint, stop=stop)
        return steps

    assert run("mine", 2) == [16, 32]
    assert run("mine", None) == [32, 48]  # goes on after the first epoch, of 16 steps
    stale = Checkpoint(tmp_path / "kept.safetensors", "other")
    optimizer = torch.optim.AdamW(perceptron().parameters())
    stale.save(16, perceptron(), optimizer, {"score": torch.tensor(0.9)})  # as version 1 wrote it
    assert run("other", None) == [16, 32, 48]


class Drawing(Dataset[tuple[Tensor, Tensor]]):
    """Augments by whatever generator people use in a Dataset."""

    def __init__(self, draw: Callable[[], float]) -> None:
        self.x, self.y = blobs(24, 1)
        self.draw = draw

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.x[index] * (1 + self.draw()), self.y[index]


OWN = torch.Generator().manual_seed(5)
DRAWN: dict[str, Callable[[], object]] = {
    "python": lambda: Drawing(random.random),
    "python's gauss": lambda: Drawing(lambda: random.gauss(0, 1)),
    "numpy": lambda: Drawing(lambda: float(np.random.randn())),  # noqa: NPY002
    "torch": lambda: Drawing(lambda: float(torch.randn(()))),
    "a loader's generator": lambda: DataLoader(Drawing(lambda: 0.0), 5, shuffle=True, generator=OWN),
    "a loader of all": lambda: DataLoader(Drawing(random.random), 5, shuffle=True, generator=OWN),
    "a sampler's generator": lambda: DataLoader(
        Drawing(lambda: 0.0), 5, sampler=RandomSampler(Drawing(lambda: 0.0), generator=OWN)
    ),
}


def trained(source: object, checkpoint: Checkpoint | None = None, end: int | None = None) -> dict[str, Tensor]:
    def stop(epoch: int) -> bool:
        if epoch == end:
            raise KeyboardInterrupt
        return False

    model, settings = perceptron(), FineTune(epochs=4, lr=0.05, batch_size=5)
    values = iter(range(0, -99, -1))
    finetune(
        model,
        Split(source),
        loss,
        lambda _: float(next(values)),
        settings,
        seed=7,
        device=CPU,
        checkpoint=checkpoint,
        stop=stop,
    )
    return model.state_dict()


def draw_from_all() -> None:
    for draw in (random.random, np.random.rand, lambda: torch.rand(3), lambda: torch.rand(3, generator=OWN)):
        draw()


@pytest.mark.parametrize("make", DRAWN.values(), ids=DRAWN)
def test_one_seed_is_one_outcome_whatever_the_data_draws_from(make: Callable[[], object], tmp_path: Path) -> None:
    source = make()
    first = trained(source)
    draw_from_all()
    before = random.getstate(), np.random.get_state()[1].tolist(), OWN.get_state().tolist()  # noqa: NPY002  # pyright: ignore
    second = trained(source)
    assert before == (random.getstate(), np.random.get_state()[1].tolist(), OWN.get_state().tolist())  # noqa: NPY002  # pyright: ignore
    checkpoint = Checkpoint(tmp_path / "at.safetensors", "key")
    with pytest.raises(KeyboardInterrupt):
        trained(source, checkpoint, end=3)
    assert checkpoint.path.exists()
    draw_from_all()
    resumed = trained(source, checkpoint)
    for name, value in first.items():
        assert torch.equal(value, second[name]) and torch.equal(value, resumed[name]), name


@pytest.mark.parametrize("sizes", [[4, 3], [6, 5, 3], [4, 3, 3], [3, 1]])
def test_no_part_is_one_sample_where_batch_norm_refuses_it(sizes: list[int]) -> None:
    passed: list[int] = []

    def scarce(outputs: Tensor, batch: Batch) -> Tensor:
        if len(outputs) > 3:
            raise torch.OutOfMemoryError
        passed.append(len(outputs))
        return loss(outputs, batch)

    model = nn.Sequential(nn.Linear(12, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))
    batches = [blobs(size, size) for size in sizes]
    finetune(model, Split(batches), scarce, lambda _: 0.0, FineTune(epochs=1), seed=0, device=CPU)
    assert min(passed) >= 2 and sum(passed) >= sum(size for size in sizes if size > 1)


def test_where_memory_does_not_suffice_for_two_samples_batch_norm_cannot_be_trained() -> None:
    def scarce(outputs: Tensor, batch: Batch) -> Tensor:
        if len(outputs) > 1:
            raise torch.OutOfMemoryError
        return loss(outputs, batch)

    model = nn.Sequential(nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Linear(8, 4))
    with pytest.raises(torch.OutOfMemoryError):
        finetune(model, Split(blobs(8, 1)), scarce, lambda _: 0.0, FineTune(epochs=1), seed=0, device=CPU)
