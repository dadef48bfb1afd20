"""What an error in a layer's output costs the network: a quadratic form, from the moments of gradients there.

With ``g`` the gradient of a random projection of the network's outputs at a layer's output, and ``a`` what the layer
takes, a small change ``D`` of its weight changes the outputs by ``E[(gᵀ D a)²] ≈ tr(G D C Dᵀ)``, where ``G = E[g gᵀ]``,
summed over positions, and ``C = E[a aᵀ]`` (the Kronecker form of Gauss-Newton: Martens and Grosse, K-FAC, 2015). With
``G = s Lᵀ L`` that is ``s ‖L D C^½‖²``: a kind that decomposes ``L W`` in place of ``W`` and puts ``L⁻¹`` into its last
factor has the least change of the outputs, where before it had the least error of the layer.

``L`` is the symmetric root, of mean square 1; ``s``, what is left, tells layers apart.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

DAMPING = 0.01
"""This part of the mean eigenvalue is added to each: directions without a gradient go by their output alone."""


class OutputMetric:
    """``root`` L and its ``inverse``, ``(groups, out, out)``, or ``(groups, out, 1)`` where L is diagonal; ``scale`` s.

    Without gradients L is the identity: every direction of an output counts alike. What it takes to weigh is found when
    it is first asked for: of a large network's layers not all fit into memory at once.
    """

    def __init__(self, gradients: Tensor | None = None) -> None:
        """Take gradients' second moments ``(groups, out, out)``, or ``(groups, out)`` of each alone; not all zero."""
        self._gradients = gradients

    @cached_property
    def _found(self) -> tuple[Tensor | None, Tensor | None, float]:
        gradients = self._gradients
        if gradients is None:
            return None, None, 1.0
        if gradients.ndim == 2:
            values, vectors = gradients.clamp_min(0), None
        else:
            values, vectors = torch.linalg.eigh((gradients + gradients.mT) / 2)
            values = values.clamp_min(0)
        mean = values.mean()
        roots = ((values / mean + DAMPING) / (1 + DAMPING)).sqrt()
        if vectors is None:
            return roots[..., None], 1 / roots[..., None], float(mean)
        root, inverse = ((vectors * each[:, None]) @ vectors.mT for each in (roots, 1 / roots))
        return root, inverse, float(mean)

    @property
    def root(self) -> Tensor | None:
        """``L``; None where it is the identity."""
        return self._found[0]

    @property
    def scale(self) -> float:
        """``s``, the mean square of the gradients."""
        return self._found[2]

    def weigh(self, rows: Tensor) -> Tensor:
        """Return ``L`` times outputs, weights or components ``(groups, out, any)``."""
        return _times(self.root, rows)

    def unweigh(self, rows: Tensor) -> Tensor:
        """Return ``L⁻¹`` times such."""
        return _times(self._found[1], rows)

    def weigh_moments(self, outputs: Tensor) -> Tensor:
        """Return ``L S Lᵀ`` of the outputs' second moments ``(groups, out, out)``."""
        return self.weigh(self.weigh(outputs).mT)


PLAIN = OutputMetric()
"""Every direction of an output counts alike, and layers are not compared."""


def _times(factor: Tensor | None, rows: Tensor) -> Tensor:
    if factor is None:
        return rows
    return factor * rows if factor.shape[-1] == 1 else factor @ rows
