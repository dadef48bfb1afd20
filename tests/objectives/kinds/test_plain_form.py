"""The plain form of identity blocks: the same function, and what the kind without them costs."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from torch import nn

from rankfront.objectives.kinds.kind import Kind
from rankfront.objectives.kinds.plain_form import has_identity_blocks, plain_form
from rankfront.objectives.kinds.registry import KINDS
from rankfront.objectives.metrics.flops import count_flops
from rankfront.objectives.metrics.params import count_params
from tests.objectives.kinds.test_kinds import CASES, LAYERS, decomposed, layer_and_inputs, module, proposed

WITH_BLOCKS = [case for case in CASES if cast(Kind, case.values[0]).base != cast(Kind, case.values[0]).name]


@pytest.mark.parametrize(("kind", "name"), WITH_BLOCKS)
def test_it_is_the_same_function_and_costs_what_the_kind_without_a_block_costs(kind: Kind, name: str) -> None:
    model, layer, inputs = layer_and_inputs(*LAYERS[name])
    decomposition = decomposed(kind, model, layer, inputs)
    for rank in proposed(kind, layer, decomposition)[::3]:
        block = nn.Sequential(module(kind, layer, decomposition, rank)).eval()
        plain = plain_form(block)
        assert has_identity_blocks(block) and not has_identity_blocks(plain)
        with torch.no_grad():
            torch.testing.assert_close(plain(inputs), block(inputs), rtol=1e-3, atol=1e-3)
        cost = KINDS[kind.base].cost(layer, kind.inner(rank))
        assert (count_params(plain), count_flops(plain, inputs[:1])) == cost


def test_what_has_no_block_stays_as_it_is() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    assert not has_identity_blocks(model)
    assert [type(part) for part in plain_form(model)] == [nn.Linear, nn.ReLU]
