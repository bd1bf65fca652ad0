"""Files read in worker processes: the same as here, no more than allowed, not far ahead."""

from __future__ import annotations

import json
import os
import pickle
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_engine.errors import ReadError
from search_engine.ingest import worker_pool
from search_engine.ingest.file_reading import read_file
from search_engine.ingest.files import SourceFile, find_files
from search_engine.ingest.limits import Limits
from search_engine.ingest.reading import Record, pack_record, read_files, unpack_record
from search_engine.ingest.settings import RootSettings
from search_engine.types import Document
from tests.ingest.scripted import (
    count_starts,
    ids_of,
    nothing_left,
    read,
    reason_of,
    scripted_reader,
    source_file,
    write_script,
)


@pytest.fixture(autouse=True)
def clean(tmp_path: Path) -> Iterator[None]:
    with nothing_left(tmp_path / "temp"):
        yield


@pytest.fixture
def docs(tmp_path: Path) -> Iterator[Path]:
    """An empty folder; there is a reader for scripts."""
    (tmp_path / "docs").mkdir()
    with scripted_reader(tmp_path / "site"):
        yield tmp_path / "docs"


def comparable(records: list[Record]) -> list[tuple[object, ...]]:
    return [(r.file, r.document, r.problem and str(r.problem), r.bytes_read) for r in records]


# The same as in this process


@pytest.mark.parametrize("workers", [1, 2, 6])
def test_the_records_are_those_of_reading_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: workers)
    started = count_starts(monkeypatch)
    for number in range(60):
        (tmp_path / f"{number:02}.md").write_text(f"---\nrank: {number}\n---\n# No {number} 😀\n")
    lines = [json.dumps({"id": f"d{n}", "text": f"text {n}", "b": None}) for n in range(3_000)]
    (tmp_path / "30.jsonl").write_text("\n".join([*lines[:1_500], "{broken", *lines[1_500:]]))
    (tmp_path / "31.txt").write_bytes(b"")
    (tmp_path / "32.txt").write_bytes(b"\x00\x01")
    (tmp_path / "33.txt").write_text("long " * 2**18)
    found = find_files([tmp_path])
    assert len(found.files) == 64
    (tmp_path / "34.md").unlink()
    expected = [r for file in found.files for r in read_file(file, f"r/{file.relative}")]
    records = list(read_files(iter(found.files), ids_of(list(found.files))))
    assert comparable(records) == comparable(expected)
    assert len(records) == 3_064 and sum(r.problem is not None for r in records) == 4
    # Each is the very file that was given: whoever reads tells by it where the next one begins.
    assert {id(record.file) for record in records} == {id(file) for file in found.files}
    assert len(started) == min(workers, 4)


def test_few_small_files_are_read_by_one_process_that_is_started_when_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = count_starts(monkeypatch)
    assert read([]) == [] and started == []
    for number in range(8):
        (tmp_path / f"{number}.txt").write_text("text")
    files = list(find_files([tmp_path]).files)
    records = read_files(files, ids_of(files))
    assert started == []
    assert [record.document.text for record in records if record.document] == ["text"] * 8
    assert len(started) == 1


def test_settings_of_the_root_are_those_of_its_files(docs: Path) -> None:
    (docs / "a.jsonl").write_text('{"key": "k", "said": "what"}\n')
    write_script(docs / "b.script", "yield say('read')")
    (docs / "c.scan").write_text("an image")
    settings = RootSettings(fields={"id": "key", "text": "said"}, ocr=True)
    files = [source_file(path) for path in sorted(docs.iterdir())]
    records = list(read_files(files, ids_of(files), settings={docs: settings}))
    documents = [record.document for record in records if record.document]
    assert [(each.doc_id, each.text) for each in documents] == [
        ("r/a.jsonl#k", "what"),
        ("r/b.script", "recognised"),
        ("r/c.scan", "recognised"),
    ]
    assert [each.metadata["extension"] for each in documents] == [".jsonl", ".script", ".scan"]
    assert read(files[1:]) == [
        ("b.script", "read"),
        ("c.scan", "! there is no reader for this type of file"),
    ]


# What passes between the processes


_FILE = SourceFile(Path("a.script"), "given", Path(), "a.script", 9, 0)
_strings = st.text(st.characters(), max_size=20) | st.text(
    st.sampled_from("\ud83d\ude00\udcff\x00é")
)
_documents = st.builds(
    Document,
    doc_id=_strings,
    text=_strings,
    title=_strings,
    source=st.none() | _strings,
    markup=_strings,
    first_line=st.none() | st.integers(1),
    single_line=st.booleans(),
    pages=st.lists(st.integers(0)).map(tuple),
    metadata=st.dictionaries(
        _strings, st.none() | st.booleans() | st.integers() | st.floats() | _strings
    ).map(MappingProxyType),
)


def described(document: Document) -> list[str]:
    """Every field to the letter, the type of each value too; NaN is NaN."""
    assert type(document.pages) is tuple and type(document.metadata) is MappingProxyType
    return [repr(getattr(document, each.name)) for each in fields(document)]


