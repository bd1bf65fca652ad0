"""What teachers say is kept on disk, and is what their encoders say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.cross_encoder import CrossEncoder
from search_engine.errors import CheckpointError, TrainingDataError
from search_engine.training.distillation import labels
from search_engine.training.distillation.labels import label_rows
from search_engine.training.distillation.teachers import (
    CrossEncoderScores,
    Similarities,
    Vectors,
    whole_width,
)
from tests.encoders.checkpoints import edit_json, write_trunk


class Counting:
    """A teacher that gives each text its length, and remembers what it was asked."""

    def __init__(self, fingerprint: str = "counting") -> None:
        self.fingerprint = fingerprint
        self.asked: list[Sequence[str]] = []
        self.fails_at: int | None = None

    def label(self, rows: Sequence[Sequence[str]]) -> np.ndarray:
        if self.fails_at is not None and len(self.asked) >= self.fails_at:
            raise KeyboardInterrupt
        self.asked += rows
        return np.array([[len(text) for text in row] for row in rows], np.float32)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "BLOCK_ROWS", 4)


def make_rows(count: int) -> list[dict[str, object]]:
    return [{"a": "x" * n, "other": n, "b": "yy"} for n in range(count)]


def label(rows: object, teacher: object, folder: Path, columns: Sequence[str] = ("a", "b")) -> list:
    labelled = label_rows(
        iter(rows), teacher, columns=columns, label="scores", folder=folder, source="here"
    )
    return labelled.to_list()


def test_rows_get_labels_in_their_order(tmp_path: Path) -> None:
    expected = [{"a": "x" * n, "b": "yy", "scores": [n, 2]} for n in range(10)]
    assert label(make_rows(10), Counting(), tmp_path) == expected
    swapped = label(make_rows(3), Counting(), tmp_path, ("b", "a"))
    assert swapped[2] == {"b": "yy", "a": "xx", "scores": [2, 2]}
    assert label(make_rows(3), Counting(), tmp_path, ("b", "a"))[1]["scores"] == [2, 1]


def test_nothing_is_labelled_twice(tmp_path: Path) -> None:
    first, second, third = Counting(), Counting(), Counting("another")
    label(make_rows(10), first, tmp_path)
    assert len(first.asked) == 10
    changed = make_rows(10)
    changed[5]["a"] = "changed"
    # Of the blocks 0-3, 4-7 and 8-9 the second is not the same.
    assert [row["scores"][0] for row in label(changed, second, tmp_path)] == [
        0, 1, 2, 3, 4, 7, 6, 7, 8, 9,
    ]  # fmt: skip
    assert [row[0] for row in second.asked] == ["x" * 4, "changed", "x" * 6, "x" * 7]
    label(make_rows(10), third, tmp_path)
    assert len(third.asked) == 10


def test_an_interrupted_labelling_goes_on(tmp_path: Path) -> None:
    teacher = Counting()
    teacher.fails_at = 8
    with pytest.raises(KeyboardInterrupt):
        label(make_rows(14), teacher, tmp_path)
    again = Counting()
    assert [row["scores"][0] for row in label(make_rows(14), again, tmp_path)] == list(range(14))
    assert [len(row[0]) for row in again.asked] == list(range(8, 14))
    assert not list(tmp_path.glob("*.tmp"))


def test_a_damaged_file_is_made_again(tmp_path: Path) -> None:
    label(make_rows(8), Counting(), tmp_path)
    damaged = sorted(tmp_path.glob("*.arrow"))
    assert len(damaged) == 2
    damaged[0].write_bytes(b"")
    damaged[1].write_bytes(damaged[1].read_bytes()[:100])
    again = Counting()
    assert [row["scores"][0] for row in label(make_rows(8), again, tmp_path)] == list(range(8))
    assert len(again.asked) == 8
    # Whole, but without rows.
    schema = pa.ipc.open_stream(damaged[0].read_bytes()).schema
    pa.ipc.new_stream(damaged[0], schema).close()
    assert [row["scores"][0] for row in label(make_rows(8), again, tmp_path)] == list(range(8))
    assert len(again.asked) == 12


def test_rows_that_have_no_text_are_named(tmp_path: Path) -> None:
    rows = [*make_rows(5), {"a": "x", "b": None}]
    with pytest.raises(TrainingDataError, match=r"here: example 5 \(counted from 0\) has None"):
        label(rows, Counting(), tmp_path)
    with pytest.raises(TrainingDataError, match="here: there is no example"):
        label([], Counting(), tmp_path)


ROWS = (
    ("the cell", "a cell membrane is made of lipids", "of"),
    ("query", "the cell", "the membrane"),
    ("the cell", "of", "x"),
)


def test_scores_are_those_of_the_cross_encoder(classifier: Path) -> None:
    encoder = CrossEncoder(str(classifier), backend="torch", dtype="float32")
    found = CrossEncoderScores(encoder).label(ROWS)
    assert found.shape == (3, 2)
    for row, scores in zip(ROWS, found, strict=True):
        expected = [encoder.predict([(row[0], text)])[0] for text in row[1:]]
        np.testing.assert_allclose(scores, expected, atol=1e-6)
    assert np.ptp(found) > 1e-3


def test_a_teacher_of_several_labels_is_refused(tmp_path: Path) -> None:
    folder = write_trunk(tmp_path / "trunk", head="SequenceClassification", labels=3)
    with pytest.raises(CheckpointError, match="3 labels"):
        CrossEncoderScores(CrossEncoder(str(folder), backend="torch"))


def test_similarities_are_those_of_the_bi_encoder(teacher: Path, tmp_path: Path) -> None:
    encoder = BiEncoder(str(teacher), backend="torch", dtype="float32")
    assert encoder.prompts["query"] != encoder.prompts["document"]
    found = Similarities(encoder).label(ROWS)
    for row, scores in zip(ROWS, found, strict=True):
        query = encoder.encode_query([row[0]])[0]
        expected = [query @ encoder.encode_document([text])[0] for text in row[1:]]
        np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_similarities_are_compared_as_the_checkpoint_says(bert: Path, tmp_path: Path) -> None:
    encoder = BiEncoder(str(bert), backend="torch", dtype="float32")
    encoder.similarity = "euclidean"
    found = Similarities(encoder).label(ROWS[:1])
    query, one, other = encoder.encode(list(ROWS[0]))
    np.testing.assert_allclose(
        found[0], [-np.linalg.norm(query - one), -np.linalg.norm(query - other)], rtol=1e-5
    )


def test_vectors_are_those_of_the_first_text_and_whole(teacher: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "cut"
    shutil.copytree(teacher, folder)
    edit_json(folder / "config_sentence_transformers.json", {"truncate_dim": 5})
    cut = BiEncoder(str(folder), backend="torch", dtype="float32")
    assert (cut.dimension, whole_width(cut)) == (5, 16)
    whole = BiEncoder(str(teacher), backend="torch", dtype="float32")
    expected = whole.encode([row[0] for row in ROWS])
    np.testing.assert_allclose(Vectors(cut).label(ROWS), expected, atol=1e-6)
