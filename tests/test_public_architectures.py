"""Public architectures, as benchmarks/architectures.py tabulates them: what is found; full rank is the same network."""

from __future__ import annotations

import pytest
from architectures import WIDEST, row
from public_architectures import ARCHITECTURES

ALWAYS = (
    "squeezenet1_1",
    "GPT2LMHeadModel",
    "MixtralForCausalLM",
    "MambaForCausalLM",
    "Wav2Vec2ForCTC",
    "LSTM classifier",
)
"""Small and unlike each other: convolutions, Conv1D, fused experts, a state space, weight norm, a recurrent layer."""

NAMED = {architecture.name: architecture for architecture in ARCHITECTURES}

TOLERANCE = 1e-4
"""Of full rank's outputs, relative to the largest output, in float32."""


def check(name: str) -> None:
    found = row(NAMED[name], WIDEST, fold=True)
    assert found["module"] + found["stored"] + found["not factorized"] >= 0.99, found["reasons"]
    assert found["difference"] <= TOLERANCE


@pytest.mark.parametrize("name", ALWAYS)
def test_multiplying_weights_are_found_and_full_rank_is_the_same_network(name: str) -> None:
    check(name)


@pytest.mark.architectures
@pytest.mark.parametrize("name", NAMED)
def test_of_every_architecture_weights_are_found_and_full_rank_is_the_same_network(name: str) -> None:
    check(name)
