"""Train weights of 16 bits: the optimizer keeps each in float32, and the loss is scaled where gradients would vanish.

In float16 and bfloat16 a step is often smaller than the distance to the next number, and is lost; in float16 small
gradients, and the constants of an optimizer, become zero. So the optimizer moves copies in float32, from which the
weights are rounded after every step (Micikevicius et al., "Mixed precision training", 2018). The network itself
computes in its own types throughout. Weights of 32 and 64 bits are trained as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import final

import torch
from torch import Tensor, nn

LOW = (torch.float16, torch.bfloat16)

SCALE = 2.0**14
"""What the loss of a network with float16 weights is multiplied by at first; halved as long as a gradient overflows."""


@final
class MasterWeights:
    """The parameters that an optimizer moves: those of a network, or float32 copies of those of 16 bits."""

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self._parameters = list(parameters)
        self.trained: list[Tensor] = [
            p.detach().float().requires_grad_() if p.dtype in LOW else p for p in self._parameters
        ]
        """What the optimizer gets, one tensor for each parameter."""
        self._scale = SCALE if any(p.dtype == torch.float16 for p in self._parameters) else 1.0

    @property
    def _copies(self) -> list[tuple[nn.Parameter, Tensor]]:
        return [(p, t) for p, t in zip(self._parameters, self.trained, strict=True) if t is not p]

    def scaled(self, loss: Tensor) -> Tensor:
        """Return the loss to be differentiated."""
        return loss if self._scale == 1 else loss * self._scale

    @torch.no_grad()
    def take_gradients(self) -> bool:
        """Hand the network's gradients to what is trained; return False where they must be computed again.

        They overflowed then, and the next loss will be scaled by half as much.
        """
        found = [p.grad for p in self._parameters if p.grad is not None]
        if self._scale > 1 and not all(bool(torch.isfinite(gradient).all()) for gradient in found):
            self._scale /= 2
            return False
        for parameter, copy in self._copies:
            copy.grad = None if parameter.grad is None else parameter.grad.float() / self._scale
        if self._scale > 1:
            for parameter, trained in zip(self._parameters, self.trained, strict=True):
                if trained is parameter and parameter.grad is not None:
                    parameter.grad /= self._scale
        return True

    @torch.no_grad()
    def give_weights(self) -> None:
        """Round the copies to the network's parameters, after a step of the optimizer."""
        for parameter, copy in self._copies:
            parameter.copy_(copy)

    def state(self) -> dict[str, Tensor]:
        """Return what a training needs to go on with: empty where there are no copies."""
        kept = {f"master.{index}": t.detach() for index, (_, t) in enumerate(self._copies)}
        return kept | ({"scale": torch.tensor(self._scale, dtype=torch.float64)} if kept else {})

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` returned, or from the network's parameters where it returned nothing."""
        for index, (parameter, copy) in enumerate(self._copies):
            copy.copy_(state.get(f"master.{index}", parameter))
        if "scale" in state:
            self._scale = float(state["scale"])
