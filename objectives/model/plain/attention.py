"""``nn.MultiheadAttention`` with its packed projections as Linears of their own, so that they can be factorized."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...data.structure import Inputs
from ..replace import can_replace, has_hooks, replaced
from .form import Found


@final
class Attention(nn.Module):
    """The same function as an ``nn.MultiheadAttention``, called in the same way; projections are ``nn.Linear``.

    ``q_proj``, ``k_proj`` and ``v_proj`` are the thirds of its packed in-projection.
    """

    in_proj_bias: ClassVar[None] = None
    _qkv_same_embed_dim: ClassVar[bool] = False
    # With these two, nn.TransformerEncoderLayer takes the path that calls its modules.

    def __init__(self, packed: nn.MultiheadAttention) -> None:
        super().__init__()
        self.embed_dim = packed.embed_dim
        self.head_dim = packed.head_dim
        self.num_heads = packed.num_heads
        self.batch_first = packed.batch_first
        self.dropout = packed.dropout
        same = packed.in_proj_weight is not None
        weights = (
            packed.in_proj_weight.chunk(3)
            if same
            else (packed.q_proj_weight, packed.k_proj_weight, packed.v_proj_weight)
        )
        biases = (None,) * 3 if packed.in_proj_bias is None else packed.in_proj_bias.chunk(3)
        self.q_proj, self.k_proj, self.v_proj = (_linear(w, b) for w, b in zip(weights, biases, strict=True))
        self.out_proj = _linear(packed.out_proj.weight, packed.out_proj.bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the attention's output, and its weights where they are needed; see ``nn.MultiheadAttention``."""
        if is_causal and attn_mask is None:
            raise RuntimeError("is_causal is a hint that needs the attn_mask it describes")
        batched = query.ndim == 3
        inputs = (query, key, value) if batched else (query[None], key[None], value[None])
        if batched and not self.batch_first:
            inputs = tuple(t.transpose(0, 1) for t in inputs)
        projections = self.q_proj, self.k_proj, self.v_proj
        q, k, v = (
            project(t).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for project, t in zip(projections, inputs, strict=True)
        )  # each (N, heads, tokens, head size)
        mask = self._mask(attn_mask, key_padding_mask, q, batched)
        dropout = self.dropout if self.training else 0.0
        if need_weights:
            scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
            weights = (scores if mask is None else scores + mask).softmax(-1)
            weights = functional.dropout(weights, dropout)
            heads = weights @ v
        else:
            weights = None
            heads = functional.scaled_dot_product_attention(q, k, v, mask, dropout)
        output = self.out_proj(heads.transpose(1, 2).flatten(2))
        if weights is not None and average_attn_weights:
            weights = weights.mean(1)
        if not batched:
            return output[0], None if weights is None else weights[0]
        return output if self.batch_first else output.transpose(0, 1), weights

    def _mask(
        self, attn_mask: Tensor | None, key_padding_mask: Tensor | None, q: Tensor, batched: bool
    ) -> Tensor | None:
        """Return both masks as one to be added to the scores ``(N, heads, queries, keys)``."""
        mask = None
        if attn_mask is not None:
            mask = _additive(attn_mask, q)
            if mask.ndim == 3:  # (N · heads, queries, keys)
                mask = mask.unflatten(0, (-1, self.num_heads))
        if key_padding_mask is not None:
            padding = _additive(key_padding_mask if batched else key_padding_mask[None], q)[:, None, None, :]
            mask = padding if mask is None else mask + padding
        return mask


def _additive(mask: Tensor, like: Tensor) -> Tensor:
    """Return a mask to be added: of a boolean one, minus infinity where it is True."""
    if mask.dtype != torch.bool:
        return mask.to(like.dtype)
    return torch.zeros(mask.shape, dtype=like.dtype, device=mask.device).masked_fill(mask, -math.inf)


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta", dtype=weight.dtype)
    linear.weight = nn.Parameter(weight.detach().clone(), weight.requires_grad)
    if bias is not None:
        linear.bias = nn.Parameter(bias.detach().clone(), bias.requires_grad)
    return linear


@final
class Unpacking:
    """``nn.MultiheadAttention`` → `Attention`."""

    name = "attention"
    option = None

    def find(self, model: nn.Module, samples: Sequence[Inputs]) -> Found:
        """Return every attention that can be unpacked.

        Some cannot: those with learned key and value biases or an added zero attention; those that share parameters;
        those with state that cannot be moved, in themselves or in their ``out_proj``; and subclasses.
        """
        owners = Counter(id(p) for m in model.modules() for p in m.parameters(recurse=False))
        found = Found({}, {})
        for path, module in model.named_modules():
            if isinstance(module, nn.MultiheadAttention):
                possible, reason = _can_unpack(module, owners)
                if possible:
                    found.rewrites[path] = {}
                else:
                    found.reasons[path] = reason
        return found

    def rewritten(self, model: nn.Module, rewrites: Mapping[str, Mapping[str, Any]]) -> nn.Module:
        """Return a copy of ``model`` with these attentions unpacked."""
        instead: dict[str, nn.Module] = {}
        for path in rewrites:
            packed = model.get_submodule(path)
            assert isinstance(packed, nn.MultiheadAttention), f"{path} is a {type(packed).__name__}"
            instead[path] = attention = Attention(packed)
            instead[f"{path}.out_proj" if path else "out_proj"] = attention.out_proj
        copied = replaced(model, instead, keep_trained=False)
        for module in copied.modules():
            if isinstance(module, nn.TransformerEncoder):
                module.use_nested_tensor = False  # it reads the packed projection
        return copied

    def inside(self, rewrite: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the four projections."""
        return "q_proj", "k_proj", "v_proj", "out_proj"

    def offer(self, rewrite: Mapping[str, Any]) -> str:
        """Return nothing: nobody is asked."""
        return ""


def _can_unpack(packed: nn.MultiheadAttention, owners: Mapping[int, int]) -> tuple[bool, str]:
    """Return whether an attention can be taken apart, and why not; ``owners`` counts the users of each parameter."""
    for module in (packed, packed.out_proj):
        possible, reason = can_replace([module])
        if not possible:
            return False, reason if module is packed else f"its output projection: {reason}"
    if has_hooks(packed.out_proj):
        return False, "its output projection has hooks, which an attention never calls"
    if packed.bias_k is not None or packed.add_zero_attn:
        return False, "its attention adds a key and a value of its own (add_bias_kv, add_zero_attn)"
    if any(owners[id(p)] > 1 for p in packed.parameters()):
        return False, "its parameters are shared with another module"
    return True, ""


FORM = Unpacking()


def unpacked_in(model: nn.Module, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the attentions of ``model`` that are unpacked where its tensors have these names.

    Files of older versions do not list their rewrites.
    """
    paths = [path for path, module in model.named_modules() if isinstance(module, nn.MultiheadAttention)]
    starts = {path: f"{path}.q_proj." if path else "q_proj." for path in paths}
    listed = tuple(names)
    return {
        path: {"form": FORM.name} for path, start in starts.items() if any(name.startswith(start) for name in listed)
    }
