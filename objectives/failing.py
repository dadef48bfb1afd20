"""Which layers fail, where all of them together do: a bisection."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

from .errors import RankfrontError
from .progress import WorkCallback

LOOKING = "looking for the layer that cannot be factorized"
"""What the search is called in the progress."""

NAMED = 3
"""So many layers of those that fail are named."""

Why = Callable[[Sequence[str]], str]
"""Why something fails with these layers; empty where it does not."""


def failing(names: Sequence[str], why: Why) -> Iterator[tuple[str, str]]:
    """Yield every layer that fails by itself, and why, where all of them together fail.

    What fails is tried again in halves, so that of n layers a single one is found by 2 log₂ n trials. Layers that fail
    only together with others are in no half that fails, and are not found.
    """
    if len(names) == 1:
        if said := why(names):
            yield names[0], said
        return
    for half in (names[: len(names) // 2], names[len(names) // 2 :]):
        if len(half) == 1 or why(half):
            yield from failing(half, why)


def failure(names: Sequence[str], why: Why, progress: WorkCallback | None) -> RankfrontError | None:
    """Return the error that names layers with which a training step fails; None where no single one does."""
    tried = 0

    def counted(some: Sequence[str]) -> str:
        nonlocal tried
        if progress is not None:
            progress(LOOKING, tried, max(tried + 1, 2 * len(names).bit_length()))
        tried += 1
        return why(some)

    found = list(itertools.islice(failing(names, counted), NAMED + 1))
    if progress is not None:
        progress(LOOKING, tried, tried)
    if not found:
        return None
    (name, said), *more = found
    if not more:
        return RankfrontError(
            f"a training step with layer {name} factorized must work, but: {said}; exclude={name!r} leaves it dense"
        )
    listed = ", ".join(other for other, _ in found[:NAMED]) + (", …" if len(found) > NAMED else "")
    return RankfrontError(
        f"a training step with any layer factorized must work, but does not with {listed}; with the first: {said}; "
        "exclude=(NAME, …) leaves layers dense"
    )
