"""All factors together: the network's outputs come nearer to the dense one's, and nothing but factors changes."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from rankfront import DENSE, Choice, FineTune, Plan, Task
from rankfront.objectives.data.batch import Batch
from rankfront.objectives.objective import Objective
from rankfront.objectives.training.descent import Descent, descend
from rankfront.objectives.training.network_refit import refit_network
from tests.conftest import blobs, perceptron

BY = Descent(steps=60, lr=3e-3)


class Branches(nn.Module):
    """A dictionary of two outputs, one of them integers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Linear(12, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        logits = self.head(torch.relu(self.body(x)))
        return {"logits": logits, "best": logits.argmax(1)}


def language_model() -> nn.Module:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    return LlamaForCausalLM(LlamaConfig(**sizes, vocab_size=30))


def batches(name: str) -> list[Batch]:
    if name == "language model":
        ids = torch.randint(30, (120, 6), generator=torch.Generator().manual_seed(0))
        return [Batch(part, part) for part in ids.split(20)]
    x, y = blobs(240, 1)
    return [Batch(*parts) for parts in zip(x.split(40), y.split(40), strict=True)]


MODELS: dict[str, Any] = {"perceptron": perceptron, "dictionary": Branches, "language model": language_model}


def prepared(name: str, **settings: Any) -> tuple[Objective, Plan]:
    every = batches(name)
    x, y = torch.cat([b.inputs for b in every]), torch.cat([b.targets for b in every])
    task = Task(MODELS[name]().eval(), (x, y), (x, y), kinds=("svd",), calibration=96, name="t", **settings)
    objective = Objective(task, device=torch.device("cpu"))
    objective.prepare()
    options = objective.decompositions.options
    return objective, Plan({name: every[len(every) // 4] for name, every in options.items()})


def factorized(objective: Objective, plan: Plan) -> tuple[nn.Module, list[str]]:
    return objective.decompositions.in_place(objective.dense, plan), [n for n, c in plan.items() if c != DENSE]


@pytest.mark.parametrize("name", MODELS)
def test_outputs_come_nearer_and_only_factors_change(name: str) -> None:
    objective, plan = prepared(name)
    model, layers = factorized(objective, plan)
    before, was = copy.deepcopy(model.state_dict()), objective._start().distance(model)
    every = batches(name)
    refit_network(model, objective.dense, layers, every, objective.samples.held_out, objective.task.criterion, BY)
    assert objective._start().distance(model) < was
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert changed and all(any(key.startswith(f"{layer}.") for layer in layers) for key in changed)
    assert not model.training and all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("by", "held_out"),
    [(Descent(steps=20, lr=30.0), "all"), (Descent(steps=1, lr=0.0), "all"), (BY, "infinite")],
    ids=["too fast", "no change", "nothing to compare"],
)
def test_what_does_not_help_is_undone(by: Descent, held_out: str) -> None:
    objective, plan = prepared("perceptron")
    model, layers = factorized(objective, plan)
    before, every = copy.deepcopy(model.state_dict()), batches("perceptron")
    chosen_by = every[4:] if held_out == "all" else [Batch(torch.full((2, 12), torch.nan), torch.zeros(2).long())]
    refit_network(model, objective.dense, layers, every[:4], chosen_by, objective.task.criterion, by)
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])


def test_integers_are_no_parameters_to_train() -> None:
    weight = nn.Parameter(torch.ones(2, dtype=torch.int8), requires_grad=False)
    descend([weight], lambda item: item.sum(), [torch.ones(1)], [torch.ones(1)], BY, 0)
    assert torch.equal(weight, torch.ones(2, dtype=torch.int8)) and not weight.requires_grad


def test_the_same_seed_gives_the_same_factors() -> None:
    objective, plan = prepared("perceptron")
    found = []
    for seed in (0, 0, 1):
        model, layers = factorized(objective, plan)
        every = batches("perceptron")
        refit_network(model, objective.dense, layers, every[:4], every[4:], objective.task.criterion, BY, seed)
        found.append(torch.cat([parameter.flatten() for parameter in model.parameters()]))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_a_trial_with_it_begins_no_farther_away_than_one_by_blocks() -> None:
    objective, plan = prepared("perceptron", refit="network", finetune=FineTune(epochs=0))
    plan = Plan({name: replace(choice, rank=2) if isinstance(choice.rank, int) else Choice("svd", 2)
                 for name, choice in plan.items()})  # fmt: skip
    start = objective._start()
    far = [start.distance(objective.started(plan, how)[0]) for how in (None, "layer", "block", "network")]
    assert far[3] < far[2] <= far[1] <= far[0]
