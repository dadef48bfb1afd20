"""Which trials' weights are kept while a study runs, and what each trial has changed."""

from __future__ import annotations

from dataclasses import dataclass

from optuna.study import Study

from ..results.front import retained_of
from ..results.so_far import best_so_far, changed_by
from ..storage.dense import DenseModel
from ..storage.trials import Record, read_trials, scored
from .run_settings import RunSettings


@dataclass(frozen=True)
class Retaining:
    """The complete trials of a study that may still be wanted, as they are when a method is called."""

    study: Study
    settings: RunSettings
    dense: DenseModel

    def best(self) -> str:
        """Return which trial is the best within the budget so far, in words."""
        return best_so_far(scored(self._records(), self.dense.scale), self.settings.budget, self.dense)

    def after(self, trial: int) -> str:
        """Delete the weights that a trial has made superfluous; return in words what it changed."""
        records = self._records()
        trials = scored(records, self.dense.scale)
        wanted = {t.trial for t in retained_of(trials, self.dense.costs)}
        self.settings.folder.drop_weights(r.trial for r in records if r.state != "running" and r.trial not in wanted)
        return changed_by(trial, trials, self.settings.budget, self.dense)

    def _records(self) -> list[Record]:
        # What was dropped once never comes back (see `retained_of`), so only trials whose weights are there count;
        # where machines have no common folder, those of the others do, too.
        there = None if self.settings.files is not None else self.settings.folder.with_weights()
        return read_trials(self.study, there)
