"""A plan along the network: rows that add up to what was measured, as the command and the page show them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from rankfront import Plan, RankfrontError, Result, Task
from rankfront.objectives.plan import DENSE
from rankfront.search.cli.main import main
from rankfront.search.results.plan_table import REST, TOTAL, plan_rows
from tests.conftest import go


@pytest.fixture
def result(task: Task, tmp_path: Path) -> Result:
    return go(task, tmp_path / "out", budget="params=60%", trials=4)


def test_layers_add_up_to_the_network(result: Result) -> None:
    for trial in result.scored:
        *layers, rest, whole = plan_rows(result, trial)
        assert {row.layer: row.choice for row in layers} == dict(trial.plan) and (rest.layer, whole.layer) == (
            REST,
            TOTAL,
        )
        assert whole.after == {metric: trial.metrics[metric] for metric in ("params", "flops")}
        for side in ("before", "after"):
            for metric in ("params", "flops"):
                assert sum(getattr(row, side)[metric] for row in (*layers, rest)) == getattr(whole, side)[metric]
        assert rest.before == rest.after == {"params": 0, "flops": 0}  # the perceptron is all layers
        for row in layers:
            assert row.kept == pytest.approx(trial.shares[row.layer]) == row.after["params"] / row.before["params"]
            assert (row.error == 0) is (row.choice == DENSE)


def test_a_study_of_an_older_version_still_says_what_is_kept(result: Result) -> None:
    trial = result.scored[0]
    result.folder.layers.unlink()
    rows = plan_rows(Result.open(result.folder.path), trial)
    assert [row.kept for row in rows[:-2]] == list(trial.shares.values())
    assert all(math.isnan(row.after["params"]) for row in rows[:-2])
    assert rows[-1].after["params"] == trial.metrics["params"]


@pytest.mark.parametrize("text", ['{"layers": 3}', '{"layers": [{"name": "0"}]}', "[]", "{"])
def test_a_damaged_file_is_named(result: Result, text: str) -> None:
    result.folder.layers.write_text(text)
    with pytest.raises(RankfrontError, match=r"layers\.json must"):
        plan_rows(Result.open(result.folder.path), result.scored[0])


def test_the_command_prints_one_plan(result: Result, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(result.folder.path)

    def printed(*arguments: str) -> tuple[int, list[str], str]:
        with pytest.raises(SystemExit) as ended:
            main(["plan", out, *arguments])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out.splitlines(), said.err

    best = result.best_trial()
    code, lines, _ = printed()
    assert code == 0 and lines[0].startswith(f"trial {best.trial}, validation accuracy ")
    assert [line.split()[0] for line in lines[2:-2]] == list(best.plan)
    assert lines[-1].startswith(TOTAL)
    other = next(t for t in result.scored if t.trial != best.trial)
    assert printed(str(other.trial))[1][0].startswith(f"trial {other.trial},")
    code, _, error = printed("99")
    assert code == 2 and "must be the number of a complete trial within the budget, but got '99'" in error
    assert printed("0", "--budget", "params=50%")[0] == 2


def test_the_front_has_its_plans(result: Result, capsys: pytest.CaptureFixture[str]) -> None:
    plans = [t.plan for t in result.on_front]
    assert [Plan.from_json(text) for text in result.front["plan"]] == plans
    with pytest.raises(SystemExit):
        main(["front", str(result.folder.path), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert [Plan.from_json(row["plan"]) for row in told["front"]] == plans
