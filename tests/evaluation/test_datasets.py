"""Folders in the BEIR layout: what is read, and what is said about those that cannot be."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from search_engine.errors import DatasetError
from search_engine.evaluation.datasets import RetrievalDataset, load_dataset
from search_engine.types import Document

CORPUS = [
    {"_id": "d1", "title": "Wings", "text": "a wing in a slipstream", "metadata": {}},
    {"_id": "d2", "title": None, "text": "heat flow"},
    {"_id": "d3", "text": ""},
]
QUERIES = [
    {"_id": "q1", "text": "wings?"},
    {"_id": "q2", "text": "heat?"},
    {"_id": "q3", "text": "not judged in test"},
]
TEST = "query-id\tcorpus-id\tscore\nq2\td2\t3\nq1\td1\t1\nq1\td2\t0\n"
DEV = "query-id\tcorpus-id\tscore\nq3\td3\t1\n"

Writer = Callable[[Path, str], None]


def write_plain(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")


def write_gzip(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(text.encode()))


def to_lines(records: list[dict[str, object]]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def write_dataset(folder: Path, write: Writer = write_plain) -> Path:
    write(folder / "corpus.jsonl", to_lines(CORPUS))
    write(folder / "queries.jsonl", to_lines(QUERIES))
    write(folder / "qrels" / "test.tsv", TEST)
    write(folder / "qrels" / "dev.tsv", DEV)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "tiny")


def check_tiny(dataset: RetrievalDataset, corpus: Path) -> None:
    assert (dataset.name, dataset.split) == ("tiny", "test")
    assert dict(dataset.queries) == {"q1": "wings?", "q2": "heat?"}
    assert dataset.qrels == {"q1": {"d1": 1, "d2": 0}, "q2": {"d2": 3}}
    expected = [
        Document("d1", "a wing in a slipstream", "Wings", str(corpus), "plain", 1, True),
        Document("d2", "heat flow", "", str(corpus), "plain", 2, True),
        Document("d3", "", "", str(corpus), "plain", 3, True),
    ]
    assert list(dataset.documents()) == expected
    assert list(dataset.documents()) == expected  # each call starts anew


def test_a_plain_folder(folder: Path) -> None:
    check_tiny(load_dataset(folder), folder / "corpus.jsonl")
    check_tiny(load_dataset(str(folder)), folder / "corpus.jsonl")


def test_a_compressed_folder(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "tiny", write_gzip)
    check_tiny(load_dataset(folder), folder / "corpus.jsonl.gz")


def test_another_split(folder: Path) -> None:
    dataset = load_dataset(folder, split="dev")
    assert dict(dataset.queries) == {"q3": "not judged in test"}
    assert dataset.qrels == {"q3": {"d3": 1}}


def test_windows_line_ends_blank_lines_and_byte_order_marks(folder: Path) -> None:
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
        path = folder / name
        text = path.read_text(encoding="utf-8").replace("\n", "\r\n")
        write_plain(path, f"\ufeff{text}\r\n  \r\n")
    check_tiny(load_dataset(folder), folder / "corpus.jsonl")


def test_identifiers_that_are_numbers_become_text(folder: Path) -> None:
    write_plain(folder / "corpus.jsonl", to_lines([{"_id": 7, "text": "x"}]))
    write_plain(folder / "queries.jsonl", to_lines([{"_id": 1, "text": "y"}]))
    write_plain(folder / "qrels" / "test.tsv", "query-id\tcorpus-id\tscore\n1\t7\t1.0\n")
    dataset = load_dataset(folder)
    assert dataset.qrels == {"1": {"7": 1}}
    assert dict(dataset.queries) == {"1": "y"}
    assert [document.doc_id for document in dataset.documents()] == ["7"]


def test_the_same_judgment_twice_is_one(folder: Path) -> None:
    write_plain(folder / "qrels" / "test.tsv", TEST + "q1\td1\t1\n")
    assert load_dataset(folder).qrels["q1"] == {"d1": 1, "d2": 0}


def test_a_missing_split_names_those_there_are(folder: Path) -> None:
    write_gzip(folder / "qrels" / "train.tsv", TEST)
    with pytest.raises(DatasetError, match=r"no split 'validation'; it has: dev, test, train$"):
        load_dataset(folder, split="validation")


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("qrels/test.tsv", "q1\td3", "2 fields where query-id, corpus-id and score are needed"),
        ("qrels/test.tsv", "q1 d3 1", "1 fields where"),
        ("qrels/test.tsv", "q1\t0\td3\t1", "4 fields where"),
        ("qrels/test.tsv", "q1\td3\thigh", "the score 'high' is not a number"),
        ("qrels/test.tsv", "q1\td3\t0.5", "the score '0.5' is not an integer"),
        ("qrels/test.tsv", "q1\td3\tnan", "the score 'nan' is not an integer"),
        ("qrels/test.tsv", "\td3\t1", "the query-id or the corpus-id is empty"),
        ("qrels/test.tsv", "q1\td1\t2", "judged twice, 1 and 2"),
        ("queries.jsonl", '{"_id": "q9", "text"', "not a JSON object"),
        ("queries.jsonl", '["q9", "text"]', "a JSON object is needed, this is ['q9', 'text']"),
        ("queries.jsonl", '{"text": "no id"}', "the record has no '_id'"),
        ("queries.jsonl", '{"_id": "q9"}', "the record has no 'text'"),
        ("queries.jsonl", '{"_id": "q1", "text": "again"}', "query 'q1' is there a second time"),
    ],
)
def test_a_bad_line_is_named(folder: Path, name: str, line: str, message: str) -> None:
    path = folder / name
    lines = path.read_text(encoding="utf-8") + line + "\n"
    write_plain(path, lines)
    place = f"{path}:{len(lines.splitlines())}: "
    with pytest.raises(DatasetError, match=re.escape(place) + ".*" + re.escape(message)):
        load_dataset(folder)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"_id": "d9", "text": "cut', "not a JSON object"),
        ('{"_id": "d9"}', "the record has no 'text'"),
        ('{"_id": "", "text": "x"}', "'_id' is empty"),
        ('{"_id": true, "text": "x"}', "'_id' is True"),
        ('{"_id": "d9", "text": 5}', "'text' is 5, and it has to be text"),
        ('{"_id": "d9", "text": "\\ud800"}', "'text' holds half of a surrogate pair"),
        ('{"_id": "d1", "text": "again"}', "document 'd1' is there a second time"),
    ],
)
@pytest.mark.parametrize("write", [write_plain, write_gzip])
def test_a_bad_document_stops_the_reading(
    tmp_path: Path, write: Writer, line: str, message: str
) -> None:
    folder = write_dataset(tmp_path / "tiny", write)
    write(folder / "corpus.jsonl", to_lines(CORPUS) + line + "\n")
    documents = load_dataset(folder).documents()
    assert [next(documents).doc_id for _ in CORPUS] == ["d1", "d2", "d3"]
    with pytest.raises(DatasetError, match=r"corpus\.jsonl(\.gz)?:4: .*" + re.escape(message)):
        next(documents)


def test_bytes_that_are_not_utf8_are_named(folder: Path) -> None:
    with (folder / "corpus.jsonl").open("ab") as stream:
        stream.write(b'{"_id": "d9", "text": "caf\xe9"}\n')
    with pytest.raises(DatasetError, match=r"corpus\.jsonl:4: .*utf-8"):
        list(load_dataset(folder).documents())
    with (folder / "qrels" / "test.tsv").open("ab") as stream:
        stream.write(b"q1\tcaf\xe9\t1\n")
    with pytest.raises(DatasetError, match=r"test\.tsv:5: .*utf-8"):
        load_dataset(folder)


def test_a_truncated_archive_is_named(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "tiny", write_gzip)
    records = [{"_id": str(number), "text": f"text {number**3}"} for number in range(5_000)]
    whole = gzip.compress(to_lines(records).encode())
    (folder / "corpus.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match=r"corpus\.jsonl\.gz: .*damaged after line [1-9]\d+ "):
        list(load_dataset(folder).documents())
    (folder / "corpus.jsonl.gz").write_bytes(b"no archive at all")
    with pytest.raises(DatasetError, match=r"corpus\.jsonl\.gz: .*damaged after line 0 "):
        list(load_dataset(folder).documents())


def test_a_header_that_is_a_judgment_is_not_swallowed(folder: Path) -> None:
    write_plain(folder / "qrels" / "test.tsv", "q1\td1\t1\nq2\td2\t1\n")
    with pytest.raises(DatasetError, match=r"test\.tsv:1: the header is \['q1', 'd1', '1'\]"):
        load_dataset(folder)


def test_qrels_of_queries_that_are_missing(folder: Path) -> None:
    extra = "".join(f"x{number}\td1\t1\n" for number in range(7))
    write_plain(folder / "qrels" / "test.tsv", TEST + extra)
    with pytest.raises(
        DatasetError,
        match=r"test\.tsv judges 7 of 9 queries that .*queries\.jsonl does not have: "
        r"'x0', 'x1', 'x2', 'x3', 'x4', \.\.\.;",
    ):
        load_dataset(folder)


@pytest.mark.parametrize("text", ["", "query-id\tcorpus-id\tscore\n"])
def test_qrels_without_judgments(folder: Path, text: str) -> None:
    write_plain(folder / "qrels" / "test.tsv", text)
    with pytest.raises(DatasetError, match=r"test\.tsv: no judgments"):
        load_dataset(folder)


def test_an_empty_corpus(folder: Path) -> None:
    write_plain(folder / "corpus.jsonl", "\n")
    with pytest.raises(DatasetError, match=r"corpus\.jsonl: the corpus is empty"):
        list(load_dataset(folder).documents())


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl"])
def test_a_missing_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(DatasetError, match=rf"tiny: there is no {name} or {name}\.gz"):
        load_dataset(folder)


def test_missing_qrels(folder: Path) -> None:
    for path in (folder / "qrels").iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match=r"there is no qrels/SPLIT\.tsv"):
        load_dataset(folder)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere: there is no such folder"):
        load_dataset(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "split", "documents", "queries", "judgments", "relevant"),
    [
        ("scifact", "test", 5_183, 300, 339, 339),
        ("scifact", "train", 5_183, 809, 919, 919),
        ("cosqa", "test", 6_267, 500, 500, 500),
        ("cosqa", "dev", 6_267, 500, 500, 500),
        ("squad-dev", "test", 2_067, 1_884, 1_884, 1_884),
        ("squad-dev", "train", 2_067, 7_790, 7_790, 7_790),
        ("squad-dev", "xquad", 2_067, 896, 896, 896),
        ("medquad", "test", 17_839, 103, 2_305, 943),
        ("medquad", "dev", 17_839, 500, 563, 563),
        ("medquad", "train", 17_839, 13_790, 15_790, 15_790),
        ("cranfield", "test", 1_400, 225, 1_612, 1_612),
        ("cranfield", "test-all", 1_400, 225, 1_837, 1_837),
    ],
)
def test_shared_sets_have_the_documented_counts(
    shared_data: Path,
    name: str,
    split: str,
    documents: int,
    queries: int,
    judgments: int,
    relevant: int,
) -> None:
    dataset = load_dataset(shared_data / "retrieval" / name, split=split)
    doc_ids = {document.doc_id for document in dataset.documents()}
    grades = [grade for judged in dataset.qrels.values() for grade in judged.values()]
    assert len(doc_ids) == documents
    assert len(dataset.queries) == queries
    assert len(grades) == judgments
    assert sum(grade > 0 for grade in grades) == relevant
    assert {doc_id for judged in dataset.qrels.values() for doc_id in judged} <= doc_ids
