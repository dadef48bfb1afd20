"""A network as a file, written and checked on the validation split, but not yet in its place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from ..data.batch import Batch
from ..data.batched import Batched
from ..data.calling import Inputs, apply
from ..engines.eager import outputs_of
from ..engines.engine import Runner
from ..metrics.evaluation import Evaluation, evaluate
from ..metrics.score import Score
from .balance import balanced
from .check import Compared, Difference, check
from .exporter import Exporter, Session
from .fixed_size import of_any_size
from .int8 import ENOUGH, Int8, Written8, written_int8
from .network import Network
from .writing import Written


@dataclass(frozen=True)
class CheckedFile:
    """What was written, and what its own runtime gives."""

    written: Written
    network: Network
    session: Session
    difference: Difference
    score: Evaluation
    floats: frozenset[str]
    """Of a network as int8 the names of the weights that stay in floating point."""

    def runner(self, inputs: Inputs) -> Runner:
        """Return what runs the file once on these inputs."""
        taken = self.network.tensors(inputs)
        return lambda: outputs_of(self.session(taken))


@dataclass(frozen=True)
class FileMaker:
    """Writes networks with one exporter, and checks each in one engine."""

    exporter: Exporter
    engine: str
    """The engine's name; empty where the exporter has none."""
    threads: int
    int8: str | None
    validation: Batched
    score: Score
    batch_size: int
    """Largest number of samples in a pass of the check."""
    enough: float = ENOUGH
    """How far int8 may move the outputs, as long as layers can go back to floating point."""
    limit: float = float("inf")
    """Bytes of the file, beyond which none of them does."""

    def write(self, network: Network, path: Path) -> CheckedFile:
        """Write a file and check it.

        Args:
            network: what is written.
            path: in a folder that is empty and for this alone.

        Raises:
            RankfrontError: the exporter or the engine does not take the network, or the file gives something else.
        """
        path.parent.mkdir()
        fixed, floats = network.example.samples if network.fixed else None, frozenset[str]()
        if self.int8 is None:
            self.exporter.write(network, path, None)
        else:
            floats = self.as_int8(self.int8, network, path)
        session = self.opened(path, fixed, network.example.dim)
        score, difference = self.checked(network.model, session)
        return CheckedFile(Written.of(path), network, session, difference, score, floats)

    def as_int8(self, how: str, network: Network, path: Path) -> frozenset[str]:
        """Write a file as int8, and return the names of the weights that stay in floating point."""
        ready = replace(network, model=balanced(network.model, network.calibration))

        def write(int8: Int8) -> Written8:
            self.exporter.write(ready, path, int8)
            return Written8(self.moved(network, path, network.model, network.calibration), Written.of(path).bytes)

        return written_int8(
            how,
            ready.model,
            network.calibration,
            write,
            types=self.exporter.int8[how],
            enough=self.enough,
            limit=self.limit,
        ).floats

    def moved(self, network: Network, path: Path, model: nn.Module, batches: Iterable[Batch]) -> float:
        """Return by how much a network's file moves the outputs of a model: a share, root mean square."""
        fixed = network.example.samples if network.fixed else None
        compared = Compared(model, self.opened(path, fixed, network.example.dim), self.label)
        with torch.inference_mode():
            for batch in batches:
                apply(compared, batch.inputs)
        return compared.difference.mean_square

    def opened(self, path: Path, fixed: int | None, dim: int) -> Session:
        """Return what runs a file on batches of any size.

        Args:
            path: the file.
            fixed: of which size its own batches are; None for any.
            dim: along which dimension tensors hold their samples.
        """
        session = self.exporter.opened(path, self.engine, self.threads)
        return session if fixed is None else of_any_size(session, fixed, dim)

    def checked(self, model: nn.Module, session: Session) -> tuple[Evaluation, Difference]:
        """Return a file's score on the validation split, and by how much its outputs differ from a network's.

        Raises:
            RankfrontError: it does not run, or gives something else.
        """
        compared = Compared(model, session, self.label)
        with torch.inference_mode():
            score = evaluate(compared, self.validation, self.score, batch_size=self.batch_size)
            apply(compared, next(self.validation.batches(1, limit=1)).inputs)
        check(compared.difference, self.label, int8=self.int8 is not None)
        return score, compared.difference

    @property
    def label(self) -> str:
        """What the file is called in sentences."""
        return f"the file in {self.engine or self.exporter.label}"
