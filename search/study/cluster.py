"""Where a run's trials go: processes of this machine, or of a cluster's machines, and how many."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...objectives.described import shown
from ...objectives.errors import RankfrontError
from ...objectives.given import text, texts, whole
from .engine import EngineOptions
from .options import option

AUTO = "auto"

PACKAGES = {"ray": "ray", "slurm": "submitit"}
"""Cluster → the package that it needs, which the extra of the cluster's name installs."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster whose machines run trials."""

    name: str
    """One of `PACKAGES`."""
    address: str
    """Of a Ray cluster."""
    resources: dict[str, Any]
    """What each worker asks for."""
    device: str
    """``auto``: what each worker has."""


@dataclass(frozen=True, kw_only=True)
class ClusterOptions(EngineOptions):
    """The options of ``run`` that say where its workers are.

    Raises:
        RankfrontError: naming what, the rule and the value.
    """

    workers: int | str = option(
        1,
        metavar="K",
        help="How many processes run trials. On this machine each has a GPU where there are some, else its part of the "
        "CPU's threads; auto is one for each GPU, else one for each core if memory suffices",
        example="4",
    )
    cluster: str | None = option(
        None,
        metavar="NAME",
        help="Run them on a cluster: ray or slurm; needs a --storage on a server [default: this machine]",
        example='"ray"',
        choices=tuple(PACKAGES),
    )
    address: str | None = option(
        None, metavar="HOST:PORT", help="Of the Ray cluster [default: auto, the one of this machine]", example='"auto"'
    )
    resources: str | Sequence[str] | None = option(
        None,
        metavar="NAME=AMOUNT",
        reader=list,
        help="What each worker asks the cluster for: num_cpus=4, num_gpus=1 (ray); time=240, partition=gpu (slurm). "
        "Several may be given [default: ray: one GPU where there are some, and one CPU]",
        example='["time=240", "partition=gpu"]',
    )

    def __post_init__(self) -> None:
        """Check every option by itself."""
        super().__post_init__()
        object.__setattr__(self, "workers", _workers(self.workers))
        if self.cluster is None:
            for name in ("address", "resources"):
                if getattr(self, name) is not None:
                    raise RankfrontError(f"{name} is a cluster's: give cluster={' or '.join(PACKAGES)}, too")
            return
        if not isinstance(self.cluster, str) or self.cluster not in PACKAGES:
            raise RankfrontError(f"cluster must be {' or '.join(PACKAGES)}, but got {shown(self.cluster)}")
        if importlib.util.find_spec(PACKAGES[self.cluster]) is None:
            raise RankfrontError(
                f"cluster {self.cluster} needs {PACKAGES[self.cluster]}: pip install 'rankfront[{self.cluster}]'"
            )
        from ..storage.database import MACHINES, has_server

        if not has_server(self.storage):
            raise RankfrontError(f"cluster needs {MACHINES}")
        self._read_resources()
        if self.address is not None:
            text("address", self.address, "HOST:PORT, or auto")
            if self.cluster != "ray":
                raise RankfrontError("address is a Ray cluster's: leave it out with cluster slurm")

    def asked_cluster(self) -> Cluster | None:
        """Return the cluster that is asked for; None for this machine."""
        if self.cluster is None:
            return None
        return Cluster(
            name=self.cluster,
            address=self.address or "auto",
            resources=self._read_resources(),
            device=self.device,
        )

    def _read_resources(self) -> dict[str, Any]:
        given = () if self.resources is None else texts("resources", self.resources, '"num_gpus=1"')
        read = {}
        for each in given:
            name, sign, amount = each.partition("=")
            if not (name.isidentifier() and sign and amount):
                raise RankfrontError(f"resources must be NAME=AMOUNT such as num_gpus=1, but got {shown(each)}")
            read[name] = _amount(name, amount, numbers=self.cluster == "ray")
        if self.cluster == "slurm" and "time" not in read:
            raise RankfrontError("resources must say how long a job may run, in minutes: time=240 (cluster slurm)")
        return read


def _amount(name: str, amount: str, *, numbers: bool) -> float | int | str:
    if not numbers:
        return int(amount) if amount.isdecimal() else amount
    try:
        return float(amount) if "." in amount else int(amount)
    except ValueError:
        raise RankfrontError(f"resources must be numbers with cluster ray, but {name} is {amount!r:.60}") from None


def _workers(count: int | str) -> int | str:
    """Return the number of processes, or `AUTO`; the command line gives either as text."""
    if isinstance(count, str):
        if count == AUTO:
            return AUTO
        count = int(count) if count.isdecimal() else count
    return whole("workers", count, least=1, why=f" (or {AUTO})")
