"""What Tab offers, asked as bash asks it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rankfront.search.allocation.registry import RULES
from rankfront.search.cli.main import main
from rankfront.search.study.ready import ready_studies


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("fr", {"front"}),
        ("run dig", {"digits"}),
        ("run m", {"minilm", "mnist-mlp", "mine.py", "more/"}),
        ("run more/", {"more/own.py"}),
        ("front r", {"runs/"}),
        ("front runs/m", {"runs/mine/"}),
        ("run --sampler kn", {"knapsack"}),
        ("run --kinds tt,sv", {"tt,svd", "tt,svd-identity"}),
        ("run --device c", {"cpu", "cuda"}),
        ("finish --study more/", {"more/own.py"}),
        ("run nothing/at/all", set()),
    ],
)
def test_tab_offers_what_can_follow(
    typed: str, offered: set[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "knapsack" in RULES and "digits" in ready_studies()
    for folder in ("runs/mine", "more", ".hidden"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("mine.py", "more/own.py", "more/text.txt"):
        (tmp_path / file).touch()
    monkeypatch.chdir(tmp_path)
    words = f"rankfront {typed}"
    for name, value in {
        "_RANKFRONT_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as stop:
        main([])
    assert not stop.value.code
    assert set(capsys.readouterr().out.split()) == offered


def test_the_shells_script_is_printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("bash", "/bin/bash"))  # whatever runs the tests
    with pytest.raises(SystemExit) as stop:
        main(["--show-completion"])
    assert not stop.value.code and "_RANKFRONT_COMPLETE=complete_bash" in capsys.readouterr().out
