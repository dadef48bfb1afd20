"""What a copy of a model shares with the original, and one pass with the next, is told before anything is prepared."""

from __future__ import annotations

import functools
import logging
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rankfront import FineTune, RankfrontError, Task, load
from rankfront.objectives.model.independent import Foreign, check_independent, check_passes
from rankfront.objectives.objective import Objective
from tests.conftest import blobs, dry_run, go

X, Y = blobs(80, 1)
LOGGER = logging.getLogger(__name__)


class Net(nn.Module):
    """Three layers, of which ``middle`` may be called by whatever a test likes."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.o = nn.Linear(12, 16), nn.Linear(16, 16), nn.Linear(16, 4)
        self.middle: Any = None

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.a(x))
        return self.o(self.b(h) if self.middle is None else self.middle(h))


def with_middle(make: Callable[[Net], Any]) -> Net:
    net = Net().eval()
    net.middle = make(net)
    return net


def hooked(net: Net) -> None:
    net.a.register_forward_hook(lambda module, given, output: net.b(output))


def forward_replaced(net: Net) -> None:
    before = net.b.forward
    net.b.forward = lambda input: 2 * before(input)


def weakly(net: Net) -> Any:
    reference = weakref.ref(net)
    return lambda h: h * reference().b.weight.sum()  # pyright: ignore[reportOptionalMemberAccess]


OUTSIDE: dict[str, Callable[[Net], Any]] = {
    "a lambda": lambda net: lambda h: net.b(h),
    "in a list": lambda net: [lambda h: net.b(h)][0],
    "a parameter alone": lambda net: lambda h: h * net.b.weight.mean(),
    "a hook": hooked,
    "a forward of its own": forward_replaced,
    "a weak reference": weakly,
}
COPIED: dict[str, Callable[[Net], Any]] = {
    "nothing": lambda net: None,
    "a bound method": lambda net: net.b.forward,
    "a partial": lambda net: functools.partial(functional.linear, weight=net.b.weight),
    "a function of numbers": lambda net: lambda h: h.clamp(0, 6),
    "geometry": lambda net: lambda h: h / net.b.in_features * net.b.weight.shape[0],
    "a module twice": lambda net: nn.Sequential(net.b, net.b),
}


RECORDS: list[Any] = []
SETTINGS = {"scale": 2.0, "table": torch.ones(16), "learned": nn.Parameter(torch.ones(16), requires_grad=False)}
EXTERNAL = nn.Linear(16, 16).eval().requires_grad_(False)


def recorded(net: Net) -> None:
    net.b.register_forward_hook(lambda module, given, output: RECORDS.append(output.detach()))
    net.b.register_forward_pre_hook(lambda module, given: LOGGER.debug("%s %s", module.weight.shape, given[0].mean()))


def gradients_recorded(net: Net) -> None:
    net.b.register_full_backward_hook(lambda module, given, received: RECORDS.append(received[0]))


HELD_OUTSIDE: dict[str, Callable[[Net], Any]] = {
    "lists and loggers": recorded,
    "a list of gradients": gradients_recorded,
    "a dict": lambda net: lambda h: h * SETTINGS["scale"] + SETTINGS["table"] + SETTINGS["learned"],
    "another model": lambda net: lambda h: EXTERNAL(h),
    "another model's features": lambda net: lambda h: h + functional.cosine_similarity(h, EXTERNAL(h))[:, None],
    "a model in a list": lambda net: [EXTERNAL][0].forward,
    "the original's geometry": lambda net: (
        lambda h: h[:, : net.b.in_features].to(net.b.weight.device, net.a.bias.dtype)
    ),
    "the original's settings": lambda net: lambda h: h if net.training else h * len(list(net.b.parameters())),
}


@pytest.mark.parametrize("make", HELD_OUTSIDE.values(), ids=HELD_OUTSIDE)
def test_what_is_none_of_the_models_own_parameters_may_lie_outside(make: Callable[[Net], Any]) -> None:
    task = Task(with_middle(make), train=(X, Y), validation=blobs(70, 2))
    objective = Objective(task, device=torch.device("cpu"))
    assert {"a", "o"} <= set(objective.by_name)
    assert not [said for said in dry_run(task) if "registered" in said]


@pytest.mark.parametrize("make", OUTSIDE.values(), ids=OUTSIDE)
def test_a_copy_that_computes_with_the_original_is_refused(make: Callable[[Net], Any]) -> None:
    with pytest.raises(RankfrontError, match=r"computes with 'b\.weight' of the original"):
        check_independent(with_middle(make), X[:1])
    with pytest.raises(RankfrontError, match="of the original"):
        dry_run(Task(with_middle(make), train=(X, Y), validation=(X, Y)))


@pytest.mark.parametrize("make", COPIED.values(), ids=COPIED)
def test_what_is_copied_with_the_model_is_not(make: Callable[[Net], Any]) -> None:
    net = with_middle(make)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    check_independent(net, X[:1])
    check_passes(net, (X[:1], X[:8]))
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


class Remembers(nn.Module):
    def __init__(self, anew: bool) -> None:
        super().__init__()
        self.rnn, self.out, self.anew = nn.GRU(12, 16, batch_first=True), nn.Linear(16, 4), anew
        self.hidden: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.hidden is not None and self.anew and self.hidden.shape[1] != len(x):
            self.hidden = None
        output, self.hidden = self.rnn(x, self.hidden)
        return self.out(output[:, -1])


def test_state_of_an_earlier_pass_that_later_ones_need() -> None:
    x = torch.randn(80, 3, 12)
    with pytest.raises(RankfrontError, match=r"accepts \(8, 3, 12\) float32 only as its first inputs: .*hidden size"):
        dry_run(Task(Remembers(anew=False), train=(x, Y), validation=(x, Y)))
    check_passes(Remembers(anew=True), (x[:1], x[:8]))
    check_passes(Remembers(anew=False), (x[:1], x[:8, 0, :5]))  # which it never accepts: said elsewhere


class Changes(nn.Module):
    def __init__(self, change: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.fc, self.change = nn.Linear(12, 4), change

    def forward(self, x: Tensor) -> Tensor:
        self.change(x)
        return self.fc(x)


@pytest.mark.parametrize("change", [lambda x: x.add_(1), lambda x: x[:, 0].zero_(), lambda x: functional.relu_(x)])
def test_inputs_that_a_forward_changes(change: Callable[[Tensor], object]) -> None:
    x = X[:1].clone()
    with pytest.raises(RankfrontError, match=r"changes \(1, 12\) float32 in place"):
        check_independent(Changes(change), x)
    assert torch.equal(x, X[:1])
    check_independent(Changes(lambda x: x + 1), x)
    check_independent(Changes(lambda x: x + 1), torch.full_like(x, torch.nan))
    check_independent(Changes(lambda x: x.to_dense()), x.to_sparse())


class Builds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(12, 16)
        self.out: nn.Linear | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.out is None:
            self.out = nn.Linear(16, 4)
        return self.out(self.fc(x))


def test_modules_that_the_first_pass_makes() -> None:
    net = Builds()
    with pytest.raises(RankfrontError, match=r"its forward makes 'out\.weight': call the model on a batch once before"):
        check_independent(net, X[:1])
    net(X[:1])
    check_independent(net, X[:1])


class Hides(nn.Module):
    """Layers in a plain list, which torch does not register."""

    def __init__(self, hold: Callable[[list[nn.Module]], Any]) -> None:
        super().__init__()
        self.layers, self.out = hold([nn.Linear(12, 16), nn.Linear(16, 16)]), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.out(x)


def test_parameters_that_are_not_registered_are_warned_of() -> None:
    def warned(hold: Callable[[list[nn.Module]], Any]) -> list[str]:
        said = dry_run(Task(Hides(hold), train=(X, Y), validation=blobs(70, 2)))
        return [warning for warning in said if "not registered" in warning]

    (warning,) = warned(list)
    assert "a parameter (16, 12)" in warning
    assert not warned(nn.ModuleList)


def test_foreign_parameters_are_seen_through_views_and_lists() -> None:
    own, theirs = nn.Linear(3, 3), nn.Linear(3, 3)
    for compute in (lambda w: w.T @ w, lambda w: torch.cat([w, w]), lambda w: w[1:].sum(), lambda w: w.data.norm()):
        with Foreign(own.parameters(), theirs.named_parameters()) as foreign:
            compute(own.weight)
            assert (foreign.name, foreign.unregistered) == (None, None)
            compute(theirs.weight)
        assert foreign.name == "weight"


def test_a_scripted_part_trains_and_loads(tmp_path: Path) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.out = nn.Linear(12, 32), nn.Linear(32, 4)
            self.scripted = torch.jit.script(nn.Sequential(nn.Linear(32, 32), nn.ReLU()))  # pyright: ignore
            self.scripted[0].bias.requires_grad_(False)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.scripted(self.a(x)))

    net = Net()
    result = go(Task(net, train=(X, Y), validation=(X, Y), finetune=FineTune(steps=3)), tmp_path / "out", trials=1)
    best = result.best
    torch.testing.assert_close(load(tmp_path / "out", Net())(X), best(X))
    state = best.state_dict()
    assert not torch.equal(state["scripted.0.weight"], net.state_dict()["scripted.0.weight"])
    assert torch.equal(state["scripted.0.bias"], net.state_dict()["scripted.0.bias"])


def test_a_deepcopy_that_forgets_its_memo() -> None:
    class Forgets(Net):
        def __deepcopy__(self, memo: Any) -> Forgets:
            made = Forgets()
            made.load_state_dict(self.state_dict())
            return made

    with pytest.raises(RankfrontError, match=r"must copy each part by copy\.deepcopy\(part, memo\), but makes a anew"):
        dry_run(Task(Forgets(), train=(X, Y), validation=(X, Y)))
