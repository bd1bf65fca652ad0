"""Parquet, Feather and Hugging Face shards: rows, types that are left out, damage."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import datasets
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from search_engine.ingest.formats.arrow import read_arrow, read_parquet
from search_engine.ingest.readers import Fields
from search_engine.types import Document
from tests.ingest.reading import read, read_problem

COLUMNS = {
    "_id": ["a", "b", "c"],
    "title": ["One", None, "Three"],
    "text": ["first", "zwei 😀", ""],
    "year": [1999, None, 2001],
    "score": [0.5, float("nan"), 1.0],
    "tags": [["x"], [], ["y", "z"]],
    "image": [b"\x89PNG", None, b""],
    "metadata": [{"lang": "en", "pages": 1}, {"lang": "de", "pages": None}, None],
}
EXPECTED = [
    ("a", "One", "first", {"year": 1999, "score": 0.5, "lang": "en", "pages": 1}),
    ("b", "", "zwei 😀", {"year": None, "score": None, "lang": "de", "pages": None}),
    ("c", "", "Three", {"year": 2001, "score": 1.0, "metadata": None}),
]
ALWAYS = {"path", "extension", "modified", "title"}


@pytest.fixture(autouse=True)
def _quiet() -> None:
    datasets.disable_progress_bars()


def summarise(documents: list[Document]) -> list[tuple[str, str, str, dict[str, object]]]:
    return [
        (
            d.doc_id.partition("#")[2],
            d.title,
            d.text,
            {key: value for key, value in d.metadata.items() if key not in ALWAYS},
        )
        for d in documents
    ]


def test_a_saved_data_set(tmp_path: Path) -> None:
    datasets.Dataset.from_dict(COLUMNS).save_to_disk(tmp_path / "set")
    (shard,) = (tmp_path / "set").glob("*.arrow")
    assert not shard.read_bytes().startswith(b"ARROW1")
    documents, problems = read(shard)
    assert problems == []
    assert summarise(documents) == EXPECTED
    assert all(d.first_line is None and not d.single_line for d in documents)


def test_parquet(tmp_path: Path) -> None:
    datasets.Dataset.from_dict(COLUMNS).to_parquet(tmp_path / "a.parquet")
    documents, problems = read(tmp_path / "a.parquet")
    assert (summarise(documents), problems) == (EXPECTED, [])


@pytest.mark.parametrize("compression", ["lz4", "zstd", "uncompressed"])
def test_feather(tmp_path: Path, compression: str) -> None:
    feather.write_feather(pa.table(COLUMNS), tmp_path / "a.arrow", compression=compression)
    assert (tmp_path / "a.arrow").read_bytes().startswith(b"ARROW1")
    documents, problems = read(tmp_path / "a.arrow")
    assert (summarise(documents), problems) == (EXPECTED, [])


def test_types(tmp_path: Path) -> None:
    at = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    table = pa.table(
        {
            "text": pa.array(["t"], pa.large_string()),
            "colour": pa.array(["red"]).dictionary_encode(),
            "at": pa.array([at], pa.timestamp("us", tz="UTC")),
            "fine": pa.array([1], pa.timestamp("ns")),
            "day": pa.array([date(2024, 2, 29)]),
            "small": pa.array([1.5], pa.float16()),
            "nothing": pa.nulls(1),
            "a.b": pa.array([True]),
            "pairs": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
            "other": pa.array([{"text": "no"}]),
            "bytes": pa.array([b"no"], pa.large_binary()),
            "fixed": pa.array([b"no"], pa.binary(2)),
        }
    )
    expected = {
        "colour": "red",
        "at": "2024-01-02T03:04:05+00:00",
        "fine": "1970-01-01T00:00:00.000000001",
        "day": "2024-02-29",
        "small": 1.5,
        "nothing": None,
        "a.b": True,
    }
    parquet.write_table(table, tmp_path / "a.parquet")
    feather.write_feather(table, tmp_path / "a.arrow")
    for name in ("a.parquet", "a.arrow"):
        (document,), problems = read(tmp_path / name)
        assert problems == []
        assert summarise([document]) == [("row-1", "", "t", expected)]
        # Columns that say nothing are not even made Python objects.
        reader = read_parquet if name == "a.parquet" else read_arrow
        (reading,) = reader(tmp_path / name)
        assert isinstance(reading.content, Fields)
        assert set(reading.content.values) == {"text", *expected}


def test_many_rows_are_streamed_in_order(tmp_path: Path) -> None:
    count = 5_000
    table = pa.table({"text": [f"{n**5 % 1000003}" for n in range(count)]})
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=700)
    with pa.ipc.new_stream(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=600)
    for name, reader in (("a.parquet", read_parquet), ("a.arrow", read_arrow)):
        size = (tmp_path / name).stat().st_size
        readings = list(reader(tmp_path / name))
        fields = [r.content for r in readings if isinstance(r.content, Fields)]
        assert [f.key for f in fields] == [f"row-{n}" for n in range(1, count + 1)]
        assert [f.values["text"] for f in fields] == table["text"].to_pylist()
        progress = [r.bytes_read or 0 for r in readings]
        assert progress == sorted(progress)
        assert progress[-1] <= size
        assert 0.3 * size < progress[count // 2] < 0.8 * size


def test_columns_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    batch = pa.record_batch([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    with pa.ipc.new_stream(tmp_path / "a.arrow", batch.schema) as writer:
        writer.write_batch(batch)
    (document,), _ = read(tmp_path / "a.arrow")
    assert (document.text, document.metadata["text-2"]) == ("a", "b")


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_what_is_neither(tmp_path: Path, name: str) -> None:
    for data in (b"text", b"PAR1" * 8, b"ARROW1" * 8, b"\xff\xff\xff\xff" * 8, bytes(range(256))):
        reason, line = read_problem(tmp_path, name, data)
        assert line is None
        assert "or is damaged: " in reason
        assert "\n" not in reason


@pytest.mark.parametrize("kind", ["parquet", "stream", "file"])
def test_damage_is_one_problem(tmp_path: Path, kind: str) -> None:
    table = pa.table({"text": [f"{n**5 % 1000003} text" for n in range(3_000)]})
    path = tmp_path / ("a.parquet" if kind == "parquet" else "a.arrow")
    if kind == "parquet":
        parquet.write_table(table, path, row_group_size=500)
    elif kind == "file":
        feather.write_feather(table, path, chunksize=500, compression="uncompressed")
    else:
        with pa.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=500)
    data = path.read_bytes()
    for place in range(0, len(data), len(data) // 40):
        damaged = bytearray(data)
        damaged[place : place + 8] = b"\xff" * len(damaged[place : place + 8])
        path.write_bytes(damaged)
        _, problems = read(path)
        assert len(problems) <= 1
        assert all("damaged" in problem.reason for problem in problems)
    path.write_bytes(data[: len(data) // 2])
    documents, problems = read(path)
    assert len(problems) == 1
    assert (len(documents) > 0) == (kind == "stream")
    assert [d.text for d in documents] == table["text"].to_pylist()[: len(documents)]
