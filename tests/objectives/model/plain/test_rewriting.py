"""Rewrites are kept where outputs stay the same, stored as plain data, and repeated from it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rankfront import FineTune, RankfrontError, Result, Task, load
from rankfront.objectives.export.plan_files import read_plan
from rankfront.objectives.model.plain import repeat, rewriting
from rankfront.objectives.model.plain.form import Found
from rankfront.objectives.model.plain.repeat import repeated
from rankfront.objectives.model.plain.rewriting import rewrite
from rankfront.objectives.model.replace import replaced
from tests.conftest import go


class Doubling:
    """A made-up form that takes every Tanh, and is only right where the input is zero."""

    name = "doubling"
    option: str | None = None

    def find(self, model: nn.Module, samples: Sequence[Any]) -> Found:
        return Found({p: {"by": 2} for p, m in model.named_modules() if isinstance(m, nn.Tanh)}, {})

    def rewritten(self, model: nn.Module, rewrites: Mapping[str, Mapping[str, Any]]) -> nn.Module:
        class Doubled(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return 2 * torch.tanh(x)

        return replaced(model, {path: Doubled() for path in rewrites})

    def inside(self, rewrite: Mapping[str, Any]) -> tuple[str, ...]:
        return ()

    def offer(self, rewrite: Mapping[str, Any]) -> str:
        return "only with double=True"


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fine, self.wrong, self.fc = nn.Tanh(), nn.Tanh(), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x + self.wrong(x)) + self.fine(0 * x)


def register(monkeypatch: pytest.MonkeyPatch, forms: Mapping[str, Any]) -> None:
    for module in (repeat, rewriting):
        monkeypatch.setattr(module, "FORMS", forms)


@pytest.fixture
def doubling(monkeypatch: pytest.MonkeyPatch) -> Doubling:
    form = Doubling()
    register(monkeypatch, {"doubling": form})
    return form


@pytest.mark.usefixtures("doubling")
def test_only_what_leaves_the_outputs_alone_is_kept() -> None:
    model, x = Net().train(), torch.randn(3, 4)
    found = rewrite(model, [x, x[:1]])
    assert found.rewrites == {"fine": {"form": "doubling", "by": 2}}
    assert found.reasons == {"wrong": "its outputs change when it is rewritten (doubling)"}
    assert type(found.model.wrong) is nn.Tanh is type(model.fine) and found.model.fine.training
    again = repeated(Net(), json.loads(json.dumps(found.rewrites)))
    assert type(again.fine).__name__ == "Doubled" and type(again.wrong) is nn.Tanh


def test_what_the_user_must_agree_to_is_offered(doubling: Doubling) -> None:
    doubling.option = "double"
    refused = rewrite(Net(), [torch.randn(1, 4)])
    assert refused.rewrites == {} and refused.reasons == dict.fromkeys(("fine", "wrong"), "only with double=True")
    assert set(rewrite(Net(), [torch.randn(1, 4)], {"double"}).rewrites) == {"fine"}


def test_a_model_that_refuses_the_samples_is_left_alone() -> None:
    model = nn.Sequential(nn.MultiheadAttention(8, 2))
    found = rewrite(model, [torch.zeros(1, 9)])
    assert found.rewrites == {} and found.model is not model and type(found.model[0]) is nn.MultiheadAttention


def test_a_form_that_fails_is_told_and_the_others_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(Doubling):
        name = "failing"

        def find(self, model: nn.Module, samples: Sequence[Any]) -> Found:
            raise KeyError("a bug")

    forms = {"failing": Failing(), "doubling": Doubling()}
    register(monkeypatch, forms)
    with pytest.warns(UserWarning, match="the model is not rewritten by failing, which failed: KeyError: 'a bug'"):
        found = rewrite(Net(), [torch.randn(3, 4)])
    assert found.rewrites == {"fine": {"form": "doubling", "by": 2}}
    refusing = rewrite(Net(), [torch.randn(3, 5)])  # what the model refuses is no form's fault
    assert refusing.rewrites == {}


def test_a_rewrite_that_cannot_be_repeated_is_one_sentence() -> None:
    with pytest.raises(RankfrontError, match=r"form must be one of .*attention.*'fc' is 'nothing'"):
        repeated(Net(), {"fc": {"form": "nothing"}})
    for path in ("fc", "nowhere"):
        with pytest.raises(RankfrontError, match=rf"modules that were rewritten \({path}\).*another architecture"):
            repeated(Net(), {path: {"form": "attention"}})


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention, self.head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.attention(x, x, x)[0].mean(1))


@pytest.mark.parametrize("old", [False, True], ids=["as now", "as an older version left it"])
def test_a_study_keeps_its_rewrites_and_so_do_the_files(tmp_path: Path, old: bool) -> None:
    x, y = torch.randn(64, 3, 8), torch.arange(64) % 4
    task = Task(Encoder(), (x, y), (x, y), calibration=32, finetune=FineTune(0), kinds=("svd",), name="encoder")
    result = go(task, tmp_path / "run", trials=2)
    assert result.study.user_attrs["rewrites"] == {"attention": {"form": "attention"}}
    plan, about = read_plan(tmp_path / "run" / "best" / "plan.json")
    assert about["rewrites"] == {"attention": {"form": "attention"}} and "attention.q_proj" in plan
    if old:
        about.pop("rewrites")
        (tmp_path / "run/best/plan.json").write_text(json.dumps({**about, "plan": plan.to_json()}))
        study = result.study
        study._storage.set_study_user_attr(study._study_id, "rewrites", None)
        identity = {name: value for name, value in study.user_attrs["identity"].items() if name != "fold"}
        study.set_user_attr("identity", identity)
    expected = result.best(x)
    torch.testing.assert_close(load(tmp_path / "run", Encoder())(x), expected)
    torch.testing.assert_close(Result.open(tmp_path / "run", model=Encoder()).best(x), expected)
    more = go(task, tmp_path / "run", trials=3)
    assert len(more.records) == 3 and "attention.q_proj" in more.records[-1].plan
