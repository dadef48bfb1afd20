"""The commands ``export`` and ``code`` on a user's study."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.search.cli.conftest import Cli


@pytest.fixture
def studied(rankfront: Cli) -> Cli:
    assert rankfront("run", "mine.py", "--out", "out", "--trials", "2", "--device", "cpu", "--quiet")[0] == 0
    return rankfront


def test_from_run_to_files_that_verify(studied: Cli, tmp_path: Path) -> None:
    code, out, err = studied("export", "out", "--to", "small.pt2", "--form", "identity")
    assert code == 0, err
    assert "validation accuracy" in out and "outputs differ by at most" in out
    assert f"small.pt2  {(tmp_path / 'small.pt2').stat().st_size:,} bytes" in out
    code, out, err = studied("code", "out")
    assert code == 0, err
    assert {path.name for path in (tmp_path / "out" / "code").iterdir()} == {
        "model.py",
        "model.safetensors",
        "model.py.plan.json",
    }
    code, out, err = studied("verify", "out")
    assert code == 0, err
    (tmp_path / "small.pt2").write_bytes(b"another file")
    code, out, err = studied("verify", "out")
    assert code == 1 and "small.pt2: has changed since it was written; export it again" in out
    code, _, err = studied("export", "out", "--to", "w.safetensors", "--finished")
    assert code == 2 and "must hold a finished model within" in err
