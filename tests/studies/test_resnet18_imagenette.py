"""The study on a tiny folder of images, without any training."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet18
from torchvision.transforms.v2.functional import to_pil_image

from rankfront import RankfrontError
from rankfront.studies.imagenette import crop_and_flip, imagenette
from rankfront.studies.resnet18_imagenette import CLASSES, load_weights, network, study


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three classes of plain red, green and blue, wider than high."""
    for split, count in (("train", 4), ("val", 2)):
        for channel, name in enumerate(("a", "b", "c")):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for n in range(count):
                image = torch.zeros(3, 40, 60, dtype=torch.uint8)
                image[channel] = 200 + n
                to_pil_image(image).save(folder / f"{n}.png")
    return tmp_path / "images"


def test_images_are_read_by_class(images: Path) -> None:
    told: list[int] = []
    x, y = imagenette(images, "train", 32, lambda what, done, total: told.append(done))
    assert x.shape == (12, 3, 32, 32) and x.dtype == torch.uint8 and y.bincount().tolist() == [4, 4, 4]
    assert torch.equal(x.float().mean((2, 3)).argmax(1), y) and told[-1] == 12


def test_a_folder_without_classes_is_told(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(RankfrontError, match="must hold a folder of images a class"):
        imagenette(tmp_path, "train", 32)


def test_a_missing_folder_is_downloaded_by_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def refuse(root: Path, split: str, size: str, download: bool, transform: object) -> None:
        asked.append((root, split, size, download))
        raise OSError("no network")

    monkeypatch.setattr("rankfront.studies.imagenette.Imagenette", refuse)
    with pytest.raises(RankfrontError, match=r"as train/ and val/ .* could not be downloaded there .* no network"):
        imagenette(tmp_path, "val", 128)
    assert asked == [(tmp_path, "val", "160px", True)]


def test_crops_differ_and_some_are_mirrored() -> None:
    ramp = torch.linspace(0, 1, 32).expand(200, 3, 32, 32)
    crops = crop_and_flip(ramp, torch.Generator().manual_seed(0))
    rising = crops[:, 0, 16, 24] > crops[:, 0, 16, 8]
    assert crops.shape == ramp.shape and 0.35 < float(rising.float().mean()) < 0.65
    assert float(crops.min()) >= 0 and float(crops.max()) <= 1
    assert torch.equal(crops, crop_and_flip(ramp, torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize("classes", [10, 1000])
def test_weights_of_ten_or_a_thousand_classes(tmp_path: Path, suffix: str, classes: int) -> None:
    torch.manual_seed(0)
    theirs = resnet18(num_classes=classes)
    path = tmp_path / f"weights.{suffix}"
    torch.save(theirs.state_dict(), path) if suffix == "pt" else save_file(theirs.state_dict(), path)
    model = network()
    load_weights(model, path)
    x = torch.rand(2, 3, 32, 32)
    expected = theirs.eval()(x)
    torch.testing.assert_close(model.eval()(x), expected[:, list(CLASSES)] if classes == 1000 else expected)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(torch.nn.Linear(2, 2).state_dict(), path)
    with pytest.raises(RankfrontError, match="must hold the weights of torchvision's resnet18"):
        load_weights(network(), path)


def test_the_study_takes_weights_as_they_are(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rankfront.studies.resnet18_imagenette.HELD_OUT", 3)
    path = tmp_path / "weights.safetensors"
    theirs = network()
    save_file(theirs.state_dict(), path)
    task = study(images, weights=path, image_size=32)
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(task.model.eval()(x), theirs.eval()(x))
    assert [len(task.train), len(task.validation), len(task.test or ())] == [9, 3, 6]


def test_images_that_are_too_small_are_refused(images: Path) -> None:
    with pytest.raises(RankfrontError, match="image size must be 32 pixels or more, but got 8"):
        study(images, image_size=8)
