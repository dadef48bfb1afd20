"""A replaced layer is the layer: what a model reads of it is what it reads of the dense one."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rankfront import Choice, Plan
from rankfront.objectives.kinds.factorize import factorize
from rankfront.objectives.kinds.probe import without_inapplicable, without_unreplaceable
from rankfront.objectives.kinds.registry import KINDS
from rankfront.objectives.model.finding import Layers, find_layers
from rankfront.objectives.model.plain.rewriting import rewrite
from rankfront.objectives.model.stand_in import GEOMETRY

LAYERS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(12, 8), (12,)),
    "no bias": (lambda: nn.Linear(12, 8, bias=False), (12,)),
    "conv": (lambda: nn.Conv2d(6, 8, 3, stride=2, padding=1), (6, 8, 8)),
    "conv without bias": (lambda: nn.Conv2d(6, 8, (3, 3), padding="same", bias=False), (6, 8, 8)),
    "conv1d": (lambda: nn.Conv1d(6, 8, 3, padding=2, dilation=2), (6, 9)),
    "transposed": (lambda: nn.ConvTranspose2d(6, 8, 3, stride=2, output_padding=1), (6, 5, 5)),
    "groups": (lambda: nn.Conv2d(6, 8, 3, groups=2, padding_mode="reflect", padding=1), (6, 8, 8)),
}
READS: dict[str, Callable[[Any], Any]] = {
    **{name: lambda m, name=name: getattr(m, name) for name in GEOMETRY},
    "dtype": lambda m: m.weight.dtype,
    "device": lambda m: m.weight.device,
    "shape": lambda m: tuple(m.weight.shape),
    "size": lambda m: m.weight.size(0),
    "dims": lambda m: (m.weight.ndim, m.weight.dim(), m.weight.numel()),
    "kind": lambda m: isinstance(m.weight, Tensor),
    "trained": lambda m: m.weight.requires_grad,
    "bias": lambda m: None if m.bias is None else (tuple(m.bias.shape), m.bias.dtype, m.bias.requires_grad),
}


class Reader(nn.Module):
    """One layer, of which something is read in every pass."""

    def __init__(self, layer: nn.Module, read: Callable[[Any], Any]) -> None:
        super().__init__()
        self.layer = layer
        self.read = read
        self.seen: list[Any] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(self.read(self.layer))
        return self.layer(x)


def replaceable(model: nn.Module, example: Any, kinds: tuple[Any, ...] = tuple(KINDS.values())) -> Layers:
    layers = without_inapplicable(find_layers(model, example), kinds)
    return without_unreplaceable(model, layers, example, kinds)


def small(model: nn.Module, layers: Layers, kind: str) -> nn.Module:
    """Return the model with the layers that a kind takes at its smallest rank."""
    mine = {layer.name: layer for layer in layers if KINDS[kind].applies(layer)[0]}
    plan = Plan({name: Choice(kind, KINDS[kind].smallest(layer)) for name, layer in mine.items()})

    def module(layer: Any, choice: Choice) -> nn.Module:
        assert choice.rank is not None
        found = KINDS[kind].decompose(layer, None).factors(KINDS[kind].inner(choice.rank))
        return KINDS[kind].condense(layer, choice.rank, found)

    return factorize(model, mine, plan, module)


@pytest.mark.parametrize("kind", [name for name in KINDS if name != "stored"])
@pytest.mark.parametrize("name", LAYERS)
def test_every_attribute_is_that_of_the_dense_layer(kind: str, name: str) -> None:
    build, shape = LAYERS[name]
    x = torch.randn(1, *shape)
    for frozen in (False, True):
        dense = build().double().requires_grad_(not frozen)
        for read in READS.values():
            try:
                expected = read(dense)
            except AttributeError:
                continue
            model = Reader(dense, read).eval()
            layers = replaceable(model, x.double(), (KINDS[kind],))
            if not KINDS[kind].applies(find_layers(model, x.double()).found[0])[0]:
                continue
            assert [layer.name for layer in layers] == ["layer"], layers.left_dense
            found = small(model, layers, kind)
            found(x.double())
            assert found.seen[-1] == expected  # pyright: ignore
            assert not {"layer.weight"} & found.state_dict().keys()
            assert not [n for n, _ in found.named_parameters() if n == "layer.weight"]
            assert not list(found.named_buffers()) or "identity" in kind


COMPUTES: dict[str, Callable[[nn.Linear, Tensor], Tensor]] = {
    "a function": lambda fc, x: functional.linear(x, fc.weight),
    "both": lambda fc, x: fc(x) + functional.linear(x, fc.weight),
    "a view": lambda fc, x: fc(x) + x @ fc.weight.T,
    "a norm": lambda fc, x: fc(x) / fc.weight.norm(),
    "a decision": lambda fc, x: fc(x) if fc.weight.abs().max() < 100 else -fc(x),
    "a number": lambda fc, x: fc(x) * fc.weight[0, 0].item(),
    "hidden": lambda fc, x: fc(x) + torch.nan_to_num(fc.weight).sum(),
    "the bias": lambda fc, x: fc(x) - fc.bias,
}


@pytest.mark.parametrize("compute", COMPUTES.values(), ids=COMPUTES)
def test_a_layer_whose_weight_is_computed_with_is_not_replaced(compute: Callable[[nn.Linear, Tensor], Tensor]) -> None:
    class Computes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.other = nn.Linear(12, 8), nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            return self.other(compute(self.fc, x))

    kinds = tuple(kind for kind in KINDS.values() if kind.name != "stored")
    layers = replaceable(Computes().eval(), torch.randn(1, 12), kinds)
    assert [layer.name for layer in layers] == ["other"]
    assert "weight" in layers.left_dense["fc"]


def test_a_network_that_divides_by_what_is_zero_in_the_trial_is_not_taken_for_one() -> None:
    class Divides(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(12, 8)

        def forward(self, x: Tensor) -> Tensor:
            y = self.fc(x.to(self.fc.weight.dtype))
            return y / y.norm()

    assert len(replaceable(Divides(), torch.randn(1, 12))) == 1


@pytest.mark.parametrize("kind", [name for name in KINDS if name != "stored"])
def test_it_is_exported_copied_and_saved(kind: str) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 6)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x.to(self.conv.weight.dtype)).mean((2, 3))
            return self.fc(y.to(self.fc.weight.dtype).view(-1, self.fc.in_features))

    x = torch.randn(2, 3, 8, 8)
    model = Net().eval()
    found = small(model, replaceable(model, x[:1]), kind).eval()
    expected = found(x)
    torch.testing.assert_close(copy.deepcopy(found)(x), expected)
    torch.testing.assert_close(torch.export.export(found, (x,)).module()(x), expected)
    torch.testing.assert_close(torch.jit.trace(found, x)(x), expected)
    for layer, at in ((found.conv, x), (found.fc, x.mean((2, 3))[:, [0, 1, 2, 0, 1, 2, 0, 1]])):
        torch.testing.assert_close(torch.jit.script(layer)(at), layer(at))
        buffer = io.BytesIO()
        torch.save(layer, buffer)
        buffer.seek(0)
        again = torch.load(buffer, weights_only=False)
        torch.testing.assert_close(again(at), layer(at))
        assert again.weight.shape == layer.weight.shape
    with torch.inference_mode():
        found(x)


def hugging_face(name: str) -> tuple[nn.Module, dict[str, Tensor]]:
    transformers: Any = pytest.importorskip("transformers", reason="transformers is not installed (optional)")
    image = torch.randn(1, 3, 32, 32)
    ids = torch.randint(2, 90, (1, 7))
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    seen = {**sizes, "image_size": 32, "patch_size": 8}
    if name == "t5":
        config = transformers.T5Config(vocab_size=96, d_model=32, d_kv=16, d_ff=64, num_layers=1, num_heads=2)
        return transformers.T5Model(config), {"input_ids": ids, "decoder_input_ids": ids}
    if name == "vit":
        return transformers.ViTModel(transformers.ViTConfig(**seen)), {"pixel_values": image}
    if name == "dinov2":
        return transformers.Dinov2Model(transformers.Dinov2Config(**seen)), {"pixel_values": image}
    if name == "clip":
        return transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**seen)), {"pixel_values": image}
    config = transformers.WhisperConfig(
        vocab_size=96, d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64, max_source_positions=20, num_mel_bins=8,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    return transformers.WhisperModel(config), {"input_features": torch.randn(1, 8, 40), "decoder_input_ids": ids}


@pytest.mark.parametrize("name", ["t5", "vit", "dinov2", "clip", "whisper"])
def test_of_hugging_face_networks_no_layer_stays_dense_for_what_is_read_of_it(name: str) -> None:
    torch.manual_seed(0)
    model, example = hugging_face(name)
    model = rewrite(model, [example]).model.eval()
    layers = replaceable(model, example)
    assert not [reason for reason in layers.left_dense.values() if "fails when it is replaced" in reason]
    for kind in ("svd", "tt"):
        found = small(model, layers, kind).eval()
        assert bool(torch.isfinite(found(**example)[0]).all())


ASKS: dict[str, Callable[[nn.Linear, Tensor], Tensor]] = {
    "a subclass": lambda fc, x: torch.relu(fc(x)) if isinstance(fc, nn.Linear) else fc(x),
    "a type": lambda fc, x: torch.relu(fc(x)) if type(fc) is nn.Linear else fc(x),
    "a name": lambda fc, x: torch.relu(fc(x)) if type(fc).__name__ == "Linear" else fc(x),
    "its parameters": lambda fc, x: fc(x) + sum(p.square().sum() for p in fc.parameters()),
    "how many": lambda fc, x: fc(x) * len(list(fc.modules())),
    "called with others": lambda fc, x: torch.func.functional_call(
        fc, {name: 2 * p for name, p in fc.named_parameters()}, (x,)
    ),
}


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
def test_a_layer_that_the_model_treats_by_its_type_or_parameters_is_not_replaced(
    ask: Callable[[nn.Linear, Tensor], Tensor],
) -> None:
    class Asks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.other = nn.Linear(12, 8), nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            return self.other(ask(self.fc, x))

    kinds = tuple(kind for kind in KINDS.values() if kind.name not in ("stored", "tt"))
    layers = replaceable(Asks().eval(), torch.randn(1, 12), kinds)
    assert [layer.name for layer in layers] == ["other"]
    assert "asks for the layer's type, or computes with its parameters" in layers.left_dense["fc"]


def test_hooks_random_outputs_and_state_are_no_reason_to_leave_a_layer_dense() -> None:
    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(12, 8)
            self.register_buffer("calls", torch.zeros(()))
            self.fc.register_forward_pre_hook(lambda module, given: (2 * given[0],))
            self.fc.register_forward_hook(lambda module, given, output: output.clamp(0, 1))

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return self.fc(x) * self.calls + torch.randn(len(x), 8)

    assert len(replaceable(Counts().eval(), torch.randn(1, 12))) == 1


class Rounds(nn.Module):
    """A network whose output differs by rounding where its first layer is replaced, and has indices beside it."""

    def __init__(self, dtype: torch.dtype, by: float) -> None:
        super().__init__()
        self.fc, self.out, self.by = nn.Linear(12, 12).to(dtype), nn.Linear(12, 12).to(dtype), by

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.out(self.fc(x.to(self.out.weight.dtype)))
        y = y * (1 + self.by * (not isinstance(self.fc, nn.Linear)))
        return y.float(), torch.ones(len(x), dtype=torch.long)


@pytest.mark.parametrize(
    ("dtype", "rounding", "more"),
    [(torch.float32, 1e-4, 0.03), (torch.float16, 0.02, 0.1), (torch.bfloat16, 0.05, 0.3)],
)
def test_rounding_is_no_reason_to_leave_a_layer_dense(dtype: torch.dtype, rounding: float, more: float) -> None:
    x = torch.randn(1, 12)
    assert [layer.name for layer in replaceable(Rounds(dtype, rounding).eval(), x)] == ["fc", "out"]
    assert [layer.name for layer in replaceable(Rounds(dtype, more).eval(), x)] == ["out"]


class Passes(nn.Module):
    """Many layers, of which some are asked for their type; it counts the passes of all its copies."""

    total = 0

    def __init__(self, asked: Sequence[int]) -> None:
        super().__init__()
        self.layers, self.asked = nn.ModuleList(nn.Linear(12, 12) for _ in range(32)), asked

    def forward(self, x: Tensor) -> Tensor:
        Passes.total += 1
        for at, layer in enumerate(self.layers):
            x = x + torch.tanh(layer(x)) * (2 if at in self.asked and not isinstance(layer, nn.Linear) else 1)
        return x


@pytest.mark.parametrize(("asked", "most"), [((), 3), ((7,), 3 + 2 * 2 * 5), ((3, 30), 3 + 2 * 2 * 2 * 5)])
def test_few_passes_find_the_layers_that_must_stay(asked: Sequence[int], most: int) -> None:
    model, x = Passes(asked).eval(), torch.randn(1, 12)
    layers = find_layers(model, x)
    Passes.total = 0
    found = without_unreplaceable(model, layers, x, tuple(KINDS.values()))
    assert {layer.name for layer in layers} - {layer.name for layer in found} == {f"layers.{at}" for at in asked}
    assert Passes.total <= most
