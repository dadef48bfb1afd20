"""A study's slots: which of its N trials are done, and which is next.

An interrupted trial (killed, Ctrl-C) leaves a record but no result, so its slot is free again. Everything random in a
trial is seeded by its slot, so the next trial in the slot repeats the interrupted one. So a resumed study ends at
exactly N trials, with the front of an undisturbed one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

SLOT = "slot"
INTERRUPTED = "interrupted"
DIED = "died"


def occupied(study: Study) -> dict[int, FrozenTrial]:
    """Return slot → trial for all trials that hold one: finished, failed for a reason, or running."""
    trials = study.get_trials(deepcopy=False)
    ended = _ended.setdefault(study, Ended())
    while ended.trials < len(trials) and trials[ended.trials].state.is_finished():
        ended.holders |= _holders(trials[ended.trials : ended.trials + 1])
        ended.trials += 1
    return ended.holders | _holders(trials[ended.trials :])


@dataclass
class Ended:
    """Of the trials up to the first that has not ended, those that hold a slot: they never change."""

    trials: int = 0
    """How many trials that are."""
    holders: dict[int, FrozenTrial] = field(default_factory=dict)
    """Slot → trial."""


_ended: WeakKeyDictionary[Study, Ended] = WeakKeyDictionary()


def _holders(trials: Iterable[FrozenTrial]) -> dict[int, FrozenTrial]:
    return {t.user_attrs[SLOT]: t for t in trials if SLOT in t.user_attrs and not was_interrupted(t)}


def next_slot(study: Study) -> int:
    """Return the first free slot."""
    taken = occupied(study)
    return next(slot for slot in range(len(taken) + 1) if slot not in taken)


def seed_for(seed: int, slot: int, use: str) -> int:
    """Return a distinct seed for each slot and use."""
    digest = hashlib.sha256(f"{seed}|{slot}|{use}".encode()).digest()
    return int.from_bytes(digest[:4], "little")


def was_interrupted(trial: FrozenTrial) -> bool:
    """Return whether a trial ended without a result, so that its slot is run again."""
    return trial.state == TrialState.FAIL and bool(trial.user_attrs.get(INTERRUPTED))
