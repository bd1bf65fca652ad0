"""Translations are read from one file or two, and bad lines are told."""

from __future__ import annotations

import csv
import gzip
import io
from itertools import islice
from pathlib import Path

import pytest

from search_engine.errors import ReadError, TrainingDataError
from search_engine.training.distillation.parallel_sentences import ParallelSentences

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"


def read(sentences: ParallelSentences) -> tuple[list[tuple[str, str]], list[ReadError]]:
    problems: list[ReadError] = []
    pairs = [(each["sentence"], each["translation"]) for each in sentences.read(problems.append)]
    return pairs, problems


@pytest.mark.parametrize("packed", [False, True])
def test_a_tsv_file(tmp_path: Path, packed: bool) -> None:
    content = (
        'one\teins\n"two" \t zwei\n\nthree\nfour\tvier\tquatre\n \tleer\nfive\tf\u00fcnf\u2028!'
    )
    path = tmp_path / ("pairs.tsv.gz" if packed else "pairs.tsv")
    path.write_bytes(gzip.compress(content.encode()) if packed else content.encode())
    pairs, problems = read(ParallelSentences(path))
    assert pairs == [("one", "eins"), ('"two"', "zwei"), ("five", "f\u00fcnf\u2028!")]
    assert [(problem.path, problem.line) for problem in problems] == [
        (str(path), 4), (str(path), 5), (str(path), 6),
    ]  # fmt: skip
    assert "found 3 texts" in problems[1].reason
    assert "empty" in problems[2].reason


def test_two_tables_are_aligned_row_by_row(tmp_path: Path) -> None:
    english, german = tmp_path / "en.csv", tmp_path / "de.csv"
    english.write_text('sentence1,sentence2,score\n"A, b",B,5\nC,D,1\n')
    german.write_text('sentence1,sentence2,score\n"\u00c4\nb",Be,5\n,De,1\n', encoding="utf-8")
    pairs, problems = read(ParallelSentences(english, german))
    assert pairs == [("A, b", "\u00c4\nb"), ("B", "Be"), ("D", "De")]
    assert [problem.line for problem in problems] == [4]
    assert ParallelSentences(english, german).name == "de.csv"


def test_two_files_of_lines(tmp_path: Path) -> None:
    (tmp_path / "a.en").write_text("one\ttab\ntwo\n")
    (tmp_path / "a.de").write_text("eins\nzwei\n")
    (tmp_path / "a.fr").write_text("un\n")
    aligned = ParallelSentences(tmp_path / "a.en", tmp_path / "a.de")
    assert read(aligned)[0] == [("one\ttab", "eins"), ("two", "zwei")]
    with pytest.raises(TrainingDataError, match=r"a\.fr ends before .*a\.en"):
        read(ParallelSentences(tmp_path / "a.en", tmp_path / "a.fr"))
    with pytest.raises(TrainingDataError, match=r"a\.fr ends before .*a\.en"):
        read(ParallelSentences(tmp_path / "a.fr", tmp_path / "a.en"))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.tsv").write_bytes(b"one\t\xfc\n")
    packed = gzip.compress("".join(f"{n}\t{n * 7919}\n" for n in range(1000)).encode())
    (tmp_path / "cut.tsv.gz").write_bytes(packed[:-100])
    (tmp_path / "damaged.tsv.gz").write_bytes(packed[:100] + bytes(50) + packed[150:])
    for name in ("missing.tsv", "latin.tsv", "cut.tsv.gz", "damaged.tsv.gz"):
        with pytest.raises(TrainingDataError, match=f"{name} cannot be read"):
            read(ParallelSentences(tmp_path / name))


@pytest.mark.skipif(not DATA.is_dir(), reason="the public data sets are not here")
def test_the_public_translations() -> None:
    path = DATA / "multilingual" / "tatoeba" / "de.tsv.gz"
    pairs, problems = read(ParallelSentences(path))
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")
    assert pairs == [tuple(line.split("\t")) for line in lines if line]
    assert len(pairs) == 1000
    assert not problems
    both = [DATA / "sts" / "stsb" / language / "dev.csv.gz" for language in ("en", "de")]
    aligned = islice(ParallelSentences(*both).read(), 7)
    tables = [
        list(csv.reader(io.StringIO(gzip.decompress(each.read_bytes()).decode()))) for each in both
    ]
    expected = [
        {"sentence": tables[0][n // 2 + 1][n % 2], "translation": tables[1][n // 2 + 1][n % 2]}
        for n in range(7)
    ]
    assert list(aligned) == expected
