from pathlib import Path

import pytest
import torch

from rankfront import RankfrontError
from rankfront.objectives.metrics.params import count_params
from rankfront.studies import mnist_mlp


def test_architecture_is_the_published_one() -> None:
    model = mnist_mlp.network()
    assert count_params(model) == 784 * 1024 + 4 * 1024**2 + 1024 * 10 + 5 * 1024 + 10
    assert model(torch.zeros(2, 784)).shape == (2, 10)


def test_reads_mnist_normalised(mnist_root: Path) -> None:
    x, y = mnist_mlp.mnist(mnist_root, train=True)
    assert x.shape == (60_000, 784) and y.shape == (60_000,)
    assert float(x.mean()) == pytest.approx(0, abs=1e-3)
    assert float(x.std()) == pytest.approx(1, abs=1e-3)


def test_data_that_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> None:
        raise RuntimeError("no network")

    monkeypatch.setattr("torchvision.datasets.MNIST.download", refuses)
    with pytest.raises(RankfrontError, match=r"MNIST must lie in .*nowhere.*--data.*no network"):
        mnist_mlp.mnist(tmp_path / "nowhere", train=True)
    assert list(tmp_path.iterdir()) == []
