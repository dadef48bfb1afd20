import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rankfront import Task
from rankfront.objectives.dense import dense_of
from rankfront.objectives.kinds.probe import without_unreplaceable
from rankfront.objectives.kinds.registry import KINDS
from rankfront.objectives.model.finding import find_layers
from rankfront.objectives.model.plain.attention import FORM, Attention
from rankfront.objectives.model.plain.rewriting import rewrite

TOKENS, HEADS, WIDTH = 5, 2, 8


def unpacked(model: nn.Module) -> nn.Module:
    return FORM.rewritten(model, FORM.find(model, []).rewrites)


def masks() -> dict[str, dict[str, Any]]:
    causal = torch.ones(TOKENS, TOKENS, dtype=torch.bool).triu(1)
    padding = torch.zeros(3, TOKENS, dtype=torch.bool)
    padding[1, -2:] = True
    return {
        "none": {},
        "boolean": {"attn_mask": causal},
        "added": {"attn_mask": torch.randn(TOKENS, TOKENS)},
        "per head": {"attn_mask": torch.randn(3 * HEADS, TOKENS, TOKENS)},
        "causal": {"attn_mask": causal, "is_causal": True},
        "padding": {"key_padding_mask": padding},
        "both": {"attn_mask": causal, "key_padding_mask": padding},
    }


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("weights", [True, False])
@pytest.mark.parametrize("mask", masks())
def test_is_the_same_function(bias: bool, batch_first: bool, weights: bool, mask: str) -> None:
    torch.manual_seed(0)
    packed = nn.MultiheadAttention(WIDTH, HEADS, bias=bias, batch_first=batch_first).eval()
    x = torch.randn(3, TOKENS, WIDTH) if batch_first else torch.randn(TOKENS, 3, WIDTH)
    options = {**masks()[mask], "need_weights": weights}
    for theirs, ours in zip(packed(x, x, x, **options), Attention(packed).eval()(x, x, x, **options), strict=True):
        assert (theirs is None) == (ours is None)
        if theirs is not None:
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_other_keys_and_values_of_other_widths_and_no_batch() -> None:
    packed = nn.MultiheadAttention(WIDTH, HEADS, kdim=6, vdim=4, batch_first=True).eval()
    q, k, v = torch.randn(3, TOKENS, WIDTH), torch.randn(3, 7, 6), torch.randn(3, 7, 4)
    for part in ((q, k, v), (q[0], k[0], v[0])):
        for average in (True, False):
            theirs, ours = (a(*part, average_attn_weights=average) for a in (packed, Attention(packed).eval()))
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("norm_first", "padded"), itertools.product([True, False], repeat=2))
@torch.no_grad()
def test_every_projection_of_torchs_transformer_can_be_factorized(norm_first: bool, padded: bool) -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=norm_first)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=not norm_first).eval()
    example = torch.randn(2, 3, 16)
    padding = torch.tensor([[False, False, False], [False, False, True]]) if padded else None
    ours = unpacked(model)
    shown = slice(None) if padding is None else ~padding  # what is padded may hold anything
    expected, found = (m(example, src_key_padding_mask=padding)[shown] for m in (model, ours))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    layers = without_unreplaceable(ours, find_layers(ours, example[:1]), example[:1], tuple(KINDS.values()))
    assert not layers.left_dense
    names = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "linear1", "linear2")
    assert {layer.name for layer in layers} == {f"layers.{i}.{name}" for i in (0, 1) for name in names}


class Own(nn.MultiheadAttention):
    pass


@pytest.mark.parametrize("build", [lambda: Own(8, 2), lambda: nn.MultiheadAttention(8, 2, add_bias_kv=True)])
def test_others_stay_as_they_are(build: Any) -> None:
    model = nn.Sequential(build())
    assert type(unpacked(model)[0]) is type(model[0])


def test_attentions_that_share_parameters_stay_shared() -> None:
    model = nn.ModuleList([nn.MultiheadAttention(8, 2), nn.MultiheadAttention(8, 2)])
    model[1].in_proj_weight = model[0].in_proj_weight
    count = sum(p.numel() for p in model.parameters())
    assert sum(p.numel() for p in unpacked(model).parameters()) == count


