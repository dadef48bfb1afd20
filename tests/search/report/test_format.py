"""What is said of a trial's costs."""

from __future__ import annotations

import pytest

from rankfront import Choice, Metrics, Plan
from rankfront.objectives.metrics.scale import Scale
from rankfront.search.report.format import flops_note
from rankfront.search.report.progress import Progress
from rankfront.search.storage.dense import DenseModel

DENSE = DenseModel(0.9, Metrics(params=100, flops=100, bytes=400), {}, Scale("accuracy", proportion=True))
STORED = Plan({"lstm.weight": Choice("stored", 3), "head": Choice("svd", 2)})


@pytest.mark.parametrize(
    ("plan", "flops", "said"),
    [
        (STORED, 116, "where a weight is stored as factors (lstm.weight): every pass multiplies them"),
        (STORED, 100, ""),
        (Plan({"head": Choice("svd", 2)}), 116, ""),
        (Plan({**STORED, "gru.weight": Choice("stored", 1)}), 101, "(lstm.weight …)"),
    ],
)
def test_why_a_network_costs_more_flops_than_the_dense_one(plan: Plan, flops: float, said: str) -> None:
    note = flops_note(plan, Metrics(params=50, flops=flops, bytes=200), DENSE)
    assert said in note and bool(note) == bool(said)


def test_a_study_without_flops_says_nothing_of_them() -> None:
    older = DenseModel(0.9, Metrics(params=100), {}, DENSE.scale)
    assert flops_note(STORED, Metrics(params=50), older) == ""


def test_something_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress()
    for line in ("", "first", "second"):
        progress.say_once("flops", line)
    assert capsys.readouterr().out == "first\n"