@given(_documents, st.integers(0))
def test_a_document_is_what_it_was(document: Document, bytes_read: int) -> None:
    record = unpack_record(pack_record(Record(_FILE, document, None, bytes_read)), _FILE)
    assert (record.file, record.problem, record.bytes_read) == (_FILE, None, bytes_read)
    assert record.document is not None
    assert described(record.document) == described(document)


@given(_strings, st.none() | st.integers(1), st.integers(0))
def test_a_problem_is_what_it_was(reason: str, line: int | None, bytes_read: int) -> None:
    problem = ReadError("given", reason, line=line)
    record = unpack_record(pack_record(Record(_FILE, None, problem, bytes_read)), _FILE)
    assert (record.file, record.document, record.bytes_read) == (_FILE, None, bytes_read)
    assert record.problem is not None
    assert (record.problem.path, record.problem.reason) == ("given", reason)
    assert record.problem.line == line


def test_pages_may_be_counted_by_a_library(docs: Path) -> None:
    file = write_script(
        docs / "a.script", "import numpy", "yield say('text', pages=tuple(numpy.arange(2)))"
    )
    (record,) = read_files([file], ids_of([file]))
    assert record.document is not None and record.document.pages == (0, 1)


_VALUES = ["r/a", "text", "", None, "plain", None, False, [], {}]


def changed(position: int, value: object) -> list[object]:
    return [[*_VALUES[:position], value, *_VALUES[position + 1 :]], None, 1]


@pytest.mark.parametrize(
    "content",
    [
        *(None, 1, [], {}, "x", [None, None, 1], [_VALUES, ["no", None], 1], [_VALUES, None]),
        *([_VALUES[:-1], None, 1], [[*_VALUES, 1], None, 1], [_VALUES, None, "1"], [_VALUES, 0, 1]),
        *([None, "no", 1], [None, ["no"], 1], [None, [1, None], 1], [None, ["no", "1"], 1]),
        *([None, ["no", None], None], [None, ["no", None], 1, 1]),
        *(changed(position, [1]) for position in range(9) if position != 7),
        *(changed(position, None) for position in (0, 1, 2, 4, 6, 7, 8)),
        *(changed(5, "1"), changed(6, 1), changed(7, ["1"]), changed(7, [None])),
        *(changed(8, {"a": []}), changed(8, {"a": {}})),
    ],
)
def test_what_is_no_record_is_a_problem_of_the_file(content: object) -> None:
    assert is_no_record(json.dumps(content).encode())


@pytest.mark.parametrize(
    "packed",
    [
        *(b"", b"\xff", b"[", b"[" * 100_000, b'[null,["no",1' + b"0" * 5_000 + b"],1]"),
        *(pickle.dumps((None, ("given", "no", None), 1)), b"cos\n_exit\n(I1\ntR."),
    ],
)
def test_what_is_no_json_is_a_problem_of_the_file(packed: bytes) -> None:
    assert is_no_record(packed)


def is_no_record(packed: bytes) -> bool:
    record = unpack_record(packed, _FILE)
    reason = "given: its reader crashed (what it sent is no record); it may be damaged"
    return (str(record.problem), record.document, record.bytes_read) == (reason, None, 9)


def test_a_process_that_is_taken_over_runs_nothing_here(docs: Path) -> None:
    """Its reader sends what would have a file made by whoever unpickles it."""
    made = docs / "made"
    file = write_script(
        docs / "a.script",
        "import pickle, stat, struct",
        "class Evil:",
        f"    def __reduce__(self): return open, ({str(made)!r}, 'w')",
        "content = pickle.dumps(Evil())",
        "for number in range(3, 20):",
        "    try: is_socket = stat.S_ISSOCK(os.fstat(number).st_mode)",
        "    except OSError: continue",
        "    if is_socket: os.write(number, struct.pack('>BQ', 2, len(content)) + content)",
        "yield say('after')",
    )
    damaged = "! its reader crashed (what it sent is no record); it may be damaged"
    assert [text for _, text in read([file])] == [damaged, "after"]
    assert not made.exists()


# What is known of the file


