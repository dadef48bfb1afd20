"""``flops``: the number of operations for one input, 2 per multiply-add, by torch's own counter."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast, final

from .amounts import SI
from .metric import Metric, Predictor, Subject

if TYPE_CHECKING:
    from torch import nn

    from ..data.structure import Inputs
    from ..model.layer import Layer
    from ..model.trace import Several


@final
class Flops(Metric):
    """Operations of one forward pass on one input."""

    name = "flops"
    label = "flops (2 per multiply-add)"
    unit = "FLOP"
    units = SI
    example = "flops=30% or flops=10M"
    note = (
        "Flops count 2 per multiply-add, on one input; the mean over several where the data decides what is computed. "
        "Of weights that are stored as factors (kind stored) they count the product, which is computed at every read."
    )

    def measure(self, subject: Subject) -> float:
        """Return torch's count of one forward pass."""
        return count_flops(subject.model, subject.example)

    def predictor(self, subject: Subject, layers: Mapping[str, Layer]) -> Predictor:
        """Return the kinds' cost formulas, summed."""
        from .additive import Additive

        return Additive(self.measure(subject), layers, lambda layer, cost: cost.flops - layer.flops)


def count_flops(model: nn.Module, example: Inputs | Several) -> float:
    """Return torch's own count of operations for one input, on the meta device: a mean over `Several` inputs.

    A model that cannot run there (its forward pass looks at values, as a mixture of experts does) is counted on its own
    device, by slower functions that are counted as on the meta device: fused ones count as nothing.
    """
    import torch

    from ..data.structure import place
    from ..model.copying import copied
    from ..model.trace import Several

    inputs = example.inputs if isinstance(example, Several) else (example,)
    try:
        counts = [_counted(copied(model).to("meta"), place(one, "meta")) for one in inputs]
    except Exception:
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
        with _unfused():
            counts = [_counted(copied(model), place(one, device)) for one in inputs]
    total = sum(counts)
    return total // len(counts) if total % len(counts) == 0 else total / len(counts)


def _counted(model: nn.Module, example: Inputs) -> int:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from ..data.randomness import fixed_seed
    from ..data.structure import apply
    from ..model.mode import in_eval

    counter = FlopCounterMode(display=False, custom_mapping={torch.ops.aten._grouped_mm: _grouped_mm_flops})
    counter.mod_tracker = cast(Any, _Untracked())
    with fixed_seed(0), counter, torch.no_grad():
        # Torch's counter fails on a view of a parameter that is trained, as a layer may be called with.
        apply(in_eval(model).requires_grad_(False), example)
    return counter.get_total_flops()


class _Untracked(contextlib.nullcontext[None]):
    """In place of torch's hooks on every module, beside which a forward cannot call ``torch.autograd.grad``."""

    parents: ClassVar[frozenset[str]] = frozenset(("Global",))


def _grouped_mm_flops(a: Sequence[int], b: Sequence[int], *_: object, out_shape: object = None, **__: object) -> int:
    """Return the operations of products of two stacks of matrices, given their shapes ``(…, m, k)``, ``(…, k, n)``.

    An operand that is a single matrix holds the matrices of its stack side by side.
    """
    return 2 * math.prod(a[-2:] if len(b) == 2 else a) * b[-1]


@contextlib.contextmanager
def _unfused() -> Iterator[None]:
    """Turn off what torch's counter does not know: oneDNN's LSTM, the encoder layer's fast path."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch's own, on flags of devices that are not there
            with torch.backends.mkldnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH):
                yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


FLOPS = Flops()
