"""torchvision's networks (and a Hugging Face encoder) go through untouched: at full rank they are what they were.

Every layer is found and replaceable; one of every shape is factorized, which keeps this to seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torchvision import models

from rankfront import Choice, Plan
from rankfront.objectives.kinds.factorize import factorize
from rankfront.objectives.kinds.probe import without_inapplicable, without_unreplaceable
from rankfront.objectives.kinds.registry import KINDS
from rankfront.objectives.model.finding import find_layers
from rankfront.objectives.model.layer import Layer
from rankfront.objectives.model.plain.rewriting import rewrite

NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "resnet18": (lambda: models.resnet18(), 64),
    "vgg11_bn": (lambda: models.vgg11_bn(), 64),
    "mobilenet_v3_small": (lambda: models.mobilenet_v3_small(), 64),
    "vit_b_16": (lambda: models.vit_b_16(image_size=32), 32),
    "convnext_tiny": (lambda: models.convnext_tiny(), 64),
}
WIDEST = 1024
"""Layers wider on both sides (VGG's first two Linears) take minutes to decompose; they are left out."""


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_full_rank_is_the_dense_model(name: str) -> None:
    torch.manual_seed(0)
    build, size = NETWORKS[name]
    x = torch.randn(2, 3, size, size)
    dense = rewrite(build(), [x]).model.eval()
    kinds = tuple(KINDS.values())
    layers = without_unreplaceable(dense, without_inapplicable(find_layers(dense, x[:1]), kinds), x[:1], kinds)
    assert all("depthwise" in reason for reason in layers.left_dense.values())
    chosen: dict[str, Choice] = {}
    seen: set[object] = set()
    for index, layer in enumerate(layers):
        shape = (layer.module.weight.shape, layer.kernel, getattr(layer.module, "stride", None))
        if shape in seen or min(layer.in_features, layer.out_features) > WIDEST:
            continue
        seen.add(shape)
        # Kinds take turns where the layer is small, so that this takes seconds.
        taking = [k for k in kinds if k.applies(layer)[0] and (k.name == "svd" or layer.weights <= 40_000)]
        kind = taking[index % len(taking)]
        chosen[layer.name] = Choice(kind.name, kind.full_rank(layer))

    def factors(layer: Layer, choice: Choice) -> nn.Module:
        kind = KINDS[choice.kind]
        assert choice.rank is not None
        found = kind.decompose(layer, None).factors(kind.inner(choice.rank))
        return kind.condense(layer, choice.rank, found)

    small = factorize(dense, {layer.name: layer for layer in layers}, Plan(chosen), factors).eval()
    expected = dense(x)
    torch.testing.assert_close(small(x), expected, rtol=1e-3, atol=1e-3 * float(expected.detach().std()))


@torch.no_grad()
def test_a_hugging_face_encoder() -> None:
    transformers: Any = pytest.importorskip("transformers", reason="transformers is not installed (optional)")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96, vocab_size=100
    )
    example = {"input_ids": torch.randint(100, (1, 7)), "attention_mask": torch.ones(1, 7, dtype=torch.long)}
    dense = rewrite(transformers.BertModel(config), [example]).model.eval()
    kind = KINDS["svd-identity"]
    layers = without_unreplaceable(dense, find_layers(dense, example), example, (kind,))
    plan = Plan({layer.name: Choice(kind.name, kind.full_rank(layer)) for layer in layers})
    assert len(plan) == 2 * 6 + 1

    def factors(layer: Layer, choice: Choice) -> nn.Module:
        assert choice.rank is not None
        return kind.condense(layer, choice.rank, kind.decompose(layer, None).factors(choice.rank))

    small = factorize(dense, {layer.name: layer for layer in layers}, plan, factors).eval()
    expected = dense(**example).last_hidden_state
    torch.testing.assert_close(small(**example).last_hidden_state, expected, rtol=1e-3, atol=1e-3)
