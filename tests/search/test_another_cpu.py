"""Candidates, plans within limits and first proposals are the same on a CPU whose decompositions end otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from rankfront import FineTune, Task
from rankfront.objectives.kinds.registry import KINDS
from rankfront.objectives.objective import Objective
from rankfront.search.allocation.registry import RULES, rule_named
from rankfront.search.space.candidates import Candidates
from tests.conftest import blobs, go, perceptron
from tests.cpus import another_cpu

SEEDS = range(10)


def task_with_a_rank_deficient_layer() -> Task:
    """From rank 3 on the second layer's errors are last bits: on some CPUs exactly 0."""
    torch.manual_seed(0)
    body = perceptron(features=12)
    with torch.no_grad():
        body[2].weight.copy_(torch.randn(16, 3) @ torch.randn(3, 16))
    return Task(
        nn.Sequential(nn.Linear(12, 12), nn.ReLU(), body),
        blobs(100, 1),
        blobs(50, 2),
        calibration=80,
        name="deficient",
        finetune=FineTune(epochs=0),
        refit=False,
    )


def task_of_convolutions() -> Task:
    """Kernels of low rank, of zeros, with a centre column of zeros, and with outputs that are equal in pairs."""
    torch.manual_seed(0)
    low, zero, sides, pairs, plain = (nn.Conv2d(8, 8, 3, padding=1) for _ in range(5))
    with torch.no_grad():
        low.weight.copy_(torch.einsum("orw,rih->oihw", torch.randn(8, 2, 3), torch.randn(2, 8, 3)))
        zero.weight.zero_()
        sides.weight[..., 1] = 0.0
        pairs.weight[4:] = pairs.weight[:4]
    body = nn.Sequential(low, nn.ReLU(), sides, nn.ReLU(), pairs, nn.ReLU(), plain, nn.ReLU())
    x = torch.randn(100, 8, 5, 5)
    return Task(
        nn.Sequential(body, zero, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)),
        (x, torch.arange(100) % 4),
        (x[:50], torch.arange(50) % 4),
        calibration=64,
        name="convolutions",
        finetune=FineTune(epochs=0),
        refit=False,
    )


TASKS = {"Linears": task_with_a_rank_deficient_layer, "convolutions": task_of_convolutions}


def candidates(name: str = "Linears") -> Candidates:
    objective = Objective(TASKS[name](), device=torch.device("cpu"))
    objective.prepare()
    return Candidates.of(objective)


@pytest.mark.parametrize("name", TASKS)
def test_candidates_are_the_same_and_of_equal_errors_the_cheaper_is_there(name: str) -> None:
    here = candidates(name)
    for row in here.errors:
        factorized = row[np.isfinite(row) & (row > 0)]
        assert (row == 0).sum() == 1 and len(set(factorized)) > 0
    for seed in SEEDS:
        with another_cpu(seed):
            there = candidates(name)
        assert there.names == here.names and there.options == here.options
        for field in ("errors", "changes"):
            np.testing.assert_array_equal(getattr(there, field), getattr(here, field))


@pytest.mark.parametrize("name", TASKS)
def test_of_options_that_err_equally_the_cheaper_one_is_there(name: str) -> None:
    known = candidates(name)
    for layer, size in enumerate(known.sizes):
        rows = np.column_stack(
            (known.errors[layer, :size], known.bottleneck_penalties[layer, :size], known.changes[layer, :size])
        )
        factorized = rows[rows[:, 0] > 0]
        for one, row in enumerate(factorized):
            others = np.delete(factorized, one, 0)
            assert not (others <= row).all(1).any()  # nothing is as good for no more


@pytest.mark.parametrize("rule", RULES)
def test_rules_give_the_same_plans(rule: str) -> None:
    here = candidates()
    dense = here.costs.dense
    cases = [{"params": share * dense.params} for share in (0.4, 0.7)] + [
        {"params": 0.6 * dense.params, "flops": 0.5 * dense.flops}
    ]
    found = [rule_named(rule)(here, limits) for limits in cases]
    for seed in range(5):
        with another_cpu(seed):
            there = candidates()
            np.testing.assert_array_equal([rule_named(rule)(there, limits) for limits in cases], found)


def test_no_limit_leaves_all_dense_whatever_the_last_bits() -> None:
    for seed in SEEDS:
        with another_cpu(seed):
            known = candidates()
            for limits in ({}, {"params": known.costs.dense.params}):
                np.testing.assert_array_equal(rule_named("knapsack")(known, limits), known.dense_choices)


def test_first_proposals_are_the_same(tmp_path: Path) -> None:
    task = task_with_a_rank_deficient_layer()
    here = [t.plan for t in go(task, tmp_path / "here", trials=3, budget="params=60%").scored]
    for seed in range(2):
        with another_cpu(seed):
            assert [t.plan for t in go(task, tmp_path / f"{seed}", trials=3, budget="params=60%").scored] == here


def test_every_kind_has_candidates() -> None:
    kinds = {choice.kind for options in candidates("convolutions").options for choice in options}
    assert kinds == {*KINDS, "dense"} - {"stored"}
