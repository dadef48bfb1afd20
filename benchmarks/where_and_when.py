"""What a benchmark's page says of its run: commit, date, machine, versions."""

from __future__ import annotations

import subprocess
from datetime import date
from pathlib import Path

import torch

from rankfront.search.storage.manifest import cpu


def where_and_when() -> dict[str, str]:
    """Return commit, date, machine and version of torch, as plain data."""
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude=*"]
    return {
        "commit": subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip(),
        "date": str(date.today()),
        "machine": f"{cpu()}, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
    }
