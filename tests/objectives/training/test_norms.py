"""Statistics of norms that the user froze, by whatever means, stay; those of others are trained and re-estimated."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rankfront import FineTune, RankfrontError, Split
from rankfront.objectives.data.batch import Batch
from rankfront.objectives.training.batchnorm import reestimate_where_it_helps
from rankfront.objectives.training.finetune import finetune
from rankfront.objectives.training.norms import frozen_norms, norms_of

CPU = torch.device("cpu")
X = 2 + 3 * torch.randn(64, 3, 6, 6, generator=torch.Generator().manual_seed(0))
Y = torch.arange(64) % 4


def network(norm: Callable[[int], nn.Module] = nn.BatchNorm2d) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), norm(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(32, 4)
    )


class KeepsEval(nn.Sequential):
    """A ``train()`` of the user's, as detection backbones have it; it returns nothing, as is often forgotten."""

    def train(self, mode: bool = True) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().train(mode)
        self[1].eval()


def untrained(model: nn.Sequential) -> nn.Module:
    model[1].requires_grad_(False)
    return model


def in_eval(model: nn.Sequential) -> nn.Module:
    model.train()
    model[1].eval()
    return model


def tracking(channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels, affine=True, track_running_stats=True)


FROZEN: dict[str, Callable[[], nn.Module]] = {
    "no gradient": lambda: untrained(network()),
    "set to eval in a model that trains": lambda: in_eval(network()),
    "kept in eval by its own train()": lambda: KeepsEval(*network()),
    "without weights": lambda: in_eval(network(lambda channels: nn.BatchNorm2d(channels, affine=False))),
    "an instance norm": lambda: untrained(network(tracking)),
    "a synchronised one": lambda: untrained(network(nn.SyncBatchNorm)),
}
TRAINED: dict[str, Callable[[], nn.Module]] = {
    "as it comes": lambda: network().eval(),
    "an instance norm": lambda: network(tracking).eval(),
    "in training mode": lambda: network().train(),
}


def loss(outputs: Tensor, batch: Batch) -> Tensor:
    return nn.functional.cross_entropy(outputs, batch.targets)


def tuned(model: nn.Module, frozen: frozenset[str]) -> dict[str, Tensor]:
    values = iter([2.0, 1.0, 0.5])
    settings = FineTune(epochs=2, batch_size=16)
    finetune(model, Split((X, Y)), loss, lambda _: next(values), settings, seed=0, device=CPU, frozen=frozen)
    return {name: buffer for name, buffer in model.named_buffers() if "running" in name}


@pytest.mark.parametrize("make", FROZEN.values(), ids=FROZEN)
def test_statistics_that_are_frozen_stay(make: Callable[[], nn.Module]) -> None:
    model = make()
    modes = [module.training for module in model.modules()]
    frozen = frozen_norms(model, copy.deepcopy(model))
    assert frozen == {"1"} and modes == [module.training for module in model.modules()]
    before = {name: buffer.clone() for name, buffer in model.named_buffers() if "running" in name}
    model.eval()
    values = iter([2.0, 1.0])
    assert reestimate_where_it_helps(model, [Batch(X[:32], Y[:32])], lambda _: next(values), frozen)
    for after in (dict(model.named_buffers()), tuned(model, frozen)):
        for name, buffer in before.items():
            assert torch.equal(after[name], buffer) == name.startswith("1."), name


@pytest.mark.parametrize("make", TRAINED.values(), ids=TRAINED)
def test_statistics_of_other_norms_are_trained(make: Callable[[], nn.Module]) -> None:
    model = make()
    assert not frozen_norms(model, model)
    before = {name: buffer.clone() for name, buffer in model.named_buffers() if "running" in name}
    assert not any(torch.equal(before[name], buffer) for name, buffer in tuned(model, frozenset()).items())


def test_norms_without_statistics_are_none() -> None:
    norms = (nn.BatchNorm1d(3, track_running_stats=False), nn.InstanceNorm1d(3), nn.LayerNorm(3), nn.GroupNorm(1, 3))
    assert not norms_of(nn.Sequential(*norms))


def flat() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))


def loaded(sizes: list[int]) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(n, 12, generator=generator), torch.arange(n) % 4) for n in sizes]


def steps_of(model: nn.Module, sizes: list[int], epochs: int = 2) -> int:
    taken = 0

    def counted(outputs: Tensor, batch: Batch) -> Tensor:
        nonlocal taken
        taken += 1
        return loss(outputs, batch)

    data = Split(loaded(sizes))
    finetune(model, data, counted, lambda _: 0.0, FineTune(epochs=epochs), seed=0, device=CPU)
    return taken


def test_a_batch_of_one_is_passed_over_only_where_batch_norm_refuses_it() -> None:
    assert steps_of(flat(), [4, 4, 1]) == 4
    assert steps_of(nn.Sequential(nn.Linear(12, 4)), [4, 4, 1]) == 6
    assert steps_of(nn.Sequential(nn.Linear(12, 4)), [1, 1, 1]) == 6
    assert steps_of(nn.Sequential(nn.Unflatten(1, (3, 4)), nn.BatchNorm1d(3), nn.Flatten(), nn.Linear(12, 4)), [1]) == 2


def test_an_epoch_of_batches_of_one_is_told() -> None:
    with pytest.raises(RankfrontError, match=r"batches of 2 samples or more.* freeze the norms"):
        steps_of(flat(), [1, 1, 1])


def test_reestimation_passes_over_a_batch_of_one() -> None:
    model, values = flat().eval(), iter([2.0, 1.0])
    batches = [Batch(x, y) for x, y in loaded([8, 1])]
    assert reestimate_where_it_helps(model, batches, lambda _: next(values))
    torch.testing.assert_close(model[1].running_mean, model[0](batches[0].inputs).mean(0))
