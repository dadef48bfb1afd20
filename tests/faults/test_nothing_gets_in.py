"""Files that would run code, take all memory or lie about themselves, and names that would break out.

``FUZZ=100000 uv run pytest tests/faults/test_nothing_gets_in.py`` draws as many inputs for each reader.
"""

import ast
import contextlib
import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import rankfront
from rankfront import FineTune, Plan, RankfrontError, Result, Task, load, run
from rankfront.objectives.export.plan_files import read_plan
from rankfront.objectives.io.files import read_json
from rankfront.objectives.io.tensors import read_checkpoint, read_tensors
from rankfront.search.space.budget import Budget
from rankfront.search.storage.folder import folder_name
from rankfront.search.study.duration import seconds
from tests.conftest import blobs

many = settings(
    max_examples=int(os.environ.get("FUZZ", "300")),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.just("plan"), inner, max_size=4),
    max_leaves=12,
)
near_plans = st.dictionaries(
    st.text(max_size=5),
    st.fixed_dictionaries(
        {}, optional={"kind": st.sampled_from(["svd", "tt", "dense"]) | json_values, "rank": json_values}
    ),
)


class Payload:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize(
    "write", [lambda p, payload: torch.save(payload, p), lambda p, payload: p.write_bytes(pickle.dumps(payload))]
)
def test_a_crafted_checkpoint_runs_nothing(tmp_path: Path, write: Callable[[Path, object], object]) -> None:
    path, mark = tmp_path / "weights.pt", tmp_path / "mark"
    write(path, {"weight": Payload(mark)})
    with pytest.raises(RankfrontError, match=r"must be a checkpoint that torch\.load"):
        read_checkpoint(path)
    assert not mark.exists()


def test_no_room_unpickles() -> None:
    """But a worker, what the run that started it writes to its standard input: neither a file nor a database."""
    through_a_pipe = {"processes.py": {"cloudpickle"}, "worker_process.py": {"pickle"}}
    root = Path(rankfront.__file__).resolve().parents[1]
    for room in ("objectives", "search", "studies"):
        for path in (root / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [a.name for a in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
                unsafe = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"} & set(names)
                assert unsafe <= (through_a_pipe.get(path.name, set()) if path.parent.name == "study" else set())
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                    assert any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords)


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 2**40) + b"{}",
        struct.pack("<Q", 70) + b'{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4]}}'.ljust(74),
        struct.pack("<Q", 2) + b"{}" + b"\0" * 100,
        b"",
    ],
)  # fmt: skip
def test_tensors_that_lie_about_their_size_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.safetensors").write_bytes(content)
    with pytest.raises(RankfrontError, match="must be a whole safetensors file"):
        read_tensors(tmp_path / "t.safetensors")


def test_a_plan_of_huge_ranks_takes_no_memory(tmp_path: Path, dense: nn.Module) -> None:
    plan = {"0": {"kind": "svd", "rank": 2**31 - 1}}
    (tmp_path / "plan.json").write_text(json.dumps({"format": 1, "plan": plan}))
    torch.save({}, tmp_path / "x")
    rankfront.objectives.io.tensors.write_tensors(tmp_path / "model.safetensors", {"a": torch.zeros(1)})  # pyright: ignore
    with pytest.raises(RankfrontError):
        load(tmp_path, dense)


def test_a_huge_json_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    with path.open("wb") as file:
        file.truncate(2**31)
    with pytest.raises(RankfrontError, match="more than any of ours"):
        read_json(path)


@many
@given(st.text() | st.lists(st.text(), max_size=3) | st.from_regex(r"(params|flops|bytes)=[0-9.]{1,9}(%|K|MB|)"))
def test_any_budget_is_read_or_refused(text: str | list[str]) -> None:
    with contextlib.suppress(RankfrontError):
        Budget.of(text).limits(rankfront.Metrics(params=1000, flops=1000, bytes=1000))


@many
@given(st.text() | st.floats() | st.from_regex(r"[0-9.]{1,6}[smhd]?"))
def test_any_timeout_is_read_or_refused(text: str | float) -> None:
    with contextlib.suppress(RankfrontError):
        seconds(text)


@many
@given(st.text() | json_values | near_plans)
def test_any_plan_is_read_or_refused(data: object) -> None:
    try:
        plan = Plan.from_json(data)
    except RankfrontError:
        return
    assert Plan.from_json(plan.to_json()) == plan


@many
@given(st.binary() | json_values.map(lambda v: json.dumps(v).encode()))
def test_any_manifest_and_plan_file_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    for read in (read_json, read_plan):
        with contextlib.suppress(RankfrontError):
            read(path)


@many
@given(st.binary() | json_values.map(lambda v: struct.pack("<Q", len(d := json.dumps(v).encode())) + d))
def test_any_tensors_are_read_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "t.safetensors"
    path.write_bytes(content)
    with contextlib.suppress(RankfrontError):
        read_tensors(path)


@many
@given(st.text())
def test_any_name_gives_a_folder_of_one_part(name: str) -> None:
    found = folder_name(name)
    assert Path(found).name == found and 0 < len(found) <= 80 and found not in (".", "..")


@pytest.mark.parametrize(
    "name", ["../../x", "a/b", "<script>alert(1)</script>", "x" * 10_000, "[red]bold[/red]", "%s\n{}"]
)
def test_names_do_not_break_out(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    inner = nn.Sequential()
    inner.add_module(name.replace(".", ""), nn.Linear(12, 12))
    inner.add_module("last", nn.Linear(12, 4))
    task = Task(inner, blobs(100, 1), blobs(50, 2), name=name, calibration=50, finetune=FineTune(epochs=0))
    result = run(task, trials=2, device="cpu")
    assert [p.parent for p in (tmp_path / "runs").iterdir()] == [tmp_path / "runs"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["runs"]
    page = result.folder.report.read_text()
    assert "<script>alert" not in page and len(Result.open(result.folder.path).front) > 0
