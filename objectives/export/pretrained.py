"""Hugging Face models: described by their configuration, and built from it, so that a folder alone gives the network.

A model of the ``transformers`` package is known by its class and its configuration. Both are written beside weights and
plan. To load them, only classes of that package are imported, no code of a hub, and no pickle.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..errors import RankfrontError
from ..io.files import read_json
from ..io.saved import entries
from ..model.mode import in_eval
from ..model.replace import HOOKS
from .architecture import CONFIG, GENERATION, KEY, write_architecture
from .quiet import quiet

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LEFT_OUT = ("_name_or_path", "_commit_hash", "auto_map", "quantization_config", "custom_pipelines")
"""Entries of a configuration that say where a model came from: not needed to build it, and never followed."""
ATTENTION = ("_attn_implementation", "attn_implementation", "_experts_implementation", "experts_implementation")
"""Entries that may name code of a hub."""
KNOWN_ATTENTION = ("eager", "sdpa")
BACKBONE = {"backbone", "use_timm_backbone", "use_pretrained_backbone"}
"""Entries of a configuration with a backbone of another class, whose weights some versions fetch if not told not to."""


def is_pretrained(model: nn.Module) -> bool:
    """Return whether this is a Hugging Face model; ``transformers`` is not imported for it."""
    module = sys.modules.get("transformers.modeling_utils")  # who has such a model has imported it
    return module is not None and isinstance(model, module.PreTrainedModel)


def description(model: nn.Module) -> tuple[dict[str, Any] | None, str]:
    """Return what a Hugging Face model is built from again, as plain data; None and the reason where that cannot be.

    The data holds ``class``, ``config``, ``generation_config`` (of models that generate), ``attention``, ``dtype``,
    ``kept`` (tensors of another type than that), ``absent`` (modules that the class has and the model does not).
    """
    if not is_pretrained(model):
        return None, f"{type(model).__name__} is no model of transformers"
    try:
        kind = _class_named(type(model).__name__)
    except RankfrontError as error:
        return None, str(error)
    if type(model) is not kind:
        return None, f"{type(model).__name__} is a class of your own"
    for path, module in model.named_modules():
        if "forward" in vars(module):
            return None, f"{path or type(module).__name__} has a forward of its own"
        hooks = (hook for name in HOOKS for hook in getattr(module, name).values())
        if any(not str(getattr(hook, "__module__", "")).startswith("transformers.") for hook in hooks):
            return None, f"{path or type(module).__name__} has hooks"
    config, generation = (getattr(model, name, None) for name in ("config", "generation_config"))
    found: dict[str, Any] = {
        "class": kind.__name__,
        "attention": _attention(config),
        **_types(model),
        "absent": [],
        "config": _cleaned(config.to_dict()) if config is not None else {},
        "generation_config": None if generation is None else _cleaned(generation.to_dict()),
    }
    try:
        with torch.device("meta"):
            again = _instance(kind, found)
        again.tie_weights()  # which it does not do on the meta device by itself
    except Exception as error:  # whatever a configuration of its own makes the class raise
        return None, f"its configuration does not build it: {type(error).__name__}: {error}"
    found["absent"] = sorted(dict(again.named_children()).keys() - dict(model.named_children()).keys())
    _without(again, found["absent"])
    ours, theirs = ({entry.name: entry.shape for entry in entries(m)} for m in (model, again))
    if differing := sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)):
        return None, f"its configuration builds another network: {differing[0]!r} differs"
    return found, ""


def keep_architecture(folder: Path, model: nn.Module, files: Collection[Path]) -> tuple[bool, str]:
    """Write what models of a study are to have in their folders (see `architecture`).

    Returns:
        Whether a folder will be enough to load a model, and why not.
    """
    found, reason = description(model)
    write_architecture(folder, found, files)
    return found is not None, reason


def built(folder: Path, about: Mapping[str, Any]) -> PreTrainedModel:
    """Return the dense network that a model's folder describes, with random weights, in eval mode.

    Args:
        folder: with ``config.json`` and perhaps ``generation_config.json``.
        about: the entries of the model's ``plan.json``.

    Raises:
        RankfrontError: it is no Hugging Face model, or its files do not describe one of transformers' classes.
    """
    known = about.get(KEY)
    if not isinstance(known, Mapping):
        raise RankfrontError(
            f"{folder} holds no description of its architecture, as only Hugging Face models have one: give load a "
            "network of the dense architecture, too, such as load('runs/mine', MyNet())"
        )
    if not isinstance(name := known.get("class"), str):
        raise RankfrontError(f"{folder} must name a class of transformers, but names {name!r:.60}")
    kind = _class_named(name)
    data: dict[str, Any] = {**known, "config": read_json(folder / CONFIG)}
    if (folder / GENERATION).exists():
        data["generation_config"] = read_json(folder / GENERATION)
    try:
        model = _instance(kind, data)
        _without(model, data.get("absent", ()))
        _cast(model, data)
    except Exception as error:  # whatever a damaged configuration makes the class raise
        raise RankfrontError(
            f"{folder / CONFIG} must describe a {name}, but: {type(error).__name__}: {error}"
        ) from error
    return in_eval(model)


def _class_named(name: str) -> type[PreTrainedModel]:
    """Return transformers' class of that name; raises `RankfrontError` where it has none that is a model."""
    try:
        import transformers
    except ImportError:
        raise RankfrontError("a Hugging Face model needs transformers: pip install 'rankfront[zoo]'") from None
    with quiet():
        found = getattr(transformers, name, None) if name.isidentifier() and not name.startswith("_") else None
        base = transformers.PreTrainedModel
    if not (isinstance(found, type) and issubclass(found, base)):
        raise RankfrontError(f"a class of transformers must be one of its models, but got {name!r:.60}")
    return found


