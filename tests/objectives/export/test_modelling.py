"""A compressed Hugging Face model's folder gives the model to transformers, where rankfront is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from rankfront import Choice, Plan, RankfrontError, Task, load
from rankfront.objectives.dense import dense_of
from rankfront.objectives.export import elsewhere
from rankfront.objectives.export.architecture import CODE, copy_architecture
from rankfront.objectives.export.model_files import save_weights
from rankfront.objectives.export.modelling import add_modelling, described
from rankfront.objectives.export.plan_files import REWRITES, save_plan
from rankfront.objectives.export.pretrained import keep_architecture
from rankfront.objectives.io.files import digest
from rankfront.objectives.kinds.skeleton import skeleton
from rankfront.objectives.plan import Rank

transformers = pytest.importorskip("transformers", reason="transformers is not installed (the extra zoo)")


def bert() -> nn.Module:
    sizes = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1}
    config = transformers.BertConfig(**sizes, num_attention_heads=4)
    return transformers.BertModel(config, add_pooling_layer=False).eval()


def gpt2() -> nn.Module:
    sizes = {"vocab_size": 64, "n_embd": 32, "n_layer": 1, "n_head": 4, "n_positions": 64}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, bos_token_id=1, eos_token_id=2)).eval()


def t5() -> nn.Module:
    sizes = {"vocab_size": 64, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 1, "num_heads": 4}
    config = transformers.T5Config(**sizes, decoder_start_token_id=0, feed_forward_proj="gated-gelu")
    return transformers.T5ForConditionalGeneration(config).eval()


def resnet() -> nn.Module:
    sizes = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic", "num_labels": 3}
    return transformers.ResNetForImageClassification(transformers.ResNetConfig(**sizes, image_size=32)).eval()


MODELS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "bert": (bert, "AutoModel"),
    "gpt2": (gpt2, "AutoModelForCausalLM"),
    "t5": (t5, "AutoModelForSeq2SeqLM"),
    "resnet": (resnet, "AutoModelForImageClassification"),
}
RANKS: dict[str, Rank] = {
    "svd": 3,
    "svd-identity": 3,
    "tt": 2,
    "spatial": 3,
    "spatial-identity": (3, 2),
    "tucker2": (2, 3),
}


def save(folder: Path, model: nn.Module) -> nn.Module:
    """Factorize the layers by each kind in turn, with random factors, and save the network as ``export`` does."""
    inputs = elsewhere.example_of(model)  # pyright: ignore[reportArgumentType]
    count = len(next(iter(inputs.values())))
    data = inputs, torch.zeros(count, dtype=torch.long)
    dense = dense_of(Task(model, data, data, kinds=tuple(RANKS)), inputs)
    plan: dict[str, Choice] = {}
    for number, layer in enumerate(dense.layers):
        for kind in [*[*RANKS][number % len(RANKS) :], *RANKS]:
            try:
                skeleton(dense.model, Plan({layer.name: Choice(kind, RANKS[kind])}))
            except RankfrontError:
                continue
            plan[layer.name] = Choice(kind, RANKS[kind])
            break
    assert len(plan) >= 4
    small = skeleton(dense.model, Plan(plan)).eval()
    torch.manual_seed(0)
    for name, tensor in (*small.named_parameters(), *small.named_buffers()):
        if any(name.startswith(f"{layer}.") for layer in plan):
            if tensor.is_floating_point():
                nn.init.normal_(tensor, std=0.3)
            else:
                tensor.copy_(torch.randperm(len(tensor)))  # the order of outputs
    keep_architecture(folder.parent / "architecture", model, ())
    save_weights(folder / "model.safetensors", small)
    beside = copy_architecture(folder.parent / "architecture", folder)
    about = {**beside, REWRITES: dense.found.rewrites, "sha256": digest(folder / "model.safetensors")}
    save_plan(folder / "plan.json", Plan(plan), about)
    return small


@pytest.mark.parametrize("name", MODELS)
def test_transformers_loads_it_without_rankfront(name: str, tmp_path: Path) -> None:
    make, auto = MODELS[name]
    small = save(folder := tmp_path / "model", make())
    said = add_modelling(folder)  # which is its own check
    assert said.startswith(f"{auto}.from_pretrained({str(folder)!r}, trust_remote_code=True) loads it"), said
    assert "rankfront" not in (folder / CODE).read_text().replace("written by rankfront", "").replace(
        "config.rankfront", ""
    )
    assert load(folder).state_dict().keys() == small.state_dict().keys()  # and rankfront still does


def test_what_differs_is_an_error_and_leaves_the_folder_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(folder := tmp_path / "model", bert())
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    changed = elsewhere.PROCESS.replace("[0]\nsave", "[0] * 1.1\nsave")
    assert changed != elsewhere.PROCESS
    monkeypatch.setattr(elsewhere, "PROCESS", changed)
    with pytest.raises(RankfrontError, match="must give what the model gives, but by AutoModel its outputs differ by"):
        add_modelling(folder)
    monkeypatch.setattr(elsewhere, "PROCESS", "import sys; sys.exit('no such class')")
    with pytest.raises(RankfrontError, match=r"must load by AutoModel.from_pretrained, but: no such class"):
        add_modelling(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_other_folders_stay_as_they_are(tmp_path: Path) -> None:
    save_plan(tmp_path / "plan.json", Plan({}), {})
    assert add_modelling(tmp_path) == ""
    save(folder := tmp_path / "int8", bert())
    plan = json.loads((folder / "plan.json").read_text())
    (folder / "plan.json").write_text(json.dumps({**plan, "int8": True}))
    assert "rankfront.load alone loads it" in add_modelling(folder)
    assert not (folder / CODE).exists()


def test_what_the_code_does_not_know_is_told() -> None:
    with pytest.raises(NotImplementedError, match="LSTM in a layer's place is none that transformers could make"):
        described(nn.LSTM(2, 2))
