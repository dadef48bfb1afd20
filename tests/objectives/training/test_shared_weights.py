"""Weights that all plans share: every plan's network is a slice of them, whatever the layer and the kind."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from rankfront import DENSE, Choice, Plan, Task
from rankfront.objectives.io.checkpoint import Checkpoint
from rankfront.objectives.kinds.registry import KINDS, kind_named
from rankfront.objectives.objective import Objective
from rankfront.objectives.plan import as_int
from rankfront.objectives.shared import train_shared
from rankfront.objectives.training.shared_weights import SharedWeights, overlap
from tests.objectives.kinds.stored_models import First
from tests.objectives.preparing import CPU, PLAN, prepared


def flat(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(3))


MODELS = {
    "Linears": (lambda: nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 12)), (12,)),
    "convolutions": (lambda: flat(nn.Conv2d(3, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 8, 3, stride=2)), (3, 8, 8)),
    "groups": (lambda: flat(nn.Conv2d(6, 24, 3, groups=3), nn.BatchNorm2d(24)), (6, 8, 8)),
    "transposed": (lambda: flat(nn.ConvTranspose2d(8, 6, 3, stride=2, output_padding=1)), (8, 5, 5)),
    "transposed groups": (lambda: flat(nn.ConvTranspose2d(8, 12, 3, groups=2)), (8, 5, 5)),
    "LSTM": (lambda: First(nn.LSTM(6, 10, batch_first=True), 10), (5, 6)),
}


def objective_of(name: str) -> Objective:
    torch.manual_seed(0)
    make, shape = MODELS[name]
    model = make()
    x = torch.randn(64, *shape)
    model(x)  # makes lazy layers
    data = x, torch.randint(3, (64,))
    kinds = tuple(KINDS)
    found = Objective(Task(model, data, data, calibration=32, kinds=kinds), device=CPU, nested=True)
    found.prepare()
    return found


def plans_of(objective: Objective) -> list[Plan]:
    """One plan for each option of the layer that has most of them; other layers take theirs in turn."""
    options = objective.decompositions.options
    most = max(map(len, options.values()))
    turns = {name: list(itertools.islice(itertools.cycle(of), most)) for name, of in options.items()}
    return [Plan({name: turns[name][n] for name in turns}) for n in range(most)]


def outputs(model: nn.Module, objective: Objective) -> Tensor:
    batch = objective.samples.held_out[0]
    with torch.no_grad():
        return model.eval()(batch.inputs)


@pytest.mark.parametrize("name", MODELS)
def test_before_training_every_plan_is_as_it_is_decomposed(name: str) -> None:
    objective = objective_of(name)
    plans = plans_of(objective)
    kinds = {kind_named(c.kind).base for plan in plans for c in plan.values() if c != DENSE}
    assert kinds
    for plan in plans:
        shared = SharedWeights(objective.dense, objective.decompositions, plans)
        expected = outputs(objective.decompositions.in_place(objective.dense, plan), objective)
        torch.testing.assert_close(outputs(shared.in_place(plan), objective), expected, atol=1e-4, rtol=1e-4)
        shared._plans = [plan]
        shared._frozen = [path for path, m in objective.dense.named_modules() if isinstance(m, nn.BatchNorm2d)]
        torch.testing.assert_close(outputs(shared, objective), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_a_plan_trains_its_own_channels_and_no_others(name: str) -> None:
    objective = objective_of(name)
    plans = plans_of(objective)
    shared = SharedWeights(objective.dense, objective.decompositions, plans)
    for plan in (plans[0], plans[len(plans) // 2]):
        shared.zero_grad()
        shared._plans = [plan]
        shared.train()(objective.samples.held_out[0].inputs).square().sum().backward()
        for key, factors in shared.factors.items():
            kind, layer = key.split(" ")
            layer = layer.replace("/", ".")
            choice = plan[layer]
            trained = choice != DENSE and kind_named(choice.kind).base == kind
            for own, parameter in factors.named_parameters():
                if not trained:
                    assert parameter.grad is None
                elif own.rpartition(".")[2] != "bias":
                    rank = kind_named(choice.kind).inner(choice.rank or 1)
                    size = kind_named(kind).skeleton(objective.by_name[layer], rank).get_parameter(own).numel()
                    assert parameter.grad is not None
                    assert int((parameter.grad != 0).sum()) <= size < parameter.numel() or rank == largest(plans, key)


def largest(plans: list[Plan], key: str) -> int:
    kind, layer = key.split(" ")
    chosen = [kind_named(c.kind) for plan in plans if (c := plan[layer.replace("/", ".")]) != DENSE]
    ranks = [k.inner(plan[layer.replace("/", ".")].rank or 1) for plan, k in zip(plans, chosen, strict=False)]
    return max((as_int(r) for r, k in zip(ranks, chosen, strict=False) if k.base == kind), default=0)


@pytest.mark.parametrize("name", MODELS)
def test_what_was_trained_is_what_a_plan_gets(name: str) -> None:
    objective = objective_of(name)
    plans = plans_of(objective)
    shared = SharedWeights(objective.dense, objective.decompositions, plans)
    with torch.no_grad():
        for parameter in shared.parameters():
            parameter += 0.01 * torch.randn_like(parameter)
    frozen = [path for path, m in objective.dense.named_modules() if isinstance(m, nn.BatchNorm2d)]
    shared._frozen = frozen
    for plan in plans:
        shared._plans = [plan]
        torch.testing.assert_close(
            outputs(shared.in_place(plan), objective), outputs(shared, objective), atol=1e-4, rtol=1e-4
        )


def test_ranks_beyond_the_largest_are_as_decomposed_there(task: Task) -> None:
    objective = prepared(task)
    small = Plan({"0": Choice("svd", 2), "2": Choice("svd", 2), "4": DENSE})
    shared = SharedWeights(objective.dense, objective.decompositions, [small])
    with torch.no_grad():
        for parameter in shared.factors.parameters():
            parameter.zero_()
    found = shared.in_place(PLAN)
    decomposed = objective.decompositions.in_place(objective.dense, PLAN)
    ours, theirs = found.get_parameter("0.0.weight"), decomposed.get_parameter("0.0.weight")
    assert not ours[:2].any()
    assert torch.equal(ours[2:], theirs[2:])


def test_frozen_layers_stay_and_so_does_the_dense_model(task: Task, dense: nn.Module) -> None:
    model = replace(task).model
    before = {name: value.clone() for name, value in dense.state_dict().items()}
    model.get_submodule("0").requires_grad_(False)
    try:
        objective = prepared(replace(task, model=model))
        shared = SharedWeights(objective.dense, objective.decompositions, [PLAN])
        start = {name: value.clone() for name, value in shared.named_parameters()}
        optimizer = torch.optim.AdamW([p for p in shared.parameters() if p.requires_grad], 0.1)
        shared.train()(objective.samples.held_out[0].inputs).square().sum().backward()
        optimizer.step()
        moved = {name for name, value in shared.named_parameters() if not torch.equal(value, start[name])}
        assert moved and not any(name.startswith(("factors.svd 0.", "rest.0.")) for name in moved)
    finally:
        model.get_submodule("0").requires_grad_(True)
    assert all(torch.equal(value, before[name]) for name, value in dense.state_dict().items())


@given(
    ranks=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    blocks=st.integers(1, 3),
    rest=st.integers(1, 4),
)
def test_overlap_holds_the_first_channels_of_each_block(ranks: tuple[int, int], blocks: int, rest: int) -> None:
    def numbered(rank: int) -> Tensor:
        return torch.stack([torch.arange(rank) + 100 * n for n in range(blocks)]).flatten()[:, None].repeat(1, rest)

    one, other = overlap(numbered(ranks[0]), numbered(ranks[1]), blocks)
    assert torch.equal(one, other)
    kept = numbered(min(ranks))
    assert torch.equal(one.reshape(kept.shape), kept)


def test_training_goes_on_where_it_was_stopped(task: Task, tmp_path: Path) -> None:
    def trained(folder: str, stop_at: int | None) -> Objective:
        objective = prepared(task)

        def progress(done: int, total: int) -> None:
            if stop_at is not None and done >= stop_at:
                raise KeyboardInterrupt

        train_shared(
            objective,
            [PLAN],
            [PLAN],
            steps=40,
            seed=3,
            checkpoint=Checkpoint(tmp_path / folder, "key"),
            progress=progress,
            note=lambda _: None,
        )
        return objective

    undisturbed = trained("one", None)
    with pytest.raises(KeyboardInterrupt):
        trained("two", 32)
    resumed = trained("two", None)
    again = trained("two", 0)  # done: not a single step more
    for objective in (resumed, again):
        assert objective.shared is not None and undisturbed.shared is not None
        expected = undisturbed.shared.weights.state_dict()
        found = objective.shared.weights.state_dict()
        assert all(torch.equal(found[name], value) for name, value in expected.items())
