"""A folder in the cache is whole or not there, and made once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rankfront import RankfrontError
from rankfront.studies.cached import made_once


def parts(folder: Path) -> list[str]:
    return [path.name for path in folder.parent.iterdir() if path.name.endswith(".part")]


def test_it_is_made_once_by_several_at_a_time(tmp_path: Path) -> None:
    folder, made = tmp_path / "cache" / "weights", []

    def make(into: Path) -> None:
        into.mkdir()
        (into / "file").write_text("whole")
        made.append(into)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: made_once(folder, make), range(8)))
    assert found == [folder] * 8 and len(made) == 1 and (folder / "file").read_text() == "whole"
    assert not parts(folder)


@pytest.mark.parametrize("left", [".weights.part", ".weights.0a1b2c.part"])
def test_what_a_killed_process_left_is_removed(tmp_path: Path, left: str) -> None:
    (tmp_path / left).mkdir()
    (tmp_path / left / "half").write_text("ha")
    (tmp_path / ".another.part").mkdir()
    made_once(tmp_path / "weights", lambda into: into.mkdir())
    assert not list((tmp_path / "weights").iterdir()) and parts(tmp_path / "weights") == [".another.part"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError])
def test_what_failed_leaves_nothing_and_is_made_again(tmp_path: Path, error: type[BaseException]) -> None:
    def fail(into: Path) -> None:
        into.mkdir()
        raise error("no")

    with pytest.raises(RankfrontError if error is OSError else error):
        made_once(tmp_path / "weights", fail)
    assert not parts(tmp_path / "weights") and not (tmp_path / "weights").exists()
    assert made_once(tmp_path / "weights", lambda into: into.mkdir()).is_dir()
