"""A study whose engine says how long networks take."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rankfront import Task
from tests.fake_engine import FakeEngine, installed


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    return installed(monkeypatch, FakeEngine())


@pytest.fixture
def small(task: Task) -> Task:
    return replace(task, kinds=("svd", "tt"))
