"""Copies of hub repositories, loaded by `datasets` itself as it loads those on the hub."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from search_engine.errors import DatasetError
from search_engine.evaluation.datasets import RetrievalDataset, load_dataset

CORPUS = [
    {"_id": "d1", "title": "Wings", "text": "lift"},
    {"_id": "2", "title": "", "text": "heat"},
]
QUERIES = [{"_id": "q1", "text": "wings?"}, {"_id": "7", "text": "heat?"}]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of `datasets`, and none of its progress bars."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(folder))
    datasets.disable_progress_bars()
    return folder


def write_jsonl(path: Path, records: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def write_parquet(path: Path, records: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(records), path)


def write_card(folder: Path, configs: dict[str, dict[str, str]]) -> None:
    lines = ["---", "language: en", "configs:"]
    for config, splits in configs.items():
        lines += [f"- config_name: {config}", "  data_files:"]
        for split, pattern in splits.items():
            lines += [f"  - split: {split}", f"    path: {pattern}"]
    (folder / "README.md").write_text("\n".join([*lines, "---", "# Tiny", ""]), encoding="utf-8")


def write_mteb(folder: Path) -> Path:
    """As MTEB publishes SciFact: JSON lines, scores as floats, qrels by default."""
    write_jsonl(folder / "corpus.jsonl", CORPUS)
    write_jsonl(folder / "queries.jsonl", QUERIES)
    qrels = [
        {"query-id": "q1", "corpus-id": "d1", "score": 1.0},
        {"query-id": "q1", "corpus-id": "2", "score": 0.0},
    ]
    write_jsonl(folder / "qrels" / "test.jsonl", qrels)
    write_jsonl(
        folder / "qrels" / "train.jsonl", [{"query-id": "7", "corpus-id": "2", "score": 2.0}]
    )
    write_card(
        folder,
        {
            "default": {"train": "qrels/train.jsonl", "test": "qrels/test.jsonl"},
            "corpus": {"corpus": "corpus.jsonl"},
            "queries": {"queries": "queries.jsonl"},
        },
    )
    return folder


def read(dataset: RetrievalDataset) -> tuple[object, ...]:
    documents = [(item.doc_id, item.title, item.text) for item in dataset.documents()]
    return dataset.name, dict(dataset.queries), dataset.qrels, documents


DOCUMENTS = [("d1", "Wings", "lift"), ("2", "", "heat")]


def test_a_copy_of_an_mteb_repository(tmp_path: Path) -> None:
    folder = write_mteb(tmp_path / "tiny")
    test = load_dataset(folder)
    assert test.split == "test"
    assert read(test) == ("tiny", {"q1": "wings?"}, {"q1": {"d1": 1, "2": 0}}, DOCUMENTS)
    assert read(test) == read(test)  # documents() starts anew
    train = load_dataset(folder, split="train")
    assert read(train) == ("tiny", {"7": "heat?"}, {"7": {"2": 2}}, DOCUMENTS)


def test_parquet_with_qrels_by_name_and_parts_by_split(tmp_path: Path) -> None:
    """As newer MTEB sets are: parquet, `id` for `_id`, a corpus for each split."""
    folder = tmp_path / "tiny"
    corpus = [{"id": item["_id"], "title": item["title"], "text": item["text"]} for item in CORPUS]
    queries = [{"id": item["_id"], "text": item["text"]} for item in QUERIES]
    write_parquet(folder / "corpus" / "test-0.parquet", corpus)
    write_parquet(folder / "corpus" / "dev-0.parquet", corpus[1:])
    write_parquet(folder / "queries" / "test-0.parquet", queries)
    write_parquet(folder / "queries" / "dev-0.parquet", queries[1:])
    judgment = {"query-id": "7", "corpus-id": "2", "score": 1}
    write_parquet(folder / "qrels" / "test-0.parquet", [judgment])
    write_parquet(folder / "qrels" / "dev-0.parquet", [judgment])
    write_card(
        folder,
        {
            name: {"test": f"{name}/test-*", "dev": f"{name}/dev-*"}
            for name in ("corpus", "queries", "qrels")
        },
    )
    test = load_dataset(folder)
    assert read(test) == ("tiny", {"7": "heat?"}, {"7": {"2": 1}}, DOCUMENTS)
    dev = load_dataset(folder, split="dev")
    assert read(dev) == ("tiny", {"7": "heat?"}, {"7": {"2": 1}}, DOCUMENTS[1:])


def test_a_copy_of_a_beir_repository_with_its_qrels_beside_it(tmp_path: Path) -> None:
    """As BEIR publishes: the qrels are tables in a sibling whose ids are read as numbers."""
    folder = tmp_path / "tiny"
    write_parquet(folder / "corpus" / "corpus.parquet", [{**CORPUS[1]}])
    write_parquet(folder / "queries" / "queries.parquet", [{**QUERIES[1]}])
    write_card(
        folder,
        {
            "corpus": {"corpus": "corpus/corpus.parquet"},
            "queries": {"queries": "queries/queries.parquet"},
        },
    )
    sibling = tmp_path / "tiny-qrels"
    sibling.mkdir()
    (sibling / "test.tsv").write_text("query-id\tcorpus-id\tscore\n7\t2\t1\n")
    (sibling / "train.tsv").write_text("query-id\tcorpus-id\tscore\n7\t2\t1\n")
    dataset = load_dataset(folder)
    assert read(dataset) == ("tiny", {"7": "heat?"}, {"7": {"2": 1}}, DOCUMENTS[1:])
    with pytest.raises(DatasetError, match=r"no split 'dev'; it has: test, train$"):
        load_dataset(folder, split="dev")


def test_a_missing_split_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no split 'dev'; it has: test, train$"):
        load_dataset(write_mteb(tmp_path / "tiny"), split="dev")


def test_a_copy_without_judgments_says_where_they_were_looked_for(tmp_path: Path) -> None:
    folder = write_mteb(tmp_path / "tiny")
    write_card(
        folder,
        {"corpus": {"corpus": "corpus.jsonl"}, "queries": {"queries": "queries.jsonl"}},
    )
    with pytest.raises(DatasetError) as caught:
        load_dataset(folder)
    for place in ("configuration default", "configuration qrels", "tiny-qrels"):
        assert place in str(caught.value)


@pytest.mark.parametrize(
    ("name", "record", "message"),
    [
        (
            "qrels/test.jsonl",
            {"query-id": "q1", "corpus-id": "d1", "score": 0.5},
            "configuration default, split test, row 2: the score 0.5 is not an integer",
        ),
        (
            "qrels/test.jsonl",
            {"query-id": "q1", "corpus-id": "d1", "score": 2.0},
            "row 2: query 'q1' and document 'd1' are judged twice, 1 and 2",
        ),
        (
            "qrels/test.jsonl",
            {"query-id": "q9", "corpus-id": "d1", "score": 1.0},
            "judges 1 of 2 queries",
        ),
        ("queries.jsonl", {"_id": "q1", "text": "again"}, "configuration queries, row 2: query"),
        ("queries.jsonl", {"_id": "q2", "text": None}, "row 2: the record has no 'text'"),
        ("corpus.jsonl", {"_id": "d1", "text": "again"}, "configuration corpus, row 2: document"),
        ("corpus.jsonl", {"_id": None, "text": "x"}, "row 2: the record has no '_id'"),
    ],
)
def test_a_bad_row_is_named(
    tmp_path: Path, name: str, record: dict[str, object], message: str
) -> None:
    folder = write_mteb(tmp_path / "tiny")
    path = folder / name
    first = path.read_text(encoding="utf-8").splitlines()[0]
    path.write_text(f"{first}\n{json.dumps(record)}\n", encoding="utf-8")
    with pytest.raises(DatasetError, match=re.escape(message)):
        list(load_dataset(folder).documents())


def test_a_name_is_found_in_the_cache_without_a_network(tmp_path: Path, cache: Path) -> None:
    folder = write_mteb(tmp_path / "tiny")
    for config in ("default", "corpus", "queries"):
        datasets.load_dataset(str(folder), config)
    # The library names the cached folders of a repository OWNER___NAME, those of a folder NAME.
    for config in ("default", "corpus", "queries"):
        (built,) = (cache / "tiny").glob(f"{config}*/0.0.0/*/")
        shutil.copytree(built, cache / "acme___tiny" / config / "0.0.0" / "0123abcd")
    dataset = load_dataset("acme/tiny", offline=True)
    assert read(dataset) == ("acme/tiny", {"q1": "wings?"}, {"q1": {"d1": 1, "2": 0}}, DOCUMENTS)
    with pytest.raises(DatasetError, match=r"no split 'dev'; it has: test, train$"):
        load_dataset("acme/tiny", split="dev", offline=True)


def test_a_name_that_is_not_cached_says_what_to_do(cache: Path) -> None:
    with pytest.raises(DatasetError, match=r"acme/nothing: .*download it once without --offline"):
        load_dataset("acme/nothing", offline=True)
