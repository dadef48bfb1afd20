"""Distance to the dense model: like is compared with like."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rankfront import Split
from rankfront.objectives.training.distillation import SoftTargets, distillation_loss


def kl(ours: Tensor, theirs: Tensor, temperature: float) -> Tensor:
    """Return the divergence ``(N, …)``, by its definition; classes last."""
    p, q = (theirs / temperature).softmax(-1), (ours / temperature).softmax(-1)
    return (p * (p.log() - q.log())).sum(-1) * temperature**2


@pytest.mark.parametrize("classes_last", [True, False])
@pytest.mark.parametrize("structured", [True, False])
def test_over_the_classes_of_every_position_that_is_not_ignored(classes_last: bool, structured: bool) -> None:
    ours, theirs = torch.randn(4, 7, 5), torch.randn(4, 7, 5)
    targets = torch.randint(5, (4, 7)).masked_fill(torch.rand(4, 7) < 0.4, -100)
    expected = kl(ours, theirs, 2.0)[targets != -100].mean()
    one, other = (t if classes_last else t.movedim(-1, 1) for t in (ours, theirs))
    outputs, soft = ({"logits": t, "loss": t.mean(), "hidden": t + 1} if structured else t for t in (one, other))
    found = distillation_loss(outputs, soft, classes=True, temperature=2.0, targets=targets)
    torch.testing.assert_close(found, expected)


def test_without_targets_the_classes_are_dimension_one() -> None:
    ours, theirs = torch.randn(4, 5), torch.randn(4, 5)
    found = distillation_loss(ours, theirs, classes=True, temperature=1.0)
    torch.testing.assert_close(found, kl(ours, theirs, 1.0).mean())


PAIRS: dict[str, tuple[Any, Any, float | None]] = {
    "tensors": (torch.ones(3, 2), torch.zeros(3, 2), 1.0),
    "named logits alone": (
        {"logits": torch.ones(3, 2), "hidden": torch.ones(3, 9)},
        {"logits": torch.zeros(3, 2), "hidden": torch.zeros(3, 9)},
        1.0,
    ),
    "all of a pair": ((torch.ones(3, 2), torch.ones(3, 4) * 3), (torch.zeros(3, 2), torch.zeros(3, 4)), 5.0),
    "losses and what is None left out": (
        (torch.tensor(7.0), torch.ones(3, 2), None),
        (torch.tensor(0.0), torch.zeros(3, 2), None),
        1.0,
    ),
    "what one of them lacks": (
        {"a": torch.ones(3), "b": torch.ones(3)},
        {"a": torch.zeros(3), "c": torch.zeros(3)},
        1.0,
    ),
    "other shapes": ({"a": torch.ones(3), "b": torch.ones(3, 2)}, {"a": torch.zeros(3), "b": torch.zeros(3, 4)}, 1.0),
    "a cache": ((torch.ones(3, 2), object()), (torch.zeros(3, 2), object()), 1.0),
    "auxiliary outputs in training": ((torch.ones(3, 9), torch.ones(3, 2)), torch.zeros(3, 2), 1.0),
    "nothing alike": ({"loss": torch.tensor(1.0)}, [{"boxes": torch.zeros(3, 4)}], None),
    "integers": ({"ids": torch.ones(3, dtype=torch.long)}, {"ids": torch.zeros(3, dtype=torch.long)}, None),
}


@pytest.mark.parametrize(("outputs", "soft", "expected"), PAIRS.values(), ids=PAIRS)
def test_what_is_compared_by_mean_squares(outputs: Any, soft: Any, expected: float | None) -> None:
    found = distillation_loss(outputs, soft, classes=False, temperature=1.0)
    assert (found is None) if expected is None else float(found) == pytest.approx(expected)  # pyright: ignore


@pytest.mark.parametrize("batch_size", [3, 50])
def test_soft_targets_of_a_structure_are_its_logits_kept(batch_size: int) -> None:
    passes: list[int] = []

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Any:
            passes.append(len(x))
            return {"logits": self.linear(x), "hidden": torch.stack([x, x]), "loss": x.mean()}

    net, x = Net(), torch.randn(40, 3)
    soft = SoftTargets(net, Split((x, torch.zeros(40))), batch_size)
    for _ in range(2):
        for batch in soft.data.batches(8, shuffle=torch.Generator().manual_seed(0)):
            torch.testing.assert_close(soft.of(batch), net.linear(batch.inputs).detach())
    assert sum(passes) == 48 and max(passes) <= max(8, batch_size)


class OfTheLongest(nn.Module):
    """Outputs as long as the longest sample of the batch, as of models that cut the padding off."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, : int((x != 0).sum(1).max()), None] * torch.ones(3)


@pytest.mark.parametrize("lengths", [[2, 5], [5, 2], [1, 2, 3, 4]])
@pytest.mark.parametrize("batch_size", [2, 4])
def test_outputs_that_differ_in_length_from_batch_to_batch(lengths: list[int], batch_size: int) -> None:
    counts = torch.tensor(lengths).repeat_interleave(4)
    x = torch.ones(len(counts), 5).where(torch.arange(5) < counts[:, None], 0.0)
    data = Split((x, torch.zeros(len(x))))
    soft = SoftTargets(OfTheLongestWithWeight(), data, batch_size)
    for batch in data.batches(3, shuffle=torch.Generator().manual_seed(0)):
        torch.testing.assert_close(soft.of(batch), OfTheLongest()(batch.inputs))


class OfTheLongestWithWeight(OfTheLongest):
    """Knows its device."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
