"""A replaced layer is the layer: every kind × whatever can hang on one."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from rankfront import Choice, FineTune, Plan, RankfrontError, Task
from rankfront.objectives.kinds.registry import KINDS
from rankfront.objectives.model.finding import find_layers
from rankfront.objectives.model.plain.attention import Attention
from rankfront.objectives.model.plain.rewriting import rewrite
from rankfront.objectives.model.replace import can_replace, replaced
from rankfront.objectives.objective import Objective

MODULE_KINDS = [name for name in KINDS if name != "stored"]
"""Kinds that replace a module."""

CPU = torch.device("cpu")
X, Y = torch.randn(64, 3, 5, 5, generator=torch.Generator().manual_seed(0)), torch.arange(64) % 4


class Net(nn.Module):
    """Two convolutions and two Linears, some of which every kind takes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.more = nn.Conv2d(3, 12, 3, padding=1), nn.Conv2d(12, 12, 3, padding=1, bias=False)
        self.fc, self.head = nn.Linear(12, 24), nn.Linear(24, 4)
        self.seen: list[Any] = []

    def forward(self, x: Tensor) -> Tensor:
        y = self.more(self.conv(x).relu()).relu().mean((2, 3))
        return self.head(self.fc(y).relu())

    def note(self, module: nn.Module, *_: Any) -> None:
        self.seen.append(type(module))


LAYERS = ("conv", "more", "fc")


def net() -> Net:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Net().eval()


def objective(model: nn.Module, kind: str, **kwargs: Any) -> Objective:
    kinds = (kind,) if kind in ("svd", "svd-identity", "tt") else (kind, "svd")
    task = Task(model, (X, Y), (X, Y), kinds=kinds, calibration=48, finetune=FineTune(1, lr=0.05), **kwargs)
    made = Objective(task, device=CPU)
    made.prepare()
    return made


def plan_of(made: Objective, kind: str) -> Plan:
    """The largest rank of that kind in every layer that it takes."""
    mine = {n: [c for c in cs if c.kind == kind] for n, cs in made.decompositions.options.items() if n != "head"}
    return Plan({name: choices[-1] for name, choices in mine.items() if choices})


