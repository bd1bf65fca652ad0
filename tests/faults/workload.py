"""A workload that goes on where it was killed, and what an index must hold and answer after it."""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
from numpy.typing import NDArray

from search_engine.config import BM25Config, Config
from search_engine.index import writer
from search_engine.index.creation import create_index
from search_engine.index.generations import builder as generation_builder
from search_engine.index.generations.builder import GenerationBuilder
from search_engine.index.generations.generation import Generation, stored_generations
from search_engine.index.generations.promotion import (
    begin_generation,
    give_up_generation,
    promote_generation,
    roll_back,
)
from search_engine.index.reader import IndexReader
from search_engine.index.segments import merger, merging
from search_engine.index.store.database import Database
from search_engine.index.store.stored import documents_lacking
from search_engine.index.upkeep.compaction import compact
from search_engine.index.upkeep.verification import verify_database, verify_generations
from search_engine.index.writer import IndexWriter
from tests.index.documents import DIMENSION, bm25_oracle, encode, hash_of
from tests.index.rows import folders, query

COMMIT_CHUNKS = 10
# Batches of documents that are there before the second generation is begun, before going back to
# the first one, and in the end.
_FIRST, _SECOND, _LAST = 20, 24, 28
_COMPACT_EVERY = 9
_QUERY = np.linspace(-1, 1, DIMENSION, dtype=np.float32)
_TERMS = ["alpha", "gamma"]
FIRST_GENERATION = Generation(1, "f" * 64, Config(), DIMENSION, "dot")
SECOND_GENERATION = Generation(0, "2" * 64, Config(), DIMENSION, "dot")


class Answers(NamedTuple):
    """What an index says of everything it holds: texts and scores by document."""

    texts: dict[str, str]
    dense: dict[str, float]
    bm25: dict[str, float]


def processes() -> ForkServerContext:
    """Where processes are started without importing everything again."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["search_engine.index.upkeep.compaction", __name__])
    return context


@contextmanager
def memory_folder() -> Iterator[Path]:
    """A folder in memory where there is one: what kills a process leaves what it wrote there too.

    On a disk these tests would wait for fsync nearly all the time.
    """
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process can grow beyond a size, in bytes."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


def make_index(folder: Path, generation: Generation = FIRST_GENERATION) -> Path:
    """An empty index."""
    create_index(folder, generation)
    return folder


def answers(reader: IndexReader) -> Answers:
    """Everything that the reader's snapshot answers."""
    snapshot = reader.snapshot
    count = snapshot.chunk_count or 1
    dense = snapshot.search_dense(_QUERY, count)
    ids = reader.term_ids(_TERMS)
    bm25 = snapshot.search_bm25(dict.fromkeys(ids.values(), 1), count, BM25Config())
    return Answers(
        {each.doc_id: each.text for each in reader.chunks(dense.chunk_ids.tolist())},
        dict(zip(reader.doc_ids(dense.chunk_ids), dense.scores.tolist(), strict=True)),
        dict(zip(reader.doc_ids(bm25.chunk_ids), bm25.scores.tolist(), strict=True)),
    )


def vector(generation_id: int, text: str) -> NDArray[np.float32]:
    """The vector of a text in a generation."""
    seed = [generation_id, zlib.crc32(text.encode())]
    return np.random.default_rng(seed).standard_normal(DIMENSION).astype(np.float32)


def oracle(texts: dict[str, str], generation_id: int) -> Answers:
    """The answers for texts, by the formulas."""
    dense = {doc_id: float(vector(generation_id, text) @ _QUERY) for doc_id, text in texts.items()}
    known = [term for term in _TERMS if any(term in text.split() for text in texts.values())]
    bm25 = bm25_oracle(texts, known, k1=0.9, b=0.4) if texts else {}
    return Answers(texts, dense, bm25)


def findings(folder: Path) -> list[str]:
    """What is wrong with an index."""
    found = [each.what for each in verify_database(folder)]
    return found + [each.what for one in verify_generations(folder) for each in one.findings]


def commit_version(folder: Path, version: int) -> None:
    """Put four documents of a version in the place of those of another."""
    with IndexWriter(folder) as there:
        for name in "abcd":
            text = f"alpha {name} v{version}"
            there.add(encode(name, text, vector(1, text)))


def remains(folder: Path) -> set[str]:
    """The segment folders that no row names after a writer was opened."""
    with IndexWriter(folder):
        pass
    return folders(folder) - {name for (name,) in query(folder, "SELECT segment_id FROM segments")}


class State(NamedTuple):
    """What an index holds: answers, and each generation's state with how much it lacks."""

    commit: int
    answers: Answers
    generations: dict[int, tuple[str, int]]


def state_of(folder: Path) -> State:
    """The newest state of an index."""
    with IndexReader(folder) as reader:
        return State(reader.snapshot.commit, answers(reader), _generations(folder))


