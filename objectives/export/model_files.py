"""The files to ship: ``model.safetensors`` (weights) and ``plan.json`` (the shape)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from ..errors import RankfrontError
from ..io.files import digest, read_json, write_json
from ..io.tensors import read_tensors, write_tensors
from ..kinds.factorize import skeleton
from ..metrics.count import entries, unique_state
from ..model.attention import unpacked
from ..plan import Plan
from .int8 import entries_of_quantized, plain_state, restored

FORMAT = 1


def save_weights(path: Path, model: nn.Module, *, int8: bool = False) -> None:
    """Write a model's weights, tied ones once; ``int8`` says that it is a quantized one."""
    write_tensors(path, plain_state(model) if int8 else unique_state(model))


def save_plan(path: Path, plan: Plan, about: Mapping[str, Any]) -> None:
    """Write a plan, and what is known of the model (its study, trial and metrics)."""
    write_json(path, {"format": FORMAT, **about, "plan": plan.to_json()})


def read_plan(path: Path) -> tuple[Plan, dict[str, Any]]:
    """Return what `save_plan` wrote."""
    data = read_json(path)
    if data.get("format") != FORMAT:
        raise RankfrontError(f"{path} must have format {FORMAT}, but has {data.get('format')!r}")
    return Plan.from_json(data.pop("plan", None)), data


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


def model_paths(path: Path) -> tuple[Path, Path]:
    """Return where a model's weights and its plan lie, given a ``.safetensors`` file or a folder."""
    if path.suffix == ".safetensors":
        return path, path.with_suffix(".plan.json")
    if path.suffix in (".pt", ".pth", ".bin", ".ckpt", ".onnx"):
        raise RankfrontError(f"a model's files must be NAME.safetensors or a folder, but got {path.name!r:.60}")
    return path / "model.safetensors", path / "plan.json"


def load(path: str | Path, model: nn.Module) -> nn.Module:
    """Return a compressed model from its files.

    Args:
        path: a study's folder (its best model is meant), its ``best`` or ``finished`` folder, or a
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


def read_model_files(path: Path) -> tuple[Path, Plan, dict[str, Any]]:
    """Return where the weights lie, the plan, and what is known; raises `RankfrontError` where weights are others."""
    weights, plan_file = model_paths(path)
    plan, about = read_plan(plan_file)
    if "sha256" in about and digest(weights) != about["sha256"]:
        raise RankfrontError(f"{weights} must be the file that {plan_file.name} was written for, but is another")
    return weights, plan, about
