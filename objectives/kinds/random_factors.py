"""A plan's network with small random factors: what a dry run trains, before anything is decomposed."""

from __future__ import annotations

import math

import torch
from torch import nn

from ..plan import Plan
from .skeleton import skeleton


@torch.no_grad()
def random_factors(dense: nn.Module, plan: Plan) -> nn.Module:
    """Return the network of a plan with small random factors; biases are zero."""
    model = skeleton(dense, plan)
    for name in plan:
        for tensor in model.get_submodule(name).state_dict(keep_vars=True).values():
            tensor.zero_()
            if tensor.is_floating_point() and tensor.ndim > 1:
                tensor.normal_(0, 1 / math.sqrt(max(1, tensor[0].numel())))
    return model
