"""Queries from pairs and from judgments, with all that is known to answer them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from search_engine.errors import ReadError, TrainingDataError
from search_engine.evaluation.retrieval_dataset import RetrievalDataset
from search_engine.training.mining.queries import (
    MiningQuery,
    Positive,
    group_pairs,
    judged_queries,
    read_pairs,
)


def read(path: Path) -> tuple[list[MiningQuery], list[ReadError]]:
    problems: list[ReadError] = []
    return read_pairs(path, on_problem=problems.append), problems


def test_rows_of_one_query_are_one_query() -> None:
    a, b, c = Positive("a"), Positive("b"), Positive(doc_id="c")
    pairs = [("q", a), ("other", b), ("q", c), ("q", a)]
    assert list(group_pairs(pairs)) == [
        MiningQuery("q", (a, c)),
        MiningQuery("other", (b,)),
    ]


def test_pairs_are_read_by_their_customary_names(tmp_path: Path) -> None:
    records = [
        {"query": "q", "positive": "p", "source": "kept elsewhere"},
        {"anchor": "r", "answer": "s"},
        {"query": "q", "doc_id": 7},
        {"question": "t", "text": "u", "corpus-id": "v"},
    ]
    expected = [
        MiningQuery("q", (Positive("p"), Positive(doc_id="7"))),
        MiningQuery("r", (Positive("s"),)),
        MiningQuery("t", (Positive("u", "v"),)),
    ]
    lines = "\n".join(json.dumps(record) for record in records)
    plain, packed = tmp_path / "pairs.jsonl", tmp_path / "pairs.jsonl.gz"
    plain.write_text(lines, encoding="utf-8")
    packed.write_bytes(gzip.compress(lines.encode()))
    assert read(plain) == read(packed) == (expected, [])


def test_bad_records_are_told_and_left_out(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(
        '{"query": "q", "positive": "p"}\n'
        "no json\n"
        '{"query": "q"}\n'
        '{"positive": "p"}\n'
        '{"query": "q", "positive": "n", "label": 0}\n'
        '{"query": 3, "positive": "n"}\n'
        '{"query": "q", "doc_id": ""}\n'
        '{"query": " ", "positive": "p"}\n'
        '{"query": "q", "positive": "\\t"}\n'
        '{"query": "q", "positive": "", "doc_id": "known"}\n'
        '{"query": "r", "positive": "s"}\n'
    )
    queries, problems = read(path)
    assert [query.text for query in queries] == ["q", "r"]
    assert queries[0].positives == (Positive("p"),)
    assert [problem.line for problem in problems] == list(range(2, 11))
    assert "has a 'label', and may be no positive" in str(problems[3])
    assert "'query' is empty" in str(problems[6])
    assert "'positive' is empty" in str(problems[7])


def test_what_is_null_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(
        '{"query": "q", "positive": null, "doc_id": 7}\n'
        '{"query": "q", "positive": "p", "doc_id": null}\n'
    )
    assert read(path) == ([MiningQuery("q", (Positive(doc_id="7"), Positive("p")))], [])


def test_a_file_without_pairs_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    for name, words in (("empty.jsonl", "there is no pair"), ("missing", "cannot be read")):
        with pytest.raises(TrainingDataError, match=words):
            read(tmp_path / name)
    (tmp_path / "bad.jsonl").write_text('{"query": "q", "positive": 3}\nno json\n')
    reason = r"no pair in it; .*The first problem: .*bad\.jsonl:1: 'positive' is 3"
    with pytest.raises(TrainingDataError, match=reason):
        read(tmp_path / "bad.jsonl")


def test_judged_queries_have_the_relevant_documents() -> None:
    dataset = RetrievalDataset(
        "tiny",
        "train",
        {"1": "same", "2": "other", "3": "same", "4": "none"},
        {"1": {"a": 2, "b": 0}, "2": {"c": 1}, "3": {"d": 1, "a": 1}, "4": {"e": 0}},
        lambda: iter(()),
    )
    assert judged_queries(dataset) == [
        MiningQuery("same", (Positive(doc_id="a"), Positive(doc_id="d"))),
        MiningQuery("other", (Positive(doc_id="c"),)),
        MiningQuery("none", ()),
    ]
