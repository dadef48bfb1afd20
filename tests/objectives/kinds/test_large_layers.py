"""A very large Linear is prepared in memory of its own order: no square of its long side is made."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from rankfront import Split
from rankfront.objectives.calibration.calibrate import calibrate
from rankfront.objectives.kinds import tt_matrix
from rankfront.objectives.kinds.registry import KINDS
from rankfront.objectives.model.finding import find_layers

LONG, SHORT, SAMPLES = 2000, 8, 32


class Largest(TorchDispatchMode):
    """Notes how many numbers the largest tensor holds that is made while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in pytree.tree_leaves(made):
            if isinstance(tensor, Tensor):
                self.numbers = max(self.numbers, tensor.untyped_storage().nbytes() // tensor.element_size())
        return made


@pytest.mark.parametrize("sizes", [(LONG, SHORT), (SHORT, LONG)], ids=["wide", "tall"])
@pytest.mark.parametrize("name", ["svd", "svd-identity", "tt"])
def test_memory_is_of_the_order_of_the_layer(
    name: str, sizes: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tt_matrix, "LARGEST", LONG // 2)
    torch.manual_seed(0)
    model, kind = nn.Sequential(nn.Linear(*sizes)), KINDS[name]
    x = torch.randn(SAMPLES, sizes[0])
    (layer,) = find_layers(model, x[:1])
    statistic = kind.wants(layer)
    batches = list(Split((x, torch.zeros(SAMPLES))).batches(16))
    with Largest() as largest:
        moments = None if statistic is None else calibrate(model, {"": (layer, statistic)}, batches)[""]
        found = kind.decompose(layer, moments)
        for rank in kind.ranks(layer, found):
            found.factors(kind.inner(rank))
    assert layer.weights <= largest.numbers <= 10 * layer.weights < LONG**2
