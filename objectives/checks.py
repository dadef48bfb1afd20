"""Check that model, data, loss and score fit together, before anything takes long."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .boundary import sentence_and_place, told
from .data.batch import Batch
from .data.few import Few, few_of
from .data.structure import apply, tensors_of
from .errors import RankfrontError
from .memory import exhausted
from .metrics.broadcast import broadcasts
from .metrics.evaluation import evaluate
from .metrics.streamed import StreamedMean
from .metrics.sums import sums_up
from .metrics.whole_split import check_memory
from .model.hints import of_inputs, of_targets
from .model.independent import check_passes
from .model.outputs import main_output

if TYPE_CHECKING:
    from .kinds.left_dense import LeftDense
    from .task import Task


def check_some_layer_saves(left: LeftDense) -> None:
    """Raise `RankfrontError` where no kind makes any layer smaller, given what stays dense."""
    if left.params == left.total:
        raise RankfrontError(
            f"the model must have a Linear or convolution that a factorization makes smaller, but has none ({left})"
        )


def check_ends(task: Task, batch_size: int) -> None:
    """Raise `RankfrontError` where data that is to be read to its end has none."""
    checks: dict[str, Callable[[], object]] = {
        "training": lambda: task.finetune.total_steps(task.train),
        "validation": lambda: task.validation.check_ends(batch_size),
        "test": lambda: task.test is None or task.test.check_ends(batch_size),
    }
    for name, check in checks.items():
        try:
            check()
        except RankfrontError as error:
            raise RankfrontError(f"{name} {error}") from error


MOST_TEST = 256
"""So many samples of the test data are scored at most before the end, where a score fails on a few."""


@torch.no_grad()
def check_score(task: Task, dense: nn.Module, few: Few, batch_size: int, split: str = "validation") -> bool:
    """Try the score on batches of validation or test data by the evaluation that trials use.

    A score of the user's own may fail because the samples are few, such as one that needs samples of every class. Where
    it fails it is computed on more: on all of the validation data, as every trial does, or on `MOST_TEST` samples of
    the test data. The error is raised if it fails there, too, unless the test data has still more.

    Args:
        task: whose score is tried.
        dense: its model, in eval mode, where the batches are.
        few: of the split's data.
        batch_size: largest batch of the passes without gradients.
        split: its name.

    Returns:
        Whether the score could be computed on the few samples.

    Raises:
        RankfrontError: the model refuses the data or gives no finite numbers, or the score refuses its outputs.
    """
    score, data = task.score, getattr(task, split)
    passed = [
        (accepted(task, split, dense, batch, lambda inputs=batch.inputs: apply(dense, inputs)), batch)
        for batch in few.held
    ]
    outputs, batch = passed[0]
    if score.keeps_outputs:
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors_of((outputs, batch.targets)))
        check_memory(size, batch.samples, data.size)
    device = next((p.device for p in dense.parameters()), torch.device("cpu"))

    few_do = True

    def scored() -> None:
        nonlocal few_do
        try:
            evaluate(dense, few, score, device=device, batch_size=batch_size)
        except Exception:
            if task.score_is_default:
                raise
            few_do = False
            if split == "validation":
                evaluate(dense, data, score, device=device, batch_size=batch_size)
                return
            more = few_of(data, (MOST_TEST,), device)
            cut = Few(data, [part for batch in more.held for part in batch.parts(-(-batch.samples // batch_size))])
            try:
                evaluate(dense, cut, score, device=device, batch_size=batch_size)
            except Exception:
                if data.size is not None and data.size <= more.size:
                    raise

    def of_pair(outputs: Any, targets: Any) -> float:
        return score.of([(outputs, targets)])

    pair = outputs, batch.targets
    fits("score", lambda: of_targets(*pair) if task.score_is_default else otherwise("score", of_pair, *pair), scored)
    check_shapes("score", of_pair, *pair)
    mean = score.of_batches
    if isinstance(mean, StreamedMean) and sums_up(mean.function, *pair, batch.samples, batch.dim):
        raise RankfrontError(
            "the score of a batch must be its mean, or a value a sample, but it is a sum: of every sample twice it is "
            "twice as large; divide by the number of samples"
        )
    return few_do


def accepted(task: Task, data: str, dense: nn.Module, batch: Batch, run: Callable[[], Any]) -> Any:
    """Return the outputs of ``run``, the model on a batch; raises `RankfrontError` where it refuses the batch."""
    try:
        outputs = run()
    except RankfrontError:
        raise
    except Exception as error:
        if exhausted(error):
            raise told(error) from error
        check_passes(task.model, (task.train.example(), batch.inputs))
        what = "a sample" if batch.samples == 1 else f"a batch of {batch.samples} samples"
        raise RankfrontError(
            f"the model must accept {what} of the {data} data, but: "
            f"{sentence_and_place(error)}{of_inputs(dense, batch.inputs)}"
        ) from error
    main = main_output(outputs)
    if main is not None and not bool(torch.isfinite(main).all()):
        raise RankfrontError(
            f"the model must give finite outputs on the {data} data, but gave NaN or infinity: look for it "
            "in the inputs, the weights and the running statistics of batch norm"
        )
    return outputs


def fits(name: str, hint: Callable[[], str], run: Callable[[], None]) -> None:
    """Run a loss or score; raises `RankfrontError`, with the hint, where it refuses outputs and targets."""
    try:
        run()
    except RankfrontError:
        raise
    except Exception as error:
        if exhausted(error):
            raise told(error) from error
        raise RankfrontError(
            f"the {name} must accept the model's outputs and the data's targets, but: "
            f"{sentence_and_place(error)}{hint()}"
        ) from error


def otherwise(name: str, function: Callable[[Any, Any], Any], outputs: Any, targets: Any) -> str:
    """Return a sentence's end on how a loss or score would take outputs and targets that it refuses."""

    def takes(*given: Any) -> bool:
        with contextlib.suppress(Exception):
            function(*given)
            return True
        return False

    if takes(targets, outputs):
        return f": it does take the two swapped, but is called as {name}(outputs, targets)"
    if isinstance(targets, Tensor) and targets.is_floating_point() and takes(outputs, targets.long()):
        of_metric = "rankfront.Score.of_metric(metric, select=lambda outputs, targets: (outputs, targets.long()))"
        return f": it takes whole numbers as targets: {of_metric if name == 'score' else 'give targets.long()'}"
    return ""


def check_shapes(name: str, function: Callable[[Any, Any], Any], outputs: Any, targets: Any) -> None:
    """Raise `RankfrontError` where a loss or score compares every output with every target."""
    found, shapes = broadcasts(function, outputs, targets)
    if found:
        raise RankfrontError(
            f"the {name} must compare every sample with its own target, but torch broadcasts {shapes}: "
            f"give the targets the outputs' shape (such as y[:, None]), or squeeze the outputs in the {name}"
        )
