"""Hugging Face models: what is kept of them, and what a folder alone gives back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rankfront import Choice, FineTune, Plan, RankfrontError, Result, Score, Task, finish, load, run
from rankfront.objectives.dense import dense_of
from rankfront.objectives.export.architecture import CODE, copy_architecture
from rankfront.objectives.export.int8 import quantized
from rankfront.objectives.export.model_files import save_weights
from rankfront.objectives.export.plan_files import REWRITES, save_plan
from rankfront.objectives.export.pretrained import built, description, keep_architecture
from rankfront.objectives.io.files import digest, write_text
from rankfront.objectives.kinds.skeleton import skeleton

transformers = pytest.importorskip("transformers", reason="transformers is not installed (the extra zoo)")

IDS = torch.arange(12).reshape(2, 6) + 3
SIZES = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}


def llama(**changes: Any) -> nn.Module:
    sizes = {**SIZES, "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": True, **changes}
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes)).eval()


def bert(kind: str = "BertForSequenceClassification", **arguments: Any) -> nn.Module:
    config = transformers.BertConfig(**SIZES, num_attention_heads=4, num_labels=3)
    return getattr(transformers, kind)(config, **arguments).eval()


def gpt2() -> nn.Module:
    sizes = {"vocab_size": 64, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, bos_token_id=1, eos_token_id=2)).eval()


def t5() -> nn.Module:
    sizes = {"vocab_size": 64, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
    config = transformers.T5Config(**sizes, decoder_start_token_id=0, feed_forward_proj="gated-gelu")
    return transformers.T5ForConditionalGeneration(config).eval()


MODELS: dict[str, Callable[[], nn.Module]] = {
    "llama": llama,
    "llama untied": lambda: llama(tie_word_embeddings=False),
    "llama bfloat16": lambda: llama().to(torch.bfloat16),
    "llama eager": lambda: llama(attn_implementation="eager"),
    "bert": bert,
    "bert without pooler": lambda: bert("BertModel", add_pooling_layer=False),
    "gpt2": gpt2,
    "t5": t5,
}


def inputs(model: nn.Module) -> dict[str, Tensor]:
    return {"input_ids": IDS, **({"decoder_input_ids": IDS} if "T5" in type(model).__name__ else {})}


@torch.no_grad()
def answers(model: nn.Module) -> list[Tensor]:
    found = [next(t for t in model(**inputs(model)).values() if isinstance(t, Tensor))]
    if model.can_generate():
        found.append(model.generate(input_ids=IDS, max_new_tokens=8, do_sample=False))
    return found


def save(folder: Path, model: nn.Module) -> nn.Module:
    """Factorize every layer at rank 3, with random factors, and save it as a study does."""
    data = inputs(model), torch.zeros(len(IDS), dtype=torch.long)
    dense = dense_of(Task(model, data, data, kinds=("svd",)), inputs(model))
    plan = Plan({layer.name: Choice("svd", 3) for layer in dense.layers})
    assert len(plan) >= 8
    small = skeleton(dense.model, plan).eval()
    for name, parameter in small.named_parameters():
        if parameter.shape and any(name.startswith(f"{layer}.") for layer in plan):
            nn.init.normal_(parameter, std=0.3)
    keep_architecture(folder / "architecture", model, ())
    save_weights(folder / "best" / "model.safetensors", small)
    beside = copy_architecture(folder / "architecture", folder / "best")
    about = {**beside, REWRITES: dense.found.rewrites, "sha256": digest(folder / "best" / "model.safetensors")}
    save_plan(folder / "best" / "plan.json", plan, about)
    return small


@pytest.mark.parametrize("name", MODELS)
def test_a_folder_alone_gives_the_network(tmp_path: Path, name: str) -> None:
    small = save(tmp_path, MODELS[name]())
    again = load(tmp_path)
    assert type(again) is type(small) and not again.training
    for ours, theirs in zip(answers(again), answers(small), strict=True):
        assert torch.equal(ours, theirs)
    for ours, theirs in zip(again.named_buffers(), small.named_buffers(), strict=True):
        assert ours[0] == theirs[0] and torch.equal(ours[1], theirs[1]) and ours[1].dtype == theirs[1].dtype


def test_another_process_loads_it_and_generates_the_same_tokens(tmp_path: Path) -> None:
    small = save(tmp_path, llama())
    code = (
        "import sys, rankfront, torch\n"
        "model = rankfront.load(sys.argv[1])\n"
        "ids = torch.arange(12).reshape(2, 6) + 3\n"
        "print(model.generate(input_ids=ids, max_new_tokens=8, do_sample=False).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert json.loads(done.stdout.splitlines()[-1]) == answers(small)[1].tolist(), done.stderr
    assert "_pytree" not in done.stderr  # how torchao, which transformers imports, registers itself


def test_whether_a_model_is_pretrained_is_seen_without_importing_any() -> None:
    code = (
        "import sys, transformers; from torch import nn\n"
        "from rankfront.objectives.export.pretrained import is_pretrained\n"
        "print(is_pretrained(nn.Linear(2, 2)), 'transformers.modeling_utils' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("False False\n", "")


def test_a_folder_alone_gives_an_int8_network(tmp_path: Path) -> None:
    pytest.importorskip("torchao", reason="torchao is not installed (an extra)")
    small = quantized(save(tmp_path, llama()))
    weights = tmp_path / "best" / "model.safetensors"
    save_weights(weights, small, int8=True)
    data = json.loads((tmp_path / "best" / "plan.json").read_text())
    write_text(tmp_path / "best" / "plan.json", json.dumps({**data, "int8": True, "sha256": digest(weights)}))
    for ours, theirs in zip(answers(load(tmp_path)), answers(small), strict=True):
        assert torch.equal(ours, theirs)


class Own(transformers.BertModel):
    pass


def hooked() -> nn.Module:
    model = bert()
    model.classifier.register_forward_hook(lambda *_: None)
    return model


def patched() -> nn.Module:
    model = bert()
    model.classifier.forward = lambda x: 2 * x
    return model


def grown() -> nn.Module:
    model = bert()
    model.more = nn.Linear(2, 2)
    return model


def untied() -> nn.Module:
    model = llama()
    model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().clone())
    return model


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: nn.Linear(2, 2), "Linear is no model of transformers"),
        (lambda: Own(bert().config), "must be one of its models, but got 'Own'"),
        (hooked, "classifier has hooks"),
        (patched, "classifier has a forward of its own"),
        (grown, "builds another network: 'more.bias' differs"),
        (untied, "builds another network: 'lm_head.weight' differs"),
    ],
)
def test_why_a_folder_alone_is_not_enough(make: Callable[[], nn.Module], said: str) -> None:
    found, reason = description(make())
    assert found is None and said in reason


def test_what_fetches_code_or_weights_is_neither_written_nor_followed(tmp_path: Path) -> None:
    model = bert()
    model.config.auto_map = {"AutoModel": "someone/model--modeling.Own"}
    model.config._name_or_path = "/home/me/model"
    found, _ = description(model)
    assert found is not None and not {"auto_map", "_name_or_path", "quantization_config"} & found["config"].keys()
    keep_architecture(tmp_path, model, ())
    about = json.loads((tmp_path / "architecture.json").read_text())
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"auto_map": {"AutoModel": "a/b--c.D"}, "_attn_implementation": "a/kernel", "_name_or_path": "a/b"}
    write_text(tmp_path / "config.json", json.dumps(config))
    again = built(tmp_path, about)
    assert again.config._attn_implementation in ("eager", "sdpa") and not hasattr(again.config, "auto_map")


def test_capturing_hidden_states_before_leaves_it_describable() -> None:
    model = llama()
    model(input_ids=IDS, output_hidden_states=True)
    assert description(model)[1] == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"class": "os"}, "must be one of its models, but got 'os'"),
        ({"class": "__dict__"}, "must be one of its models"),
        ({"class": "BertConfig"}, "must be one of its models"),
        ({"class": "pipeline"}, "must be one of its models"),
        ({"class": "models.bert.modeling_bert.BertModel"}, "must be one of its models"),
        ({"class": 3}, "must name a class of transformers, but names 3"),
        ({"class": "LlamaForCausalLM"}, "it has no layer .bert.encoder"),
        ({"dtype": "manual_seed"}, "dtype must be one of torch's"),
        (None, "give load a network of the dense architecture"),
    ],
)
def test_a_plan_that_names_something_else(tmp_path: Path, change: dict[str, Any] | None, said: str) -> None:
    save(tmp_path, bert())
    path = tmp_path / "best" / "plan.json"
    data = json.loads(path.read_text())
    if change is None:
        del data["transformers"]
    else:
        data["transformers"] |= change
    write_text(path, json.dumps(data))
    with pytest.raises(RankfrontError, match=said):
        load(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"num_hidden_layers": "many"}'])
def test_a_damaged_configuration(tmp_path: Path, content: str) -> None:
    save(tmp_path, bert())
    write_text(tmp_path / "best" / "config.json", content)
    with pytest.raises(RankfrontError, match=r"config\.json must be the file that the plan was written with"):
        load(tmp_path)
    data = json.loads((tmp_path / "best" / "plan.json").read_text())
    del data["transformers"]["config_sha256"]
    write_text(tmp_path / "best" / "plan.json", json.dumps(data))
    with pytest.raises(RankfrontError):
        load(tmp_path)


def test_best_finished_and_exported_folders_load_alone(tmp_path: Path) -> None:
    x = torch.randint(3, 64, (96, 6))
    (tmp_path / "tokenizer.json").write_text("{}")
    task = Task(
        bert(),
        (x[:64], x[:64, 0] % 3),
        (x[64:], x[64:, 0] % 3),
        loss=lambda outputs, targets: nn.functional.cross_entropy(outputs["logits"], targets),
        score=Score.of_split(lambda outputs, targets: float((outputs["logits"].argmax(1) == targets).float().mean())),
        name="hf",
        kinds=("svd",),
        calibration=32,
        finetune=FineTune(epochs=1, batch_size=32),
        files=(tmp_path / "tokenizer.json",),
    )
    out = tmp_path / "out"
    run(task, out=out, budget="params=80%", trials=1, device="cpu", progress=False)
    done = finish(task, out, epochs=1, device="cpu", progress=False)
    result = Result.open(out)
    result.export(tmp_path / "given")
    ids = x[:4]
    expected = done.model(ids).logits
    for folder in (out / "finished", tmp_path / "given"):
        torch.testing.assert_close(load(folder)(ids).logits, expected)
    assert torch.equal(load(out)(ids).logits, result.best(ids).logits)
    for folder in (out / "best", done.folder, tmp_path / "given"):
        assert {"config.json", "plan.json", "model.safetensors", "tokenizer.json"} <= {p.name for p in folder.iterdir()}
    assert (tmp_path / "given" / CODE).exists() and not (out / "best" / CODE).exists()  # for transformers
    result.export(tmp_path / "one.safetensors", finished=False)
    assert torch.equal(load(tmp_path / "one.safetensors", bert())(ids).logits, result.best(ids).logits)
    with pytest.raises(RankfrontError, match="give load a network of the dense architecture"):
        load(tmp_path / "one.safetensors")


@pytest.mark.parametrize("name", ["plan.json", "config.json"])
def test_files_that_would_hide_a_models_own(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(RankfrontError, match=f"files must have names of their own .* got '{name}'"):
        Task(nn.Linear(2, 2), (IDS, IDS), (IDS, IDS), files=(tmp_path / name,))


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(RankfrontError, match=r"files must be files to copy beside the model, but .*nowhere is none"):
        Task(nn.Linear(2, 2), (IDS, IDS), (IDS, IDS), files=(tmp_path / "nowhere",))
