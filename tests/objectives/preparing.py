"""A prepared objective on the CPU."""

from pathlib import Path

import torch

from rankfront import DENSE, Choice, Plan, Task
from rankfront.objectives.objective import Objective

CPU = torch.device("cpu")
PLAN = Plan({"0": Choice("svd", 4), "2": Choice("svd", 5), "4": DENSE})


def prepared(task: Task, cache: Path | None = None) -> Objective:
    objective = Objective(task, device=CPU, cache=cache)
    objective.prepare()
    return objective
