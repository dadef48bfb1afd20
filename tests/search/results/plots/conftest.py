"""One small study, for all plots."""

from __future__ import annotations

import pytest
from torch import nn

from rankfront import Result, Task, run
from tests.conftest import blobs


@pytest.fixture(scope="package")
def result(tmp_path_factory: pytest.TempPathFactory, dense: nn.Module) -> Result:
    task = Task(dense, blobs(400, 1), blobs(200, 2), blobs(200, 3), calibration=200)
    return run(task, out=tmp_path_factory.mktemp("study"), budget="params=60%", trials=8, device="cpu", progress=False)
