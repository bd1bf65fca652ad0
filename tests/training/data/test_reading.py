"""Training data from files, folders, memory and the hub, with all that is wrong with it."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import datasets
import pytest

from search_engine.errors import ConfigError, TrainingDataError
from search_engine.training.data.training_set import (
    TrainingSet,
    open_training_set,
    open_training_sets,
)
from tests.training.data.sets import Takes, open_rows, write_lines

ROWS = [{"query": f"frage {n} ü", "positive": f"antwort\n{n}", "source": "x"} for n in range(5)]
PAIRS = [{name: row[name] for name in ("query", "positive")} for row in ROWS]


def open_file(path: Path | str, *formats: Any, **options: Any) -> Any:
    return open_training_set(TrainingSet(path, Takes(*(formats or ("pairs",))), **options))


def table(delimiter: str, rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def parquet(rows: list[dict[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    datasets.Dataset.from_list(rows).to_parquet(buffer)
    return buffer.getvalue()


CONTENTS = {
    ".jsonl": b"\n".join(json.dumps(row).encode() for row in ROWS),
    ".json": json.dumps(ROWS, indent=1).encode(),
    ".csv": table(",", ROWS),
    ".tsv": table("\t", ROWS),
    ".parquet": parquet(ROWS),
}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("suffix", list(CONTENTS))
def test_every_kind_of_file(tmp_path: Path, suffix, streaming, zipped) -> None:
    content = CONTENTS[suffix]
    path = tmp_path / ("pairs" + suffix + (".gz" if zipped else ""))
    path.write_bytes(gzip.compress(content) if zipped else content)
    opened = open_file(path, streaming=streaming)
    assert list(opened.rows) == PAIRS
    assert list(opened.rows) == PAIRS
    assert (len(opened.problems), opened.left_out, opened.streams) == (0, ("source",), streaming)
    assert opened.name == path.name


def test_nothing_is_written_beside_or_into_a_cache(tmp_path: Path, monkeypatch) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
    path = write_lines(tmp_path / "pairs.jsonl", ROWS)
    assert open_file(path).rows.cache_files == []
    assert [each.name for each in tmp_path.iterdir()] == ["pairs.jsonl"]


def test_scores_of_tables_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "sts.csv"
    path.write_text("sentence1,sentence2,score\n1,x,5\nb,y,2.5\nc,z,good\nd,w,nan\n")
    opened = open_file(path, "scored_pairs")
    assert opened.rows.to_list() == [
        {"sentence1": "1", "sentence2": "x", "score": 5.0},
        {"sentence1": "b", "sentence2": "y", "score": 2.5},
    ]
    assert ["text" in p.reason or "finite" in p.reason for p in opened.problems] == [True, True]


def test_a_fraction_after_the_sample_makes_all_labels_scores(tmp_path: Path) -> None:
    rows = [{"a": "a", "b": "b", "label": n % 2} for n in range(1500)]
    rows.append({"a": "a", "b": "b", "label": 0.25})
    path = write_lines(tmp_path / "pairs.jsonl", rows)
    opened = open_file(path, "labelled_pairs", "scored_pairs")
    assert opened.columns.format == "scored_pairs"
    assert opened.rows["label"][:] == [float(row["label"]) for row in rows]
    # A loss that takes no scores cannot use it.
    strict = open_file(path, "labelled_pairs")
    assert len(strict.rows) == 1500 and [p.line for p in strict.problems] == [1501]


def test_lists_have_as_many_numbers(tmp_path: Path) -> None:
    rows = [
        {"text": "a", "vector": [1, 2.5]},
        {"text": "b", "vector": [1, 2, 3]},
        {"text": "c", "vector": [1, float("nan")]},
        {"text": "d", "vector": [3.0, 4.0]},
    ]
    opened = open_file(write_lines(tmp_path / "vectors.jsonl", rows), "vectors")
    assert opened.rows["vector"][:] == [[1.0, 2.5], [3.0, 4.0]]
    assert [problem.line for problem in opened.problems] == [2, 3]
    lists = [
        {"query": "q", "documents": ["a", "b"], "labels": [1, 0]},
        {"query": "q", "documents": ["a"], "labels": [2]},
        {"query": "q", "documents": ["a", "b"], "labels": [1]},
        {"query": "q", "documents": [], "labels": []},
    ]
    opened = open_file(write_lines(tmp_path / "lists.jsonl", lists), "lists")
    assert opened.rows["labels"][:] == [[1.0, 0.0], [2.0]]
    assert [problem.line for problem in opened.problems] == [3, 4]


def test_negatives_are_cut_or_come_again(tmp_path: Path) -> None:
    lists = [["a", "b", "c", "d"], ["a", "b"], ["a", "b", "c"], ["c", "d", "e"], []]
    rows = [{"query": "q", "positive": "p", "negatives": each} for each in lists]
    path = write_lines(tmp_path / "pairs.jsonl", rows)
    opened = open_file(path, "tuples", prompts={"negatives": "doc: "})
    names = [f"negative_{number}" for number in (1, 2, 3)]
    made = ["".join(row[name] for name in names) for row in opened.rows]
    assert made == ["abc", "aba", "abc", "cde"]
    assert [problem.line for problem in opened.problems] == [5]
    assert opened.origin.prompts == dict.fromkeys(names, "doc: ")
    ragged = open_file(path, "lists")
    assert [len(row["negatives"]) for row in ragged.rows] == [5, 3, 4, 4]
    assert ragged.rows[0]["labels"] == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert ragged.rows[0]["negatives"] == ["p", "a", "b", "c", "d"]


def test_only_the_split_is_read(tmp_path: Path) -> None:
    rows = [{"a": f"a{n}", "b": "b", "label": 1, "split": split}
            for n, split in enumerate(("test", "train", "dev", "train"))]  # fmt: skip
    path = write_lines(tmp_path / "pairs.jsonl", rows)
    for streaming in (False, True):
        opened = open_file(path, "labelled_pairs", streaming=streaming)
        assert [row["a"] for row in opened.rows] == ["a1", "a3"]
    assert [row["a"] for row in open_file(path, "labelled_pairs", split="dev").rows] == ["a2"]
    assert any("test 1, dev 1" in note for note in open_file(path, "labelled_pairs").notes)
    with pytest.raises(TrainingDataError, match="test, train, dev"):
        open_file(path, "labelled_pairs", split="eval")


def test_data_in_memory() -> None:
    table = datasets.Dataset.from_list(ROWS)
    bad = datasets.Dataset.from_list([*ROWS, {"query": None, "positive": "p", "source": "x"}])
    for source in (table, datasets.DatasetDict(train=table), bad, bad.with_format("numpy")):
        assert open_file(source).rows.to_list() == PAIRS
    (problem,) = open_file(bad).problems
    assert "row 6: 'query' is null" in str(problem)
    stream = open_file(bad.to_iterable_dataset())
    assert stream.streams and list(stream.rows) == PAIRS
    assert open_file(table, streaming=True).size == 5
    with pytest.raises(TrainingDataError, match="choose from test, train"):
        open_file(datasets.DatasetDict(train=table, test=table), split="dev")


def test_a_folder_that_datasets_saved(tmp_path: Path) -> None:
    table = datasets.Dataset.from_list(ROWS)
    table.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict(dev=table).save_to_disk(str(tmp_path / "several"))
    assert open_file(tmp_path / "one").rows.to_list() == PAIRS
    assert open_file(tmp_path / "several", split="dev").rows.to_list() == PAIRS
    with pytest.raises(TrainingDataError, match="no data set saved"):
        open_file(tmp_path)


def test_the_hub(monkeypatch) -> None:
    asked: list[Any] = []

    def load(*args: Any, **options: Any) -> Any:
        asked.append((args, options))
        return datasets.Dataset.from_list(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert open_file("owner/name:subset", split="dev").rows.to_list() == PAIRS
    assert asked == [(("owner/name", "subset"), {"split": "dev", "streaming": False})]


def test_offline_asks_no_network(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **o: pytest.fail("asked the hub"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    training_set = TrainingSet("owner/name", Takes("pairs"))
    with pytest.raises(TrainingDataError, match="load it once without offline"):
        open_training_set(training_set, offline=True)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("missing.jsonl", "no such file"),
        ("missing.csv.gz", "no such file"),
        ("/no/such/folder", "no such file or folder"),
        (7, "a int is no training data"),
    ],
)
def test_what_is_no_source(source, said) -> None:
    with pytest.raises(TrainingDataError, match=said):
        open_file(source)


def test_columns_are_chosen_and_renamed(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "data.jsonl", [{"x": "1", "frage": "q", "antwort": "p"}])
    chosen = open_file(path, columns=("antwort", "frage"))
    assert chosen.columns.texts == ("antwort", "frage")
    assert list(chosen.rows) == [{"antwort": "p", "frage": "q"}]
    renamed = open_file(path, columns={"antwort": "positive", "frage": "query"})
    assert renamed.columns.texts == ("query", "positive")
    assert list(renamed.rows) == [{"query": "q", "positive": "p"}]
    with pytest.raises(TrainingDataError, match=r"'nope'; the columns are x, frage, antwort"):
        open_file(path, columns=("frage", "nope"))


def test_classes_are_numbered_in_the_order_of_their_names(tmp_path: Path) -> None:
    rows = [{"text": name, "class": name} for name in ("b", "c", "a", "c")]
    opened = open_file(write_lines(tmp_path / "classes.jsonl", rows), "classes")
    assert opened.classes == ("a", "b", "c")
    assert opened.rows["class"][:] == [1, 2, 0, 2]


def test_a_prompt_for_no_column_and_a_sampling_of_no_name(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "pairs.jsonl", ROWS)
    with pytest.raises(TrainingDataError, match="'anchor'; texts are in query, positive"):
        open_file(path, prompts={"anchor": "query: "})
    with pytest.raises(ConfigError, match="no sampling 'random'"):
        open_file(path, sampling="random")


def test_names_are_unique(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "pairs.jsonl", ROWS)
    opened = open_training_sets([TrainingSet(path, Takes("pairs"))] * 3)
    assert [each.name for each in opened] == ["pairs.jsonl", "pairs.jsonl-2", "pairs.jsonl-3"]


def test_what_a_stream_cannot_do() -> None:
    rows = [{"text": str(n), "class": n % 2} for n in range(8)]
    with pytest.raises(TrainingDataError, match="leave streaming out"):
        open_rows(rows, "tuples", stream=True)
    with pytest.raises(TrainingDataError, match="group_by_label"):
        open_rows(rows, "classes", stream=True, sampling="group_by_label")
