"""Principal components of a linear map's outputs: the factors with the least error in the *output*.

Whitening without a matrix root. The rank-r factors of ``W`` with the least error in ``y = W a`` are the
truncated SVD of ``W C^½`` with ``C = E[a aᵀ]``, ``C^-½`` folded back. With ``W C^½ = U S Vᵀ`` that product
is ``U_r U_rᵀ W``: a projection, and ``U`` are the eigenvectors of ``W C Wᵀ = E[y yᵀ]``. So the outputs'
principal components are all that is needed: no root, no inverse, no ridge, and full rank reproduces ``W``
exactly. With ``C = I`` it is the plain SVD.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Principal(NamedTuple):
    """Components ``(…, out, k)``, orthonormal, of descending energy ``(…, k)``."""

    components: Tensor
    energy: Tensor


def principal(weight: Tensor, *, inputs: Tensor | None = None, outputs: Tensor | None = None) -> Principal:
    """Return the principal components of ``y = W a``.

    Args:
        weight: ``(…, out, in)``, float64.
        inputs: ``E[a aᵀ]``, ``(…, in, in)``; or
        outputs: ``E[y yᵀ]``, ``(…, out, out)``; with neither, ``a`` is taken as white.
    """
    tall = weight.shape[-2] > weight.shape[-1]
    # Where the weight is tall, its outputs fill only its column space: work there, in (in × in).
    basis, core = torch.linalg.qr(weight) if tall else (None, weight)
    if outputs is not None:
        second = outputs if basis is None else basis.mT @ outputs @ basis
    else:
        second = core @ core.mT if inputs is None else core @ inputs @ core.mT
    values, vectors = torch.linalg.eigh((second + second.mT) / 2)
    vectors = vectors.flip(-1) if basis is None else basis @ vectors.flip(-1)
    return Principal(vectors, values.flip(-1).clamp_min(0))


def main_inputs(weight: Tensor, *, inputs: Tensor) -> Tensor:
    """Return the combinations of inputs with the largest share in ``y = W a``: ``U_kᵀ W``, one row for each k.

    Where ``weight (out, in)`` is tall, ``W`` is replaced by its Cholesky factor ``R (in, in)`` with ``RᵀR = WᵀW``. It
    has the same combinations at a lower cost.

    Args:
        weight: ``(out, in)``, float64.
        inputs: ``E[a aᵀ]``, ``(in, in)``.
    """
    core, failed = torch.linalg.cholesky_ex(weight.T @ weight, upper=True)
    if len(weight) <= weight.shape[1] or int(failed):
        core = weight
    return principal(core, inputs=inputs).components.T @ core
