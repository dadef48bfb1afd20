"""Models, losses, loaders and memory that fail in the middle of a study."""

import copy
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from rankfront import FineTune, RankfrontError, Result, Task, run
from rankfront.objectives.training.finetune import finetune
from tests.conftest import blobs
from tests.faults.processes import small_task

pytestmark = pytest.mark.slow


def go(task: Task, out: Path, trials: int = 6, **settings: Any) -> Result:
    return run(task, out=out, trials=trials, device="cpu", progress=False, **settings)


class FailsAtRandom:
    """A loss that, now and then, does something else."""

    def __init__(self, failure: Callable[[Tensor], Tensor], share: float = 0.02) -> None:
        self.failure, self.share = failure, share
        self.rng = np.random.default_rng(0)
        self.calls = 0

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        value = functional.cross_entropy(outputs, targets)
        self.calls += 1
        fails = self.calls > 20 and self.rng.random() < self.share  # the dry run passes
        return self.failure(value) if fails else value


def raises(value: Tensor) -> Tensor:
    raise ValueError("a loss of the user's own")


@pytest.mark.parametrize("failure", [raises, lambda value: value * float("nan")], ids=["raises", "nan"])
def test_a_loss_that_fails_at_random_steps_costs_single_trials(
    tmp_path: Path, failure: Callable[[Tensor], Tensor]
) -> None:
    trials = go(small_task(loss=FailsAtRandom(failure)), tmp_path / "out", 20).trials
    states = trials["state"].value_counts()
    assert len(trials) == 20 and states["fail"] >= 1 and states["complete"] >= 5
    assert (
        trials[trials["state"] == "fail"]["reason"]
        .str.contains("user's own|must be finite|needs outputs that are numbers")
        .all()
    )


def test_nan_weights_are_refused_by_name(tmp_path: Path) -> None:
    task = small_task()
    with torch.no_grad():
        task.model[2].weight[0, 0] = float("nan")  # pyright: ignore
    with pytest.raises(RankfrontError, match=r"weights must be finite, but those of layer 2 Linear\(16, 16\)"):
        go(task, tmp_path / "out")
    assert not (tmp_path / "out").exists()


class TooLarge:
    """A loss that finds no memory for batches beyond a size, as a GPU does not."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.sizes: list[int] = []

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        self.sizes.append(len(targets))
        if len(targets) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return functional.cross_entropy(outputs, targets)


def test_out_of_memory_halves_the_batches_and_is_noted(tmp_path: Path) -> None:
    loss = TooLarge(15)
    result = go(small_task(loss=loss), tmp_path / "out")
    assert (result.trials["state"] == "complete").all()
    assert result.trials["reason"].str.contains("out of memory: from step 1 on batches were passed in 4 parts").all()
    assert {50, 25, 12, 13} <= set(loss.sizes)
    assert "passed in 4 parts" in (tmp_path / "out" / "report.html").read_text()


def test_parts_add_up_to_the_gradients_of_the_whole(dense: torch.nn.Module) -> None:
    def weights(most: int) -> Tensor:
        model = copy.deepcopy(dense)
        loss = TooLarge(most)
        finetune(
            model,
            small_task().train,
            lambda outputs, batch: loss(outputs, batch.targets),
            lambda model: 0.0,
            FineTune(steps=7, batch_size=50, optimizer="sgd"),
            seed=0,
            device=torch.device("cpu"),
        )
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    torch.testing.assert_close(weights(7), weights(50))


def test_not_even_one_sample_fits(tmp_path: Path) -> None:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        if outputs.requires_grad:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return functional.cross_entropy(outputs, targets)

    with pytest.raises(RankfrontError, match=r"^memory must suffice, but did not.*: use smaller batches"):
        go(small_task(loss=loss), tmp_path / "out")
    assert not (tmp_path / "out").exists()


class DiesOnce(Dataset[tuple[Tensor, Tensor]]):
    """Data whose loading process is killed once, in the middle of fine-tuning."""

    def __init__(self, flag: Path) -> None:
        self.x, self.y = blobs(200, 1)
        self.flag = flag

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if self.flag.exists() and torch.utils.data.get_worker_info() is not None:
            self.flag.unlink(missing_ok=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return self.x[index], self.y[index]


def test_a_loader_whose_worker_dies_costs_one_trial(tmp_path: Path) -> None:
    flag = tmp_path / "kill"
    loader = DataLoader(DiesOnce(flag), batch_size=50, num_workers=1)
    calls = 0

    def score(outputs: Any, targets: Any) -> float:
        nonlocal calls
        calls += len(targets) == 200  # not those of a probe, by which the study is known
        if calls == 3:  # the dense model, then the first trial before and after its epoch
            flag.touch()
        return float((outputs.argmax(1) == targets).double().mean())

    task = replace(small_task(score=score), train=loader, finetune=FineTune(epochs=1, lr=1e-2))
    trials = go(task, tmp_path / "out", 3, sampler="knapsack").trials  # which scores nothing but trials
    assert trials["state"].tolist() == ["complete", "fail", "complete"]
    assert "DataLoader worker" in trials["reason"][1]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_in_the_middle_it_says_how_to_go_on(tmp_path: Path, number: signal.Signals, code: int) -> None:
    script = tmp_path / "mine.py"
    script.write_text(
        textwrap.dedent("""
        from tests.faults.processes import small_task
        def study(seed):
            return small_task()
        """)
    )
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", "from rankfront.search.cli.main import main; main()"]
    command += ["run", str(script), "--trials", "100000", "--out", str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=root,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's `&` has it ignored
    )
    assert process.stdout is not None
    while "[2/100000]" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == code
    assert "rankfront: stopped; the same command goes on from here" in said
    assert (tmp_path / "out" / "report.html").exists()