@pytest.mark.parametrize("kind", MODULE_KINDS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("frozen", ["nothing", "weights", "biases", "all"])
def test_mode_and_what_is_trained(kind: str, training: bool, frozen: str) -> None:
    model = net()
    for layer in (model.conv, model.more, model.fc):
        layer.weight.requires_grad_(frozen not in ("weights", "all"))
        if layer.bias is not None:
            layer.bias.requires_grad_(frozen not in ("biases", "all"))
    made = objective(model, kind)
    made.dense.train(training)
    plan = plan_of(made, kind)
    assert plan
    for found in (made.factorize(plan), made.started(plan, "layer")[0]):
        for name in plan:
            layer = found.get_submodule(name)
            assert all(module.training == training for module in layer.modules())
            biased = name != "more"
            for path, parameter in layer.named_parameters():
                of = "biases" if biased and path.endswith("bias") else "weights"
                assert parameter.requires_grad == (frozen not in (of, "all")), path


@pytest.mark.parametrize("kind", MODULE_KINDS)
def test_training_moves_nothing_that_was_frozen(kind: str) -> None:
    model = net().requires_grad_(False)
    model.head.requires_grad_(True)
    made = objective(model, kind)
    plan = plan_of(made, kind)
    before = {name: value.clone() for name, value in made.started(plan, "layer")[0].state_dict().items()}
    after = made(plan, 0).model.state_dict()
    moved = {name.split(".")[0] for name, value in after.items() if not torch.equal(value, before[name])}
    assert moved <= {"head"}


def doubled(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    return 2 * output


def doubled_with_keywords(module: nn.Module, inputs: Any, keywords: Any, output: Tensor) -> Tensor:
    return 2 * output


def shifted(module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    return (inputs[0] + 1,)


HUNG: dict[str, Callable[[nn.Module], object]] = {
    "forward hook": lambda m: m.register_forward_hook(doubled),
    "forward hook with keywords": lambda m: m.register_forward_hook(doubled_with_keywords, with_kwargs=True),
    "forward hook, always": lambda m: m.register_forward_hook(doubled, always_call=True),
    "pre-hook": lambda m: m.register_forward_pre_hook(shifted),
    "both, twice": lambda m: [
        (m.register_forward_hook(doubled), m.register_forward_pre_hook(shifted)) for _ in range(2)
    ],
    "a partial": lambda m: m.register_forward_hook(functools.partial(doubled)),
}


@pytest.mark.parametrize("kind", MODULE_KINDS)
@pytest.mark.parametrize("hang", HUNG.values(), ids=HUNG)
def test_hooks_do_on_the_replacement_what_they_did(kind: str, hang: Callable[[nn.Module], object]) -> None:
    model = net()
    for name in LAYERS:
        hang(model.get_submodule(name))
    made = objective(model, kind)
    assert set(LAYERS) <= {layer.name for layer in made.layers}, made.layers.left_dense
    full = Plan(
        {
            layer.name: Choice(kind, k.full_rank(layer))
            for layer in made.layers
            if layer.name != "head" and (k := KINDS[kind]).applies(layer)[0]
        }
    )
    torch.testing.assert_close(made.factorize(full)(X), model(X), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", MODULE_KINDS)
def test_a_hook_that_changes_the_output_is_not_taken_for_the_layer(kind: str) -> None:
    """Errors, refit and shapes are those of the linear map itself: as without the hook in the last such layer."""
    model, plain = net(), net()
    model.fc.register_forward_hook(lambda m, i, o: torch.cat((o.abs(), o.abs()), 1)[:, :24] ** 2 + 5)
    ours, theirs = (objective(of, kind, sensitivity="none") for of in (model, plain))
    for choice in ours.decompositions.options["fc"]:
        layers = ours.by_name["fc"], theirs.by_name["fc"]
        assert ours.decompositions.error(layers[0], choice) == pytest.approx(
            theirs.decompositions.error(layers[1], choice), rel=1e-4, abs=1e-8
        )
    assert ours.by_name["fc"].calls == theirs.by_name["fc"].calls


def test_refit_sees_raw_outputs() -> None:
    model = net()
    model.fc.register_forward_hook(lambda m, i, o: 3 * o - 7)
    made = objective(model, "svd")
    plan = Plan({"fc": Choice("svd", 6)})
    plain = made.factorize(plan)
    started, _ = made.started(plan, "layer")
    with torch.no_grad():
        before, after = ((m(X) - made.dense(X)).square().mean() for m in (plain, started))
    assert after <= before * 1.001


@pytest.mark.parametrize("kind", MODULE_KINDS)
def test_bound_methods_point_into_the_copy(kind: str) -> None:
    model = net()
    model.fc.register_forward_hook(model.note)
    model.fc.register_full_backward_hook(model.note)
    made = objective(model, kind)
    choice = made.decompositions.options["fc"][0]
    found = made.factorize(Plan({"fc": choice}))
    assert isinstance(found, Net)
    found.seen.clear()
    counts = len(model.seen), len(made.dense.seen)
    found(X).sum().backward()
    assert found.seen == [type(found.fc)] * 2
    assert (len(model.seen), len(made.dense.seen)) == counts


@pytest.mark.parametrize("kind", MODULE_KINDS)
def test_attributes_ties_and_dtype(kind: str) -> None:
    model = net().double()
    model.fc.note = {"of": model.fc}
    model.again = model.fc
    made = Objective(Task(model, (X.double(), Y), (X.double(), Y), kinds=(kind, "svd"), calibration=48), device=CPU)
    made.prepare()
    choices = [c for c in made.decompositions.options["fc"] if c.kind == kind] or made.decompositions.options["fc"]
    found = made.factorize(Plan({"fc": choices[0]}))
    assert found.fc is found.again
    assert found.fc.note == {"of": found.fc}
    assert all(p.dtype == torch.float64 for p in found.parameters())


class Shared(nn.Module):
    """Two modules of one weight and bias."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Linear(12, 12), nn.Linear(12, 12), nn.Linear(12, 4)
        self.two.weight, self.two.bias = self.one.weight, self.one.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.two(self.one(x).relu()).relu())


def patched(module: nn.Module) -> None:
    plain = module.forward
    module.forward = lambda x: 2 * plain(x)


def held(module: nn.Module) -> None:
    module.scale = nn.Parameter(torch.ones(1))


STAYS: dict[str, tuple[Callable[[nn.Module], object], str]] = {
    "a buffer": (lambda m: m.register_buffer("mask", torch.ones(1)), "holds 'mask' of its own"),
    "a parameter": (held, "holds 'scale' of its own"),
    "a submodule": (lambda m: m.add_module("lora", nn.Linear(2, 2)), "holds 'lora' of its own"),
    "its own forward": (patched, "its 'forward' is not the one of its class"),
    "a state-dict hook": (lambda m: m.register_state_dict_post_hook(lambda *a: None), "hooks on the state dict"),
    "a loading hook": (lambda m: m.register_load_state_dict_post_hook(lambda *a: None), "hooks on the state dict"),
    "a hook that reads the weight": (lambda m: m.register_forward_hook(lambda s, i, o: o + s.weight.sum()), "weight"),
    "a backward hook that reads the weight": (
        lambda m: m.register_full_backward_hook(lambda s, i, o: s.weight.sum() and None), "weight"
    ),
    "an attribute of a factor's name": (lambda m: setattr(m, "rank", 3), "'rank' has the name of one"),
    "weight norm": (nn.utils.parametrizations.weight_norm, "subclass"),
    "weight norm of old": (nn.utils.weight_norm, "computed from others"),
    "pruning": (lambda m: prune.l1_unstructured(m, "weight", 0.5), "computed from others"),
    "pruning of the bias": (lambda m: prune.l1_unstructured(m, "bias", 0.5), "holds"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("hang", STAYS.values(), ids=STAYS)
def test_what_cannot_be_carried_over_leaves_the_layer_dense_with_the_reason(
    hang: tuple[Callable[[nn.Module], object], str],
) -> None:
    from rankfront.objectives.kinds.probe import without_unreplaceable

    model = net()
    hang[0](model.fc)
    layers = without_unreplaceable(model, find_layers(model, X[:1]), X[:1], tuple(KINDS.values()))
    assert hang[1] in layers.left_dense["fc"]
    assert "conv" in {layer.name for layer in layers}


def test_modules_that_share_a_weight_but_not_what_hangs_on_them_stay() -> None:
    model = Shared()
    assert {layer.name for layer in find_layers(model, torch.zeros(1, 12))} == {"one", "head"}
    model.one.mark = model.two.mark = True  # as transformers leaves one on every module
    assert len(find_layers(model, torch.zeros(1, 12))) == 2
    model.two.register_forward_hook(doubled)
    layers = find_layers(model, torch.zeros(1, 12))
    assert "different attributes" in layers.left_dense["one"] == layers.left_dense["two"]
    assert can_replace([model.head]) == (True, "")


def test_the_model_that_is_given_stays_as_it_is() -> None:
    model = net()
    model.fc.register_forward_hook(doubled)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    new = nn.Linear(12, 24)
    found = replaced(model, {"fc": new})
    assert found.fc is new and model.fc is not new and len(model.fc._forward_hooks) == 1
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert replaced(new, {"": model.fc}) is model.fc  # the root itself


def test_an_attribute_that_has_no_place_is_refused() -> None:
    model = net()
    model.fc.stride = 3
    with pytest.raises(RankfrontError, match="a Linear cannot be replaced: its attribute 'stride'"):
        replaced(model, {"fc": nn.Conv1d(1, 1, 1)})


def test_what_hangs_on_an_attention_hangs_on_it_unpacked() -> None:
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    encoder.self_attn.register_forward_hook(lambda m, i, o: (2 * o[0], *o[1:]))
    encoder.self_attn.mark = "mine"
    encoder.self_attn.in_proj_weight.requires_grad_(False)
    x = torch.randn(2, 5, 8)
    ours = rewrite(encoder, [x]).model
    assert isinstance(ours.self_attn, Attention) and ours.self_attn.mark == "mine"
    torch.testing.assert_close(ours(x), encoder(x), rtol=1e-4, atol=1e-5)
    assert not ours.self_attn.q_proj.weight.requires_grad and ours.self_attn.out_proj.weight.requires_grad
    patched_one = copy.deepcopy(encoder)
    patched(patched_one.self_attn)
    assert not any(isinstance(m, Attention) for m in rewrite(patched_one, [x]).model.modules())
