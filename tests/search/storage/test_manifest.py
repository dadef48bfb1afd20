"""The machine that scores depend on is known by its CPU's model."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
import torch

from rankfront.search.storage.manifest import cpu, machine


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "processor\t: 0\nmodel\t\t: 85\nmodel name\t: Some CPU @ 2.00GHz\n\nmodel name\t: Another\n",
            "Some CPU @ 2.00GHz",
        ),
        ("processor\t: 0\nBogoMIPS\t: 50.00\n", None),
        ("model name\t:\n", None),
        ("", None),
        (None, None),
    ],
)
def test_the_cpus_model_is_read_where_it_is_said(tmp_path: Path, text: str | None, expected: str | None) -> None:
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    assert cpu(tmp_path / "cpuinfo") == (expected or platform.processor() or platform.machine())


def test_a_machine_is_told_by_its_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    here = machine(torch.device("cpu"))
    assert here == machine(torch.device("cpu")) and cpu() in here["device"]
    monkeypatch.setattr("rankfront.search.storage.manifest.cpu", lambda: "Another CPU")
    assert machine(torch.device("cpu")) != here
