"""The random scalars whose gradients tell what errors cost."""

import pytest
import torch
from torch.nn import functional

from rankfront.objectives.calibration.sensitivity import scalar_of


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
