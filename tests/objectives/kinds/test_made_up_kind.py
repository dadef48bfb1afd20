"""A kind of a user's own whose base has factors with attributes: it needs a file and its name, nothing else."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from rankfront import Choice, FineTune, Plan, Task
from rankfront.objectives.calibration.moments import Moments, Statistic
from rankfront.objectives.kinds import tt
from rankfront.objectives.kinds.kind import Cost, Decomposition
from rankfront.objectives.kinds.registry import MODULES
from rankfront.objectives.kinds.tt_matrix import TTLinear
from rankfront.objectives.model.layer import Layer
from rankfront.objectives.objective import Objective
from rankfront.objectives.plan import Rank
from tests.conftest import blobs, perceptron


class Flipped(nn.Module):
    """A TT-matrix with ``modes`` and ``rank`` of its own, as its factors have them."""

    def __init__(self, cores: nn.Module) -> None:
        super().__init__()
        assert isinstance(cores, TTLinear)
        self.modes, self.rank = cores.modes[::-1], -cores.rank
        self.cores = cores

    def forward(self, x: Tensor) -> Tensor:
        return self.cores(x)


class MadeUp:
    """All of `tt` but the module."""

    name = "made-up"
    base = "tt"

    def applies(self, layer: Layer) -> tuple[bool, str]:
        applies, reason = tt.KIND.applies(layer)
        return (applies, reason) if isinstance(layer.module, nn.Linear) else (False, "it is no Linear")

    def smallest(self, layer: Layer) -> Rank:
        return tt.KIND.smallest(layer)

    def full_rank(self, layer: Layer) -> Rank:
        return tt.KIND.full_rank(layer)

    def accepts(self, layer: Layer, rank: Rank) -> tuple[bool, str]:
        return tt.KIND.accepts(layer, rank)

    def cost(self, layer: Layer, rank: Rank) -> Cost:
        return tt.KIND.cost(layer, rank)

    def width(self, layer: Layer, rank: Rank) -> int:
        return tt.KIND.width(layer, rank)

    def skeleton(self, layer: Layer, rank: Rank) -> nn.Module:
        return Flipped(tt.KIND.skeleton(layer, rank))

    def wants(self, layer: Layer) -> Statistic | None:
        return tt.KIND.wants(layer)

    def decompose(self, layer: Layer, moments: Moments | None) -> Decomposition:
        return tt.KIND.decompose(layer, moments)

    def ranks(self, layer: Layer, decomposition: Decomposition) -> Sequence[Rank]:
        return decomposition.ranks()

    def inner(self, rank: Rank) -> Rank:
        return rank

    def condense(self, layer: Layer, rank: Rank, factors: nn.Module) -> nn.Module:
        block = self.skeleton(layer, rank).to_empty(device="cpu")
        block.get_submodule("cores").load_state_dict(factors.state_dict())
        return block

    def restore(self, layer: Layer, tensors: Mapping[str, Tensor]) -> Decomposition:
        return tt.KIND.restore(layer, tensors)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("rankfront.objectives.kinds.made_up")
    module.__dict__["KIND"] = MadeUp()
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(MODULES, MadeUp.name, "made_up")


@pytest.mark.usefixtures("registered")
def test_state_is_moved_from_the_dense_layer_and_not_from_the_factors() -> None:
    model = perceptron()
    model[2].mark = {"of": model[2]}
    model[2].bias.requires_grad_(False)
    model[2].register_forward_hook(lambda module, _, output: 2 * output)
    task = Task(model, blobs(100, 1), blobs(50, 2), kinds=("made-up", "tt"), calibration=80, finetune=FineTune(steps=2))
    objective = Objective(task, device=torch.device("cpu"))
    objective.prepare()
    assert "2" in objective.by_name and not objective.layers.left_dense
    choices = [c for c in objective.decompositions.options["2"] if c.kind == "made-up"]
    plan, plain = (Plan({"2": Choice(kind, choices[-1].rank)}) for kind in ("made-up", "tt"))
    ours = objective.factorize(plan)
    layer, factors = ours.get_submodule("2"), objective.factorize(plain).get_submodule("2")
    assert isinstance(layer, Flipped) and isinstance(factors, TTLinear)
    assert (layer.modes, layer.rank) == (factors.modes[::-1], -factors.rank)
    assert layer.mark == {"of": layer}
    assert {name: p.requires_grad for name, p in layer.named_parameters()} == {
        "cores.bias": False,
        "cores.first.weight": True,
        "cores.last.weight": True,
    }
    x = blobs(20, 3)[0]
    torch.testing.assert_close(ours(x), objective.factorize(plain)(x))
    outcome = objective(plan, 0)
    assert outcome.metrics == objective.costs.of(plan)
