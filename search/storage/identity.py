"""What a study is known by: its settings, and the content of model, data, loss and score. What differs is named.

Only entries that both studies have are compared: a study that an older version began has fewer.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...objectives.engines.setting import ENGINE, MACHINE, NONE
from ...objectives.errors import RankfrontError
from ...objectives.export.plan_files import REWRITES
from ...objectives.identity_keys import CONTENT, KEYS
from ...objectives.kinds.registry import KINDS

if TYPE_CHECKING:
    from optuna.study import Study

IDENTITY = "identity"
"""The study's user attribute with its settings, and hashes of its model and data."""

FORMER_KINDS = tuple(name for name in KINDS if name != "stored")
"""All kinds there were when studies did not yet note what was rewritten in their dense model."""

SCORE = "score"
"""Stands for the score among a study's objectives, whatever its name is."""


@dataclass(frozen=True)
class Caller:
    """Who wants to go on with the study of a folder: a message to him says what he can give in its place."""

    folder: Path
    from_command: bool
    """Whether it is the command line; else Python."""

    @property
    def another(self) -> str:
        """How another folder is given."""
        return "another --out" if self.from_command else "another out= (or, without one, the task another name=)"

    @property
    def keep_latency(self) -> str:
        """How another machine's latencies are kept."""
        return "--keep-latency" if self.from_command else "keep_latency=True"

    def elsewhere(self, budget: str | None) -> str:
        """Return what he can do; ``budget``: the one he asked for, where it is not the study's."""
        if budget is None:
            return f"give {self.another}, or what it was begun with"
        if self.from_command:
            look = f"rankfront front {shlex.quote(str(self.folder))} --budget {shlex.quote(budget)}"
        else:
            look = f"rankfront.Result.open({str(self.folder)!r}).best_trial({budget!r})"
        return f"`{look}` gives the best under that budget without a new trial; to search under it, give {self.another}"


def identity_in(study: Study) -> dict[str, Any]:
    """Return what the study is known by; raises `RankfrontError` where it is none of rankfront's."""
    known = study.user_attrs
    if not isinstance(known.get(IDENTITY), dict):
        raise RankfrontError(f"study {study.study_name!r} must be one of rankfront's, but is another's")
    identity = dict(known[IDENTITY])
    if "objectives" in identity:  # older studies called any score accuracy there
        _, *costs = str(identity["objectives"]).split(", ")
        identity["objectives"] = ", ".join([SCORE, *costs])
    if REWRITES not in known and identity.get("kinds") == list(FORMER_KINDS):
        identity["kinds"] = list(KINDS)  # no parameter was rewritten to be stored there, so the choices are the same
    identity.setdefault(ENGINE, NONE)  # older studies knew of no latency
    return identity | ({CONTENT: known[CONTENT]} if CONTENT in known else {})


def keep_identity(study: Study, identity: Mapping[str, Any]) -> None:
    """Store what a study is known by; of a stored study, only entries that it lacks, and its own as they read today."""
    known = study.user_attrs
    read = _without_content(identity_in(study)) if IDENTITY in known else {}
    for name, own, more in (
        (IDENTITY, read, _without_content(identity)),
        (CONTENT, known.get(CONTENT, {}), identity.get(CONTENT, {})),
    ):
        if (joined := {**more, **own}) != known.get(name):
            study.set_user_attr(name, joined)


def check_settings(stored: Mapping[str, Any], asked: Mapping[str, Any], where: str, caller: Caller) -> None:
    """Refuse settings that are not the study's; raises `RankfrontError` naming all that differ."""
    if found := _differing_settings(stored, asked):
        raise _refused(where, found, _remedy(stored, asked, caller, alone=len(found) == 1))


def check_same(stored: Mapping[str, Any], asked: Mapping[str, Any], where: str, caller: Caller | None) -> None:
    """Refuse to go on with a study that was begun with something else.

    Args:
        stored: what the study is known by.
        asked: the settings, model, data, loss and score that are given now.
        where: the folder or database, for the message.
        caller: who could take another folder; None where this very study is meant.

    Raises:
        RankfrontError: naming all that differs.
    """
    from ...objectives.identity import differences

    settings = {name: value for name, value in asked.items() if name not in KEYS}
    found = _differing_settings(stored, settings)
    if content := differences(stored, asked):
        found.append(f"it differs in {', '.join(content)}")
    if "the model's weights" in content:
        found[-1] += " (does the code that makes the model give the same weights every time?)"
    if found:
        raise _refused(where, found, _remedy(stored, asked, caller, alone=len(found) == 1))


def _differing_settings(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    both = [name for name in asked if name in stored and stored[name] != asked[name]]
    return [f"its {name} is {_shown(stored[name])}, not {_shown(asked[name])}" for name in both]


def _remedy(stored: Mapping[str, Any], asked: Mapping[str, Any], caller: Caller | None, *, alone: bool) -> str:
    """Return what can be done; ``alone``: about one thing that differs."""
    if caller is None:
        return "give what it was begun with"
    both = "budget" in stored and "budget" in asked
    if alone and MACHINE in stored and MACHINE in asked and stored[MACHINE] != asked[MACHINE]:
        return f"{caller.keep_latency} goes on with that machine's latencies; else give {caller.another}"
    return caller.elsewhere(str(asked["budget"]) if both and stored["budget"] != asked["budget"] else None)


def _refused(where: str, found: list[str], remedy: str) -> RankfrontError:
    return RankfrontError(f"{where} belongs to another study: {'; '.join(found)}; {remedy}")


def _without_content(identity: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in identity.items() if name != CONTENT}


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, str) else str(value)
