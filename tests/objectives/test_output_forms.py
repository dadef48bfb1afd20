"""Every form that a model's output may have × loss, score and distillation.

The same network is wrapped so that its logits come in another form. Default loss, default score and distillation look
at the logits alone, so a trial must end in the same score and the same weights, whatever else is in the output.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from rankfront import Choice, FineTune, Plan, RankfrontError, Score, Task
from rankfront.objectives.metrics.evaluation import evaluate
from rankfront.objectives.model.outputs import main_output
from rankfront.objectives.objective import Objective
from tests.conftest import blobs, dry_run, perceptron

CPU = torch.device("cpu")


class Named(NamedTuple):
    logits: Tensor
    aux_logits: Tensor | None


@dataclass
class Answer:
    logits: Tensor
    note: str = "a note"


class Cache:
    """Neither tensor nor container, as a Hugging Face cache is; holds tensors all the same."""

    def __init__(self, keys: Tensor) -> None:
        self.keys = keys

    def __iter__(self) -> Any:
        raise TypeError("a cache is not to be looked into")


def huggingface(**more: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
    def form(logits: Tensor) -> Any:
        made = pytest.importorskip("transformers.modeling_outputs").SequenceClassifierOutputWithPast
        return made(logits=logits, **{name: function(logits) for name, function in more.items()})

    return form


def hidden(logits: Tensor) -> Tensor:
    return torch.stack([logits[:, :2], logits[:, 2:]])  # (layers, N, H)


FORMS: dict[str, Callable[[Tensor], Any]] = {
    "a tensor": lambda logits: logits,
    "ModelOutput": huggingface(),
    "ModelOutput with a loss": huggingface(loss=lambda logits: logits.square().mean()),
    "ModelOutput with hidden states and a cache": huggingface(
        hidden_states=lambda logits: (logits, hidden(logits)), past_key_values=lambda logits: Cache(logits)
    ),
    "a named tuple": lambda logits: Named(logits, None),
    "a named tuple with auxiliary logits": lambda logits: Named(logits, 2 * logits),
    "logits and hidden states": lambda logits: (logits, hidden(logits)),
    "logits and a cell": lambda logits: (logits, (hidden(logits), hidden(logits))),
    "a loss before logits": lambda logits: (logits.mean(), logits, hidden(logits)),
    "None before logits": lambda logits: (None, logits),
    "a list with deep supervision": lambda logits: [logits, 2 * logits, 3 * logits],
    "a dict": lambda logits: {"features": hidden(logits), "logits": logits, "loss": logits.sum()},
    "a dict of one": lambda logits: {"prediction": logits},
    "an ordered dict": lambda logits: OrderedDict(out=logits, aux=logits + 1),
    "a dataclass": lambda logits: Answer(logits),
}


class Wrapped(nn.Module):
    def __init__(self, form: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.body = perceptron()
        self.form = form

    def forward(self, x: Tensor) -> Any:
        return self.form(self.body(x))


def task_of(form: Callable[[Tensor], Any], **more: Any) -> Task:
    settings: dict[str, Any] = {"finetune": FineTune(epochs=1, batch_size=50), "calibration": 64, "eval_batch_size": 40}
    return Task(Wrapped(form), blobs(150, 1), blobs(100, 2), kinds=("svd",), **(settings | more))


def outcome(task: Task) -> tuple[float, dict[str, Tensor]]:
    objective = Objective(task, device=CPU)
    objective.prepare()
    found = objective(Plan({name: Choice("svd", 3) for name in list(objective.by_name)[:2]}), 0)
    return found.score, found.model.state_dict()


@pytest.fixture(scope="module")
def plain() -> tuple[float, dict[str, Tensor]]:
    return outcome(task_of(FORMS["a tensor"]))


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_default_loss_score_and_distillation_look_at_the_logits(form: Any, plain: tuple[float, Any]) -> None:
    score, state = outcome(task_of(form))
    assert score == plain[0]
    for name, value in plain[1].items():
        torch.testing.assert_close(state[name], value)


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(label_smoothing=0.1), functional.cross_entropy, nn.MSELoss()])
@pytest.mark.parametrize("form", ["ModelOutput", "logits and hidden states", "an ordered dict"])
def test_torchs_own_losses_take_the_main_output(form: str, loss: Any) -> None:
    x, y = blobs(150, 1)
    regression = isinstance(loss, nn.MSELoss)
    data = (x, functional.one_hot(y, 4).float() if regression else y)
    score = Score.of_mean(lambda outputs, targets: -loss(main_output(outputs), targets))
    more = {"train": data, "validation": data, "loss": loss, "score": score}
    one, other = (outcome(Task(Wrapped(FORMS[name]), **more, calibration=64)) for name in ("a tensor", form))
    assert one[0] == pytest.approx(other[0], rel=1e-5)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_loss_and_score_of_the_users_own_get_outputs_as_they_are(form: Any) -> None:
    expected = type(form(torch.zeros(2, 4)))
    seen: list[type] = []

    def loss(outputs: Any, targets: Tensor) -> Tensor:
        seen.append(type(outputs))
        logits = main_output(outputs)
        assert logits is not None
        return functional.cross_entropy(logits, targets)

    def score(outputs: Any, targets: Tensor) -> float:
        logits = main_output(outputs)
        assert type(outputs) is expected and logits is not None
        return float((logits.argmax(1) == targets).double().mean())

    for own in (score, Score.of_mean(score)):
        task = task_of(form, loss=loss, score=own)
        found, _ = outcome(task)
        assert 0 <= found <= 1
        default = evaluate(task.model, task.validation, task_of(form).score, batch_size=40)
        assert evaluate(task.model, task.validation, task.score, batch_size=40).score == pytest.approx(default.score)
    assert set(seen) == {expected}


def test_attributes_and_keys_of_huggingface_outputs() -> None:
    form = FORMS["ModelOutput with hidden states and a cache"]
    data, model = task_of(form).validation, Wrapped(form)
    ways = [lambda o: o.logits, lambda o: o["logits"], lambda o: o[0], lambda o: o.hidden_states[0]]
    scores = [Score.of_split(lambda o, t, way=way: float((way(o).argmax(1) == t).double().mean())) for way in ways]
    assert len({evaluate(model, data, score, batch_size=32).score for score in scores}) == 1


def test_a_structure_without_a_main_output_is_told() -> None:
    def heads(logits: Tensor) -> Any:
        return {"start": logits, "end": logits + 1}

    with pytest.raises(
        RankfrontError, match=r"cross_entropy needs one tensor .* a dict of start \(8, 4\), end \(8, 4\)"
    ):
        dry_run(task_of(heads))
    own = task_of(heads, loss=lambda o, t: functional.cross_entropy(o["start"], t))
    with pytest.raises(RankfrontError, match=r"accuracy needs outputs .* a score of its own"):
        dry_run(own)


class Fused(nn.Module):
    """Answers in another form in training, as networks with auxiliary heads do."""

    def __init__(self, training_form: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.body, self.extra = perceptron(), nn.Linear(12, 4)
        self.training_form = training_form

    def forward(self, x: Tensor) -> Any:
        logits = self.body(x)
        return self.training_form(logits, self.extra(x)) if self.training else logits


IN_TRAINING: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "a named tuple": lambda logits, extra: Named(logits, extra),
    "an ordered dict": lambda logits, extra: OrderedDict(out=logits, aux=extra),
    "a list": lambda logits, extra: [logits, extra],
    "a list that ends with it, of another size": lambda logits, extra: [torch.cat([extra] * 2, 1), logits],
}


@pytest.mark.parametrize("form", IN_TRAINING.values(), ids=IN_TRAINING)
def test_a_model_that_answers_differently_in_training(form: Any) -> None:
    seen: list[Any] = []

    def loss(outputs: Any, targets: Tensor) -> Tensor:
        seen.append(outputs)
        parts = outputs.values() if isinstance(outputs, dict) else outputs
        return torch.stack([functional.cross_entropy(part, targets) for part in parts]).sum()

    data = {"train": blobs(150, 1), "validation": blobs(100, 2), "calibration": 64}
    for settings in (FineTune(batch_size=50), FineTune(batch_size=50, distill=1.0)):
        assert 0 <= outcome(Task(Fused(form), **data, loss=loss, finetune=settings))[0] <= 1
    assert seen and not any(isinstance(outputs, Tensor) for outputs in seen)


@pytest.mark.parametrize("form", list(IN_TRAINING)[:3])
def test_the_default_loss_leaves_auxiliary_outputs_out(form: str) -> None:
    data = {"train": blobs(150, 1), "validation": blobs(100, 2), "calibration": 64, "exclude": ("extra",)}
    one, other = (outcome(Task(Fused(made), **data)) for made in (lambda logits, extra: logits, IN_TRAINING[form]))
    assert one[0] == other[0]
    for name, value in one[1].items():
        if not name.startswith("extra"):
            torch.testing.assert_close(other[1][name], value)