def _generations(folder: Path) -> dict[int, tuple[str, int]]:
    database = Database(folder, writable=True)
    try:
        db = database.here
        return {
            each.generation_id: (state, len(documents_lacking(db, each.generation_id)))
            for each, state in stored_generations(db, str(folder))
        }
    finally:
        database.close()


def build(folder: Path, generation_id: int, *, tell: Callable[[str], Any] = len) -> None:
    """Give a generation the documents that it lacks, and tell of each before it is encoded."""
    with GenerationBuilder(folder, generation_id) as builder:
        for document_id, document, _ in builder.documents(builder.lacking()):
            doc_id, text = document.doc_id, document.text
            tell(f"building {generation_id} {doc_id} {text}\n")
            builder.add(document_id, encode(doc_id, text, vector(generation_id, text)))


def _batches() -> Iterator[list[tuple[str, str | None]]]:
    """Ten documents each, new ones and replaced ones, after some that are deleted (no text)."""
    words = ("alpha", "beta", "gamma beta", "alpha gamma gamma")
    for batch in range(_LAST):
        deleted = [(f"d{batch - 2:02}-{place}", None) for place in (7, 8) if batch % 3 == 2]
        replaced = range(3 if batch % 2 else 0)
        new = range(len(replaced), COMMIT_CHUNKS)
        names = [*(f"d{batch - 1:02}-{place + 3}" for place in replaced)]
        names += [f"d{batch:02}-{place}" for place in new]
        yield [
            *deleted,
            *((name, f"{words[place % 4]} {name} v{batch}") for place, name in enumerate(names)),
        ]


def _states() -> Iterator[dict[str, str]]:
    state: dict[str, str] = {}
    yield {}
    for batch in BATCHES:
        for doc_id, text in batch:
            if text is None:
                del state[doc_id]
            else:
                state[doc_id] = text
        yield dict(state)


BATCHES = list(_batches())
# The texts by document after each commit of documents: nothing else may ever be seen.
STATES = list(_states())
_DOC_IDS = sorted({doc_id for batch in BATCHES for doc_id, text in batch if text is not None})


def run_workload(folder: Path, log: Path) -> None:
    """Go on until everything is done: indexing, compacting, two generations, one of them given up.

    Args:
        log: gets a line before whatever is done; one of "indexing" or "building" is a chunk.
    """
    merging.SMALLEST_TIER_SEGMENTS = 4
    writer.COMMIT_CHUNKS = generation_builder.COMMIT_CHUNKS = COMMIT_CHUNKS
    with log.open("a", buffering=1) as lines:
        _tell_of_merges(lines)
        lines.write("opening\n")
        # Its row stays behind when the process is killed.
        with IndexReader(folder) as reader:
            while _go_on(folder, lines, reader):
                pass
    with IndexWriter(folder):
        pass


def _tell_of_merges(lines: TextIO) -> None:
    merge: Any = merger.merged_contents

    def merged_contents(*args: Any, **settings: Any) -> Any:
        lines.write("merging\n")
        return merge(*args, **settings)

    merger.merged_contents = merged_contents


def _go_on(folder: Path, lines: TextIO, reader: IndexReader) -> bool:
    """Do what is next by what the index holds; False where nothing is left."""
    second, done = _generations(folder).get(2, (None, 0))[0], _batches_done(folder)
    until = {None: _FIRST, "building": _FIRST, "live": _SECOND, "previous": _LAST}[second]
    if second is None and done == _LAST:
        lines.write("compacting\n")
        compact(folder)
        return False
    if done < until:
        _index(folder, lines, reader, range(done, until))
    elif second is None:
        lines.write("beginning\n")
        begin_generation(folder, SECOND_GENERATION)
    elif second == "building":
        build(folder, 2, tell=lines.write)
        lines.write("promoting\n")
        promote_generation(folder, 2)
    elif second == "live":
        build(folder, 1, tell=lines.write)
        lines.write("going back\n")
        roll_back(folder)
    else:
        lines.write("giving up\n")
        give_up_generation(folder, 2)
    return True


def _batches_done(folder: Path) -> int:
    with IndexWriter(folder) as there:
        hashes = {doc_id: there.content_hash(doc_id) for doc_id in _DOC_IDS}
    there_are = {doc_id: each for doc_id, each in hashes.items() if each is not None}
    states = ({doc_id: hash_of(text) for doc_id, text in state.items()} for state in STATES)
    return list(states).index(there_are)


def _index(folder: Path, lines: TextIO, reader: IndexReader, batches: range) -> None:
    with IndexWriter(folder) as there:
        generation_id = there.generation.generation_id
        for number in batches:
            if number % _COMPACT_EVERY == _COMPACT_EVERY - 1:
                lines.write("compacting\n")
                compact(folder)
            for doc_id, text in BATCHES[number]:
                if text is None:
                    there.delete(doc_id)
                else:
                    lines.write(f"indexing {generation_id} {doc_id} {text}\n")
                    there.add(encode(doc_id, text, vector(generation_id, text)))
            reader.refresh()
