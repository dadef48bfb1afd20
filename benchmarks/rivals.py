"""Samplers of other libraries as rivals (see `search.py` beside it), told of all trials anew at each proposal.

They are not among the project's dependencies: ``uv pip install ax-platform``; ``uv pip install swig setuptools``, then
``uv pip install --no-build-isolation-package pyrfr smac`` with the environment's ``bin`` on the path (SMAC's forest is
compiled). Their proposals are repaired to the nearest plan within the bound, as those of Optuna's samplers.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rankfront.search.allocation.repair import repaired
from rankfront.search.samplers.history import History
from rankfront.search.samplers.sampler import Sampler
from rankfront.search.samplers.untried import WithoutRepeats
from rankfront.search.space.arrays import Array

DESIGN = 5
"""So many first trials are of a Sobol sequence, unless trials are known."""

Params = dict[str, int]
"""Each layer's place among its options, from 1; names without dots."""


@dataclass(frozen=True)
class Rival:
    """A library's proposals, from all trials so far, repaired."""

    proposal: Callable[[dict[str, int], list[Params], Array, int], Params]
    """``(sizes, trials, values (N, 2), seed)`` → the next; sizes are those of the layers that have a choice."""

    def propose(self, history: History, slot: int, /) -> np.ndarray:
        """Return the choices of the next trial; minimised are the score's value and the parameters."""
        problem, known = history.problem, history.observations
        space = problem.space
        sizes = {f"x{layer}": size for layer, size in enumerate(space.candidates.sizes.tolist()) if size > 1}
        columns = {name: int(name[1:]) for name in sizes}
        trials = [{name: one[column] + 1 for name, column in columns.items()} for one in known.choices.tolist()]
        costs = space.candidates.costs_of(known.choices)["params"] / space.limits["params"]
        values = np.stack([known.values, costs], axis=1)
        params = self.proposal(sizes, trials, values, problem.seed_of(slot) % 2**31)
        choices = np.zeros(len(space.candidates.names), np.int64)
        for name, column in columns.items():
            choices[column] = params[name] - 1
        return repaired(space, choices)


def ax(sizes: dict[str, int], trials: list[Params], values: Array, seed: int) -> Params:
    """Return Ax's proposal: a Gaussian process, qLogNEHVI (Ament et al., 2023) on integers."""
    from ax.api.client import Client
    from ax.api.configs import RangeParameterConfig

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    client = Client(random_seed=seed)
    client.configure_experiment(
        [
            RangeParameterConfig(name, (1, size), "int", scaling="log" if size > 2 else None)
            for name, size in sizes.items()
        ]
    )
    client.configure_optimization("-value, -cost")
    client.configure_generation_strategy(
        initialization_budget=DESIGN, initialization_random_seed=seed, initialize_with_center=False
    )
    for params, (value, cost) in zip(trials, values.tolist(), strict=True):
        client.complete_trial(client.attach_trial(params), {"value": value, "cost": cost})
    (proposed,) = client.get_next_trials(1).values()
    return {name: int(proposed[name]) for name in sizes}


def smac(sizes: dict[str, int], trials: list[Params], values: Array, seed: int) -> Params:
    """Return SMAC's proposal: a random forest, the two objectives weighed by ParEGO (Lindauer et al., 2022)."""
    from ConfigSpace import Configuration, ConfigurationSpace, Integer
    from smac import HyperparameterOptimizationFacade, Scenario
    from smac.initial_design.sobol_design import SobolInitialDesign
    from smac.multi_objective.parego import ParEGO
    from smac.runhistory.dataclasses import TrialInfo, TrialValue

    space = ConfigurationSpace(seed=seed)
    space.add([Integer(name, (1, size), log=size > 2) for name, size in sizes.items()])
    known = [Configuration(space, params) for params in trials]
    with tempfile.TemporaryDirectory() as folder:
        scenario = Scenario(
            space,
            output_directory=Path(folder),
            objectives=["value", "cost"],
            n_trials=10**6,
            seed=seed,
            deterministic=True,
        )
        facade = HyperparameterOptimizationFacade(
            scenario,
            lambda config, seed=0: [0.0, 0.0],  # never called: trials are asked and told
            initial_design=SobolInitialDesign(scenario, max(0, DESIGN - len(known)), additional_configs=list(known)),
            multi_objective_algorithm=ParEGO(scenario),
            logging_level=False,
        )
        for configuration, pair in zip(known, values.tolist(), strict=True):
            facade.tell(TrialInfo(configuration, seed=0), TrialValue(pair))
        proposed = facade.ask().config
    return {name: int(proposed[name]) for name in sizes}


RIVALS: dict[str, Sampler] = {"ax": WithoutRepeats(Rival(ax)), "smac": WithoutRepeats(Rival(smac))}
