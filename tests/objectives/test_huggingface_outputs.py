"""Hugging Face models as they come: attributes, caches, their own loss."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from rankfront import FineTune, Plan, Score, Task
from rankfront.objectives.objective import Objective

transformers = pytest.importorskip("transformers")

IDS = torch.randint(3, 60, (64, 8), generator=torch.Generator().manual_seed(0))
NEXT = torch.cat([IDS[:, 1:], torch.full((64, 1), -100)], 1)


def causal() -> Any:
    config = {"vocab_size": 60, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2}
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**config, **heads)).eval()


def surprise(outputs: Any, targets: Any) -> float:
    return float(functional.cross_entropy(outputs.logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten()))


def scored(**more: Any) -> float:
    torch.manual_seed(0)
    finetune = FineTune(batch_size=16)
    settings: dict[str, Any] = {"train": (IDS, IDS), "validation": (IDS, IDS), "calibration": 32, "eval_batch_size": 24}
    task = Task(causal(), **(settings | more), finetune=finetune, kinds=("svd",))
    objective = Objective(task, device=torch.device("cpu"))
    objective.prepare()
    assert objective.identity["content"]["outputs"]
    name, options = next(iter(objective.decompositions.options.items()))
    return objective(Plan({name: options[0]}), 0).score


def test_a_cache_in_the_output_as_by_default() -> None:
    """Three ways to the same number: over the whole split, batch by batch, by torchmetrics."""
    from torchmetrics.text import Perplexity

    def shifted(outputs: Any, targets: Any) -> Any:
        return outputs.logits[:, :-1], targets[:, 1:]

    assert type(causal()(IDS[:1]).past_key_values).__name__ == "DynamicCache"
    whole = scored(loss="model", score=Score.of_split(surprise, "surprise", higher_is_better=False))
    mean = scored(loss="model", score=Score.of_mean(surprise, "surprise", higher_is_better=False))
    metric = scored(loss="model", score=Score.of_metric(Perplexity(), select=shifted))
    assert whole == pytest.approx(mean, rel=1e-5)
    assert metric == pytest.approx(float(torch.tensor(whole).exp()), rel=1e-4)


def test_default_loss_and_accuracy_of_the_next_token() -> None:
    data = {"train": (IDS, NEXT), "validation": (IDS, NEXT)}
    assert 0 <= scored(**data) <= 1


class Rows(torch.utils.data.Dataset[Any]):
    def __len__(self) -> int:
        return len(IDS)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {"input_ids": IDS[i], "attention_mask": torch.ones_like(IDS[i]), "labels": IDS[i]}


def test_batches_that_hold_labels() -> None:
    rows = Rows()
    for loss in ("model", lambda outputs, targets: functional.cross_entropy(outputs.logits[:, 0], targets[:, 1])):
        found = scored(train=rows, validation=rows, loss=loss, score=Score.of_mean(surprise, higher_is_better=False))
        assert 3 < found < 5


class LabelledInputs(Rows):
    def __getitem__(self, i: int) -> Any:
        row = super().__getitem__(i)
        return row, row["labels"]


@pytest.mark.parametrize("read", [lambda o: o.loss, lambda o: o["loss"], lambda o: o[0]], ids=["loss", "key", "first"])
def test_labels_among_the_inputs_give_a_loss_to_train_on_and_no_trouble_to_the_score(read: Any) -> None:
    """The output then holds a loss without a dimension of samples; a score over the whole split reads the logits."""
    rows = LabelledInputs()
    found = scored(
        train=rows,
        validation=rows,
        loss=lambda outputs, targets: read(outputs),
        score=Score.of_split(surprise, higher_is_better=False),
    )
    assert 3 < found < 5
