"""The brief fine-tune of a factorized network: a few epochs, guided by the dense model."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..data.batch import Batch
from ..data.batched import Batched
from ..data.randomness import fixed_seed, random_state, set_random_state
from ..data.structure import apply, full_precision
from ..device import autocast
from ..errors import RankfrontError, TrialError
from ..io.checkpoint import Checkpoint
from ..memory import exhausted
from ..progress import CountCallback
from .low_precision import MasterWeights
from .norms import refuses_single, set_training
from .schedule import schedule
from .settings import FineTune

FORMAT = 3
"""Of the checkpoints, part of their key. Format 1 held the largest score, format 2 holds the least value, format 3 all
random states."""

ALL_SINGLE = (
    "the training data must give batches of 2 samples or more, which batch norm needs in training, but an epoch gave "
    "batches of one alone: set the loader's batch_size, or freeze the norms"
)

FROZEN = "every parameter is frozen (requires_grad is False): there is nothing to fine-tune"


def _forward(model: nn.Module, batch: Batch) -> Any:
    return apply(model, batch.inputs)


def finetune(
    model: nn.Module,
    data: Batched,
    loss: Callable[[Any, Batch], Tensor],
    validate: Callable[[nn.Module], float],
    settings: FineTune,
    *,
    seed: int,
    device: torch.device,
    progress: CountCallback | None = None,
    checkpoint: Checkpoint | None = None,
    stop: Callable[[int], bool] | None = None,
    note: Callable[[str], None] | None = None,
    forward: Callable[[nn.Module, Batch], Any] = _forward,
    frozen: Collection[str] = (),
) -> float:
    """Train ``model`` in place and leave it as it was at its best.

    Args:
        model: the factorized network, on ``device``.
        data: the training split.
        loss: of the model's outputs on a batch; averaged over the batch.
        validate: returns what is minimised on the validation split; called before the first step and after every
            epoch.
        settings: how long and how.
        seed: of the order of the samples, of what the data draws, and of dropout and the like.
        device: where to compute.
        progress: called with the number of steps done, and of all.
        checkpoint: kept after every epoch, and gone on from where it is there.
        stop: called after every epoch but the last, with its number from 1; returns whether to stop.
        note: called with a sentence on whatever was unusual. Where memory does not suffice, batches are passed in
            halves, quarters … whose gradients are added up (batch norm then sees smaller batches, of 2 at least).
        forward: returns the model's outputs on a batch; called on its inputs alone if not given.
        frozen: paths of norms whose statistics stay as they are.

    Returns:
        The least value of ``validate``; the model's weights and statistics are those that reached it.

    Raises:
        TrialError: the loss is not finite.
        RankfrontError: batch norm refuses every batch of an epoch: each is of one sample. Where it refuses one of
            several, that step changes nothing.
    """
    least = validate(model)
    total = settings.total_steps(data)
    if total == 0:
        return least
    if not any(parameter.requires_grad for parameter in model.parameters()):
        if note is not None:
            note(FROZEN)
        return least
    if checkpoint:
        checkpoint = replace(checkpoint, key=f"{checkpoint.key} format {FORMAT}")
    best_state = copy.deepcopy(model.state_dict())
    weights = MasterWeights(p for p in model.parameters() if p.requires_grad)
    optimizer = _optimizer(weights.trained, settings)
    order = torch.Generator().manual_seed(seed)
    drawn_from = [order, *data.generators]
    with fixed_seed(seed, *data.generators), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        step, kept = checkpoint.load(model, optimizer) if checkpoint else (0, {})
        if step:
            least, best_state = _restore(kept, best_state, drawn_from, device)
            weights.restore(kept)
        rate = schedule(optimizer, "warm cosine", total, warmup=settings.warmup, done=step)
        epoch = 0
        parts = noted = fewest = 1
        while step < total:
            set_training(model, frozen)
            running = torch.zeros((), device=device)
            trained = False
            for batch in data.batches(settings.batch_size, device=device, shuffle=order, augmented=True):
                while True:
                    model.zero_grad(set_to_none=True)
                    pieces = batch.parts(max(1, min(parts, batch.samples // fewest)))
                    try:
                        batch_loss = _backward(model, pieces, forward, loss, device, weights)
                        if weights.take_gradients():
                            break
                    except Exception as error:  # whatever model and loss raise
                        if exhausted(error) and parts < batch.samples // fewest:
                            parts *= 2
                            if device.type == "cuda":
                                torch.cuda.empty_cache()
                            continue
                        smallest = min(piece.samples for piece in pieces)
                        if not isinstance(error, ValueError) or not refuses_single(error, smallest):
                            raise
                        if len(pieces) > 1:
                            fewest = 2
                            continue
                        batch_loss = None
                        break
                if parts > noted:
                    noted = parts
                    if note is not None:
                        note(f"out of memory: from step {step + 1} on batches were passed in {parts} parts")
                if batch_loss is not None:
                    nn.utils.clip_grad_norm_(weights.trained, settings.clip)
                    optimizer.step()
                    weights.give_weights()
                    running += batch_loss
                    trained = True
                rate.step()
                step += 1
                if step % 16 == 0 or step == total:
                    _check_finite(running, step)
                    if progress is not None:
                        progress(step, total)
                if step == total:
                    break
            if not trained:
                raise RankfrontError(ALL_SINGLE)
            value = validate(model)
            if value <= least:
                least, best_state = value, copy.deepcopy(model.state_dict())
            epoch += 1
            if stop is not None and step < total and stop(epoch):
                break
            if checkpoint:
                checkpoint.save(step, model, optimizer, weights.state() | _kept(least, best_state, drawn_from, device))
    model.load_state_dict(best_state)
    return least


def _backward(
    model: nn.Module,
    parts: list[Batch],
    forward: Callable[[nn.Module, Batch], Any],
    loss: Callable[[Any, Batch], Tensor],
    device: torch.device,
    weights: MasterWeights,
) -> Tensor:
    """Add up the gradients of a batch that is passed in parts; return its loss."""
    samples = sum(part.samples for part in parts)
    total = torch.zeros((), device=device)
    for part in parts:
        with autocast(device):
            outputs = forward(model, part)
        value = loss(full_precision(outputs), part)
        if len(parts) > 1:
            value = value * (part.samples / samples)
        weights.scaled(value).backward()
        total += value.detach()
    return total


def _kept(
    least: float, best_state: Mapping[str, Tensor], generators: Sequence[torch.Generator], device: torch.device
) -> dict[str, Tensor]:
    """Return what a fine-tune needs to go on, besides the model and the optimizer."""
    kept = {f"best.{name}": value for name, value in best_state.items()}
    if device.type == "cuda":
        kept["random on cuda"] = torch.cuda.get_rng_state(device)
    return kept | random_state(generators) | {"least": torch.tensor(least, dtype=torch.float64)}


def _restore(
    kept: Mapping[str, Tensor],
    like: Mapping[str, Tensor],
    generators: Sequence[torch.Generator],
    device: torch.device,
) -> tuple[float, dict[str, Tensor]]:
    """Set the random states and return the least value and its state; the inverse of `_kept`."""
    set_random_state(kept, generators)
    if "random on cuda" in kept and device.type == "cuda":
        torch.cuda.set_rng_state(kept["random on cuda"], device)
    return float(kept["least"]), {name: kept[f"best.{name}"].to(value.device) for name, value in like.items()}


def _optimizer(trained: list[Tensor], settings: FineTune) -> torch.optim.Optimizer:
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(trained, settings.lr, weight_decay=settings.weight_decay)
    return torch.optim.SGD(trained, settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay)


def _check_finite(running: Tensor, step: int) -> None:
    if not math.isfinite(float(running)):
        raise TrialError(
            f"the loss must be finite, but it was {float(running)} at step {step}: look for NaN in the training data, "
            "or give a smaller finetune lr"
        )
