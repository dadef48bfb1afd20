"""The random scalars whose gradients tell what errors cost, and what changes of outputs cost by them."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from rankfront.objectives.calibration.sensitivity import Sensitivity, change, scalar_of

LABELS = torch.zeros(3, dtype=torch.long)


def scalars(sensitivity: Sensitivity, outputs: tuple[Tensor, Tensor], seed: int) -> Tensor:
    """The square of the change of the scalar, with the same random signs for both."""
    found = []
    for each in outputs:
        torch.manual_seed(seed)
        found.append(scalar_of(sensitivity, each, LABELS, classifies=True))
    return (found[0] - found[1]).square()


def test_a_change_is_the_expected_square_of_the_scalars() -> None:
    """The oracle: the mean over many draws."""
    torch.manual_seed(0)
    dense = torch.randn(3, 5)
    ours = dense + 0.1 * torch.randn(3, 5)
    expected = torch.stack([scalars("outputs", (ours, dense), seed) for seed in range(4000)]).mean()
    assert float(change("auto", ours, dense, LABELS, classifies=True)) == pytest.approx(float(expected), rel=0.1)


def test_a_function_of_the_users_sees_both_outputs_with_the_same_signs() -> None:
    def sensitivity(outputs: Tensor) -> Tensor:
        return (outputs[:, 1] * torch.randn(len(outputs))).sum()

    torch.manual_seed(0)
    dense = torch.randn(3, 5)
    other = torch.cat((torch.randn(3, 1), dense[:, 1:2], torch.randn(3, 3)), 1)  # where it does not look
    assert float(change(sensitivity, other, dense, LABELS, classifies=True)) == 0
    ours = dense + 0.1 * torch.randn(3, 5)
    found = float(change(sensitivity, ours, dense, LABELS, classifies=True))
    assert found == pytest.approx(float(scalars(sensitivity, (ours, dense), 0)))


def test_a_change_of_positions_is_twice_the_divergence() -> None:
    torch.manual_seed(0)
    dense, targets = torch.randn(2, 7, 11), torch.zeros(2, 7, dtype=torch.long)
    ours = dense + 0.3 * torch.randn(2, 7, 11)
    expected = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=dense), torch.distributions.Categorical(logits=ours)
    )
    found = float(change("auto", ours, dense, targets, classifies=True))
    assert found == pytest.approx(2 * float(expected.sum()), rel=1e-4)


def test_classes_are_drawn_as_often_as_the_softmax_says_and_never_those_of_probability_0() -> None:
    """Through the gradient of the cross entropy, softmax less the drawn class: its mean over many rows is 0."""
    probabilities = torch.tensor([0.0, 0.1, 0.2, 0.3, 0.4, 0.0])
    logits = probabilities.log()[None, None].repeat(1, 40_000, 1).clamp(min=-100).requires_grad_()
    torch.manual_seed(0)
    scalar = scalar_of("fisher", logits, torch.zeros(1, 40_000, dtype=torch.long), classifies=True)
    (gradient,) = torch.autograd.grad(scalar, logits)
    drawn = (functional.softmax(logits, -1) - gradient)[0]
    assert drawn.mean(0).tolist() == pytest.approx(probabilities.tolist(), abs=0.01)
    assert drawn[:, [0, 5]].abs().max() < 1e-6