def _instance(kind: type[PreTrainedModel], data: Mapping[str, Any]) -> PreTrainedModel:
    """Return a new network of a class and a configuration; nothing is fetched for it."""
    from transformers import GenerationConfig

    attention = data.get("attention")
    given = attention.values() if isinstance(attention, Mapping) else [attention]
    chosen = {"attn_implementation": attention} if all(one in KNOWN_ATTENTION for one in given) else {}
    with quiet(), _offline(), torch.random.fork_rng(devices=[]):
        config = kind.config_class.from_dict(  # pyright: ignore[reportOptionalMemberAccess]
            _cleaned(data["config"]), **chosen
        )
        model = kind(config)
        if data.get("generation_config") is not None and model.can_generate():
            model.generation_config = GenerationConfig.from_dict(_cleaned(data["generation_config"]))
    return model


def _attention(config: Any) -> dict[str, str]:
    """Return how attention is computed: of the model under the empty name, and of each part with a configuration."""
    parts = {"": config} | {name: getattr(config, name, None) for name in getattr(config, "sub_configs", ())}
    found = {name: getattr(part, "_attn_implementation", None) for name, part in parts.items()}
    return {name: kind for name, kind in found.items() if kind in KNOWN_ATTENTION}


def _without(model: nn.Module, absent: Iterable[str]) -> None:
    """Put None in the place of these parts, as a class does that was told to leave one out (``add_pooling_layer``)."""
    for name in set(absent) & dict(model.named_children()).keys():
        setattr(model, name, None)


def _cleaned(value: Any) -> Any:
    """Return a configuration's plain data without what names code or weights to fetch; its parts the same."""
    if isinstance(value, Mapping):
        kept = {str(k): _cleaned(v) for k, v in value.items() if k not in (*LEFT_OUT, *ATTENTION)}
        return {**kept, "use_pretrained_backbone": False} if kept.keys() & BACKBONE else kept
    if isinstance(value, (list, tuple)):
        return [_cleaned(part) for part in value]
    return str(value).removeprefix("torch.") if isinstance(value, torch.dtype) else value


def _floats(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield a network's floating-point parameters and buffers by name, those that are never saved, too."""
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_floating_point():
            yield name, tensor


def _types(model: nn.Module) -> dict[str, Any]:
    """Return ``dtype``, the type of most tensors, and ``kept``, name → type of the others."""
    found = {name: str(tensor.dtype).removeprefix("torch.") for name, tensor in _floats(model)}
    usual, _ = Counter(found.values()).most_common(1)[0]
    return {"dtype": usual, "kept": {name: dtype for name, dtype in found.items() if dtype != usual}}


def _cast(model: nn.Module, data: Mapping[str, Any]) -> None:
    """Give every floating-point tensor its type."""
    kept = data.get("kept", {})
    for name, tensor in _floats(model):
        dtype = getattr(torch, kept.get(name, data.get("dtype", "float32")))
        if not isinstance(dtype, torch.dtype):
            raise ValueError(f"dtype must be one of torch's, but got {dtype!r:.40}")
        tensor.data = tensor.data.to(dtype)


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Keep transformers and timm from asking a hub; what a configuration names there is a ValueError."""
    from huggingface_hub import constants
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    except (OfflineModeIsEnabled, LocalEntryNotFoundError) as error:
        raise ValueError("it names a part that lies on a hub, and nothing is fetched") from error
    finally:
        constants.HF_HUB_OFFLINE = before
