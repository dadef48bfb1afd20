"""A model's files: ``model.safetensors`` (weights) and ``plan.json`` (the plan)."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from ..boundary import outermost
from ..described import named_type
from ..errors import RankfrontError
from ..io.saved import entries, unique_state
from ..io.tensors import read_tensors, write_tensors
from ..kinds.skeleton import skeleton
from ..model.mode import in_eval
from ..model.plain.attention import unpacked_in
from ..model.plain.form import Rewrites
from ..model.plain.repeat import repeated
from ..model.wrapping import unwrapped
from ..plan import Plan
from .int8 import entries_of_quantized, plain_state, restored
from .plan_files import read_model_files, rewrites_of
from .pretrained import built


def save_weights(path: Path, model: nn.Module, *, int8: bool = False) -> None:
    """Write a model's weights, tied ones once; ``int8`` is True for a quantized model."""
    write_tensors(path, plain_state(model) if int8 else unique_state(model))


def load_model(
    dense: nn.Module, plan: Plan, weights: Path, *, int8: bool = False, rewrites: Rewrites | None = None
) -> nn.Module:
    """Return the network that a plan makes of ``dense``, with the weights of a file, in eval mode.

    Args:
        dense: a network of the dense architecture; its weights are not used, and it is not changed.
        plan: a choice for every layer.
        weights: a file that `save_weights` wrote.
        int8: whether the model was quantized.
        rewrites: what was rewritten in the dense model (`Objective.found`). None, of older versions: attentions are
            recognised by the names of the file's tensors.

    Raises:
        RankfrontError: the file's tensors are not those of the plan's network.
    """
    state, _ = read_tensors(weights)
    if not any(name.startswith("module.") for name in plan):  # older versions kept a DataParallel around the model
        dense = unwrapped(dense)
    model = skeleton(repeated(dense, unpacked_in(dense, state) if rewrites is None else rewrites), plan)
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
        return in_eval(restored(model, state))
    model.load_state_dict(state, strict=False)  # names of tied tensors beyond the first are not in the file
    return in_eval(model)


@outermost
def load(path: str | Path, model: nn.Module | None = None) -> nn.Module:
    """Return a compressed model from its files.

    Args:
        path: one of: a study's folder, of which the best model is loaded; its ``best`` folder; its ``finished`` folder
            where that contains one model; a folder in ``finished``; a ``.safetensors`` file that ``export`` wrote,
            with its plan beside it (``FILE.plan.json``).
        model: a network of the dense architecture, trained or not; it is not changed. A Hugging Face model's folder
            says which that is: it need not be given.

    Returns:
        The compressed network in eval mode, on the model's device.

    Raises:
        RankfrontError: a file is missing or damaged, or does not belong to this architecture.
    """
    if not isinstance(path, (str, Path)) or not isinstance(model, (nn.Module, type(None))):
        raise RankfrontError(
            "load takes a path and a network of the dense architecture, such as load('runs/mine', MyNet()), "
            f"but got {named_type(path)} and {named_type(model)}"
        )
    path = Path(path)
    if not path.exists():
        raise RankfrontError(f"{path} must be a model's folder or .safetensors file, but is not there")
    weights, plan, about = read_model_files(path / "best" if (path / "best").is_dir() else path)
    dense = built(weights.parent, about) if model is None else model
    return load_model(dense, plan, weights, int8=about.get("int8") is True, rewrites=rewrites_of(about))
