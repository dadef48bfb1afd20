"""Which trials hold a slot is the same, however often it was asked for before."""

from __future__ import annotations

import optuna
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages import InMemoryStorage
from optuna.trial import Trial, TrialState

from rankfront.search.storage.slots import INTERRUPTED, SLOT, next_slot, occupied

STEPS = st.lists(st.tuples(st.sampled_from(["begin", "complete", "fail", "interrupt"]), st.integers(0, 3)), max_size=20)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_it_is_as_if_it_were_asked_for_the_first_time(steps: list[tuple[str, int]]) -> None:
    storage = InMemoryStorage()
    study = optuna.create_study(study_name="slots", storage=storage)
    running: list[Trial] = []
    for step, which in steps:
        if step == "begin" or not running:
            running.append(study.ask())
            if which:  # a trial whose process died at once has none
                running[-1].set_user_attr(SLOT, next_slot(study))
        else:
            trial = running.pop(which % len(running))
            if step == "interrupt":
                trial.set_user_attr(INTERRUPTED, True)
            ended = (1.0, TrialState.COMPLETE) if step == "complete" else (None, TrialState.FAIL)
            study.tell(trial, *ended)
        anew = optuna.load_study(study_name="slots", storage=storage)
        found = {slot: trial.number for slot, trial in occupied(study).items()}
        assert found == {slot: trial.number for slot, trial in occupied(anew).items()}
        holders = [t for t in study.get_trials() if SLOT in t.user_attrs]
        kept = [t for t in holders if not (t.state == TrialState.FAIL and t.user_attrs.get(INTERRUPTED))]
        assert found == {t.user_attrs[SLOT]: t.number for t in kept}
