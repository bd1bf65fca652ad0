"""Columns of metadata answer as the plain definition does, whatever was written and merged."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from search_engine.filters import matches, parse_filter
from search_engine.index.segments.columns import (
    FILE_NAME,
    Columns,
    build_columns,
    gather_columns,
    open_columns,
    write_columns,
)

KEYS = ["lang", "", "__metadata__", "a/b.codes", "0.codes", "ключ\n\u200b"]
# Numbers about the places where int64 ends and where float64 no longer holds every integer.
EDGES = [0, 1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**63 + 1, 2**64, 10**400]
SAMPLE_NUMBERS = [
    *EDGES,
    *(-edge for edge in EDGES),
    *(-0.0, 0.0, 0.5, 1.0, 2.0**53, 2.0**63, -(2.0**63), 2.0**64, 1.7e308, math.inf, -math.inf),
]
SAMPLE_TEXTS = ["", "a", "ab", "b", "1", "True", "\x00", "\uffff", "\U0001f600", "é", "e\u0301"]
NUMBERS = st.sampled_from(SAMPLE_NUMBERS) | st.integers(-3, 3)
TEXTS = st.sampled_from(SAMPLE_TEXTS) | st.text(max_size=3)
ASKED = NUMBERS | TEXTS | st.booleans()
ROWS = st.lists(
    st.dictionaries(st.sampled_from(KEYS), ASKED | st.just(None) | st.just(math.nan)), max_size=12
)


def _comparisons(key: str) -> st.SearchStrategy[object]:
    several = st.lists(ASKED, max_size=6)
    return st.one_of(
        st.none() | ASKED,
        st.dictionaries(
            st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), NUMBERS | TEXTS, min_size=1
        ),
        st.builds(lambda name, value: {name: value}, st.sampled_from(["$eq", "$ne"]), ASKED),
        st.builds(lambda name, values: {name: values}, st.sampled_from(["$in", "$nin"]), several),
        st.builds(lambda there: {"$exists": there}, st.booleans()),
    ).map(lambda wanted: {key: wanted})


FILTERS = st.recursive(
    st.sampled_from([*KEYS, "nowhere"]).flatmap(_comparisons),
    lambda inner: st.one_of(
        st.builds(
            lambda name, parts: {name: parts},
            st.sampled_from(["$and", "$or"]),
            st.lists(inner, min_size=1, max_size=3),
        ),
        st.builds(lambda part: {"$not": part}, inner),
    ),
    max_leaves=4,
).map(parse_filter)


def _reopened(columns: Columns) -> Columns:
    with tempfile.TemporaryDirectory() as folder:
        write_columns(Path(folder), columns)
        return open_columns(Path(folder))


def _bytes(columns: Columns) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write_columns(Path(folder), columns)
        return (Path(folder) / FILE_NAME).read_bytes()


@given(ROWS, st.lists(FILTERS, min_size=1, max_size=5))
def test_columns_answer_as_the_definition_does(rows, filters) -> None:
    built = build_columns(rows)
    opened = _reopened(built)
    assert len(built) == len(opened) == len(rows)
    present = {key for row in rows for key, value in row.items() if value == value is not None}
    assert built.keys() == opened.keys() == sorted(present)
    for filter in filters:
        expected = [matches(filter, row) for row in rows]
        for columns in (built, opened):
            mask = columns.matches(filter)
            assert mask.dtype == np.bool_
            assert mask.tolist() == expected


def test_every_sample_value_against_every_other() -> None:
    rows = [{"key": value} for value in [*SAMPLE_NUMBERS, *SAMPLE_TEXTS, True, False, None]]
    columns = build_columns(rows)
    for asked in [*SAMPLE_NUMBERS, *SAMPLE_TEXTS]:
        for name in ("$eq", "$ne", "$lt", "$lte", "$gt", "$gte"):
            filter = parse_filter({"key": {name: asked}})
            assert columns.matches(filter).tolist() == [matches(filter, row) for row in rows]


def test_the_zeros_are_one_value() -> None:
    zeros = [{"a": -0.0}, {"a": 0.0}]
    assert _bytes(build_columns(zeros)) == _bytes(build_columns(zeros[::-1]))
    assert build_columns(zeros).by_key["a"].value_count() == 1


@given(st.lists(ROWS, max_size=4), st.data())
def test_gathered_columns_are_those_built_of_the_picked_rows(parts, data) -> None:
    rows = [row for part in parts for row in part]
    picks = st.lists(st.integers(0, len(rows) - 1)) if rows else st.just([])
    picked = data.draw(picks)
    gathered = gather_columns(
        [_reopened(build_columns(part)) for part in parts], np.array(picked, np.int64)
    )
    chosen = [rows[row] for row in picked]
    # To the byte: dictionaries are sorted and hold what occurs, so there is one way to write them.
    assert _bytes(gathered) == _bytes(build_columns(chosen))
    filter = data.draw(FILTERS)
    assert gathered.matches(filter).tolist() == [matches(filter, row) for row in chosen]


@pytest.mark.parametrize("count", [255, 256, 65_535, 65_536])
def test_codes_are_as_narrow_as_the_number_of_values_allows(count) -> None:
    rows = [{"id": f"{number:06}"} for number in range(count)]
    columns = _reopened(build_columns(rows))
    codes = columns.by_key["id"].codes
    assert codes.dtype == (np.uint8 if count < 256 else np.uint16 if count < 65_536 else np.uint32)
    assert codes.tolist() == list(range(1, count + 1))
    last = columns.matches(parse_filter({"id": {"$gte": f"{count - 1:06}"}}))
    assert np.flatnonzero(last).tolist() == [count - 1]
    halves = [build_columns(rows[::2]), build_columns(rows[1::2])]
    backwards = gather_columns(halves, np.arange(count)[::-1])
    expected = [*rows[::2], *rows[1::2]][::-1]
    assert backwards.by_key["id"].codes.tolist() == [int(row["id"]) + 1 for row in expected]


def test_many_values_and_many_ranges() -> None:
    rows = [{"n": number / 2 if number % 3 else number, "t": str(number)} for number in range(2000)]
    columns = _reopened(build_columns(rows))
    wanted = list(range(0, 3000, 7))
    for where in ({"n": {"$in": wanted}}, {"t": {"$nin": [str(each) for each in wanted]}}):
        filter = parse_filter(where)
        assert columns.matches(filter).tolist() == [matches(filter, row) for row in rows]


def test_lone_surrogates_become_the_replacement_character() -> None:
    columns = build_columns([{"a": "x\udc80"}, {"a": "x\ufffd"}, {"a": "x"}])
    assert columns.matches(parse_filter({"a": "x\ufffd"})).tolist() == [True, True, False]


def test_nothing_at_all() -> None:
    for columns in (build_columns([]), gather_columns([], np.empty(0, np.int64))):
        opened = _reopened(columns)
        assert len(opened) == 0 and opened.keys() == []
        assert opened.matches(parse_filter({"$not": {"a": 1}})).tolist() == []
    rows_without_values = _reopened(build_columns([{}, {"a": None}]))
    assert rows_without_values.matches(parse_filter({"a": {"$ne": 1}})).tolist() == [True, True]


def test_the_file_is_what_safetensors_reads_and_is_not_copied(tmp_path) -> None:
    rows = [{"a": "x", "b": 1.5}, {"a": "y", "b": 2**70}, {"b": 7, "c": True}]
    write_columns(tmp_path, build_columns(rows))
    opened = open_columns(tmp_path)
    arrays = load_file(tmp_path / FILE_NAME)
    for number, key in enumerate(opened.keys()):
        for name, tensor in opened.by_key[key].tensors().items():
            assert np.array_equal(tensor, arrays[f"{number}.{name}"])
            assert tensor.dtype == arrays[f"{number}.{name}"].dtype
            assert not tensor.flags.owndata and not tensor.flags.writeable


def test_columns_at_odd_offsets_are_read(tmp_path) -> None:
    # Other writers of the format need not align their arrays.
    rows = [{"id": f"{number:04}", "n": number} for number in range(300)]
    write_columns(tmp_path, build_columns(rows))
    path = tmp_path / FILE_NAME
    written = path.read_bytes()
    size = int.from_bytes(written[:8], "little")
    header = written[8 : 8 + size] + b" "
    path.write_bytes(len(header).to_bytes(8, "little") + header + written[8 + size :])
    columns = open_columns(tmp_path)
    for where in ({"id": "0123"}, {"n": {"$lt": 17}}, {"n": {"$in": list(range(0, 300, 5))}}):
        filter = parse_filter(where)
        assert columns.matches(filter).tolist() == [matches(filter, row) for row in rows]


@pytest.mark.parametrize(
    "change",
    [
        lambda written: b"",
        lambda written: written[:5],
        lambda written: written[:-1],
        lambda written: b"\xff" * 8 + written[8:],
        lambda written: written.replace(b"U8", b"Q8"),
        lambda written: written.replace(b'"0.codes"', b'"7.codes"'),
        lambda written: written.replace(b'"0.codes"', b'"0.kodes"'),
        lambda written: written.replace(b"__metadata__", b"__metadaten_"),
        lambda written: (2).to_bytes(8, "little") + json.dumps([]).encode(),
    ],
)
def test_a_damaged_file_is_a_value_error(tmp_path, change) -> None:
    write_columns(tmp_path, build_columns([{"a": "x"}, {"a": "y"}]))
    path = tmp_path / FILE_NAME
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=r"columns|empty"):
        open_columns(tmp_path)


def test_a_missing_file_is_an_os_error(tmp_path) -> None:
    with pytest.raises(OSError, match=FILE_NAME):
        open_columns(tmp_path)
