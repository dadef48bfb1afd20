"""The exporters by the ending of their files: a new one is a file and a line here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import RankfrontError
from ..registry import Registry

if TYPE_CHECKING:
    from .exporter import Exporter

EXPORTERS: Registry[Exporter] = Registry(
    __package__,
    {".onnx": "onnx", ".pt2": "pt2", ".xml": "openvino_ir", ".pte": "executorch_program", ".py": "python_code"},
    "EXPORTER",
)

WEIGHTS = ".safetensors"
"""The ending of a file that holds weights alone, which no exporter writes."""


def exporter_ending(path: Path) -> str | None:
    """Return the ending by which a path has an exporter; None for weights: a ``.safetensors`` file, or a folder.

    Raises:
        RankfrontError: no exporter has this ending.
    """
    if path.suffix in EXPORTERS:
        return path.suffix
    # A name with a dot may be a folder's, where what follows is no ending of a file: `model-v1.2`.
    if path.suffix == WEIGHTS or path.is_dir() or not path.suffix[1:].isalpha():
        return None
    raise RankfrontError(
        f"--to must be a folder, or end in one of {', '.join([*EXPORTERS, WEIGHTS])}, but got {path.name!r:.60}"
    )


def exporter_of(path: Path) -> Exporter | None:
    """Return the exporter of a path by its ending; None for weights. Raises `RankfrontError` where none has it."""
    ending = exporter_ending(path)
    return None if ending is None else EXPORTERS[ending]
