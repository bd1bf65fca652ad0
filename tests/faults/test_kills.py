"""Processes killed at any moment of their work: the index holds a committed state and goes on."""

from __future__ import annotations

import itertools
import logging
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from search_engine.index.reader import IndexReader
from tests.faults.workload import (
    COMMIT_CHUNKS,
    STATES,
    Answers,
    answers,
    findings,
    make_index,
    memory_folder,
    oracle,
    processes,
    remains,
    run_workload,
)
from tests.index.rows import count_rows, query

_log = logging.getLogger(__name__)
# What takes little time is hardly ever hit by chance, so every second kill waits for one of them.
_AIMS = itertools.cycle(
    ("merging", "compacting", "building", "promoting", "going back", "giving up", "beginning")
)
# From the beginning of what was waited for to the kill, in seconds.
_SHORTLY = 0.02


class _Life:
    """One index, and what was done to it until it was finished."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder.with_suffix(".log")
        self.log.touch()
        self.encoded: set[str] = set()
        self.seconds = 0.0

    def run(self, *, aim: str = "", delay: float = 0.0) -> str | None:
        """Go on with the workload, and kill it `delay` seconds after it came to `aim`.

        Returns:
            What it did when it was killed; None where it finished before.
        """
        before = self.log.stat().st_size
        process = processes().Process(target=run_workload, args=(self.folder, self.log))
        process.start()
        while process.is_alive() and not any(line.startswith(aim) for line in self._lines(before)):
            time.sleep(0.0005)
        begun = time.monotonic()
        if aim:
            time.sleep(delay)
            process.kill()
        process.join()
        self.seconds = time.monotonic() - begun
        assert process.exitcode in (0, -signal.SIGKILL)
        lines = self._lines(before)
        encoded = {line for line in lines if line.startswith(("indexing", "building"))}
        assert len(encoded & self.encoded) <= COMMIT_CHUNKS, "more was done again than one commit"
        self.encoded |= encoded
        if process.exitcode == 0:
            return None
        return lines[-1].split(" d")[0] if lines else "starting"

    def _lines(self, start: int) -> list[str]:
        with self.log.open("rb") as file:
            file.seek(start)
            return file.read().decode().splitlines()


def _held(folder: Path) -> Answers:
    with IndexReader(folder) as reader:
        return answers(reader)


def _check(folder: Path) -> None:
    """See that an index holds a state that the workload committed, and nothing else."""
    with IndexReader(folder) as reader:
        held = answers(reader)
        assert held.texts in STATES
        assert reader.snapshot.chunk_count == len(held.texts)
        sizes = {each.doc_id: each.characters for each in reader.documents()}
        assert sizes == {doc_id: len(text) for doc_id, text in held.texts.items()}
        expected = oracle(held.texts, reader.generation.generation_id)
        assert held.dense == pytest.approx(expected.dense, abs=1e-5)
        assert held.bm25 == pytest.approx(expected.bm25, abs=1e-5)
    assert findings(folder) == []
    assert remains(folder) == set()
    assert query(folder, "SELECT count(*) FROM segments WHERE died IS NOT NULL") == [(0,)]
    assert count_rows(folder, "readers") == 0, "that of the killed process is gone"


@pytest.fixture
def place() -> Iterator[Path]:
    with memory_folder() as folder:
        yield folder


@pytest.mark.parametrize("kills", [10, pytest.param(100, marks=pytest.mark.slow)])
def test_what_is_killed_at_any_moment_goes_on_and_ends_as_if_it_had_not_been(
    place: Path, kills: int
) -> None:
    whole = _Life(make_index(place / "whole"))
    assert whole.run() is None
    expected = _held(whole.folder)
    assert expected.texts == STATES[-1]
    random = np.random.default_rng(kills)
    doing: Counter[str] = Counter()
    lives = 0
    while doing.total() < kills:
        lives += 1
        life = _Life(make_index(place / f"life{lives}"))
        finished = False
        while not finished and doing.total() < kills:
            if doing.total() % 2:
                killed = life.run(aim="opening", delay=whole.seconds * random.random())
            else:
                killed = life.run(aim=next(_AIMS), delay=_SHORTLY * random.random() ** 2)
            finished = killed is None
            if killed is not None:
                doing[killed] += 1
                _check(life.folder)
        if not finished:
            assert life.run() is None
        assert _held(life.folder) == expected
        _check(life.folder)
    _log.info("%d indexes, killed while %s", lives, dict(doing))
