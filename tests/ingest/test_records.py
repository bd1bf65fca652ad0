"""Records with named fields: customs, mappings, metadata, and what is wrong with a record."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_engine.errors import ConfigError, ReadError
from search_engine.ingest.readers import Fields
from search_engine.ingest.records import Row, document_of, number_names, parse_mapping
from search_engine.types import Document

NO_MAPPING: dict[str, str] = {}


def make(values: dict[str, object], mapping: dict[str, str] = NO_MAPPING) -> Document:
    document = document_of(Fields(values, "line-3", 3), mapping, set())
    assert isinstance(document, Document)
    return document


def make_row(values: dict[str, object], mapping: dict[str, str] = NO_MAPPING) -> Document:
    document = document_of(Row(values, "row-2"), mapping, set())
    assert isinstance(document, Document)
    return document


def find_problem(fields: Fields, mapping: dict[str, str] = NO_MAPPING) -> str:
    problem = document_of(fields, mapping, set())
    assert isinstance(problem, ReadError)
    assert (problem.path, problem.line) == ("", fields.line)
    return problem.reason


def test_customary_fields() -> None:
    document = make({"body": "b", "text": "t", "title": "T", "id": 7, "n": 1.5})
    assert document == Document(
        "7", "t", "T", first_line=3, single_line=True, metadata={"body": "b", "n": 1.5}
    )
    assert make({"Text": "t", "TITLE": "T", "ID": "x"}) == Document(
        "x", "t", "T", first_line=3, single_line=True
    )
    # Lower case goes before the same name in others.
    assert make({"Text": "capital", "text": "small"}).text == "small"


def test_a_row_has_no_line() -> None:
    assert make_row({"text": "t"}) == Document("row-2", "t")


def test_mapped_fields() -> None:
    values: dict[str, object] = {
        "key": "k", "no": 4, "body": "b", "summary": "s", "subject": "u", "from": "f", "text": "t",
    }  # fmt: skip
    mapping = {"id": "key+no", "text": "body+summary", "title": "subject+from"}
    document = make(values, mapping)
    assert (document.doc_id, document.text, document.title) == ("k-4", "b\n\ns", "u, f")
    assert document.metadata == {"text": "t"}
    # What is not mapped is found by custom; what says nothing is left out of the joined text.
    document = make({"id": 1, "title": "T", "a": None, "b": " ", "c": 2}, {"text": "a+b+c"})
    assert (document.doc_id, document.title, document.text) == ("1", "T", "2")
    assert make({"C++": "x", "C": "y"}, {"text": "C++"}).text == "x"
    # A record of another kind has none of the fields, and is read as if none were named.
    other = make({"id": 1, "text": "t", "title": "T"}, mapping)
    assert (other.doc_id, other.text, other.title) == ("1", "t", "T")


@pytest.mark.parametrize(
    ("values", "mapping", "reason"),
    [
        ({"a": 1, "b": 2}, {"text": "a+c"}, "has no field 'c' for the text; it has: a, b"),
        ({}, {"id": "c"}, "has no text; it is looked for in text, contents, content, body"),
        ({"text": "t"}, {"id": "text+c"}, "has no field 'c' for the id; it has: text"),
        ({"a": "x"}, {"text": "b"}, "has no text; it is looked for in b, text, contents"),
        ({"text": "t", "c": None}, {"id": "c"}, "has no id: c say nothing"),
        ({"text": "t", "c": ["x"]}, {"title": "c"}, "its field 'c' is no title: it is not text"),
        ({"c": b"x"}, {"text": "c"}, "its field 'c' is no text: it is not text or a number"),
        ({"c": ""}, {"text": "c"}, "is empty: neither its text nor its title says anything"),
    ],
)
def test_what_is_wrong(values: dict[str, object], mapping: dict[str, str], reason: str) -> None:
    assert find_problem(Fields(values, "line-9", 9), mapping).startswith(reason)


def test_a_problem_without_a_line_names_the_row() -> None:
    assert find_problem(Row({}, "row-8")).startswith("row-8: is empty")


def test_ids_come_once() -> None:
    seen: set[str] = set()
    for line in (1, 2):
        last = document_of(Fields({"id": "a", "text": "t"}, f"line-{line}", line), {}, seen)
    assert isinstance(last, ReadError)
    assert last.reason == "the id 'a' already stands on an earlier line"
    row = document_of(Row({"id": "a", "text": "t"}, "row-3"), {}, seen)
    assert isinstance(row, ReadError)
    assert row.reason == "row-3: the id 'a' already stands in an earlier row"
    assert seen == {"a"}


def test_metadata() -> None:
    uuid = UUID(int=5)
    values: dict[str, object] = {
        "text": "t",
        "day": date(2024, 2, 29),
        "at": datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
        "time": time(1, 2),
        "took": timedelta(seconds=61),
        "price": Decimal("1.50"),
        "uuid": uuid,
        "nan": float("nan"),
        "inf": float("inf"),
        "none": None,
        "yes": True,
        "bytes": b"x",
        "list": [1],
        "dict": {"a": 1},
        "metadata": {"lang": "de", "yes": False, "of": {}, "since": date(2000, 1, 1)},
    }
    assert make(values).metadata == {
        "day": "2024-02-29",
        "at": "2024-01-02T03:04:05+00:00",
        "time": "01:02:00",
        "took": "0:01:01",
        "price": "1.50",
        "uuid": str(uuid),
        "nan": None,
        "inf": None,
        "none": None,
        "yes": True,
        "lang": "de",
        "since": "2000-01-01",
    }
    assert make({"text": "t", "id": uuid}).doc_id == str(uuid)


def test_a_row_without_a_text_column_is_its_columns() -> None:
    document = make_row(
        {"id": 5, "name": "Ada", "born": date(1815, 12, 10), "died": None, "note": " ", "raw": b"x"}
    )
    assert document.text == "id: 5\nname: Ada\nborn: 1815-12-10"
    assert document.doc_id == "5"
    assert document.metadata == {"name": "Ada", "born": "1815-12-10", "died": None, "note": " "}


def test_a_row_with_an_empty_text_column_is_its_title() -> None:
    assert make_row({"title": "T", "text": None, "n": 1}) == Document(
        "row-2", "T", metadata={"n": 1}
    )
    assert find_problem(Row({"text": None, "n": 1}, "row-1")).startswith("row-1: is empty")


def test_mapping_is_parsed() -> None:
    assert parse_mapping([]) == {}
    parsed = parse_mapping(["text=body + summary", "title = subject", "id=a=b"])
    assert parsed == {"text": "body + summary", "title": "subject", "id": "a=b"}
    assert make({"body": "b", "summary": "s"}, {"text": "body + summary"}).text == "b\n\ns"


@pytest.mark.parametrize("text", ["", "text", "text=", "=a", "body=text", "Text=a"])
def test_what_is_no_mapping(text: str) -> None:
    with pytest.raises(ConfigError, match=r"names no field: write id=FIELD, text=FIELD or title="):
        parse_mapping([text])


def test_a_role_is_mapped_once() -> None:
    with pytest.raises(ConfigError, match=r"'text=b': text is named twice; join .* by \+"):
        parse_mapping(["text=a", "text=b"])


@given(st.lists(st.sampled_from(["", " ", "a", "b", "a-2", "column-2"]), max_size=8))
def test_names_are_numbered(names: list[str]) -> None:
    numbered = number_names(names)
    assert len(set(numbered)) == len(numbered) == len(names)
    for place, (name, given_name) in enumerate(zip(numbered, names, strict=True), start=1):
        base = given_name.strip() or f"column-{place}"
        assert name == base or name.removeprefix(f"{base}-").isdecimal()


def test_numbered_names() -> None:
    assert number_names(["a", "", " a ", "a"]) == ["a", "column-2", "a-2", "a-3"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("2024", 2024), ("-3", -3), ("0", 0), ("1.5", 1.5), ("-0.25", -0.25)),
        # What would be written otherwise stays as it is: codes, other notations, no numbers.
        *((each, each) for each in ("007", "1e3", "1.50", "+1", "1,5", "nan", "inf", "1_0", "")),
        *((each, each) for each in (" 1", "\u0661", "9" * 400 + ".0", "True")),
    ],
)
def test_what_a_table_without_types_writes_as_a_number_is_one(text, value) -> None:
    values = {"text": "t", "n": text}
    metadata = document_of(Row(values, "row-1", 2, untyped=True), {}, set()).metadata
    assert (metadata["n"], type(metadata["n"])) == (value, type(value))
    # A table with types means text where it has text.
    assert document_of(Row(values, "row-1"), {}, set()).metadata["n"] == text
