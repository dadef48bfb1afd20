"""How many of the multiplying weights are found, by modules and stored, on public architectures."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, MixtralConfig, MixtralForCausalLM

from rankfront import Task
from rankfront.objectives.dense import Dense, dense_of

IMAGE = torch.zeros(2, 3, 64, 64)
IDS = torch.arange(32).reshape(4, 8) % 20


def mixtral() -> nn.Module:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2}
    return MixtralForCausalLM(
        MixtralConfig(vocab_size=64, num_hidden_layers=1, num_local_experts=4, use_cache=False, **sizes)
    )


def gpt2() -> nn.Module:
    return GPT2LMHeadModel(GPT2Config(vocab_size=64, n_positions=16, n_embd=32, n_layer=1, n_head=2, use_cache=False))


MODELS: dict[str, tuple[Any, Tensor]] = {
    "swin": (lambda: torchvision.models.SwinTransformer([4, 4], 16, [1, 1], [2, 2], [4, 4], num_classes=5), IMAGE),
    "beit": (
        lambda: timm.create_model("beit_base_patch16_224", depth=1, embed_dim=48, num_heads=2, img_size=64),
        IMAGE,
    ),
    "mixtral": (mixtral, IDS),
    "gpt2": (gpt2, IDS),
    "lstm": (lambda: nn.Sequential(nn.Embedding(20, 8), nn.LSTM(8, 16, batch_first=True)), IDS),
    "resnet": (lambda: torchvision.models.resnet18(weights=None, num_classes=5), IMAGE),
}


def dense(name: str, **options: Any) -> Dense:
    build, x = MODELS[name]
    torch.manual_seed(0)
    return dense_of(Task(build(), (x, torch.zeros(len(x)).long()), (x, x), **options), x[:1])


@pytest.mark.parametrize("name", MODELS)
def test_nearly_all_multiplying_weights_are_found(name: str) -> None:
    found = dense(name).coverage
    if name == "gpt2":
        assert found.left["transformer.wte.weight"][1].startswith("weight shared with an embedding")
        assert list(found.left) == ["transformer.wte.weight"]
    else:
        assert found.share >= 0.99, found.left
    assert (found.stored > 0) == (name not in ("gpt2", "resnet"))


def test_what_is_not_taken_is_named() -> None:
    found = dense("swin", kinds=("svd",)).coverage
    assert found.stored == 0 and found.share < 0.8
    size, reason = found.left["features.1.0.attn.qkv.weight"]
    assert size == 3 * 16 * 16 and "kind stored would take them" in reason
