"""The page in a real browser: Debian's Chromium, no network."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from plotly.offline import get_plotlyjs
from torch import nn

from rankfront import Result, Task, run
from rankfront.search.report.page import write_report
from rankfront.search.results.plots.style import DARK, GROUND
from tests.conftest import blobs

pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=20000", "--enable-logging=stderr",
    "--window-size=1400,2400", "--dump-dom",
]  # fmt: skip


def opened(page: Path, profile: Path, *flags: str) -> tuple[str, list[str]]:
    """Return the page's DOM after its scripts ran, and what they said to the console."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    command = [CHROMIUM, *FLAGS, *flags, f"--user-data-dir={profile}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def told(page: Path, scratch: Path, script: str, width: int = 1400, *flags: str) -> Any:
    """Return what a script gives that runs once the page is drawn; the console must be silent.

    The page is put into a frame, because chromium's own window is never narrower than 500 pixels; into the same
    document, because virtual time does not wait for another one's.
    """
    frame = scratch / "frame.html"
    tell = f"drawn.then(async () => parent.tell(JSON.stringify(await (async () => {{ {script} }})())))"
    framed = page.read_text().replace("</body>", f"<script>{tell}</script></body>")
    frame.write_text(
        "<!doctype html><script>window.tell = (told) => {"
        " const pre = document.createElement('pre'); pre.textContent = told; document.body.append(pre); };</script>"
        f'<iframe srcdoc="{html.escape(framed)}" style="border: 0; width: {width}px; height: 2000px"></iframe>'
    )
    dom, console = opened(frame, scratch / "profile", *flags)
    assert console == []
    found = re.search(r"<pre>(.*?)</pre>", dom[dom.rindex("</iframe>") :], re.DOTALL)
    assert found, "the script did not end"
    return json.loads(html.unescape(found[1]))


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory, dense: nn.Module) -> Result:
    task = Task(dense, blobs(400, 1), blobs(200, 2), blobs(200, 3), name="<script>alert(1)</script>", calibration=200)
    return run(task, out=tmp_path_factory.mktemp("study"), budget="params=60%", trials=8, device="cpu", progress=False)


def test_every_plot_is_drawn_and_the_console_is_silent(result: Result, tmp_path: Path) -> None:
    dom, console = opened(result.folder.report, tmp_path)
    assert console == []
    for name in ("params", "flops", "ranks", "test", "hypervolume", "phases"):
        start = dom.index(f'id="plot-{name}"')
        plot = dom[start : dom.find('id="plot-', start + 10)]
        marks = len(re.findall(r'class="point"|class="js-line"|class="hm"', plot))
        assert marks >= 1, f"plot {name} is empty"


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (800, "dark"), (390, "light"), (390, "dark")])
def test_at_three_widths_nothing_is_wider_than_the_page(
    result: Result, tmp_path: Path, width: int, scheme: str
) -> None:
    flags = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    seen = told(
        result.folder.report,
        tmp_path,
        """
        const wide = [...document.querySelectorAll("main *")].filter((part) =>
          !part.closest(".scroll, code, .js-plotly-plot") && part.getBoundingClientRect().right > innerWidth);
        const root = document.documentElement;
        return [innerWidth, root.scrollWidth - root.clientWidth, wide.map((part) => part.outerHTML), darkness.matches,
                element("plot-params").layout.paper_bgcolor];
        """,
        width,
        *flags,
    )
    dark = scheme == "dark"
    assert seen == [width, 0, [], dark, DARK[GROUND] if dark else GROUND]


def test_the_slider_moves_the_best_and_everything_with_it(result: Result, tmp_path: Path) -> None:
    seen = told(
        result.folder.report,
        tmp_path,
        """
        const seen = [];
        for (const button of element("metrics").children) {
          button.click();
          for (let place = 0; place <= Number(element("budget").max); place += 1) {
            element("budget").value = place;
            element("budget").dispatchEvent(new Event("input"));
            const plot = element("plot-params").data.at(-1);
            seen.push({
              command: element("command").textContent,
              facts: element("facts").textContent,
              rows: [...document.querySelectorAll("tr.chosen")].map((row) => row.dataset.trial),
              plan: [...element("plan").tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.textContent)),
              heading: element("plan-of").textContent,
              ring: [plot.x[0], plot.y[0]],
            });
          }
        }
        return seen;
        """,
    )
    by_number = {t.trial: t for t in result.retained}
    on_front = {t.trial for t in result.on_front}
    chosen = set()
    for step in seen:
        budget = step["command"].rpartition(" --budget ")[2]
        best = result.best_trial(budget)  # what the command exports
        chosen.add(best.trial)
        assert step["heading"] == f"The plan of trial {best.trial}"
        assert f"best trial{best.trial}" in step["facts"] and result.scale.show(best.score) in step["facts"]
        assert step["rows"] == [str(best.trial)] * (best.trial in on_front)
        assert step["ring"] == [
            pytest.approx(100 * best.metrics.params / result.dense.metrics.params),
            pytest.approx(100 * best.score),
        ]
        for (layer, kind, rank, *_), (name, choice) in zip(step["plan"], best.plan.items(), strict=False):
            assert layer.startswith(name) and f"{kind} {rank}".strip() == str(choice)
    assert len(chosen) > 1 and chosen <= set(by_number)


