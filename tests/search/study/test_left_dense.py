"""What stays dense is told in the run, on the page, and in every refusal; without the model, too."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import rankfront
from rankfront import RankfrontError, Result, Task, load, verify
from rankfront.search.report.page import write_report
from rankfront.search.storage.dense import LEFT, left_dense_of


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.emb, self.rnn = nn.Embedding(50, 16), nn.LSTM(16, 24, batch_first=True)
        self.mid, self.head = nn.Linear(24, 24), nn.Linear(24, 4)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(torch.relu(self.mid(self.rnn(self.emb(ids))[0][:, -1])))


def task() -> Task:
    torch.manual_seed(0)
    ids = torch.randint(0, 50, (64, 6))
    net = Words().eval()
    return Task(net, (ids, net(ids).argmax(1)), (ids, net(ids).argmax(1)), name="words", calibration=32)


def test_of_an_lstm_parameters_fall_flops_are_counted_and_the_rest_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = rankfront.run(task(), out=tmp_path, budget="params=70%", trials=2, device="cpu", progress=True)
    said = capsys.readouterr()
    for text in (said.out + said.err, write_report(Result.open(tmp_path)).read_text().lower()):
        assert "left dense:" in text and "1 embedding" in text and "looked up" in text
    by_hand = 2 * (6 * 4 * 24 * (16 + 24) + 24 * 24 + 24 * 4)
    assert result.dense.metrics.flops == by_hand
    assert result.best_trial().metrics.params <= 0.7 * result.dense.metrics.params
    loaded = load(tmp_path, Words())
    assert any("parametrizations" in name for name, _ in loaded.named_parameters())
    assert all(check.holds for check in verify(task(), out=tmp_path, device="cpu", progress=False))


def test_a_budget_that_cannot_be_kept_lists_what_stays(tmp_path: Path) -> None:
    said = r"params can be at least .*; left dense: .* % of the parameters: 1 embedding, .*1 LSTM, .*biases"
    with pytest.raises(RankfrontError, match=said):
        rankfront.run(task(), out=tmp_path, budget="params=5%", trials=2, device="cpu", progress=False)


def test_an_older_study_has_no_summary_and_a_page(tmp_path: Path) -> None:
    result = rankfront.run(task(), out=tmp_path, budget="params=80%", trials=1, device="cpu", progress=False)
    for damaged in ({}, {"total": 3}, [], {"total": 1, "groups": [{"what": "x"}]}):
        result.study.set_user_attr(LEFT, damaged)
        assert left_dense_of(Result.open(tmp_path).study) is None
        assert "left dense" not in write_report(Result.open(tmp_path)).read_text().lower().split("plotly")[0]


class Mixed(nn.Module):
    """Holds what each form leaves as it is, each for a reason of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True, add_bias_kv=True)
        self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(16, 16))
        self.rnn, self.mid, self.head = nn.GRU(16, 16, batch_first=True), nn.Linear(16, 16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.normed(self.attention(x, x, x)[0])
        return self.head(torch.relu(self.mid(self.rnn(x)[0][:, -1])))


def test_a_study_that_goes_on_tells_the_same_of_what_stays_dense(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    x = torch.randn(64, 3, 16)
    net = Mixed().eval()
    asked = Task(net, (x, net(x).argmax(1)), (x, net(x).argmax(1)), name="mixed", calibration=32, kinds=("svd",))

    def told(trials: int) -> tuple[list[str], list[str], str]:
        result = rankfront.run(asked, out=tmp_path, budget="params=98%", trials=trials, device="cpu", sampler="uniform")
        said = [line for line in capsys.readouterr().out.splitlines() if "left dense" in line or line[:2] == "  "]
        left = left_dense_of(result.study)
        assert left is not None
        page = write_report(Result.open(tmp_path)).read_text()
        return said, left.lines(), page[page.lower().index("left dense") :][:2000]

    first, again = told(1), told(2)
    assert first == again
    for reason in ("bias_k", "kind stored would take them", "weight norm"):
        assert any(reason in line for line in first[1]), (reason, first[1])
