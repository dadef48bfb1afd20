from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from rankfront import load, run
from rankfront.objectives.data.content import fingerprint_of
from rankfront.studies.digits import network, study


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of dense models that is empty before these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def test_the_main_job_on_digits(tmp_path: Path) -> None:
    task = study()
    result = run(task, out=tmp_path / "out", trials=3, device="cpu", progress=False)
    assert result.dense.score > 0.97
    best = result.best_trial()
    assert best.metrics.params <= 0.1 * result.dense.metrics.params
    assert best.score > result.dense.score - 0.03
    assert result.front["test_accuracy"].max() > 0.95
    images, labels = task.test.source
    small = load(tmp_path / "out", network())
    assert float((small(images).argmax(1) == labels).double().mean()) == pytest.approx(
        result.front.set_index("trial")["test_accuracy"][best.trial]
    )


def test_splits_do_not_overlap_and_never_change() -> None:
    first, second = study(seed=0), study(seed=0)
    assert fingerprint_of(first.train) == fingerprint_of(second.train)
    parts = [split.source[0].flatten(1) for split in (first.train, first.validation, first.test)]
    assert sum(map(len, parts)) == 1797
    assert all(torch.equal(a, b) for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True))
