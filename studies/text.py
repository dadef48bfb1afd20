"""Text for the studies on language: WikiText-2, a file of the user's own, or sentences that are made up here."""

from __future__ import annotations

import itertools
import random
import re
from pathlib import Path
from typing import NamedTuple

from ..objectives.errors import RankfrontError

NAMES = {
    "train": ("train.txt", "wiki.train.tokens"),
    "validation": ("valid.txt", "wiki.valid.tokens"),
    "test": ("test.txt", "wiki.test.tokens"),
}
"""The files of WikiText-2 (Merity et al., 2016), as published and as they are often renamed."""

HELD_OUT = 0.2
"""Share of a text that is held out where there is no file of its own for that: its end."""

LEAST = 10
"""Paragraphs of a text of which a part is held out, at least."""

WORDS = (6, 40)
"""Least and greatest number of words of a sentence that is taken."""


class Corpus(NamedTuple):
    """Paragraphs to train on, to validate on and to test on; the last may be empty."""

    train: list[str]
    validation: list[str]
    test: list[str]


def corpus(data: Path | None, text: Path | None) -> Corpus | None:
    """Return the text of a file, or WikiText-2; None where neither is there.

    Args:
        data: the folder that holds ``wikitext-2``, or its files themselves.
        text: a UTF-8 file. Its end is held out, half of that for the test.

    Raises:
        RankfrontError: the file cannot be read, or holds too little text.
    """
    if text is not None:
        lines = _lines(text, LEAST)
        held_out = round(HELD_OUT * len(lines))
        return Corpus(lines[:-held_out], lines[-held_out : -held_out // 2], lines[-held_out // 2 :])
    root = data or Path("data")
    for folder in (root / "wikitext-2", root):
        found = {
            split: next((folder / n for n in names if (folder / n).is_file()), None) for split, names in NAMES.items()
        }
        if (valid := found["validation"]) is None:
            continue
        validation = _lines(valid, LEAST if found["train"] is None else 1)
        test = [] if found["test"] is None else _lines(found["test"])
        if found["train"] is not None:
            return Corpus(_lines(found["train"], 1), validation, test)
        held_out = round(HELD_OUT * len(validation))
        return Corpus(validation[:-held_out], validation[-held_out:], test)
    return None


def sentences(paragraphs: list[str], count: int) -> list[str]:
    """Return so many different sentences (fewer where there are fewer), spread over the paragraphs, in their order.

    Headings, quotations and what holds ``<unk>`` are left out.
    """
    found: dict[str, None] = {}
    for paragraph in paragraphs:
        if paragraph.startswith("="):
            continue
        for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z\"])", _as_written(paragraph)):
            sentence = sentence.strip('" ')  # a mark that closes what was quoted before
            if "<unk>" not in sentence and '"' not in sentence and WORDS[0] <= len(sentence.split()) <= WORDS[1]:
                found[sentence] = None
    listed = list(found)
    return [listed[i * len(listed) // count] for i in range(count)] if len(listed) > count else listed


def made_corpus() -> Corpus:
    """Return sentences that are made up of parts, each a paragraph; the same at every call."""
    made = [
        f"{who} {did} {what} {where}{when}."
        for who, did, what, where, when in itertools.product(*map(list, (WHO, DID, WHAT, WHERE, WHEN)))
    ]
    random.Random(0).shuffle(made)
    return Corpus(made[:8000], made[8000:9000], made[9000:10000])


def _lines(path: Path, least: int = 0) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RankfrontError(f"{path} must be a readable UTF-8 text, but: {error}") from None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) < least:
        raise RankfrontError(f"{path} must hold {least} paragraphs (lines) or more, but holds {len(lines)}")
    return lines


def _as_written(paragraph: str) -> str:
    """Undo WikiText's tokens: ``3 @.@ 5 km ( 2 mi )`` is ``3.5 km (2 mi)``."""
    text = re.sub(r" @(.)@ ", r"\1", paragraph)
    text = re.sub(r" ([.,;:!?)\]%]|'s\b|n't\b)", r"\1", text)
    return re.sub(r"([(\[$]) ", r"\1", text)


WHO = (
    "The mayor", "A young violinist", "My neighbour", "The research team", "An old fisherman", "The new teacher",
    "A group of tourists", "The goalkeeper", "Her grandmother", "The software company",
)  # fmt: skip
DID = ("sold", "repaired", "lost", "painted", "described", "bought", "forgot", "photographed", "praised", "hid")
WHAT = (
    "a wooden boat", "the broken telescope", "three bottles of wine", "a letter about the war", "the town's first bus",
    "an unknown symphony", "the harvest of apples", "a map of the caves", "the winning ticket", "a very small dog",
)  # fmt: skip
WHERE = (
    "at the harbour", "in the crowded market", "near the mountain lake", "behind the old theatre", "on the night train",
)  # fmt: skip
WHEN = (" yesterday", " before the storm", " during the election", "")
"""Parts of made sentences: twenty thousand of them."""
