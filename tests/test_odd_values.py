"""Values that nobody thought of are taken or refused in one sentence: fields and options by hypothesis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rankfront
from rankfront import FineTune, RankfrontError, Task
from rankfront.search.storage.folder import Folder
from rankfront.search.study.computing import FinishSettings
from rankfront.search.study.settings import Settings
from tests.conftest import perceptron
from tests.refusals import LONGEST, Net, task

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=9),
    st.binary(max_size=3),
    st.lists(st.integers() | st.text(max_size=3), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.sampled_from([Net, perceptron, np.float32(1), np.int64(3), torch.tensor(3.0), object(), 1j]),
)
TASK_FIELDS = [f.name for f in fields(Task)]
ODD_SETTINGS = settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def taken_or_refused(call: Callable[[], object]) -> None:
    try:
        call()
    except RankfrontError as error:
        assert len(str(error)) < LONGEST and "unexpected" not in str(error) and "\n" not in str(error), error


@ODD_SETTINGS
@given(field=st.sampled_from(TASK_FIELDS), value=ODD)
def test_odd_values_of_a_task(field: str, value: Any) -> None:
    taken_or_refused(lambda: task(**{field: value}))


@ODD_SETTINGS
@given(field=st.sampled_from([f.name for f in fields(FineTune)]), value=ODD)
def test_odd_values_of_a_fine_tune(field: str, value: Any) -> None:
    taken_or_refused(lambda: FineTune(**{field: value}))


@ODD_SETTINGS
@given(field=st.sampled_from([f.name for f in fields(Settings)]), value=ODD)
def test_odd_values_of_runs_options(field: str, value: Any) -> None:
    def read() -> None:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Folder, "check", lambda self: None)  # which folders can be written is no matter here
            rankfront.search.study.run.RunArguments(task(), **{field: value})  # pyright: ignore

    taken_or_refused(read)


@ODD_SETTINGS
@given(field=st.sampled_from([f.name for f in fields(FinishSettings)]), value=ODD)
def test_odd_values_of_finishs_options(field: str, value: Any) -> None:
    taken_or_refused(lambda: FinishSettings(**{"epochs": 1, field: value}))
