"""What machines without a common folder share of a study's files: see `RemoteFiles`.

Every machine has a folder of its own. Decompositions are fetched before a study is prepared, and uploaded afterwards;
the weights of each trial are uploaded before its result is stored; those of the front are fetched before outputs are
written, which are uploaded, too.
"""

from __future__ import annotations

from pathlib import Path

from ..results.result import Result
from ..storage.folder import Folder
from ..storage.remote_files import RemoteFiles
from ..storage.trials import DIGEST

CACHE = "cache"


def weights_name(sha256: str) -> str:
    """Return the name of the weights of that digest."""
    return f"weights/{sha256}.safetensors"


def fetch_decompositions(files: RemoteFiles, folder: Folder) -> None:
    """Fetch what any machine has decomposed."""
    for name in sorted(files.names(CACHE)):
        files.fetch(name, folder.cache / Path(name).name)


def push_decompositions(files: RemoteFiles, folder: Folder) -> None:
    """Upload what this machine has decomposed."""
    there = files.names(CACHE)
    for path in sorted(folder.cache.glob("[!.]*")):
        if (name := f"{CACHE}/{path.name}") not in there:
            files.push(path, name)


def fetch_weights(files: RemoteFiles, result: Result) -> None:
    """Fetch the weights of the trials whose weights are kept."""
    known = _digests(result)
    for trial in result.retained:
        if sha256 := known.get(trial.trial):
            files.fetch(weights_name(sha256), result.folder.weights(trial.trial), sha256)


def push_outputs(files: RemoteFiles, result: Result) -> None:
    """Upload the outputs, and delete weights that are no longer kept."""
    folder = result.folder
    single = (folder.front, folder.report, folder.layers, folder.manifest)
    for path in (*single, *folder.best.glob("[!.]*"), *folder.architecture.glob("[!.]*")):
        if path.is_file():
            files.push(path, str(path.relative_to(folder.path)), again=True)
    known = _digests(result)
    kept = {known[trial.trial] for trial in result.retained if trial.trial in known}
    for name in files.names("weights") & {weights_name(sha256) for sha256 in set(known.values()) - kept}:
        files.remove(name)  # of trials that have ended: those of others are not known yet


def _digests(result: Result) -> dict[int, str]:
    """Return trial → the digest of its weights."""
    trials = result.study.get_trials(deepcopy=False)
    return {trial.number: trial.user_attrs[DIGEST] for trial in trials if DIGEST in trial.user_attrs}
