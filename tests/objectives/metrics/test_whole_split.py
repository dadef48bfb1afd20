"""Outputs of a split, joined: as if the model had been given all samples at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from rankfront import RankfrontError, Score, Split
from rankfront.objectives.data.structure import parts_of
from rankfront.objectives.metrics import whole_split
from rankfront.objectives.metrics.evaluation import evaluate
from rankfront.objectives.metrics.whole_split import NotJoined, joined


class Out(NamedTuple):
    logits: Tensor
    hidden: Tensor
    loss: Tensor


def outputs_of(x: Tensor) -> dict[str, Any]:
    """What a network gives that has an RNN's states, sequence-first tensors, a loss, and one entry a sample."""
    return {
        "logits": x,
        "hidden": torch.stack([x, 2 * x]),  # (layers, N, H)
        "deep": x[None, None].expand(2, 3, -1, -1).contiguous(),  # (2, 3, N, H)
        "tuple": Out(x + 1, torch.stack([x] * 3), x.mean()),
        "anchors": torch.arange(3.0),
        "boxes": [row[: 1 + i % 2] for i, row in enumerate(x)],
        "note": "the same everywhere",
        "nothing": None,
    }


def equal(one: Any, other: Any) -> None:
    if isinstance(one, Tensor):
        torch.testing.assert_close(one, other)
        return
    parts, others = parts_of(one), parts_of(other)
    assert type(one) is type(other)
    if parts is None or others is None:
        assert one == other
        return
    assert parts.keys() == others.keys()
    for name in parts:
        equal(parts[name], others[name])


@given(st.lists(st.integers(4, 9), min_size=1, max_size=5))
def test_joined_as_if_passed_at_once(sizes: list[int]) -> None:
    x = torch.randn(sum(sizes), 3, generator=torch.Generator().manual_seed(0))
    whole = outputs_of(x)
    whole["boxes"] = [row for part in x.split(sizes) for row in outputs_of(part)["boxes"]]
    equal(joined([outputs_of(part) for part in x.split(sizes)], sizes), whole)


class Cache:
    pass


NOT_JOINED: dict[str, tuple[Any, Any]] = {
    "a cache": (Cache(), Cache()),
    "logits of different lengths": (torch.zeros(4, 7, 5), torch.zeros(2, 6, 5)),
    "no samples in it": (torch.zeros(3), torch.ones(3)),
    "another form": ({"a": torch.zeros(4)}, {"b": torch.zeros(2)}),
}

USES: list[Any] = [
    lambda part: part[0],
    lambda part: part.shape,
    lambda part: part + 1,
    lambda part: 1 - part,
    lambda part: torch.softmax(part, 0),
    lambda part: nn.functional.mse_loss(torch.zeros(6), part),
    lambda part: float(part),
    lambda part: list(part),
    lambda part: len(part),
    lambda part: part > 0,
]


@pytest.mark.parametrize("use", range(len(USES)))
@pytest.mark.parametrize("parts", NOT_JOINED.values(), ids=NOT_JOINED)
def test_what_cannot_be_joined_is_refused_when_it_is_used(parts: tuple[Any, Any], use: int) -> None:
    whole = joined(
        [{"logits": torch.zeros(n, 2), "other": part} for n, part in zip((4, 2), parts, strict=True)], [4, 2]
    )
    assert whole["logits"].shape == (6, 2) and isinstance(whole["other"], NotJoined)
    with pytest.raises(RankfrontError, match=r"uses the output's other, which cannot be joined .*: give a score that"):
        USES[use](whole["other"])


def test_unequal_batches_of_a_loader_with_hidden_states() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(3, 4, 2, batch_first=True)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            outputs, hidden = self.rnn(x)
            return outputs[:, -1], hidden

    net, x = Net().eval(), torch.randn(23, 5, 3)
    last = Score.of_split(lambda o, t: float((o[0] - t).abs().max()))
    states = Score.of_split(lambda o, t: float((o[1][-1] - t).abs().max()))
    y = net(x)[0].detach()
    for data in ((x, y), DataLoader(TensorDataset(x, y), 10)):
        for score in (last, states):
            assert evaluate(net, Split(data), score, batch_size=9).score == pytest.approx(0, abs=1e-6)


def test_outputs_that_do_not_fit_are_refused_after_the_first_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    passed: list[int] = []

    class Wide(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            passed.append(len(x))
            return x.expand(-1, 1000)

    monkeypatch.setattr(whole_split, "available", lambda: 2**20)
    x = torch.zeros(1000, 1)
    whole = Score.of_split(lambda outputs, targets: 0.0)
    with pytest.raises(RankfrontError, match=r"needs all outputs in memory: about 8 MiB for 1,000 samples, but 1 MiB"):
        evaluate(Wide(), Split((x, x)), whole, batch_size=8)
    assert passed == [8]
    mean = Score.of_mean(lambda outputs, targets: outputs.mean(1))
    assert evaluate(Wide(), Split((x, x)), mean, batch_size=8).score == 0
    small = Split((x[:20], x[:20]))
    assert evaluate(Wide(), small, whole, batch_size=8).score == 0


def test_a_stream_without_a_length_is_refused_once_it_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [((torch.zeros(8, 1000)), torch.zeros(8))] * 60
    monkeypatch.setattr(whole_split, "available", lambda: 2**20)
    with pytest.raises(RankfrontError, match="needs all outputs in memory"):
        list(whole_split.within_memory(iter(pairs), None))


def test_a_streaming_score_holds_one_batch() -> None:
    """The most bytes of outputs alive at once, counted by weak references."""
    import weakref

    alive: list[weakref.ref[Tensor]] = []
    most = 0

    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            nonlocal most
            made = x + 1
            alive.append(weakref.ref(made))
            most = max(most, sum(one() is not None for one in alive))
            return made

    x = torch.zeros(400, 3)
    scores = [Score.given(None), Score.of_mean(lambda outputs, targets: outputs.sum(1))]
    for score in scores:
        most = 0
        evaluate(Net(), Split((x, torch.zeros(400, dtype=torch.long))), score, batch_size=4)
        assert most <= 2
