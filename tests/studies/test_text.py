from pathlib import Path

import pytest

from rankfront import RankfrontError
from rankfront.studies.text import corpus, made_corpus, sentences


def write(folder: Path, name: str, lines: int, word: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n\n".join(f" {word} {i} \n" for i in range(lines)), encoding="utf-8")


def test_wikitext_with_all_of_its_files(tmp_path: Path) -> None:
    for name, word in (("wiki.train.tokens", "train"), ("wiki.valid.tokens", "valid"), ("wiki.test.tokens", "test")):
        write(tmp_path / "wikitext-2", name, 20, word)
    found = corpus(tmp_path, None)
    assert found is not None and [len(part) for part in found] == [20, 20, 20]
    assert (found.train[0], found.validation[3], found.test[19]) == ("train 0", "valid 3", "test 19")
    assert corpus(tmp_path / "wikitext-2", None) == found


def test_without_a_training_file_the_end_of_the_validation_text_is_held_out(tmp_path: Path) -> None:
    write(tmp_path, "valid.txt", 20, "valid")
    found = corpus(tmp_path, None)
    assert found is not None and found.train[-1] == "valid 15" and found.validation[0] == "valid 16" and not found.test


@pytest.mark.parametrize("lines", [10, 13, 15, 100])
def test_a_text_of_ones_own_is_cut_into_three(tmp_path: Path, lines: int) -> None:
    write(tmp_path, "mine.txt", lines, "own")
    found = corpus(None, tmp_path / "mine.txt")
    assert found is not None and all(found)
    assert [*found.train, *found.validation, *found.test] == [f"own {i}" for i in range(lines)]


def test_what_is_wrong_with_a_text_is_told(tmp_path: Path) -> None:
    assert corpus(tmp_path, None) is None
    with pytest.raises(RankfrontError, match=r"nowhere\.txt must be a readable UTF-8 text, but: .*No such file"):
        corpus(None, tmp_path / "nowhere.txt")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RankfrontError, match="must be a readable UTF-8 text"):
        corpus(None, tmp_path / "bytes.txt")
    write(tmp_path, "short.txt", 9, "own")
    with pytest.raises(RankfrontError, match=r"must hold 10 paragraphs \(lines\) or more, but holds 9"):
        corpus(None, tmp_path / "short.txt")


@pytest.mark.parametrize("lines", [0, 1, 2, 9, 10, 12, 14])
def test_a_validation_text_alone_is_divided_or_refused(tmp_path: Path, lines: int) -> None:
    write(tmp_path, "valid.txt", lines, "valid")
    if lines < 10:
        with pytest.raises(RankfrontError, match=rf"valid\.txt must hold 10 paragraphs .* but holds {lines}"):
            corpus(tmp_path, None)
    else:
        found = corpus(tmp_path, None)
        assert found is not None and [*found.train, *found.validation] == [f"valid {i}" for i in range(lines)]
        assert len(found.validation) in (2, 3)


@pytest.mark.parametrize("empty", ["train.txt", "valid.txt"])
def test_an_empty_file_is_refused(tmp_path: Path, empty: str) -> None:
    for name in ("train.txt", "valid.txt"):
        write(tmp_path, name, 0 if name == empty else 3, "some")
    with pytest.raises(RankfrontError, match=rf"{empty} must hold 1 paragraphs \(lines\) or more, but holds 0"):
        corpus(tmp_path, None)


def test_sentences_are_as_they_were_written() -> None:
    paragraph = (
        'It grew to 0 @.@ 5 – 4 @.@ 9 lb ( about 2 kg ) , he said . " Twenty @-@ one of <unk> were found there . " '
        "The town 's mayor could n't be reached on Monday . Too short . It grew to nothing at all after that year ."
    )
    found = sentences(["= = Heading that is long enough to be a sentence = =", paragraph, paragraph], 9)
    assert found[0] == "It grew to 0.5 – 4.9 lb (about 2 kg), he said."
    assert found[-2:] == [
        "The town's mayor couldn't be reached on Monday.",
        "It grew to nothing at all after that year.",
    ]
    assert len(sentences([f"This is the sentence of number {i} here." for i in range(50)], 10)) == 10


def test_made_sentences_differ_and_never_change() -> None:
    made = made_corpus()
    assert made == made_corpus() and len({*made.train, *made.validation, *made.test}) == 10_000
    assert len(sentences(made.validation, 400)) == 400


def test_wikitext_gives_enough_sentences(wikitext_root: Path) -> None:
    found = corpus(wikitext_root, None)
    assert found is not None
    counts = [len(sentences(part, 10**6)) for part in found]
    assert counts[0] > 1600 and min(counts) >= 320
