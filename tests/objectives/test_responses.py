"""What errors of single layers really change, against what the quadratic model says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from rankfront import FineTune, Task
from rankfront.objectives import responses as module
from rankfront.objectives.calibration.sensitivity import change
from rankfront.objectives.data.batch import Batch
from rankfront.objectives.objective import Objective

PLACES = 8


class Shared(nn.Module):
    """Two Linears that are called at several places, whose outputs are added up."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(12, 12, bias=False), nn.Linear(12, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x)).sum(1)


def prepared(*, alike: bool, cache: Path | None = None) -> Objective:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1500, PLACES, 12, generator=generator)
    if alike:
        x = x[:, :1].expand(-1, PLACES, -1).contiguous()
    y = torch.randn(1500, 4, generator=generator)
    task = Task(
        Shared().eval(),
        (x, y),
        (x[:100], y[:100]),
        loss=nn.functional.mse_loss,
        score=lambda outputs, targets: -float((outputs - targets).square().mean()),
        name="t",
        kinds=("svd",),
        calibration=1000,
        finetune=FineTune(epochs=1),
    )
    objective = Objective(task, device=torch.device("cpu"), cache=cache)
    objective.prepare()
    return objective


def ratios(objective: Objective) -> list[float]:
    return [ratio for response in objective.decompositions.responses.values() for ratio in response.ratios]


def test_a_linear_network_whose_places_are_independent_is_as_predicted() -> None:
    found = ratios(prepared(alike=False))
    assert len(found) > 3
    assert found == pytest.approx([1.0] * len(found), rel=0.6)


def test_errors_that_all_places_share_add_up() -> None:
    """The oracle: the square of a sum of ``PLACES`` equal errors against the sum of their squares."""
    apart, alike = ratios(prepared(alike=False)), ratios(prepared(alike=True))
    assert [a / b for a, b in zip(alike, apart, strict=True)] == pytest.approx([PLACES] * len(alike), rel=0.6)


@given(st.dictionaries(st.floats(1e-6, 1.0), st.floats(0, 1e6), min_size=1, max_size=4), st.data())
def test_a_larger_error_never_counts_less(changes: dict[float, float], data: st.DataObject) -> None:
    errors = np.array(sorted(data.draw(st.lists(st.floats(1e-9, 2.0), min_size=2, max_size=9))))
    counted = errors * module.response_of(changes).factor(errors)
    assert (counted[1:] >= counted[:-1] * (1 - 1e-5)).all()  # ratios are rounded


def test_they_are_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepared(alike=True, cache=tmp_path).decompositions.responses
    asked: list[int] = []
    measure = module.responses
    monkeypatch.setattr("rankfront.objectives.statistics.responses", lambda *given: asked.append(1) or measure(*given))
    assert prepared(alike=True, cache=tmp_path).decompositions.responses == first
    assert not asked
    (kept,) = tmp_path.glob("responses-*.json")
    kept.write_text("[1, 2")
    assert prepared(alike=True, cache=tmp_path).decompositions.responses == first
    assert asked


class Picky(Shared):
    """Gives as many rows as it finds good ones, which small errors change."""

    def forward(self, x: Tensor) -> Tensor:
        found = super().forward(x)
        return found if self.training else found[found[:, 0] > found[:, 1]]


def test_outputs_of_another_shape_tell_nothing() -> None:
    objective = prepared(alike=False)
    x = torch.randn(64, PLACES, 12)
    picky = Picky().eval()
    assert len(picky(x)) != len(x)
    found = module.responses(
        picky,
        objective.decompositions,
        [Batch(x, torch.zeros(64))],
        lambda ours, dense, targets: change("outputs", ours, dense, targets, classifies=False),
        1000,
        lambda done, total: None,
    )
    assert all(len(each.errors) < 3 for each in found.values())