def test_the_page_opens_with_the_studys_best(result: Result, tmp_path: Path) -> None:
    best = result.best_trial()
    heading, command = told(
        result.folder.report, tmp_path, "return ['plan-of', 'command'].map((id) => element(id).textContent)"
    )
    assert heading == f"The plan of trial {best.trial}"
    assert command.startswith(f"rankfront export {result.folder.path} --to ")
    page = result.folder.report.read_text()
    assert page.count('<span class="badge best">best</span>') == 1
    sentence = page[page.index("<h1>") : page.index("</h1>")].replace("\u00a0", " ")
    assert f"{result.scale.show(result.test_score(best.trial))} on test" in sentence


def test_two_plans_side_by_side(result: Result, tmp_path: Path) -> None:
    best = result.best_trial()
    other = next(t for t in result.on_front if t.trial != best.trial)
    marked, said = told(
        result.folder.report,
        tmp_path,
        f"""
        element("compare").value = "{other.trial}";
        element("compare").dispatchEvent(new Event("change"));
        const rows = [...element("plan").tBodies[0].rows].filter((row) => !row.classList.contains("sum"));
        return [rows.map((row) => [row.cells[3].textContent, row.classList.contains("same")]),
                element("difference").textContent];
        """,
    )
    same = [best.plan[name] == other.plan[name] for name in best.plan]
    assert [bool(each) for _, each in marked] == same
    shown = [str(other.plan[name]) for name in other.plan]
    assert [text.strip() for text, _ in marked] == ["the same" if s else o for s, o in zip(same, shown, strict=True)]
    assert said.startswith(f"{same.count(False)} of {len(same)} layers differ")


def test_every_plotted_number_is_the_tables(result: Result, tmp_path: Path) -> None:
    plots, rows = told(
        result.folder.report,
        tmp_path,
        """
        const plots = Object.fromEntries(["params", "flops"].map((name) => [name, element(`plot-${name}`).data]));
        const rows = [...element("front").tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.innerText));
        return [plots, rows];
        """,
    )
    table = {int(row[0].removesuffix("best")): row for row in rows}
    for place, metric in enumerate(result.dense.costs):
        if metric not in plots:
            continue
        _, front, best, _, dense = plots[metric][:5]
        assert (front["name"], best["name"], dense["name"]) == ("front, 95 % interval", "best", "dense")
        assert best["customdata"] == [result.best_trial().trial]
        for points in (front, best):
            for trial, x, y in zip(points["customdata"], points["x"], points["y"], strict=True):
                assert f"{y:.2f} %" == table[trial][1].split(" [")[0]
                assert f"{x:.3g} %" in table[trial][3 + place]
        assert dense["y"] == [100 * result.dense.score]


def test_every_view_is_a_click_away(result: Result, tmp_path: Path) -> None:
    ranges = told(
        result.folder.report,
        tmp_path,
        """
        const ranges = [];
        for (const view of document.querySelector("[data-views=params]").children) {
          view.click();
          const drawn = element("plot-params").querySelectorAll(".point").length;
          ranges.push([view.getAttribute("aria-pressed"), ...element("plot-params").layout.yaxis.range, drawn]);
        }
        return ranges;
        """,
    )
    (pressed, close, *_), (also, whole, _, drawn) = ranges
    assert pressed == also == "true" and whole <= close  # the same where the front lies close together
    assert whole <= min(100 * t.score for t in result.scored) and drawn >= len(result.scored)


def test_every_colour_has_a_dark_one(result: Result) -> None:
    drawn = " ".join(figure.to_json() for figure in result.figures.values())
    assert not {color.lower() for color in re.findall(r"#[0-9a-fA-F]{6}", drawn)} - set(DARK)


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
