"""A training run kept on disk, so that it goes on where it was interrupted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn
from torch.optim import Optimizer

from ..errors import RankfrontError
from .tensors import read_tensors, write_tensors


@dataclass(frozen=True)
class Checkpoint:
    """One safetensors file: the model, its optimizer, how far it got, and whatever else is to be kept."""

    path: Path
    key: str
    """What the run depends on; a file of another key is not taken."""

    def save(
        self, step: int, model: nn.Module, optimizer: Optimizer | None = None, other: dict[str, Tensor] | None = None
    ) -> None:
        """Write the state after ``step``; without the optimizer it can be loaded but not gone on with."""
        tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
        if optimizer is not None:
            for index, state in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items() if value is not None}
        tensors |= {f"other.{name}": value for name, value in (other or {}).items()}
        # Tied tensors are written as often as they occur: the file is read back by name.
        separate = {name: value.detach().cpu().clone() for name, value in tensors.items()}
        write_tensors(self.path, separate, {"step": str(step), "key": self.key})

    def load(self, model: nn.Module, optimizer: Optimizer | None = None) -> tuple[int, dict[str, Tensor]]:
        """Bring model and optimizer to where they were.

        Returns:
            The step, 0 where there is no whole file of this key; and what else was kept.
        """
        if not self.path.exists():
            return 0, {}
        try:
            tensors, metadata = read_tensors(self.path)
            if metadata.get("key") != self.key:
                return 0, {}
            parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}, "other": {}}
            for name, value in tensors.items():
                part, rest = name.split(".", 1)
                parts[part][rest] = value
            state: dict[int, dict[str, Tensor]] = {}
            for name, value in parts["optimizer"].items():
                index, rest = name.split(".", 1)
                state.setdefault(int(index), {})[rest] = value
            present = {name: value.shape for name, value in model.state_dict().items()}
            if {name: value.shape for name, value in parts["model"].items()} != present:
                return 0, {}
            if state and optimizer is not None:
                optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
            model.load_state_dict(parts["model"])
            return int(metadata["step"]), parts["other"]
        except (RankfrontError, KeyError, ValueError, RuntimeError):
            return 0, {}  # damaged: begun again

    def remove(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)
