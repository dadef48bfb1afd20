"""A compressed Hugging Face model's own code: ``AutoModel.from_pretrained`` loads its folder where rankfront is not.

``config.json`` describes the modules that stand in the place of dense ones; ``modeling_rankfront.py`` makes these.
"""

from __future__ import annotations

import importlib.resources
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch import nn
from torch.nn.modules.conv import _ConvNd

from ..io.files import digest, read_json, write_json, write_text
from ..kinds.identity import Identity
from ..kinds.spatial_identity import CentreIdentity
from ..kinds.tt_matrix import TTLinear
from ..model.stand_in import Chain
from .architecture import CODE, CONFIG, KEY
from .elsewhere import difference_elsewhere
from .model_files import load
from .pretrained import built
from .quiet import quiet

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ENTRY = "rankfront"
"""The entry of ``config.json`` with the modules."""

CONVOLUTION = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")


def add_modelling(folder: Path) -> str:
    """Let ``transformers`` load a model's folder, and check that it does; other models' folders stay as they are.

    Args:
        folder: with weights, plan, and of a Hugging Face model its configuration.

    Returns:
        How it is loaded, or why it cannot be; empty for other models.

    Raises:
        RankfrontError: what is loaded is not the model; the folder is then as it was.
    """
    plan_file, config_file = folder / "plan.json", folder / CONFIG
    plan = read_json(plan_file)
    if not isinstance(known := plan.get(KEY), dict):
        return ""
    (folder / CODE).unlink(missing_ok=True)  # of a model that lay here before
    if plan.get("int8"):
        return "its weights are int8 of torchao, so rankfront.load alone loads it"
    if importlib.util.find_spec("transformers") is None:
        return "transformers is not installed, so it got no code for transformers"
    dense, model = built(folder, plan), load(folder)
    try:
        parts = {path: described(module) for path, module in differing(dense, model)}
    except NotImplementedError as error:
        return f"{error}, so rankfront.load alone loads it"
    auto, before = auto_classes(dense), (read_json(config_file), read_json(plan_file))
    config = {
        **before[0],
        "architectures": ["Compressed"],
        "auto_map": {each: f"{CODE.removesuffix('.py')}.Compressed" for each in auto},
        ENTRY: {"parts": parts, "absent": known["absent"]},
    }
    text = (importlib.resources.files(__package__ or "") / f"{CODE}.txt").read_text(encoding="utf-8")
    try:
        write_json(config_file, config)
        write_text(folder / CODE, text.replace("DENSE", type(dense).__name__).replace("AUTO", auto[0]))
        write_json(plan_file, {**plan, KEY: {**known, "config_sha256": digest(config_file)}})
        apart, largest = difference_elsewhere(folder, auto[0], cast("PreTrainedModel", model))
    except BaseException:
        write_json(config_file, before[0])
        write_json(plan_file, before[1])
        (folder / CODE).unlink(missing_ok=True)
        raise
    return (
        f"{auto[0]}.from_pretrained({str(folder)!r}, trust_remote_code=True) loads it without rankfront: outputs "
        f"differ by at most {apart:.2g}, where the largest is {largest:.2g}"
    )


def differing(dense: nn.Module, model: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules, and where they are, that stand in the place of modules of another class."""
    for name, part in model.named_children():
        where = f"{path}.{name}".lstrip(".")
        if type(part) is not type(there := getattr(dense, name)):
            yield where, part
        else:
            yield from differing(there, part, where)


def described(module: nn.Module | None) -> dict[str, Any] | None:
    """Return a module as plain data; raises NotImplementedError where the code knows no such module."""
    if module is None:
        return None
    arguments: dict[str, Any] = {}
    if type(module) is nn.Linear:
        arguments = {"in_features": module.in_features, "out_features": module.out_features}
        arguments["bias"] = module.bias is not None
    elif isinstance(module, _ConvNd) and not module.transposed:
        arguments = {name: getattr(module, name) for name in CONVOLUTION}
        arguments["bias"] = module.bias is not None
    elif isinstance(module, Identity):
        arguments = {"axis": module.axis, "outputs": len(module.order)}
    elif isinstance(module, CentreIdentity):
        arguments = {"kept": module.kept, "step": module.step}
    elif isinstance(module, TTLinear):
        bias = 0 if module.bias is None else len(module.bias)
        arguments = {"modes": module.modes, "rank": module.rank, "bias": bias}
    elif type(module) is not Chain:
        raise NotImplementedError(f"{type(module).__name__} in a layer's place is none that transformers could make")
    found: dict[str, Any] = {"class": type(module).__name__, "arguments": arguments}
    if parts := {name: described(part) for name, part in module._modules.items()}:
        found["parts"] = parts
    if shape := vars(module).get("_dense_shape"):
        found["shape"] = shape
    return found


def auto_classes(dense: PreTrainedModel) -> list[str]:
    """Return the names of transformers' ``Auto`` classes that give a model of this class; at least ``AutoModel``."""
    with quiet():
        import transformers

        found: list[str] = []
        for name in dir(transformers):
            mapping: Any = getattr(getattr(transformers, name), "_model_mapping", None) if name[:4] == "Auto" else None
            if mapping is not None and type(dense.config) in mapping.keys():  # noqa: SIM118 (a lazy one has no `in`)
                kinds = mapping[type(dense.config)]
                if type(dense) in (kinds if isinstance(kinds, (tuple, list)) else (kinds,)):
                    found.append(name)
    return sorted(found, key=len) or ["AutoModel"]
