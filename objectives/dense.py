"""The user's model made ready: a copy in plain modules, and the layers in it that can be factorized."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from glob import escape
from typing import TYPE_CHECKING

from torch import nn

from .calibration.samples import in_training_batches
from .data.randomness import fixed_seed
from .data.structure import Inputs
from .kinds.coverage import Coverage, coverage
from .kinds.kind import Kind
from .kinds.left_dense import LeftDense
from .kinds.probe import without_inapplicable, without_unreplaceable
from .kinds.registry import kind_named, kinds_named
from .kinds.why_dense import left_dense
from .model.finding import Layers, find_layers
from .model.independent import check_independent
from .model.layer import TYPES
from .model.mode import in_eval
from .model.plain.form import Found, Rewrites
from .model.plain.registry import FORMS
from .model.plain.repeat import repeated
from .model.plain.rewriting import rewrite
from .model.trace import SAMPLES

if TYPE_CHECKING:
    from .task import Task


@dataclass(frozen=True)
class Dense:
    """A dense model, on the CPU in eval mode."""

    model: nn.Module
    found: Found
    """What was rewritten in the user's model (see `model.plain`), and why other modules were not."""
    layers: Layers
    kinds: dict[str, tuple[Kind, ...]]
    """The kinds that apply to each layer, by the layer's name."""
    left: LeftDense
    """All that stays dense, and why."""

    @property
    def coverage(self) -> Coverage:
        """How many of the weights that the model multiplies by can be factorized."""
        return coverage(self.model, self.layers)


def dense_of(task: Task, example: Inputs, found: Found | None = None, *, nested: bool = False) -> Dense:
    """Return a task's model in plain modules, and its layers.

    Args:
        task: whose model, ``kinds`` and ``exclude`` are read; the model stays as it is.
        example: inputs of one sample.
        found: that of a study that goes on, which is made again; None: whatever can be rewritten is.
        nested: whether each layer has only the kinds of which factors at one rank are part of those at another.

    Raises:
        RankfrontError: the model cannot be copied, or refuses its data.
    """
    singles, together = _drawn(task)
    check_independent(task.model, example)
    plain, made = _plain(task, [example, together], found)
    model = in_eval(plain.cpu())  # wherever it was trained: on the CPU the traced passes run
    kinds = kinds_named(task.kinds)
    exclude = _excluding(task.exclude, model, made.rewrites)
    layers = without_inapplicable(find_layers(model, example, exclude, singles, together), kinds)
    layers = without_unreplaceable(model, layers, example, kinds)
    layers = replace(layers, left_dense={**layers.left_dense, **made.reasons})
    taking = {
        layer.name: tuple(
            kind for kind in kinds if kind.applies(layer)[0] and (not nested or kind_named(kind.base).blocks(layer) > 0)
        )
        for layer in layers
    }
    return Dense(model, made, layers, taking, left_dense(model, layers, taking))


def _plain(task: Task, samples: list[Inputs], found: Found | None) -> tuple[nn.Module, Found]:
    if found is not None:
        return repeated(task.model, found.rewrites), found
    agreed = {"stored"} & set(task.kinds) | ({"fold"} if task.fold else set())
    made = rewrite(task.model, samples, agreed)
    return made.model, made.found


def _drawn(task: Task) -> tuple[list[Inputs], Inputs]:
    """Return the inputs of a few training samples: each but the first, and some together, as in a training batch."""
    with fixed_seed(0):
        batches = list(task.train.batches(SAMPLES, limit=SAMPLES))
    single = [batch[at : at + 1].inputs for batch in batches if batch.can_cut()[0] for at in range(batch.samples)]
    return single[1:], in_training_batches(batches[:1], task.batch_size)[0].inputs


def _excluding(patterns: Iterable[str], model: nn.Module, rewrites: Rewrites) -> list[str]:
    """Return the patterns of layers to leave dense; one that names a rewritten module names the layers inside it."""
    names = [path for path, module in model.named_modules() if isinstance(module, TYPES)]
    holding = {path: FORMS[rewrite["form"]].inside(rewrite) for path, rewrite in rewrites.items()}
    found: list[str] = []
    for pattern in patterns:
        inside = [
            escape(f"{path}.{layer}".lstrip("."))
            for path, layers in holding.items()
            if fnmatchcase(path, pattern)
            for layer in layers
        ]
        found += inside
        if not inside or any(fnmatchcase(name, pattern) for name in names):
            found.append(pattern)
    return found