def test_metadata_of_the_file_are_ours_whatever_it_says(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "Guide.MD"
    path.write_text(
        "---\ntitle: The Guide\npath: /etc\nextension: none\nmodified: never\nrank: 3\n---\nText.\n"
    )
    os.utime(path, ns=(0, 1_714_566_896_999_999_999))
    (record,) = (r for file in find_files([tmp_path]).files for r in read_file(file, "r/x"))
    assert record.document is not None
    assert dict(record.document.metadata) == {
        "rank": 3,
        "path": "in/Guide.MD",
        "extension": ".md",
        "modified": "2024-05-01T12:34:56Z",
        "title": "The Guide",
    }


@pytest.mark.parametrize(
    ("nanoseconds", "modified"),
    [(-1, "1969-12-31T23:59:59Z"), (0, "1970-01-01T00:00:00Z"), (10**21, None), (-(10**21), None)],
)
def test_times_at_the_edges(tmp_path: Path, nanoseconds: int, modified: str | None) -> None:
    path = tmp_path / "a.txt"
    path.write_text("text")
    file = SourceFile(path, "a.txt", tmp_path, "a.txt", 4, nanoseconds)
    (record,) = read_file(file, "r/a.txt")
    assert record.document is not None
    assert record.document.metadata["modified"] == modified
    assert record.document.metadata["title"] == "a"


def test_what_a_library_makes_of_strings_and_numbers_is_plain(docs: Path) -> None:
    file = write_script(
        docs / "a.script",
        "import numpy",
        "class Odd(str): held = path.open()",
        "known = {Odd('n'): numpy.float64(2), 'b': True}",
        "yield say(Odd('text'), 'a', title=Odd('t'), metadata=known)",
        "yield say('text', 'b', metadata={'date': numpy.datetime64('2024-01-01')})",
        "yield say('text', 'c')",
    )
    first, second, third = read_files([file], ids_of([file]))
    assert first.document is not None and third.document is not None
    assert [type(each) for each in (first.document.text, first.document.title)] == [str, str]
    kept = list(first.document.metadata.items())[:2]
    assert [(name, value, type(value)) for name, value in kept] == [
        ("n", 2.0, float),
        ("b", True, bool),
    ]
    assert reason_of(second).endswith("nothing can be compared with: 'date' (datetime64)")


def test_characters_at_the_limits(docs: Path) -> None:
    file = write_script(
        docs / "a.script",
        "yield say('x' * 97, '1')",
        "yield say('x' * 98, '2')",
        "yield say('x' * 92, '3', title='ab', metadata={'n': 10})",
        "yield say('x' * 92, '4', title='ab', metadata={'n': 100})",
    )
    too_long = "! says more than 98 characters in one document; split it"
    said = [text for _, text in read([file], Limits(document_characters=98))]
    assert said == ["x" * 97, too_long, "x" * 92, too_long]
    # 98, 99, 98 and 99 characters make 394.
    rest = f"! says more than 393 characters, {394 // file.size} times its size; the rest was not "
    for most, last in ((394, "x" * 92), (393, f"{rest}read: unpack it, or split it")):
        assert read([file], Limits(file_characters=most, expansion=0))[-1][1] == last
    by_size = Limits(file_characters=0, expansion=3)
    assert 3 * file.size >= 394 and read([file], by_size)[-1][1] == "x" * 92


# How far ahead


def test_a_reader_waits_for_whoever_takes_its_documents(
    docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(worker_pool, "_WORKER_JOBS", 1)
    count, last = docs / "count", 20_000
    still = (
        "before = None",
        f"while before != (now := Path({str(count)!r}).stat().st_size) or not now:",
        "    before = now",
        "    time.sleep(0.3)",
        "yield say(str(now), '0')",
    )
    streams = (
        f"with open({str(count)!r}, 'ab', buffering=0) as count:",
        f"    for n in range({last}):",
        "        count.write(b'x')",
        "        yield say('y' * 10_000, str(n))",
    )
    count.touch()
    files = [
        write_script(docs / "a.script", *still),
        write_script(docs / "b.script", *streams),
    ]
    with closing(read_files(files, ids_of(files))) as records:
        first = next(records)
        assert first.document is not None
        # What waits here, what waits in the socket, and one on its way.
        ahead = worker_pool._AHEAD_RECORDS
        assert ahead <= int(first.document.text) < ahead + 100
        second = next(records)
        assert second.document is not None and second.document.doc_id == "r/b.script#0"


def test_little_waits_here_of_large_documents(docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(worker_pool, "_WORKER_JOBS", 1)
    monkeypatch.setattr(worker_pool, "_AHEAD_BYTES", 5_000_000)
    count = docs / "count"
    count.touch()
    files = [
        write_script(
            docs / "a.script",
            "before = None",
            f"while before != (now := Path({str(count)!r}).stat().st_size) or not now:",
            "    before = now",
            "    time.sleep(0.3)",
            "yield say(str(now), '0')",
        ),
        write_script(
            docs / "b.script",
            "for n in range(100):",
            f"    with open({str(count)!r}, 'ab') as count: count.write(b'x')",
            "    yield say('y' * 1_000_000, str(n))",
        ),
    ]
    with closing(read_files(files, ids_of(files))) as records:
        first = next(records)
    assert first.document is not None and 5 <= int(first.document.text) <= 7


def test_waiting_is_no_hanging(docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither whoever takes the documents slowly nor a file that waits for its turn is late."""
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(worker_pool, "_WORKER_JOBS", 1)
    monkeypatch.setattr(worker_pool, "_AHEAD_BYTES", 1)
    monkeypatch.setattr(worker_pool, "_LONGEST_WAIT", 0.1)
    slow = ("for n in range(10):", "    time.sleep(0.4)", "    yield say('slow', str(n))")
    large = ("for n in range(3):", "    yield say('x' * 500_000, str(n))")
    files = [write_script(docs / "a.script", *slow), write_script(docs / "b.script", *large)]
    records = read_files(files, ids_of(files), limits=Limits(seconds=1.5))
    texts = []
    for number, record in enumerate(records):
        if number == 0:
            time.sleep(1.6)
        texts.append(record.document and record.document.text)
    assert texts == ["slow"] * 10 + ["x" * 500_000] * 3
