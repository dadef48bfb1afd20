"""Channels between factors are made equally large; the network stays the same function."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rankfront.objectives.data.batch import Batch
from rankfront.objectives.deploy.balance import balanced
from rankfront.objectives.deploy.int8 import layer_errors, layers_of
from rankfront.objectives.model.stand_in import Chain

FALLING = torch.logspace(0, -3, 12)


def falling(first: nn.Module, last: nn.Module) -> Chain:
    """Factors whose channels in between become smaller and smaller, as singular values do."""
    with torch.no_grad():
        weight: Tensor = first.weight  # pyright: ignore[reportAssignmentType]
        weight.mul_(FALLING.view(-1, *[1] * (weight.ndim - 1)))
    return Chain(first, last)


def conv(inputs: int, outputs: int, size: int | tuple[int, int], **options: object) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, **options)  # pyright: ignore[reportArgumentType]


CASES = {
    "linears": (lambda: falling(nn.Linear(20, 12, bias=False), nn.Linear(12, 16)), (8, 20)),
    "tokens": (lambda: falling(nn.Linear(20, 12), nn.Linear(12, 16)), (8, 5, 20)),
    "columns and rows": (
        lambda: falling(conv(6, 12, (3, 1), padding=(1, 0)), conv(12, 16, (1, 3), padding=(0, 1), stride=2)),
        (8, 6, 9, 9),
    ),
    "three": (lambda: Chain(conv(6, 4, 1), *falling(conv(4, 12, 3, bias=False), conv(12, 16, 1))), (8, 6, 9, 9)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_function_stays_and_int8_moves_it_less(name: str) -> None:
    torch.manual_seed(0)
    make, shape = CASES[name]
    model = nn.Sequential(make(), nn.ReLU()).eval()
    batches = [Batch(torch.randn(shape), torch.zeros(8)) for _ in range(2)]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    found = balanced(model, batches)
    x = torch.randn(shape)
    torch.testing.assert_close(found(x), model(x), rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    errors = [sum(layer_errors(m, layers_of(m), batches, activations=True).values()) for m in (found, model)]
    assert errors[0] < 0.5 * errors[1], errors


@pytest.mark.parametrize(
    "chain",
    [
        Chain(conv(6, 12, 1, groups=2), conv(12, 4, 1, groups=2)),
        Chain(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3)),
        Chain(nn.ConvTranspose2d(6, 4, 1), conv(4, 3, 1)),
        nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3)),
    ],
)
def test_what_cannot_be_changed_stays(chain: nn.Sequential) -> None:
    x = torch.randn(5, 6) if isinstance(chain[-1], nn.Linear) else torch.randn(2, 6, 4, 4)
    found = balanced(chain.eval(), [Batch(x, torch.zeros(len(x)))])
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found.parameters(), chain.parameters(), strict=True))


def test_channels_that_are_never_used_do_no_harm() -> None:
    chain = Chain(nn.Linear(6, 4, bias=False), nn.Linear(4, 3))
    with torch.no_grad():
        chain[0].weight[1], chain[1].weight[:, 2] = 0.0, 0.0  # pyright: ignore[reportIndexIssue]
    x = torch.randn(5, 6)
    torch.testing.assert_close(balanced(chain.eval(), [Batch(x, torch.zeros(5))])(x), chain(x))