def test_a_model_that_reads_the_packed_projection_keeps_it() -> None:
    class Reads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.attention(x, x, x)[0] + self.attention.in_proj_weight.mean()

    model = Reads().eval()
    kept = rewrite(model, [torch.zeros(1, 3, 8)])
    assert isinstance(kept.model.attention, nn.MultiheadAttention)
    assert kept.rewrites == {} and "fails when it is rewritten" in kept.reasons["attention"]
    found = rewrite(nn.MultiheadAttention(8, 2), [(torch.randn(1, 3, 8),) * 3])
    assert isinstance(found.model, Attention) and found.rewrites == {"": {"form": "attention"}}


def test_a_hint_without_its_mask_is_refused_as_torch_does() -> None:
    packed, x = nn.MultiheadAttention(8, 2), torch.zeros(3, 1, 8)
    for attention in (packed, Attention(packed)):
        with pytest.raises(RuntimeError, match="is_causal"):
            attention(x, x, x, is_causal=True)


def test_the_model_stays_as_it_was() -> None:
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, batch_first=True), 1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    unpacked(model)
    assert isinstance(model.layers[0].self_attn, nn.MultiheadAttention) and model.use_nested_tensor
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def hooked(module: nn.Module) -> None:
    module.register_forward_hook(lambda m, i, o: 2 * o)


def forward_of_its_own(module: nn.Module) -> None:
    module.forward = lambda x: 2 * x


OUT_PROJ: dict[str, Callable[[nn.Module], object]] = {
    "weight norm": nn.utils.parametrizations.weight_norm,
    "spectral norm": nn.utils.parametrizations.spectral_norm,
    "a submodule": lambda m: m.add_module("lora", nn.Linear(2, 2)),
    "a buffer": lambda m: m.register_buffer("mask", torch.ones(1)),
    "a hook": hooked,
    "a backward hook": lambda m: m.register_full_backward_hook(lambda *a: None),
    "a state-dict hook": lambda m: m.register_state_dict_post_hook(lambda *a: None),
    "a forward of its own": forward_of_its_own,
}


@pytest.mark.parametrize("attach", OUT_PROJ.values(), ids=OUT_PROJ)
def test_state_of_the_output_projection_that_cannot_be_moved_keeps_the_attention_packed(
    attach: Callable[[nn.Module], object],
) -> None:
    model = nn.ModuleDict({"attention": nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)}).eval()
    attach(model["attention"].out_proj)
    x = torch.randn(3, TOKENS, WIDTH)
    found = unpacked(model)
    assert type(found["attention"]) is nn.MultiheadAttention
    assert found["attention"].out_proj.state_dict().keys() == model["attention"].out_proj.state_dict().keys()
    torch.testing.assert_close(found["attention"](x, x, x), model["attention"](x, x, x))


def test_another_output_projection_keeps_the_attention_packed() -> None:
    model = nn.ModuleList([nn.MultiheadAttention(WIDTH, HEADS)])
    model[0].out_proj = nn.Linear(WIDTH, WIDTH)
    assert isinstance(unpacked(model)[0], Attention)
    model[0].out_proj = nn.Bilinear(WIDTH, 1, WIDTH)
    assert type(unpacked(model)[0]) is nn.MultiheadAttention


def test_attributes_and_further_names_of_the_output_projection_are_moved() -> None:
    model = nn.ModuleDict({"attention": nn.MultiheadAttention(WIDTH, HEADS)}).train()
    projection = model["attention"].out_proj
    model["again"] = projection
    projection.mark = {"of": projection}
    projection.bias.requires_grad_(False)
    projection.eval()
    found = unpacked(model)
    ours = found["attention"].out_proj
    assert type(ours) is nn.Linear and found["again"] is ours and ours.mark == {"of": ours}
    assert not ours.training and found["attention"].q_proj.training
    assert not ours.bias.requires_grad and ours.weight.requires_grad
    root = unpacked(nn.MultiheadAttention(WIDTH, HEADS))
    assert isinstance(root, Attention) and type(root.out_proj) is nn.Linear


def test_excluding_an_attention_by_name_leaves_its_projections_dense() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(nn.MultiheadAttention(8, 2, batch_first=True) for _ in range(2))
            self.head = nn.Linear(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for block in self.blocks:
                x = block(x, x, x)[0]
            return self.head(x.mean(1))

    data = torch.randn(40, 3, 8), torch.arange(40) % 4
    dense = dense_of(Task(Net(), data, data, exclude=("blocks.0",), kinds=("svd",)), data[0][:1])
    names = {layer.name for layer in dense.layers}
    assert names == {"head", *(f"blocks.1.{part}_proj" for part in ("q", "k", "v", "out"))}
    assert "excluded" in dense.layers.left_dense["blocks.0.out_proj"]
