"""Generations of which each has vectors of its own, and what an index of them answers."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from search_engine.config import BM25Config, Config
from search_engine.index.creation import create_index
from search_engine.index.generations.builder import GenerationBuilder
from search_engine.index.generations.generation import Generation
from search_engine.index.reader import IndexReader
from search_engine.index.segments.encoded import EncodedDocument
from search_engine.index.snapshot import Snapshot
from search_engine.index.writer import IndexWriter
from tests.index.documents import encode

Answers = tuple[list[tuple[str, float]], dict[str, float]]

# The dimension of each generation's vectors, by its name: no two have vectors in common.
DIMENSIONS = {"first": 8, "second": 5, "third": 6}


def generation(name: str, *, generation_id: int = 0) -> Generation:
    fingerprint = f"{DIMENSIONS[name]}" * 64
    return Generation(generation_id, fingerprint, Config(), DIMENSIONS[name], "dot")


def encode_for(doc_id: str, text: str, name: str) -> EncodedDocument:
    seed = [zlib.crc32(text.encode()), DIMENSIONS[name]]
    vector = np.random.default_rng(seed).standard_normal(DIMENSIONS[name])
    return encode(doc_id, text, vector.tolist())


def new_index(folder: Path, name: str, texts: Mapping[str, str]) -> Path:
    """An index of one generation, with a commit for each document."""
    create_index(folder, generation(name, generation_id=1))
    write(folder, name, texts)
    return folder


def write(folder: Path, name: str, texts: Mapping[str, str]) -> None:
    with IndexWriter(folder) as writer:
        for doc_id, text in texts.items():
            writer.add(encode_for(doc_id, text, name))
            writer.commit()


def build(folder: Path, generation_id: int, name: str, *, most: int = 1_000) -> list[str]:
    """Give documents that a generation lacks their chunks; the ids of those it was done for."""
    with GenerationBuilder(folder, generation_id) as builder:
        done = []
        for document_id, document, _ in builder.documents(builder.lacking()[:most]):
            builder.add(document_id, encode_for(document.doc_id, document.text, name))
            done.append(document.doc_id)
    return done


def answers(reader: IndexReader, snapshot: Snapshot) -> Answers:
    """All documents by their vectors, best first, and the BM25 scores of two words."""
    question = np.ones(snapshot.generation.dimension or 0, np.float32)
    dense = snapshot.search_dense(question, 1_000)
    terms = dict.fromkeys(reader.term_ids(["alpha", "beta"]).values(), 1)
    bm25 = snapshot.search_bm25(terms, 1_000, BM25Config(k1=1.2, b=0.75))
    return (
        list(zip(reader.doc_ids(dense.chunk_ids), dense.scores.tolist(), strict=True)),
        dict(zip(reader.doc_ids(bm25.chunk_ids), bm25.scores.tolist(), strict=True)),
    )


def answers_now(folder: Path) -> Answers:
    with IndexReader(folder) as reader:
        return answers(reader, reader.snapshot)


def answers_from_scratch(folder: Path, name: str, texts: Mapping[str, str]) -> Answers:
    """What an index of one generation and one segment answers that never held anything else."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        scratch = new_index(Path(place) / "index", name, {})
        with IndexWriter(scratch) as writer:
            for doc_id, text in texts.items():
                writer.add(encode_for(doc_id, text, name))
        return answers_now(scratch)
