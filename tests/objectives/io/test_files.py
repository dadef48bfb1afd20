import os
from pathlib import Path

import pytest

from rankfront import RankfrontError
from rankfront.objectives.io.files import write_text, write_whole


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


def test_permissions_are_the_usual_ones(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write_text(tmp_path / "whole", "")
    assert (tmp_path / "whole").stat().st_mode == (tmp_path / "plain").stat().st_mode
