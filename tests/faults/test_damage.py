"""Files that are no longer what was written."""

from __future__ import annotations

import numpy as np
import pytest

from search_engine.errors import (
    IndexCorruptError,
    IndexStoreError,
)
from search_engine.index.reader import IndexReader
from search_engine.index.writer import IndexWriter
from tests.index.documents import DIMENSION, encode


@pytest.mark.parametrize("damage", ["truncate", "remove", "manifest"])
def test_a_damaged_segment_is_named(make_index, damage) -> None:
    folder = make_index()
    with IndexWriter(folder) as writer:
        writer.add(encode("a", "alpha"))
    (segment,) = (folder / "segments").iterdir()
    victim = segment / ("segment.json" if damage == "manifest" else "dense.faiss")
    if damage == "remove":
        victim.unlink()
    elif damage == "truncate":
        victim.write_bytes(victim.read_bytes()[:-4])
    else:
        victim.write_text(victim.read_text().replace('"chunk_count": 1', '"chunk_count": 2'))
    with pytest.raises(IndexCorruptError) as caught:
        IndexReader(folder)
    assert segment.name in str(caught.value) and victim.name in str(caught.value)


def test_damage_done_while_an_index_is_open_is_told_in_our_words(make_index) -> None:
    folder = make_index()
    with IndexWriter(folder) as writer:
        writer.add(encode("a", "alpha"))
    (segment,) = (folder / "segments").iterdir()
    size = (segment / "dense.faiss").stat().st_size
    with IndexReader(folder) as reader:
        (segment / "dense.faiss").write_bytes(b"x" * size)
        with pytest.raises(IndexCorruptError, match=segment.name):
            reader.snapshot.search_dense(np.ones(DIMENSION, np.float32), 1)
    with pytest.raises(IndexStoreError, match="was closed"):
        reader.document_count()
