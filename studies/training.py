"""Training of a study's dense model, once: interrupted, it goes on; finished, it is kept.

The weights lie in the user's cache folder, named by everything they depend on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import platformdirs
import torch
from torch import nn
from torch.nn import functional

from ..objectives.data.content import fingerprint_of
from ..objectives.data.split import Split
from ..objectives.data.structure import apply
from ..objectives.device import autocast, to_device
from ..objectives.io.checkpoint import Checkpoint
from ..objectives.io.fingerprint import fingerprint
from ..objectives.progress import WorkCallback
from ..objectives.training.schedule import Schedule, schedule


@dataclass(frozen=True)
class Recipe:
    """How a dense model is trained, on cross entropy."""

    epochs: int
    lr: float
    batch_size: int = 128
    optimizer: Literal["adam", "sgd"] = "adam"
    """SGD has Nesterov's momentum of 0.9."""
    schedule: Schedule = "constant"
    weight_decay: float = 0.0
    label_smoothing: float = 0.0

    def make(self, model: nn.Module) -> torch.optim.Optimizer:
        """Return the optimizer."""
        if self.optimizer == "adam":
            return torch.optim.Adam(model.parameters(), self.lr, weight_decay=self.weight_decay)
        return torch.optim.SGD(model.parameters(), self.lr, momentum=0.9, nesterov=True, weight_decay=self.weight_decay)


def train_dense(
    model: nn.Module,
    data: Split,
    recipe: Recipe,
    *,
    name: str,
    seed: int,
    device: torch.device | None = None,
    progress: WorkCallback | None = None,
) -> nn.Module:
    """Train ``model`` in place and return it, in eval mode on the CPU.

    Args:
        model: freshly initialised from ``seed``.
        data: the training split.
        recipe: how.
        name: of the study, for the cache and the progress bar.
        seed: of the order of the samples.
        device: where to train; the CPU if not given.
        progress: told the epochs done.
    """
    device = device or torch.device("cpu")
    key = fingerprint({}, model, fingerprint_of(data), recipe, seed, device.type)[:16]
    checkpoint = Checkpoint(platformdirs.user_cache_path("rankfront") / f"{name}-{key}.safetensors", key)
    to_device(model, device)
    optimizer = recipe.make(model)
    what = f"training the dense model of {name}"
    begun, _ = checkpoint.load(model, optimizer)
    steps = data.steps(recipe.batch_size)
    rate = schedule(optimizer, recipe.schedule, recipe.epochs * steps, done=begun * steps)
    with torch.random.fork_rng(devices=[]):
        for epoch in range(begun, recipe.epochs):
            if progress is not None:
                progress(what, epoch, recipe.epochs)
            torch.manual_seed(seed + epoch)
            order = torch.Generator().manual_seed(seed + epoch)
            model.train()
            batches = data.batches(recipe.batch_size, device=device, shuffle=order, augmented=True)
            for batch in batches:
                optimizer.zero_grad(set_to_none=True)
                with autocast(device):
                    outputs = apply(model, batch.inputs)
                loss = functional.cross_entropy(outputs.float(), batch.targets, label_smoothing=recipe.label_smoothing)
                loss.backward()
                optimizer.step()
                rate.step()
            checkpoint.save(epoch + 1, model, optimizer if epoch + 1 < recipe.epochs else None)
    if progress is not None and begun < recipe.epochs:
        progress(what, recipe.epochs, recipe.epochs)
    return model.to("cpu", memory_format=torch.contiguous_format).eval()  # pyright: ignore[reportCallIssue]
