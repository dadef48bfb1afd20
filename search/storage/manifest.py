"""What is needed to repeat a study: versions, settings, fingerprints."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import torch
from optuna.study import Study

from .database import IDENTITY

PACKAGES = (
    "rankfront",
    "torch",
    "torchvision",
    "optuna",
    "numpy",
    "scipy",
    "pandas",
    "plotly",
    "safetensors",
    "torchao",
)


def manifest_of(
    study: Study, trials: int, device: torch.device, source: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the manifest of a study, plain data; ``source`` says how its task was loaded."""
    return {
        "study": study.study_name,
        "trials": trials,
        "source": source,
        "identity": study.user_attrs[IDENTITY],
        "machine": machine(device),
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": {package: _version(package) for package in PACKAGES},
    }


def machine(device: torch.device) -> dict[str, str]:
    """Return what scores depend on besides model, data and settings: the same here and there, the same to the digit."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "device": f"{device.type} ({name}, {torch.get_num_threads()} threads)",
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "torch": _version("torch"),
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"
