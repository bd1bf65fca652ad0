"""JSON Lines: records, bad lines, compression."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_engine.ingest.files import find_files
from search_engine.ingest.formats import jsonl
from search_engine.ingest.reading import read_files
from tests.ingest.reading import read, read_bytes, read_problem


def test_jsonl_records(tmp_path: Path) -> None:
    lines = [
        '{"_id": "a", "id": "b", "title": "T", "text": "one", "year": 1999, "tags": ["x"]}',
        '{"id": 7, "contents": "two", "ok": true, "none": null}',
        '{"text": null, "content": "three"}',
        "",
        '{"doc_id": "", "body": "five", "title": 5}',
        '{"_id": "only-title", "title": "Six", "text": ""}',
        '{"_id": "n", "text": "s", "metadata": {"lang": "de", "year": 1, "of": {}}, "year": 2}',
    ]
    documents, problems = read_bytes(tmp_path, "a.jsonl", "\n".join(lines).encode())
    assert problems == []
    assert [
        (d.doc_id.removeprefix("r/a.jsonl#"), d.title, d.text, d.first_line, dict(d.metadata))
        for d in documents
    ] == [
        ("a", "T", "one", 1, {"id": "b", "year": 1999}),
        ("7", "", "two", 2, {"ok": True, "none": None}),
        ("line-3", "", "three", 3, {"text": None}),
        ("line-5", "", "five", 5, {"doc_id": ""}),
        ("only-title", "", "Six", 6, {}),
        ("n", "", "s", 7, {"lang": "de", "year": 2}),
    ]
    assert all(d.single_line and d.source == str(tmp_path / "a.jsonl") for d in documents)


def test_jsonl_bad_lines_are_named_and_the_rest_goes_in(tmp_path: Path) -> None:
    lines = [
        b"\xef\xbb\xbf" + b'{"id": 1, "text": "first"}',
        b"{not json}",
        b"[1, 2]",
        b'{"id": 4, "title": "no text"}',
        b'{"id": 5, "text": "caf\xe9"}',
        b'{"id": 1, "text": "again"}',
        b'{"id": 7, "text": "  ", "title": ""}',
        b"[" * 100_000,
        b'{"id": 9, "text": "\\ud83d"}',
        b'{"id": 10, "text": "last"}',
    ]
    documents, problems = read_bytes(tmp_path, "a.ndjson", b"\n".join(lines))
    assert [document.text for document in documents] == ["first", "last"]
    assert [problem.line for problem in problems] == [2, 3, 4, 5, 6, 7, 8, 9]
    beginnings = [
        "is not JSON: Expecting property name",
        "is JSON but not an object of fields in braces",
        "has no text; it is looked for in text, contents, content, body",
        "byte 23 of the line is not UTF-8; convert the file to UTF-8",
        "the id '1' already stands on an earlier line",
        "is empty: neither its text nor its title says anything",
        "is nested too deeply",
        "has half a character in it ('\\ud83d', a lone surrogate)",
    ]
    for problem, beginning in zip(problems, beginnings, strict=True):
        assert problem.reason.startswith(beginning)


def test_jsonl_line_without_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "_MAX_LINE", 50)
    long = json.dumps({"text": "x" * 200})
    data = f'{{"text": "one"}}\n{long}\n{{"text": "three"}}\n'.encode()
    documents, problems = read_bytes(tmp_path, "a.jsonl", data)
    assert [(d.text, d.first_line) for d in documents] == [("one", 1), ("three", 3)]
    assert [problem.line for problem in problems] == [2]
    assert problems[0].reason.startswith("is longer than")


@given(
    lengths=st.lists(st.integers(0, 24), max_size=12),
    limit=st.integers(1, 12),
    ends=st.booleans(),
)
def test_split_lines_keeps_count(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], limit: int, ends: bool
) -> None:
    lines = [b"x" * length for length in lengths]
    data = b"\n".join(lines) + (b"\n" if ends and lines else b"")
    path = tmp_path_factory.getbasetemp() / "lines"
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch, path.open("rb") as file:
        patch.setattr(jsonl, "_MAX_LINE", limit)
        found = list(jsonl._split_lines(file))
    expected = data.splitlines(keepends=True)
    assert [line[: limit + 1] for line in expected] == found


def test_jsonl_utf16_is_said_once(tmp_path: Path) -> None:
    data = '{"text": "a"}\n{"text": "b"}\n'.encode("utf-16")
    assert read_problem(tmp_path, "a.jsonl", data) == (
        "is UTF-16; JSON Lines are UTF-8: convert it",
        None,
    )


def test_compressed_files_are_looked_into(tmp_path: Path) -> None:
    data = gzip.compress('{"text": "a"}\n'.encode("utf-16"))
    assert read_problem(tmp_path, "a.jsonl.gz", data) == (
        "is UTF-16; JSON Lines are UTF-8: convert it",
        None,
    )


def test_jsonl_binary_is_said_once(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("a.txt", "text\n" * 10)
    assert read_problem(tmp_path, "a.jsonl", (tmp_path / "z.zip").read_bytes()) == (
        "is not JSON Lines but a ZIP archive or an office document",
        None,
    )


def records_jsonl(count: int) -> bytes:
    # Numbers squared modulo a prime do not compress away, so the file has many blocks.
    rows = [{"_id": f"d{n}", "text": f"{n**5 % 1000003} text"} for n in range(count)]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def test_jsonl_gz_is_the_same_as_plain(tmp_path: Path) -> None:
    data = records_jsonl(500)
    plain, _ = read_bytes(tmp_path, "a.jsonl", data)
    packed, problems = read_bytes(tmp_path, "b.jsonl.gz", gzip.compress(data))
    assert problems == []
    assert [(d.doc_id[len("r/b.jsonl.gz#") :], d.text) for d in packed] == [
        (d.doc_id[len("r/a.jsonl#") :], d.text) for d in plain
    ]
    assert len(packed) == 500


def test_progress_is_in_bytes_on_disk(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(records_jsonl(20_000))
    with gzip.open(tmp_path / "b.jsonl.gz", "wb") as file:
        file.write(records_jsonl(20_000))
    for name in ("a.jsonl", "b.jsonl.gz"):
        found = find_files([tmp_path / name])
        progress = [r.bytes_read for r in read_files(found.files, {tmp_path.resolve(): "r"})]
        size = found.files[0].size
        assert progress == sorted(progress)
        assert progress[-1] == size
        assert 0.3 * size < progress[10_000] < 0.8 * size


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_jsonl_gz_damaged(tmp_path: Path, damage: str) -> None:
    data = records_jsonl(20_000)
    packed = bytearray(gzip.compress(data))
    middle = len(packed) // 2
    if damage == "cut":
        del packed[middle:]
    else:
        packed[middle : middle + 64] = bytes(byte ^ 0xFF for byte in packed[middle : middle + 64])
    documents, problems = read_bytes(tmp_path, "a.jsonl.gz", bytes(packed))
    last = problems[-1]
    assert ("breaks off here" if damage == "cut" else "damaged from here on") in last.reason
    assert last.line is not None and last.line > 1000
    before = [f"{n**5 % 1000003} text" for n in range(1000)]
    assert [document.text for document in documents[:1000]] == before


def test_jsonl_gz_that_is_not(tmp_path: Path) -> None:
    assert read_problem(tmp_path, "a.jsonl.gz", b'{"text": "a"}\n') == (
        "is not a gzip file; check how it was downloaded",
        None,
    )


def test_a_record_without_an_id_never_takes_that_of_another(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one"}\n{"text": "two"}\n{"_id": "2", "text": "three"}\n')
    documents, problems = read(path)
    assert problems == []
    assert [d.doc_id for d in documents] == [
        f"r/a.jsonl#{own}" for own in ("line-1", "line-2", "2")
    ]


def test_numbers_that_json_does_not_have_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one", "score": NaN}\n{"text": "two"}\n')
    (good,), (bad,) = read(path)
    assert (bad.line, good.text) == (1, "two")
    assert "NaN is no JSON number" in bad.reason
