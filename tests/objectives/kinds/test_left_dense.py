"""Every parameter of a network is taken or summed up, with the reason that is true of it."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel

from rankfront import RankfrontError, Task
from rankfront.objectives.dense import dense_of
from rankfront.objectives.kinds.left_dense import LeftDense

IMAGE = torch.zeros(4, 3, 64, 64)
IDS = torch.arange(24).reshape(4, 6) % 20


class Words(nn.Module):
    def __init__(self, **rnn: Any) -> None:
        super().__init__()
        self.emb, self.rnn = nn.Embedding(50, 32), nn.LSTM(32, 64, batch_first=True, **rnn)
        self.norm, self.head, self.aux = nn.LayerNorm(64), nn.Linear(64, 4), nn.Linear(64, 9)
        self.position = nn.Parameter(torch.zeros(6, 32))

    def forward(self, ids: Tensor) -> Tensor:
        found = self.norm(self.rnn(self.emb(ids) + self.position)[0][:, -1])
        return self.head(found) + (self.aux(found)[:, :4] if self.training else 0)


class Reads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.up, self.fc = nn.Conv2d(3, 16, 3, groups=1), nn.ConvTranspose2d(16, 8, 2), nn.Linear(8, 30)
        self.depthwise, self.tiny = nn.Conv2d(8, 8, 3, groups=8), nn.Linear(30, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise(self.up(self.down(x))).mean((2, 3))
        return self.tiny(self.fc(x.view(-1, self.fc.in_features)))


def gpt2() -> nn.Module:
    return GPT2LMHeadModel(GPT2Config(vocab_size=64, n_positions=16, n_embd=32, n_layer=1, n_head=2, use_cache=False))


MODELS: dict[str, tuple[Any, Tensor]] = {
    "words": (Words, IDS),
    "words, projected": (lambda: Words(proj_size=0, bidirectional=False, num_layers=2), IDS),
    "reads an attribute": (Reads, IMAGE[:, :, :12, :12]),
    "gpt2": (gpt2, IDS),
    "mobilenet": (lambda: torchvision.models.mobilenet_v3_small(weights=None), IMAGE),
    "swin": (
        lambda: torchvision.models.SwinTransformer([4, 4], 16, [1, 1], [2, 2], [4, 4], num_classes=5),
        IMAGE,
    ),
    "vit": (lambda: timm.create_model("vit_tiny_patch16_224", img_size=64, depth=1, num_classes=5), IMAGE),
    "convnext": (lambda: timm.create_model("convnext_atto", depths=(1, 1, 1, 1), num_classes=5), IMAGE),
    "googlenet": (
        lambda: torchvision.models.GoogLeNet(num_classes=5, aux_logits=True, init_weights=False, transform_input=False),
        IMAGE,
    ),
}


def left(name: str, **options: Any) -> tuple[LeftDense, nn.Module, Any]:
    build, x = MODELS[name]
    torch.manual_seed(0)
    dense = dense_of(Task(build(), train=(x, torch.zeros(len(x)).long()), validation=(x, x), **options), x[:1])
    return dense.left, dense.model, dense.layers


@pytest.mark.parametrize("name", MODELS)
def test_taken_and_left_parameters_are_all_there_are(name: str) -> None:
    summary, model, layers = left(name)
    assert summary.total == sum(p.numel() for p in model.parameters())
    whole = sum(layer.params for layer in layers)
    small = sum(group.params for group in summary.groups if "too small" in group.reason)
    assert summary.params + whole - small == summary.total
    assert LeftDense.read(summary.plain()) == summary
    assert all(group.reason and group.what and group.modules > 0 and group.params > 0 for group in summary.groups)
    assert all(model.get_submodule(group.example) is not None for group in summary.groups)
    text = str(summary)
    assert text.startswith("left dense: ") and all(group.what in text for group in summary.groups[:8])


@settings(max_examples=10)
@given(
    patterns=st.lists(st.sampled_from(["rnn", "head", "*.weight_hh_l0", "aux"]), max_size=3),
    kinds=st.sampled_from([("svd",), ("svd", "stored"), ("stored",), ("spatial", "tt")]),
)
def test_the_shares_add_up_whatever_is_excluded(patterns: list[str], kinds: tuple[str, ...]) -> None:
    if "stored" not in kinds:
        patterns = [pattern for pattern in patterns if pattern in ("head", "aux")]
    summary, model, layers = left("words", exclude=tuple(patterns), kinds=kinds)
    taken = sum(p.numel() for layer in layers for p in model.get_submodule(layer.name).parameters())
    small = sum(group.params for group in summary.groups if "too small" in group.reason)
    assert summary.params + taken - small == summary.total == sum(p.numel() for p in model.parameters())


def groups(summary: LeftDense) -> dict[str, str]:
    return {group.what: group.reason for group in summary.groups}


def test_each_reason_is_told() -> None:
    found = groups(left("words")[0])
    assert "looked up" in found["embedding"] and found["LayerNorm"] == "scales and shifts"
    assert found["LSTM"] == "biases and other vectors" and found["Words"] == "no matrix of a multiplication"
    assert found["Linear"] == "called in training mode alone: the network that ships does not compute it"
    assert found.keys() == {"embedding", "LayerNorm", "LSTM", "Words", "Linear"}
    without = {(group.what, group.reason) for group in left("words", kinds=("svd",))[0].groups}
    assert ("LSTM", "its weights are multiplied in no module of their own; kind stored would take them") in without
    assert "excluded by 'rnn'" in {group.reason for group in left("words", exclude=("rnn",))[0].groups}


def test_a_weight_shared_with_an_embedding_is_counted_as_that() -> None:
    summary = left("gpt2")[0]
    (shared,) = (group for group in summary.groups if group.what == "weight shared with an embedding")
    assert shared.params == 64 * 32 and shared.example == "transformer.wte"


def test_depthwise_auxiliary_and_too_small() -> None:
    assert any(group.what == "depthwise convolution" and group.modules > 5 for group in left("mobilenet")[0].groups)
    assert any("training mode alone" in group.reason for group in left("googlenet")[0].groups)
    assert any("too small" in group.reason for group in left("reads an attribute")[0].groups)


def test_the_refusal_of_a_model_without_a_layer_lists_all() -> None:
    from rankfront.objectives.objective import Objective

    model = nn.Sequential(nn.Embedding(20, 8), nn.LayerNorm(8), nn.Flatten(), nn.Linear(48, 1))
    task = Task(model, (IDS, torch.zeros(4, 1)), (IDS, torch.zeros(4, 1)), loss=nn.functional.mse_loss)
    said = r"has none \(left dense: 100 % of the parameters: 1 embedding, .*1 Linear, .*too small.*1 LayerNorm"
    with pytest.raises(RankfrontError, match=said):
        Objective(task, device=torch.device("cpu"))
