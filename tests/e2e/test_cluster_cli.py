"""search-cli cluster, from the command line to the files, in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from search_engine.config import BM25Config, Config
from search_engine.errors import ConfigError
from search_engine.index.chunk_vectors import ChunkVectors
from search_engine.index.creation import create_index
from search_engine.index.generations.generation import Generation
from search_engine.index.reader import IndexReader
from search_engine.index.writer import IndexWriter
from tests.index.documents import DIMENSION, encode


def vector(x: float, y: float, z: float = 0) -> np.ndarray:
    return np.array([x, y, z, 0, 0, 0, 0, 0], np.float32)


# Cosines with `b`: a 0.8, c 0.8, d 0.6; a and c are at 0.28.
VECTORS = {
    "a": vector(4, 3),
    "b": vector(1, 0),
    "gone": vector(1, 0),
    "c": vector(8, -6),
    "d": vector(0.6, 0, 0.8),
    "zero": vector(0, 0),
    "alone": vector(-1, 0, 0),
}


@pytest.fixture
def folder(make_index: Callable[[str], Path]) -> Path:
    """An index in two segments, with a deleted document that its segment still holds."""
    folder = make_index("mine")
    for doc_ids in (["a", "b", "gone", "zero", "alone"], ["c", "d"]):
        with IndexWriter(folder) as writer:
            for doc_id in doc_ids:
                writer.add(encode(doc_id, f"Text\x1b[2J of {doc_id}\nends", VECTORS[doc_id]))
    with IndexWriter(folder) as writer:
        writer.delete("gone")
    return folder


def test_chunks_of_an_index_are_grouped(folder, run) -> None:
    status, out, err = run("cluster", "--index", str(folder))
    assert (status, err) == (0, "")
    shown = "Text\ufffd[2J of {} ends"
    assert [line.split("\t") for line in out.splitlines()] == [
        ["1. 3 texts; the others are near the first"],
        ["   b", "cosine 1.000", shown.format("b")],
        ["   a", "cosine 0.800", shown.format("a")],
        ["   c", "cosine 0.800", shown.format("c")],
        [f"{folder}: 1 group with 3 of 6 texts"],
    ]


def test_threshold_and_size_decide(folder, run) -> None:
    def groups(*arguments: str) -> list[list[str]]:
        report = json.loads(run("cluster", "-i", str(folder), "--json", *arguments)[1])
        return [[each["doc_id"] for each in group] for group in report["groups"]]

    assert groups("--threshold", "0.81") == []
    assert groups("--threshold", "0.6") == [["b", "a", "c", "d"]]
    assert groups("--threshold", "0.6", "--min-size", "5") == []
    assert groups("--threshold", "1", "--min-size", "2") == []
    for wrong in (("--threshold", "0"), ("--threshold", "1.1"), ("--min-size", "1")):
        assert run("cluster", "-i", str(folder), *wrong)[0] == 2


def test_groups_are_given_as_json(folder, run) -> None:
    report = json.loads(run("cluster", "-i", str(folder), "--json", "--threshold", "0.7")[1])
    (group,) = report.pop("groups")
    assert report == {"index": str(folder), "threshold": 0.7, "min_size": 3, "texts": 6}
    assert group[1]["cosine"] == pytest.approx(0.8)
    del group[1]["cosine"]
    assert group[1] == {
        "doc_id": "a",
        "chunk_id": 1,
        "line": None,
        "text": "Text\x1b[2J of a\nends",
    }


def test_vectors_are_read_by_slice_and_by_position(folder) -> None:
    with IndexReader(folder) as reader:
        vectors = ChunkVectors(reader.snapshot)
        doc_ids = reader.doc_ids(vectors.chunk_ids)
        assert doc_ids == ["a", "b", "zero", "alone", "c", "d"]
        stored = np.stack([VECTORS[doc_id] for doc_id in doc_ids])
        np.testing.assert_array_equal(vectors[1:5], stored[1:5])
        np.testing.assert_array_equal(vectors[4:99], stored[4:])
        np.testing.assert_array_equal(vectors[np.array([5, 0, 3, 0])], stored[[5, 0, 3, 0]])
        assert vectors[np.empty(0, np.int64)].shape == (0, DIMENSION)


def test_an_index_without_vectors_is_told(tmp_path, run) -> None:
    config = Config(dense=None, bm25=BM25Config())
    create_index(tmp_path / "words", Generation(1, "f" * 64, config, None, None))
    with IndexReader(tmp_path / "words") as reader, pytest.raises(ConfigError, match="no dense"):
        ChunkVectors(reader.snapshot)
    status, _, err = run("cluster", "-i", str(tmp_path / "words"))
    assert status == 1
    assert err.startswith("error: the index has no dense vectors")


def test_lines_of_a_file_are_grouped(tmp_path, run) -> None:
    file = tmp_path / "questions.txt"
    file.write_text(
        "How do I bake bread?\n\n  What is the capital of France?\r\n"
        "How can I bake bread at home?\nHow do I bake a loaf of bread?\n"
        "What city is the capital of France?\nWhy is the sky blue?\n" + "long " * 40 + "\n"
    )
    arguments = ("cluster", str(file), "--min-size", "2", "--threshold", "0.8", "--offline")
    status, out, _ = run(*arguments, "--json")
    assert status == 0
    report = json.loads(out)
    groups = report.pop("groups")
    assert report == {"file": str(file), "threshold": 0.8, "min_size": 2, "texts": 7}
    assert [sorted(each["line"] for each in group) for group in groups] == [[1, 4, 5], [3, 6]]
    texts = {each["line"]: each["text"] for group in groups for each in group}
    assert texts[3] == "What is the capital of France?"
    assert all(0.8 <= each["cosine"] <= 1.00001 for group in groups for each in group)
    status, out, _ = run(*arguments)
    assert out.splitlines()[-1] == f"{file}: 2 groups with 5 of 7 texts"
    assert "   line 3\tcosine 1.000\tWhat is the capital of France?" in out.splitlines()


def test_lines_that_are_too_long_are_cut_on_the_screen(tmp_path, run) -> None:
    (tmp_path / "long.txt").write_text(("word " * 30 + "\n") * 2)
    arguments = ("cluster", str(tmp_path / "long.txt"), "--min-size", "2", "--offline")
    _, out, _ = run(*arguments)
    assert out.splitlines()[1].split("\t")[2] == ("word " * 30)[:99] + "\u2026"


def test_an_empty_file_has_no_groups(tmp_path, run) -> None:
    (tmp_path / "empty.txt").write_text("\n \n")
    status, out, _ = run("cluster", str(tmp_path / "empty.txt"), "--offline")
    assert status == 0
    assert out == f"{tmp_path / 'empty.txt'}: 0 groups with 0 of 0 texts\n"


def test_wrong_usage_and_files_that_cannot_be_read(folder, tmp_path, run) -> None:
    (tmp_path / "data.txt").write_bytes(b"\x7fELF\x00\x00")
    assert run("cluster")[0] == 2
    assert run("cluster", str(tmp_path / "data.txt"), "-i", str(folder))[0] == 2
    assert run("cluster", "-i", str(folder), "--model", "some")[0] == 2
    for name, reason in (
        ("data.txt", "is not text but a program"),
        ("missing.txt", "cannot be read: No such file"),
        (".", "cannot be read: Is a directory"),
    ):
        status, _, err = run("cluster", str(tmp_path / name), "--offline")
        assert status == 1
        assert f"error: {tmp_path / name}: {reason}" in err
