"""What was encoded once is taken from the segments: the same vectors, to the bit."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest

from search_engine.config import Config, DenseConfig, Precision, SpladeConfig
from search_engine.index.creation import create_index
from search_engine.index.dense import dense_kinds
from search_engine.index.generations.generation import Generation
from search_engine.index.reader import IndexReader
from search_engine.index.segments import merger
from search_engine.index.segments.encoded import EncodedDocument
from search_engine.index.upkeep.compaction import compact
from search_engine.index.writer import IndexWriter
from search_engine.types import Chunk, Document, SparseVectors

DIMENSION = 16
RNG = np.random.default_rng(3)
VECTORS = RNG.standard_normal((150, DIMENSION)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)
QUESTION = RNG.standard_normal(DIMENSION).astype(np.float32)
TERMS = [sorted(RNG.choice(50, size=6, replace=False).tolist()) for _ in VECTORS]


@pytest.fixture(autouse=True)
def few_vectors_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merger, "CALIBRATION_VECTORS", 60)
    monkeypatch.setattr(dense_kinds, "GRAPH_MINIMUM", 40)


def _hash(number: int) -> bytes:
    return blake2b(str(number).encode(), digest_size=16).digest()


def _impacts(number: int) -> SparseVectors:
    indices = np.array(TERMS[number], np.int32)
    weights = (indices + 1 + number / 7).astype(np.float32)
    return SparseVectors(np.array([0, len(indices)], np.int64), indices, weights, 50)


def _encoded(name: str, number: int) -> EncodedDocument:
    return EncodedDocument(
        Document(name, f"text {number}"),
        content_hash=f"{name} {number}",
        chunks=[Chunk(f"text {number}", 0, len(f"text {number}"))],
        vectors=VECTORS[[number]],
        terms=[Counter(["text", str(number)])],
        impacts=_impacts(number),
        text_hashes=[_hash(number)],
    )


def _new_index(folder: Path, *, kind: str, precision: Precision, count: int) -> Path:
    config = Config(
        dense=DenseConfig(kind=kind, precision=precision), splade=SpladeConfig(model="any")
    )
    create_index(folder, Generation(1, "f" * 64, config, DIMENSION, "cosine"))
    with IndexWriter(folder) as writer:
        for number in range(count):
            writer.add(_encoded(f"d{number}", number))
            if number % 50 == 49:
                writer.commit()
    return folder


def _scores(folder: Path) -> dict[str, float]:
    with IndexReader(folder) as reader:
        hits = reader.snapshot.search_dense(QUESTION, 1_000)
        return dict(zip(reader.doc_ids(hits.chunk_ids), hits.scores.tolist(), strict=True))


@pytest.mark.parametrize(
    "kind, precision",
    [
        *(("flat", precision) for precision in ("float32", "float16", "int8")),
        *(("hnsw", precision) for precision in ("float32", "float16", "int8")),
        ("hnswlib", "float32"),
    ],
)
def test_a_copy_of_what_is_stored_scores_as_the_original(kind, precision, tmp_path) -> None:
    folder = _new_index(tmp_path / "index", kind=kind, precision=precision, count=150)
    with IndexWriter(folder) as writer:
        found = writer.stored_encodings([_hash(number) for number in range(150)])
        assert found.keys() == {_hash(number) for number in range(150)}
        for number in range(150):
            stored = found[_hash(number)]
            terms, weights = _impacts(number).row(0)
            assert stored.impacts[0].tolist() == terms.tolist()
            assert stored.impacts[1].tolist() == weights.tolist()
            encoded = _encoded(f"copy{number}", number)
            writer.add(replace(encoded, vectors=stored.vector.reshape(1, -1)))
    compact(folder)
    scores = _scores(folder)
    assert len(scores) == 300
    assert all(scores[f"copy{number}"] == scores[f"d{number}"] for number in range(150))


def test_only_living_chunks_of_the_generation_are_taken(tmp_path) -> None:
    folder = _new_index(tmp_path / "index", kind="flat", precision="float32", count=4)
    with IndexWriter(folder) as writer:
        writer.delete("d1")
        # Until the commit it is alive: what is replaced gives its vectors to what replaces it.
        assert writer.stored_encodings([_hash(1)]).keys() == {_hash(1)}
        writer.commit()
        assert writer.stored_encodings([_hash(1), _hash(2), _hash(99)]).keys() == {_hash(2)}
        assert writer.stored_encodings([]) == {}


def test_chunks_without_a_hash_are_not_taken(tmp_path) -> None:
    folder = _new_index(tmp_path / "index", kind="flat", precision="float32", count=0)
    with IndexWriter(folder) as writer:
        writer.add(replace(_encoded("d0", 0), text_hashes=[]))
        writer.commit()
        assert writer.stored_encodings([_hash(0)]) == {}


def test_damaged_segments_are_passed_over(tmp_path) -> None:
    folder = _new_index(tmp_path / "index", kind="flat", precision="float32", count=60)
    with IndexWriter(folder) as writer:
        found = writer.stored_encodings([_hash(number) for number in range(60)])
        assert len(found) == 60
    vectors = min((folder / "segments").glob("*/dense.faiss"))
    data = bytearray(vectors.read_bytes())
    data[-1] ^= 1
    vectors.write_bytes(bytes(data))
    with IndexWriter(folder) as writer:
        found = writer.stored_encodings([_hash(number) for number in range(60)])
        assert found.keys() == {_hash(number) for number in range(50, 60)}


def test_segments_that_were_not_needed_at_first_are_opened_later(tmp_path) -> None:
    folder = _new_index(tmp_path / "index", kind="flat", precision="float32", count=150)
    with IndexWriter(folder) as writer:
        # One segment for each fifty: each question needs another one.
        for number in (0, 149, 60, 1, 148, 61):
            assert writer.stored_encodings([_hash(number)]).keys() == {_hash(number)}
