"""Shared weights: one set of factors for all plans, of which every plan's network is a slice.

For each layer and kind there are factors at the largest rank. Those at rank ``r`` are their first ``r`` channels (see
`Kind.blocks`); biases and all other parameters are the same for all plans, but that each rank keeps its own mean of
what its factors leave out. Trained on another plan at every step, they give every plan its weights at once.

Slimmable networks (Yu et al., 2019) and Once-for-All (Cai et al., 2020) share weights in this way between widths,
FlexRank (2026) between the ranks of Linears.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..kinds.decompositions import Decompositions
from ..kinds.registry import kind_named
from ..model.copying import copied
from ..model.replace import replaced, train_as
from ..plan import Choice, Plan, as_int
from .norms import set_training


@final
class SharedWeights(nn.Module):
    """The weights of all plans. Called, it is the network of one of ``plans``, drawn anew each time.

    Args:
        dense: the dense model; it stays as it is.
        decompositions: of its layers, by kinds whose ranks nest.
        plans: those to train on. The largest rank that any of them takes is the largest that shares weights.
        frozen: paths of the norms whose statistics stay as they are.
    """

    def __init__(
        self, dense: nn.Module, decompositions: Decompositions, plans: Sequence[Plan], frozen: Collection[str] = ()
    ) -> None:
        super().__init__()
        self.rest = copied(dense)
        """All parameters that are not of factors."""
        self.factors = nn.ModuleDict()
        """Those at the largest rank, by layer and kind (see `_key`)."""
        self._decompositions, self._plans, self._frozen = decompositions, plans, frozen
        self._biases: dict[tuple[str, Choice], dict[str, Tensor]] = {}
        for name, layer in decompositions.layers.items():
            largest: dict[str, int] = {}
            for choice in (_base(plan[name]) for plan in plans if name in plan):
                if choice is not None:
                    largest[choice.kind] = max(largest.get(choice.kind, 0), as_int(choice.rank or 0))
            for kind, rank in largest.items():
                self.factors[_key(name, kind)] = factors = decompositions.factors(layer, Choice(kind, rank))
                train_as(layer.module, factors)
        self._first = {
            (key, own): parameter.detach().clone()
            for key, factors in self.factors.items()
            for own, parameter in factors.named_parameters()
            if _is_bias(own)
        }

    def forward(self, *inputs: Any, **keywords: Any) -> Any:
        """Return what the network of one of the plans returns."""
        plan = self._plans[int(torch.randint(len(self._plans), ()))]
        instead: dict[str, nn.Module] = {}
        tensors: dict[str, Tensor] = {}
        for name, choice in plan.items():
            if (base := _base(choice)) is not None:
                layer = self._decompositions.layers[name]
                skeleton = kind_named(base.kind).skeleton(layer, base.rank or 1)
                instead.update(dict.fromkeys(layer.paths, skeleton.to_empty(device=layer.module.weight.device)))
                for own, parameter in skeleton.named_parameters():
                    tensors[f"{name}.{own}"] = self._slice(name, base, own, parameter)
        model = replaced(self.rest, instead, sharing=True)
        set_training(model, self._frozen)
        return functional_call(model, tensors, inputs, keywords)

    @torch.no_grad()
    def in_place(self, plan: Plan) -> nn.Module:
        """Return a network of plain factors with a plan's weights; channels that share none are as decomposed."""
        instead: dict[str, nn.Module] = {}
        for name, choice in plan.items():
            if (base := _base(choice)) is None:
                continue
            layer = self._decompositions.layers[name]
            factors = self._decompositions.factors(layer, base)
            instead.update(dict.fromkeys(layer.paths, factors))
            if (key := _key(name, base.kind)) in self.factors:
                for own, parameter in factors.named_parameters():
                    shared = self.factors[key].get_parameter(own)
                    if _is_bias(own):
                        parameter.add_(shared - self._first[key, own])
                    else:
                        part, trained = overlap(parameter, shared, kind_named(base.kind).blocks(layer))
                        part.copy_(trained)
        return replaced(self.rest, instead)

    def _slice(self, name: str, choice: Choice, own: str, like: Tensor) -> Tensor:
        """Return a parameter of a layer's factors at a rank that shares weights."""
        key, layer = _key(name, choice.kind), self._decompositions.layers[name]
        shared = self.factors[key].get_parameter(own)
        if _is_bias(own):
            return shared + (self._bias(name, choice)[own] - self._first[key, own])
        _, part = overlap(like, shared, kind_named(choice.kind).blocks(layer))
        return part.reshape(like.shape)

    def _bias(self, name: str, choice: Choice) -> Mapping[str, Tensor]:
        """Return the biases of the factors as decomposed, kept for the next time."""
        if (name, choice) not in self._biases:
            factors = self._decompositions.factors(self._decompositions.layers[name], choice)
            found = {own: p.detach() for own, p in factors.named_parameters() if _is_bias(own)}
            self._biases[name, choice] = found
        return self._biases[name, choice]


def overlap(one: Tensor, other: Tensor, blocks: int) -> tuple[Tensor, Tensor]:
    """Return the views of a parameter at two ranks that hold the channels of the smaller rank, of the same shape.

    Args:
        one: of some factors at one rank.
        other: of those at another.
        blocks: into how many blocks the first dimension is divided where it depends on the rank.
    """
    dimension = 0
    for size, others in zip(one.shape, other.shape, strict=True):
        if size != others:
            of = blocks if dimension == 0 else 1
            kept = min(size, others) // of
            one, other = (t.unflatten(dimension, (of, -1)).narrow(dimension + 1, 0, kept) for t in (one, other))
            dimension += 1
        dimension += 1
    return one, other


def _base(choice: Choice) -> Choice | None:
    """Return the choice of plain factors that a choice is made of; None for dense."""
    if choice.rank is None:
        return None
    kind = kind_named(choice.kind)
    return Choice(kind.base, kind.inner(choice.rank))


def _key(layer: str, kind: str) -> str:
    return f"{kind} {layer}".replace(".", "/")


def _is_bias(name: str) -> bool:
    return name.rpartition(".")[2] == "bias"
