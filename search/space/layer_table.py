"""Every layer's options with costs and errors, kept as ``layers.json``: plans are explained by it, without a model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...objectives.errors import RankfrontError
from ...objectives.io.files import read_json, write_text
from ...objectives.metrics.registry import LAYER_METRICS
from ...objectives.plan import DENSE, Choice, Plan

if TYPE_CHECKING:
    from .candidates import Candidates


@dataclass(frozen=True)
class LayerOption:
    """What one layer is with one kind and rank."""

    costs: Mapping[str, float]
    """Metric → amount of this layer, for `LAYER_METRICS`."""
    error: float
    """What the allocation rules add up: see `Candidates.errors`."""


@dataclass(frozen=True)
class LayerOptions:
    """One layer of the dense model, and all that it may become."""

    name: str
    what: str
    """Its type and the shape of its weight: ``Conv2d 16×8×3×3``."""
    options: Mapping[Choice, LayerOption]

    @property
    def dense(self) -> LayerOption:
        """The layer as it was."""
        return self.options[DENSE]


def write_layers(path: Path, candidates: Candidates) -> None:
    """Write all options of a study's layers."""
    layers = []
    for row, (name, choices) in enumerate(zip(candidates.names, candidates.options, strict=True)):
        layer = candidates.costs.layers[name]
        changes = candidates.changes[row][:, candidates.columns(LAYER_METRICS)]
        dense = [getattr(layer, metric) for metric in LAYER_METRICS]
        options = [
            {
                **Plan({name: choice}).to_json()[name],
                **{metric: whole + change for metric, whole, change in zip(LAYER_METRICS, dense, added, strict=True)},
                "error": error,
            }
            for choice, added, error in zip(choices, changes.tolist(), candidates.errors[row].tolist(), strict=False)
        ]
        shape = "×".join(map(str, layer.module.weight.shape))
        layers.append({"name": name, "what": f"{type(layer.module).__name__} {shape}", "options": options})
    write_text(path, json.dumps({"layers": layers}, separators=(",", ":"), ensure_ascii=False))


def read_layers(path: Path) -> dict[str, LayerOptions]:
    """Return layer → its options, in the network's order; nothing where an older version wrote no such file.

    Raises:
        RankfrontError: the file is damaged.
    """
    if not path.exists():
        return {}
    try:
        return {str(layer["name"]): _options(layer) for layer in read_json(path)["layers"]}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RankfrontError(
            f"{path} must be what `rankfront run` wrote, but is damaged ({error}): remove it, and plans are shown "
            "without what each layer costs"
        ) from None


def _options(layer: dict[str, Any]) -> LayerOptions:
    name = str(layer["name"])
    options = {
        Plan.from_json({name: option})[name]: LayerOption(
            {metric: float(option[metric]) for metric in LAYER_METRICS}, float(option["error"])
        )
        for option in layer["options"]
    }
    if DENSE not in options:
        raise ValueError(f"layer {name!r} has no dense option")
    return LayerOptions(name, str(layer["what"]), options)
