"""Which segments are merged, what becomes of them, and what is removed when."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from search_engine.index.reader import IndexReader
from search_engine.index.segments import merging
from search_engine.index.segments.merging import SegmentSize, choose_merge
from search_engine.index.store.lock import merge_lock
from search_engine.index.upkeep.compaction import compact
from search_engine.index.writer import IndexWriter
from tests.index.documents import DIMENSION, encode
from tests.index.rows import count_rows, folders


def _sizes(*counts: int | tuple[int, int]) -> list[SegmentSize]:
    return [
        SegmentSize(str(number), *(count if isinstance(count, tuple) else (count, 0)))
        for number, count in enumerate(counts)
    ]


def test_segments_of_one_tier_are_merged_and_others_left() -> None:
    assert choose_merge(_sizes(2_000, 2_000, 2_000)) == []
    assert choose_merge(_sizes(2_000, 9_000, 2_000, 3_999, 1_000)) == ["0", "2", "3", "4"]
    assert choose_merge(_sizes(4_000, 15_999, 8_000, 2_000, 9_000)) == ["0", "1", "2", "4"]
    assert choose_merge(_sizes(*[1] * 7)) == []
    assert choose_merge(_sizes(*[1] * 7, 999)) == [str(n) for n in range(8)]


def test_a_segment_of_which_much_is_dead_is_written_anew() -> None:
    assert choose_merge(_sizes((5_000, 1_250), 100_000)) == []
    assert choose_merge(_sizes((5_000, 1_251), 100_000)) == ["0"]
    assert choose_merge(_sizes((3, 3))) == ["0"]


def test_what_is_alive_decides_about_the_tier() -> None:
    assert choose_merge(_sizes((5_000, 1_200), 2_000, 2_000, 2_000)) == ["0", "1", "2", "3"]


def test_the_number_of_segments_stays_bounded_while_a_million_chunks_come() -> None:
    sizes: list[SegmentSize] = []
    counts, written = [], 0
    for commit in range(500):
        sizes.append(SegmentSize(f"c{commit}", 2_000, 0))
        while chosen := choose_merge(sizes):
            merged = sum(size.chunk_count for size in sizes if size.segment_id in chosen)
            sizes = [size for size in sizes if size.segment_id not in chosen]
            sizes.append(SegmentSize(f"m{commit}-{merged}", merged, 0))
            written += merged
        counts.append(len(sizes))
    assert sum(size.chunk_count for size in sizes) == 1_000_000
    assert max(counts) <= 12
    # Each chunk is written again once for each tier that it passes.
    assert written / 1_000_000 < 4.5


def _fill(folder: Path, count: int) -> None:
    with IndexWriter(folder) as writer:
        for position in range(count):
            writer.add(encode(f"d{position}", f"text number {position}"))
            writer.commit()


def test_small_commits_are_merged_as_they_come(make_index) -> None:
    folder = make_index()
    _fill(folder, 50)
    with IndexReader(folder) as reader:
        assert len(reader.snapshot.segments) < merging.SMALLEST_TIER_SEGMENTS
        assert reader.snapshot.chunk_count == 50
        named = {live.segment.folder.name for live in reader.snapshot.segments}
    assert folders(folder) == named


def test_compacting_leaves_one_segment_without_the_dead_and_removes_their_rows(make_index) -> None:
    folder = make_index()
    _fill(folder, 5)
    with IndexWriter(folder) as writer:
        writer.add(encode("d1", "another text"))
        writer.delete("d4")
    compact(folder)
    with IndexReader(folder) as reader:
        (live,) = reader.snapshot.segments
        assert live.alive is None
        assert reader.doc_ids(live.segment.chunk_ids) == ["d0", "d2", "d3", "d1"]
        assert live.segment.chunk_ids.tolist() == [1, 3, 4, 6]
    assert count_rows(folder, "documents") == count_rows(folder, "chunks") == 4
    assert count_rows(folder, "segments") == len(folders(folder)) == 1


def test_compacting_an_index_of_one_segment_changes_nothing(make_index) -> None:
    folder = make_index()
    _fill(folder, 1)
    before = folders(folder)
    compact(folder)
    assert folders(folder) == before
    with IndexReader(folder) as reader:
        assert reader.snapshot.commit == 1


def test_an_index_whose_documents_all_died_compacts_to_nothing(make_index) -> None:
    folder = make_index()
    _fill(folder, 3)
    with IndexWriter(folder) as writer:
        for position in range(3):
            writer.delete(f"d{position}")
    compact(folder)
    assert folders(folder) == set()
    assert count_rows(folder, "documents") == 0
    with IndexWriter(folder) as writer:
        writer.add(encode("new", "text"))
    with IndexReader(folder) as reader:
        (live,) = reader.snapshot.segments
        assert live.segment.chunk_ids.tolist() == [4], "no id is used twice"


def test_a_reader_held_open_across_compaction_keeps_its_answers(make_index) -> None:
    folder = make_index()
    _fill(folder, 6)
    query = np.ones(DIMENSION, np.float32)
    with IndexReader(folder) as reader:
        held = reader.snapshot
        before = held.search_dense(query, 10)
        with IndexWriter(folder) as writer:
            writer.delete("d0")
            writer.add(encode("d1", "changed"))
        compact(folder)
        # Nothing that the reader has not opened yet may be gone.
        after = held.search_dense(query, 10)
        assert after.chunk_ids.tolist() == before.chunk_ids.tolist()
        assert after.scores.tolist() == before.scores.tolist()
        assert sorted(reader.doc_ids(after.chunk_ids)) == [f"d{n}" for n in range(6)]
        assert {each.text for each in reader.chunks(after.chunk_ids.tolist())} == {
            f"text number {n}" for n in range(6)
        }
        assert len(folders(folder)) == 8
        reader.refresh()
        compact(folder)
        assert len(folders(folder)) == 8, "somebody still holds the older snapshot"
        del held
        reader.refresh()
        with IndexWriter(folder) as writer:
            writer.add(encode("d9", "one more"))
        reader.refresh()
        compact(folder)
    compact(folder)
    assert len(folders(folder)) == 1


def test_while_another_process_merges_a_writer_leaves_it_to_that_one(make_index) -> None:
    folder = make_index()
    with merge_lock(folder, timeout=1):
        _fill(folder, 12)
        assert len(folders(folder)) == 12
    _fill(folder, 13)
    assert len(folders(folder)) < 12


@pytest.mark.parametrize("count", [3, 12])
def test_deleting_most_documents_makes_the_index_smaller_by_itself(make_index, count) -> None:
    folder = make_index()
    with IndexWriter(folder) as writer:
        for position in range(count):
            writer.add(encode(f"d{position}", f"text {position}"))
    with IndexWriter(folder) as writer:
        for position in range(1, count):
            writer.delete(f"d{position}")
    assert count_rows(folder, "chunks") == count_rows(folder, "documents") == 1
    assert len(folders(folder)) == 1
