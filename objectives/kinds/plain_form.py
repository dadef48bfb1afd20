"""The plain form of a network: its identity blocks as the two factors that they were made of.

An identity block saves parameters and flops, and costs a concatenation and a reordering of channels, which no engine
does for free. The plain form has neither. It computes the same function with ``rank²`` more parameters a block.
"""

from __future__ import annotations

from torch import nn

from ..model.replace import replaced
from .identity import IdentityBlock


def has_identity_blocks(model: nn.Module) -> bool:
    """Return whether a network has identity blocks."""
    return any(isinstance(module, IdentityBlock) for module in model.modules())


def plain_form(model: nn.Module) -> nn.Module:
    """Return a copy of a network in which plain factors stand in the place of identity blocks."""
    blocks = {path: module for path, module in model.named_modules() if isinstance(module, IdentityBlock)}
    return replaced(model, {path: block.plain() for path, block in blocks.items()})
