"""What an error in a layer's output costs the network: a quadratic form, from the moments of gradients there.

With ``g`` the gradient of a random projection of the network's outputs at a layer's output, and ``a`` what the layer
takes, a small change ``D`` of its weight changes the outputs by ``E[(gᵀ D a)²] ≈ tr(G D C Dᵀ)``, where ``G = E[g gᵀ]``,
summed over positions, and ``C = E[a aᵀ]`` (the Kronecker form of Gauss-Newton: Martens and Grosse, K-FAC, 2015). With
``G = s Lᵀ L`` that is ``s ‖L D C^½‖²``: a kind that decomposes ``L W`` in place of ``W`` and puts ``L⁻¹`` into its last
factor has the least change of the outputs, where before it had the least error of the layer.

``L`` is the Cholesky factor of ``G / s``; ``s``, the mean of ``G``'s diagonal, tells layers apart. Any other root would
do: it differs by a rotation, which cancels.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

DAMPING = 0.01
"""This part of the mean eigenvalue is added to each: directions without a gradient go by their output alone."""


class OutputMetric:
    """``root`` L, upper triangular ``(groups, out, out)``, or ``(groups, out, 1)`` where it is diagonal; ``scale`` s.

    Without gradients L is the identity: every direction of an output counts alike. L is found when it is first asked
    for: of a large network's layers not all fit into memory at once.
    """

    def __init__(self, gradients: Tensor | None = None) -> None:
        """Take gradients' second moments ``(groups, out, out)``, or ``(groups, out)`` of each alone; not all zero."""
        self._gradients = gradients

    @cached_property
    def scale(self) -> float:
        """``s``, the gradients' mean square; 1 without gradients."""
        return 1.0 if self._gradients is None else float(self._squares(self._gradients).mean())

    @cached_property
    def root(self) -> Tensor | None:
        """``L``; None where it is the identity."""
        gradients = self._gradients
        if gradients is None:
            return None
        if gradients.ndim == 2:
            return ((gradients / self.scale + DAMPING) / (1 + DAMPING)).sqrt()[..., None]
        damped = (gradients + gradients.mT) / (2 * self.scale)
        damped.diagonal(dim1=1, dim2=2).add_(DAMPING)
        return torch.linalg.cholesky(damped.div_(1 + DAMPING), upper=True)

    @staticmethod
    def _squares(gradients: Tensor) -> Tensor:
        return gradients if gradients.ndim == 2 else gradients.diagonal(dim1=1, dim2=2)

    def weigh(self, rows: Tensor) -> Tensor:
        """Return ``L`` times outputs, weights or components ``(groups, out, any)``."""
        return rows if self.root is None else self.root * rows if self._is_diagonal else self.root @ rows

    def unweigh(self, rows: Tensor) -> Tensor:
        """Return ``L⁻¹`` times such."""
        if self.root is None or self._is_diagonal:
            return rows if self.root is None else rows / self.root
        return torch.linalg.solve_triangular(self.root, rows, upper=True)

    def spread(self, rows: Tensor) -> Tensor:
        """Return ``Lᵀ`` times such."""
        return rows if self.root is None else self.root * rows if self._is_diagonal else self.root.mT @ rows

    def weigh_moments(self, outputs: Tensor) -> Tensor:
        """Return ``L S Lᵀ`` of the outputs' second moments ``(groups, out, out)``."""
        return self.weigh(self.weigh(outputs).mT)

    @property
    def _is_diagonal(self) -> bool:
        return self._gradients is not None and self._gradients.ndim == 2


PLAIN = OutputMetric()
"""Every direction of an output counts alike, and layers are not compared."""
