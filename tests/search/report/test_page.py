"""The page in a real browser: Debian's Chromium, no network."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from plotly.offline import get_plotlyjs
from torch import nn

from rankfront import Result, Task, run
from rankfront.search.report.page import write_report
from tests.conftest import blobs

pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=20000", "--enable-logging=stderr",
    "--window-size=1250,2400", "--dump-dom",
]  # fmt: skip


def opened(page: Path, profile: Path) -> tuple[str, list[str]]:
    """Return the page's DOM after its scripts ran, and what they said to the console."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory, dense: nn.Module) -> Result:
    task = Task(dense, blobs(400, 1), blobs(200, 2), blobs(200, 3), name="<script>alert(1)</script>", calibration=200)
    return run(task, out=tmp_path_factory.mktemp("study"), budget="params=60%", trials=8, device="cpu", progress=False)


def test_every_plot_is_drawn_and_the_console_is_silent(result: Result, tmp_path: Path) -> None:
    dom, console = opened(result.folder.report, tmp_path)
    assert console == []
    for name in ("params", "flops", "ranks", "hypervolume"):
        start = dom.index(f'id="plot-{name}"')
        plot = dom[start : dom.find('id="plot-', start + 10)]
        marks = len(re.findall(r'class="point"|class="js-line"|class="hm"', plot))
        assert marks >= 1, f"plot {name} is empty"
    front = dom[dom.index('id="plot-params"') : dom.index('id="plot-flops"')]
    assert front.count('class="point"') >= len(result.scored)


def test_a_console_error_would_be_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<!doctype html><script>no_such_function()</script>")
    assert opened(page, tmp_path / "profile")[1]


def test_asks_nothing_of_the_network(result: Result) -> None:
    page = result.folder.report.read_text()
    library = get_plotlyjs()
    assert library in page
    own = page.replace(library, "")
    assert not re.search(r'(src|href)="(?!data:)', own)


def test_names_cannot_break_out(result: Result) -> None:
    page = result.folder.report.read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_page_of_a_study_with_one_trial_and_its_own_score(task: Task, tmp_path: Path) -> None:
    own = replace(task, score=lambda outputs, targets: -3.5)
    result = run(own, out=tmp_path / "out", trials=1, device="cpu", progress=False)
    page = write_report(result).read_text()
    assert "Score against params" in page and "-3.5" in page
    _, console = opened(result.folder.report, tmp_path / "profile")
    assert console == []
