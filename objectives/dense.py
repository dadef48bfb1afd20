"""The user's model made ready: a copy in plain modules, and the layers in it that can be factorized."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from glob import escape
from typing import TYPE_CHECKING

from torch import nn

from .data.randomness import fixed_seed
from .data.structure import Inputs
from .kinds.coverage import Coverage, coverage
from .kinds.kind import Kind
from .kinds.left_dense import LeftDense
from .kinds.probe import without_inapplicable, without_unreplaceable
from .kinds.registry import kinds_named
from .kinds.why_dense import left_dense
from .model.finding import Layers, find_layers
from .model.layer import TYPES
from .model.mode import in_eval
from .model.plain.form import Rewrites
from .model.plain.repeat import repeated
from .model.plain.rewriting import Rewritten, rewrite
from .model.trace import SAMPLES

if TYPE_CHECKING:
    from .task import Task


@dataclass(frozen=True)
class Dense:
    """A dense model, on the CPU in eval mode."""

    model: nn.Module
    rewrites: Rewrites
    """What was rewritten in the user's model (see `model.plain`)."""
    layers: Layers
    kinds: dict[str, tuple[Kind, ...]]
    """The kinds that apply to each layer, by the layer's name."""
    left: LeftDense
    """All that stays dense, and why."""

    @property
    def coverage(self) -> Coverage:
        """How many of the weights that the model multiplies by can be factorized."""
        return coverage(self.model, self.layers)


def dense_of(task: Task, example: Inputs, rewrites: Rewrites | None = None) -> Dense:
    """Return a task's model in plain modules, and its layers.

    Args:
        task: whose model, ``kinds`` and ``exclude`` are read; the model stays as it is.
        example: inputs of one sample.
        rewrites: those of a study that goes on, which are made again; None: whatever can be rewritten is.

    Raises:
        RankfrontError: the model cannot be copied, or refuses its data.
    """
    singles, together = _drawn(task)
    plain = _plain(task, [example, together], rewrites)
    model = in_eval(plain.model.cpu())  # wherever it was trained: on the CPU the traced passes run
    kinds = kinds_named(task.kinds)
    exclude = _excluding(task.exclude, model, plain.rewrites)
    found = without_inapplicable(find_layers(model, example, exclude, singles, together), kinds)
    found = without_unreplaceable(model, found, example, kinds)
    layers = replace(found, left_dense={**found.left_dense, **plain.reasons})
    taking = {layer.name: tuple(kind for kind in kinds if kind.applies(layer)[0]) for layer in layers}
    return Dense(model, plain.rewrites, layers, taking, left_dense(model, layers, taking))


def _plain(task: Task, samples: list[Inputs], rewrites: Rewrites | None) -> Rewritten:
    if rewrites is not None:
        return Rewritten(repeated(task.model, rewrites), rewrites, {})
    agreed = {"stored"} & set(task.kinds) | ({"fold"} if task.fold else set())
    return rewrite(task.model, samples, agreed)


def _drawn(task: Task) -> tuple[list[Inputs], Inputs]:
    """Return the inputs of a few training samples: each but the first, and those of the first batch together."""
    with fixed_seed(0):
        batches = list(task.train.batches(SAMPLES, limit=SAMPLES))
    single = [batch[at : at + 1].inputs for batch in batches if batch.can_cut()[0] for at in range(batch.samples)]
    return single[1:], batches[0].inputs


def _excluding(patterns: Iterable[str], model: nn.Module, rewrites: Rewrites) -> list[str]:
    """Return the patterns of layers to leave dense; one that names a padded convolution names the one inside it."""
    names = [path for path, module in model.named_modules() if isinstance(module, TYPES)]
    padded = [path for path, rewrite in rewrites.items() if "pad" in rewrite]
    found: list[str] = []
    for pattern in patterns:
        inside = [escape(f"{path}.conv") for path in padded if fnmatchcase(path, pattern)]
        found += inside
        if not inside or any(fnmatchcase(name, pattern) for name in names):
            found.append(pattern)
    return found
