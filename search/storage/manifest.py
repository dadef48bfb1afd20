"""The manifest: versions, settings and fingerprints, for people who repeat a study.

Programs read only the study's name and its database from it; how an older version loaded its task, too.
"""

from __future__ import annotations

import contextlib
import functools
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from optuna.study import Study

from .errors import shown_url
from .existing import TRIALS
from .identity import identity_in
from .source import SOURCE

SENSITIVITY = "errors measured by"
"""The study's user attribute with what the task's ``sensitivity`` came to."""

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


def manifest_of(study: Study, device: torch.device, storage: str | None) -> dict[str, Any]:
    """Return the manifest of a study, plain data: a copy for people of what the database holds.

    Args:
        study: the study.
        device: where it is run.
        storage: the database's URL where it is not the folder's own; see `shown_url`.
    """
    return {
        "study": study.study_name,
        "trials": study.user_attrs.get(TRIALS),
        **({} if storage is None else {"storage": shown_url(storage)}),
        "source": study.user_attrs.get(SOURCE),
        "identity": identity_in(study),
        "errors measured by": study.user_attrs.get(SENSITIVITY),
        "machine": machine(device),
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": {package: _version(package) for package in PACKAGES},
    }


def machine(device: torch.device) -> dict[str, str]:
    """Return what scores depend on besides model, data and settings.

    If equal on two machines, scores are expected to be bitwise equal.
    """
    return {
        "device": f"{device.type} ({processor(device)}, {torch.get_num_threads()} threads)",
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "torch": _version("torch"),
    }


def processor(device: torch.device) -> str:
    """Return the model of the CPU, or of that GPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else cpu()


@functools.cache
def cpu(described: Path = Path("/proc/cpuinfo")) -> str:
    """Return the CPU's model where the system says it, which Python does not ask Linux for; else its architecture."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for line in described.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip():
                return value.strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"
