"""Training of a study's dense model, once: interrupted, it goes on; finished, it is kept.

The weights lie in the user's cache folder, named by everything they depend on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import platformdirs
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..objectives.data import Split, apply
from ..objectives.errors import RankfrontError
from ..objectives.files import read_tensors, write_tensors

Progress = Callable[[str, int, int], None]


def train_dense(
    model: nn.Module,
    data: Split,
    *,
    name: str,
    epochs: int,
    lr: float,
    batch_size: int,
    seed: int,
    cosine: bool = False,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> nn.Module:
    """Train ``model`` in place by Adam on cross entropy and return it, in eval mode on the CPU.

    Args:
        model: freshly initialised from ``seed``.
        data: the training split.
        name: of the study, for the cache and the progress bar.
        epochs: passes over the data.
        lr: learning rate of Adam; constant, or falling as a cosine.
        batch_size: samples a step.
        seed: of the order of the samples.
        cosine: whether the learning rate falls.
        device: where to train; the CPU if not given.
        progress: told the epochs done.
    """
    device = device or torch.device("cpu")
    recipe = f"{model}|{data.fingerprint()}|{epochs}|{lr}|{batch_size}|{seed}|{cosine}|{device.type}"
    key = hashlib.sha256(recipe.encode()).hexdigest()[:16]
    path = platformdirs.user_cache_path("rankfront") / f"{name}-{key}.safetensors"
    model.to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr)
    what = f"training the dense model of {name} (epochs)"
    begun = _resume(path, model, optimizer)
    with torch.random.fork_rng(devices=[]):
        for epoch in range(begun, epochs):
            if progress is not None:
                progress(what, epoch, epochs)
            if cosine:
                for group in optimizer.param_groups:
                    group["lr"] = lr * 0.5 * (1 + torch.cos(torch.tensor(torch.pi * epoch / epochs)).item())
            torch.manual_seed(seed + epoch)
            order = torch.Generator().manual_seed(seed + epoch)
            model.train()
            for batch in data.batches(batch_size, device=device, shuffle=order):
                optimizer.zero_grad(set_to_none=True)
                functional.cross_entropy(apply(model, batch.inputs), batch.targets).backward()
                optimizer.step()
            _keep(path, model, optimizer, epoch + 1, last=epoch + 1 == epochs)
    if progress is not None and begun < epochs:
        progress(what, epochs, epochs)
    return model.to("cpu").eval()


def _keep(path: Path, model: nn.Module, optimizer: torch.optim.Adam, epoch: int, *, last: bool) -> None:
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    if not last:
        for index, state in optimizer.state_dict()["state"].items():
            tensors.update({f"optimizer.{index}.{name}": value for name, value in state.items()})
    write_tensors(path, tensors, {"epoch": str(epoch)})


def _resume(path: Path, model: nn.Module, optimizer: torch.optim.Adam) -> int:
    """Load what is kept, if it is whole; returns the number of epochs done."""
    if not path.exists():
        return 0
    try:
        tensors, metadata = read_tensors(path)
        epoch = int(metadata["epoch"])
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            part, index, rest = name.split(".", 2) if name.startswith("optimizer.") else ("", "0", "")
            if part:
                state.setdefault(int(index), {})[rest] = value
        model.load_state_dict({n.removeprefix("model."): v for n, v in tensors.items() if n.startswith("model.")})
        if state:
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    except (RankfrontError, KeyError, ValueError, RuntimeError):
        return 0  # damaged: trained again
    return epoch
