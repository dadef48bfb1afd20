import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import rankfront
from rankfront import RankfrontError
from rankfront.objectives.io.files import PART, passing, sweep, write_text, write_whole
from rankfront.objectives.io.tensors import write_tensors

TORCH_FREE = ("objectives.io.files", "objectives.errors", "objectives.plan", "objectives.kinds.registry")


def test_a_failed_write_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "before")

    def fails(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(RankfrontError, match=r"cannot write .*file\.txt: the disk is full"):
        write_whole(path, fails)
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["file.txt"]  # noqa: PTH208


def test_what_a_killed_process_left_is_deleted_and_not_what_one_that_begins_writes(tmp_path: Path) -> None:
    """Workers that begin together: one tries to save a network while another, which lives already, clears up."""
    left = tmp_path / "weights" / f".0.safetensors.0123{PART}"
    left.parent.mkdir()
    left.touch()

    def write(temporary: Path) -> None:
        temporary.write_text("whole")
        sweep(tmp_path)

    with passing(tmp_path, ".safetensors") as path:
        write_whole(path, write)
        assert path.read_text() == "whole"
    assert [each.name for each in tmp_path.rglob("*")] == ["weights"]


@pytest.mark.parametrize(
    "write", [lambda path: write_text(path, "a"), lambda path: write_tensors(path, {"a": torch.zeros(2)})]
)
def test_files_have_the_mode_of_any_new_file_and_the_umask_is_not_touched(
    tmp_path: Path, write: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plain").write_text("")

    def touched(mask: int) -> int:
        raise AssertionError("the umask belongs to the whole process")

    monkeypatch.setattr(os, "umask", touched)
    write(tmp_path / "whole")
    write(tmp_path / "whole")  # and where there is one already
    assert (tmp_path / "whole").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("module", TORCH_FREE)
def test_what_the_command_line_needs_does_not_import_torch(module: str) -> None:
    alone = (
        "import sys, types; package = types.ModuleType('rankfront'); sys.modules['torch'] = None;"
        f"package.__path__ = {list(rankfront.__path__)!r}; sys.modules['rankfront'] = package;"
        f"import rankfront.{module}"
    )
    subprocess.run([sys.executable, "-c", alone], check=True)
