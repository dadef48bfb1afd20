"""The notebook under ``docs/`` runs from its first cell to its last, and says nothing that worries."""

from __future__ import annotations

from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parents[1] / "docs" / "notebook.ipynb"


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ipykernel", reason="uv sync installs ipykernel")
    nbformat = pytest.importorskip("nbformat", reason="uv sync installs nbconvert")
    preprocessors = pytest.importorskip("nbconvert.preprocessors", reason="uv sync installs nbconvert")
    # The kernel finds the package as an installed one is found, from a folder of its own.
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOK.parents[1]))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    preprocessors.ExecutePreprocessor(timeout=600, kernel_name="python3").preprocess(
        notebook, {"metadata": {"path": str(tmp_path)}}
    )
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output["text"] for output in outputs if output.get("name") == "stderr"]
    said = "".join(output["text"] for output in outputs if output.get("name") == "stdout")
    assert "[8/8] trial 7" in said and "best within the budget" in said and "\r" not in said
    bars = [output["data"] for output in outputs if output.output_type == "display_data"]
    assert bars and not any(text for data in bars for text in data.values()), "progress leaves nothing behind"
    shown = [output["data"].get("text/html", "") for output in outputs if output.output_type == "execute_result"]
    assert "fewer parameters" in shown[0] and "<svg" in shown[0]
    assert (tmp_path / "small.safetensors").exists() and (tmp_path / "runs/digits-mlp/report.html").exists()


def test_the_notebooks_outputs_are_those_of_its_cells() -> None:
    """What is shown on a code host was written by these cells, one after the other, in one run."""
    nbformat = pytest.importorskip("nbformat", reason="uv sync installs nbconvert")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert NOTEBOOK.stat().st_size < 150_000
