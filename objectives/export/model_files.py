"""The files to ship: ``model.safetensors`` (weights) and ``plan.json`` (the shape)."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from ..errors import RankfrontError
from ..io.saved import entries, unique_state
from ..io.tensors import read_tensors, write_tensors
from ..kinds.skeleton import skeleton
from ..model.attention import unpacked
from ..plan import Plan
from .int8 import entries_of_quantized, plain_state, restored
from .plan_files import read_model_files


def save_weights(path: Path, model: nn.Module, *, int8: bool = False) -> None:
    """Write a model's weights, tied ones once; ``int8`` says that it is a quantized one."""
    write_tensors(path, plain_state(model) if int8 else unique_state(model))


def load_model(dense: nn.Module, plan: Plan, weights: Path, *, int8: bool = False) -> nn.Module:
    """Return ``dense`` in the plan's shape with the weights of that file, in eval mode.

    Args:
        dense: a network of the dense architecture; its weights do not matter and it stays as it is.
        plan: the shape.
        weights: a file of `save_weights`.
        int8: whether that was a quantized model.

    Raises:
        RankfrontError: the three do not belong together.
    """
    state, _ = read_tensors(weights)
    model = skeleton(unpacked(dense, lambda path: any(name.startswith(f"{path}.q_proj.") for name in state)), plan)
    listed = entries_of_quantized(model) if int8 else entries(model)
    expected = {entry.name: entry for entry in listed}
    if differing := state.keys() ^ expected.keys():
        name = min(differing)
        where = "only in the file" if name in state else "only in the model"
        raise RankfrontError(f"{weights} must fit the model and the plan, but tensor {name!r} is {where}")
    for name, tensor in state.items():
        wanted = expected[name]
        if (tuple(tensor.shape), tensor.dtype) != (wanted.shape, wanted.dtype):
            raise RankfrontError(
                f"{weights} must fit the model and the plan, but tensor {name!r} is {tuple(tensor.shape)} "
                f"{tensor.dtype} in the file and {wanted.shape} {wanted.dtype} in the model"
            )
    if int8:
        return restored(model, state).eval()
    model.load_state_dict(state, strict=False)  # names of tied tensors beyond the first are not in the file
    return model.eval()


def load(path: str | Path, model: nn.Module) -> nn.Module:
    """Return a compressed model from its files.

    Args:
        path: a study's folder (its best model is meant), its ``best`` folder, its ``finished`` folder where that holds
            one model, one in ``finished``, or a
            ``.safetensors`` file with its plan beside it (``FILE.plan.json``), as ``run`` and ``export`` write them.
        model: a network of the dense architecture, trained or not; it stays as it is.

    Returns:
        The compressed network in eval mode, on the model's device.

    Raises:
        RankfrontError: a file is missing or damaged, or does not belong to this architecture.
    """
    path = Path(path)
    if not path.exists():
        raise RankfrontError(f"{path} must be a model's folder or .safetensors file, but is not there")
    weights, plan, about = read_model_files(path / "best" if (path / "best").is_dir() else path)
    return load_model(model, plan, weights, int8=about.get("int8") is True)
