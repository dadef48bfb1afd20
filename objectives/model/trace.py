"""What a model calls: one pass in eval mode for each of several samples, and one in training mode.

One sample does not show a model. A mixture of experts sends it to some of them, an early exit ends it, and an auxiliary
head is called in training alone. So several samples are passed, one by one, as long as some layer is not reached; then
their batch once in training mode, with gradients, as a training step does, on a copy.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..data.randomness import fixed_seed
from ..data.structure import Inputs, apply, tensors_of
from .copying import copied
from .layer import first_input
from .mode import in_mode
from .multiplications import Multiplications, Use

SAMPLES = 16
"""At most so many samples are passed one by one."""

FLOP_LIMIT = 5e10
"""Where every layer is reached, samples are passed up to so many flops of Linears and convolutions, two at least."""

Calls = dict[str, list[tuple[torch.Size, torch.Size]]]
"""Path of a module → input and output shape of each of its calls, in order."""


@dataclass(frozen=True)
class Several:
    """The inputs of several samples, each a batch of one: amounts are the mean over them."""

    inputs: tuple[Inputs, ...]


class Seen(NamedTuple):
    """The calls of one or more inputs: `calls` of ``inputs`` inputs together."""

    calls: tuple[tuple[torch.Size, torch.Size], ...]
    inputs: int


@dataclass(frozen=True)
class Trace:
    """What several passes of a model called and multiplied."""

    passes: tuple[Calls, ...]
    """In eval mode, one for each sample; the first is the example's."""
    alike: tuple[int, ...]
    """Which of them had inputs of the example's shapes: a power of two of them, so that means are exact."""
    inputs: tuple[Inputs, ...]
    """What was passed."""
    training: Calls | None
    """In training mode, of all samples together; None where the model refuses that."""
    uses: dict[str, list[Use]]
    """Name of a parameter → what it was multiplied by, in eval mode."""
    training_uses: dict[str, list[Use]]

    def seen(self, paths: Sequence[str]) -> Seen:
        """Return the calls of modules that share a weight, for one input.

        Where samples of the same shape call them differently, the data decides: then the calls of several inputs are
        returned, and amounts for one input are means.
        """
        each = [tuple(call for path in paths for call in self.passes[at].get(path, ())) for at in self.alike]
        if all(calls == each[0] for calls in each):
            return Seen(each[0], 1)
        return Seen(tuple(call for calls in each for call in calls), len(each))

    @property
    def measured(self) -> Inputs | Several:
        """What amounts for one input are counted on: the example; where the data decides what is called, `alike`."""
        if all(self.passes[at] == self.passes[0] for at in self.alike):
            return self.inputs[0]
        return Several(tuple(self.inputs[at] for at in self.alike))

    def reached(self, paths: Iterable[str]) -> tuple[bool, str]:
        """Return whether any sample reached a module, known by these paths, in eval mode, and what did not."""
        known = set(paths)
        if any(known & calls.keys() for calls in self.passes):
            return True, ""
        if self.training is not None and known & self.training.keys():
            return False, "called in training mode alone: the network that ships does not compute it"
        count = len(self.passes)
        by = "the sample" if count == 1 else f"{count} samples"
        return False, f"not called by {by}" + ("" if self.training is None else " nor by a training step")


def trace(
    model: nn.Module,
    example: Inputs,
    watched: Callable[[nn.Module], bool],
    samples: Iterable[Inputs] = (),
    together: Inputs | None = None,
) -> Trace:
    """Run a model on samples and note what is called and multiplied; the model is left as it was.

    Args:
        model: run in eval mode; a copy of it in training mode.
        example: inputs of one sample, a batch of one.
        watched: whether the calls of a module are noted.
        samples: further samples; one that the model refuses is passed over.
        together: a batch for training mode; without it that pass is left out.

    Raises:
        Refused: the model refuses the example.
    """
    uses: dict[str, list[Use]] = {}
    first = _run(model, example, watched, uses, training=False)
    passes, taken, alike, shapes = [first], [example], [0], _shapes(example)
    paths = {path for path, module in model.named_modules() if watched(module)}
    reached = set(first)
    enough = max(2, min(SAMPLES, int(FLOP_LIMIT / max(1, _flops(model, first)))))
    for sample in samples:
        if len(passes) >= (enough if reached >= paths and not _unmultiplied(model, uses) else SAMPLES):
            break
        try:
            found = _run(model, sample, watched, uses, training=False)
        except Refused:  # the checks on loss and score say so
            continue
        if _shapes(sample) == shapes:
            alike.append(len(passes))
        passes.append(found)
        taken.append(sample)
        reached |= set(found)
    training: Calls | None = None
    training_uses: dict[str, list[Use]] = {}
    if together is not None:
        with contextlib.suppress(Refused):
            training = _run(copied(model), together, watched, training_uses, training=True)
    power = 1 << (len(alike).bit_length() - 1)
    return Trace(tuple(passes), tuple(alike[:power]), tuple(taken), training, uses, training_uses)


class Refused(Exception):
    """The model refuses its inputs; ``module`` and ``shape`` are where it was, and what it was given there."""

    def __init__(self, reason: Exception, module: nn.Module | None, shape: torch.Size | None) -> None:
        super().__init__(str(reason))
        self.module = module
        self.shape = shape


def _run(
    model: nn.Module,
    inputs: Inputs,
    watched: Callable[[nn.Module], bool],
    uses: dict[str, list[Use]],
    *,
    training: bool,
) -> Calls:
    calls: Calls = {}
    entered: list[tuple[nn.Module, torch.Size]] = []
    paths: dict[nn.Module, str] = {}
    for path, module in model.named_modules():
        if watched(module):
            paths[module] = path

    def enter(module: nn.Module, given: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        entered.append((module, first_input(given, keywords).shape))

    def note(module: nn.Module, given: tuple[Any, ...], keywords: dict[str, Any], output: Tensor) -> None:
        calls.setdefault(paths[module], []).append((entered.pop()[1], output.shape))

    # After the user's own pre-hooks and before his forward hooks: what the linear map itself takes and gives.
    hooks = [m.register_forward_pre_hook(enter, with_kwargs=True) for m in paths]
    hooks += [m.register_forward_hook(note, with_kwargs=True, prepend=True) for m in paths]
    multiplications = Multiplications(model.named_parameters(), entered)
    try:
        with in_mode(model, training=training), fixed_seed(0), torch.set_grad_enabled(training), multiplications:
            apply(model, inputs)
    except Exception as error:  # whatever the user's code raises
        raise Refused(error, *(entered[-1] if entered else (None, None))) from error
    finally:
        for hook in hooks:
            hook.remove()
    for name, found in multiplications.uses.items():
        uses.setdefault(name, []).extend(found)
    return calls


def _shapes(inputs: Inputs) -> list[torch.Size]:
    return [tensor.shape for tensor in tensors_of(inputs)]


def _unmultiplied(model: nn.Module, uses: Mapping[str, Sequence[Use]]) -> bool:
    """Return whether a module that is not one of torch's holds a matrix that was not multiplied yet."""
    return any(
        parameter.ndim > 1 and f"{path}.{name}".lstrip(".") not in uses
        for path, module in model.named_modules()
        if not type(module).__module__.startswith("torch.nn.")
        for name, parameter in module.named_parameters(recurse=False)
    )


def _flops(model: nn.Module, calls: Calls) -> int:
    total = 0
    for path, seen in calls.items():
        weight = model.get_submodule(path)._parameters.get("weight")
        if weight is not None and weight.numel():
            total += sum(2 * out.numel() // len(weight) * weight.numel() for _, out in seen)
    return total
