"""Files found in folders, and readers' failures turned into problems of one file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from search_engine.errors import ReadError
from search_engine.ingest import files
from search_engine.ingest.file_reading import read_file
from search_engine.ingest.files import FoundFiles, find_files
from search_engine.ingest.readers import Reading, find_extension, readers
from search_engine.ingest.reading import Record, read_files
from search_engine.types import Document


def write(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"text of {name}\n", encoding="utf-8")


def relative(found: FoundFiles) -> list[str]:
    return [file.relative for file in found.files]


def read(*paths: Path) -> list[Record]:
    found = find_files(paths)
    assert found.problems == ()
    return [r for file in found.files for r in read_file(file, f"r/{file.relative}")]


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        ("a.md", ".md"),
        ("A.MD", ".md"),
        ("corpus.jsonl.GZ", ".jsonl.gz"),
        ("v1.2.notes.txt", ".txt"),
        ("a.tar.gz", None),
        ("a.gz", None),
        (".md", None),
        ("README", ".txt"),
        ("docs/README", ".txt"),
        ("LICENSE-MIT", ".txt"),
        ("Makefile", ".txt"),
        ("READMEX", None),
        ("program", None),
        ("a.docx", ".docx"),
        ("a.xyz", None),
    ],
)
def test_extension(name: str, extension: str | None) -> None:
    assert find_extension(name) == extension


def test_every_reader_loads() -> None:
    assert all(callable(readers.get(name)) for name in readers.names())


def test_finds_what_has_a_reader(tmp_path: Path) -> None:
    write(tmp_path, "b.TXT", "a/x.md", "a/y.xyz", "z.xyz", "program", ".hid.md", ".git/c.md")
    found = find_files([tmp_path])
    assert relative(found) == ["a/x.md", "b.TXT"]
    assert found.skipped == tuple(str(tmp_path / name) for name in ("a/y.xyz", "program", "z.xyz"))
    assert dict(found.skipped_types) == {"": 1, ".xyz": 2}
    assert found.ignored == 2
    assert found.problems == ()
    first = found.files[0]
    assert first.path == (tmp_path / "a/x.md").resolve()
    assert first.given == str(tmp_path / "a/x.md")
    assert first.root == tmp_path.resolve()
    assert first.size == len("text of a/x.md\n")


def test_given_is_the_path_as_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "docs/a.md", "docs/in/b.md", "c.txt")
    monkeypatch.chdir(tmp_path)
    found = find_files(["docs", "c.txt", "./docs/../docs/in"])
    assert [file.given for file in found.files] == ["c.txt", "docs/a.md", "docs/in/b.md"]
    assert [file.root for file in found.files] == [tmp_path, tmp_path / "docs", tmp_path / "docs"]
    assert [file.given for file in find_files(["."]).files] == [
        "c.txt",
        "docs/a.md",
        "docs/in/b.md",
    ]


def test_problems_of_what_was_given(tmp_path: Path) -> None:
    write(tmp_path, "a.xyz", "only/b.xyz")
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe.txt")
    names = ["missing", "a.xyz", "only", "empty", "pipe.txt"]
    found = find_files([tmp_path / name for name in names])
    assert found.files == ()
    assert [problem.path for problem in found.problems] == [str(tmp_path / n) for n in names]
    reasons = [problem.reason for problem in found.problems]
    assert reasons[0] == "does not exist; check the spelling"
    assert reasons[1].startswith("there is no reader for .xyz; there are for .adoc, .arrow")
    assert reasons[2] == reasons[3] == "has no file in it that there is a reader for"
    assert reasons[4] == "is neither a file nor a folder"
    assert dict(found.skipped_types) == {".xyz": 1}


def test_unreadable_folder_is_named_and_the_rest_goes_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "a.md", "locked/b.md")
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(files.os, "scandir", refuse)
    found = find_files([tmp_path])
    assert relative(found) == ["a.md"]
    assert [str(problem) for problem in found.problems] == [
        f"{tmp_path / 'locked'}: permission denied; check who may read it"
    ]


def test_links(tmp_path: Path) -> None:
    write(tmp_path, "docs/z.md", "elsewhere/e.md")
    docs = tmp_path / "docs"
    (docs / "a-link.md").symlink_to("z.md")
    (docs / "loop").symlink_to(".", target_is_directory=True)
    (docs / "up").symlink_to("..", target_is_directory=True)
    (docs / "out").symlink_to("../elsewhere", target_is_directory=True)
    (docs / "nowhere.md").symlink_to("gone.md")
    (docs / "self.md").symlink_to("self.md")
    found = find_files([docs])
    # `loop` and `up` lead to folders that they lie in.
    assert relative(found) == ["out/e.md", "z.md"]
    assert sorted((Path(p.path).name, p.reason) for p in found.problems) == [
        ("nowhere.md", "is a link that leads nowhere"),
        ("self.md", "is a link that leads nowhere"),
    ]


def test_name_of_a_linked_file_is_the_links(tmp_path: Path) -> None:
    write(tmp_path, "store/0a1b2c")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/guide.txt").symlink_to("../store/0a1b2c")
    (record,) = read(tmp_path / "docs")
    assert record.document is not None
    assert (record.document.doc_id, record.document.title) == ("r/guide.txt", "guide")


def test_name_that_is_not_utf8_is_a_problem(tmp_path: Path) -> None:
    write(tmp_path, "a.md")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.md")).write_text("x", encoding="utf-8")
    found = find_files([tmp_path])
    assert relative(found) == ["a.md"]
    (problem,) = found.problems
    assert str(problem) == f"{tmp_path}/caf\ufffd.md: has a name that is not UTF-8; rename it"


@pytest.mark.parametrize("corpus", ["corpus.jsonl", "corpus.jsonl.gz"])
def test_beir_layout(tmp_path: Path, corpus: str) -> None:
    write(tmp_path, corpus, "queries.jsonl", "queries.jsonl.gz", "qrels/test.tsv", "README.md")
    write(tmp_path, "qrels/notes.md")
    found = find_files([tmp_path])
    assert relative(found) == [corpus]
    assert dict(found.skipped_types) == {".md": 1}
    assert found.problems == ()


def test_beir_layout_prefers_the_plain_corpus(tmp_path: Path) -> None:
    write(tmp_path, "corpus.jsonl.gz", "corpus.jsonl")
    assert relative(find_files([tmp_path])) == ["corpus.jsonl"]


def test_queries_without_a_corpus_are_documents(tmp_path: Path) -> None:
    write(tmp_path, "queries.jsonl", "qrels/a.md")
    assert relative(find_files([tmp_path])) == ["qrels/a.md", "queries.jsonl"]


def test_reads_documents_with_ids_and_sources(tmp_path: Path) -> None:
    write(tmp_path, "a/x.md")
    (tmp_path / "r.jsonl").write_text('{"id": "q7", "text": "seven"}\n', encoding="utf-8")
    records = read(tmp_path)
    documents = [record.document for record in records if record.document]
    assert [(d.doc_id, d.source, d.title) for d in documents] == [
        ("r/a/x.md", str(tmp_path / "a/x.md"), "x"),
        ("r/r.jsonl#q7", str(tmp_path / "r.jsonl"), ""),
    ]
    assert [record.bytes_read for record in records] == [record.file.size for record in records]


def fail_unexpectedly(path: Path) -> Iterator[Reading]:
    yield Reading(Document("", "the first part"))
    raise ZeroDivisionError("division by zero\nsecond line")


def fail_with_permission(path: Path) -> Iterator[Reading]:
    raise PermissionError(13, "Permission denied", str(path))
    yield


def fail_by_recursion(path: Path) -> Iterator[Reading]:
    return fail_by_recursion(path)


def yield_nothing(path: Path) -> Iterator[Reading]:
    yield from ()


def yield_surrogate(path: Path) -> Iterator[Reading]:
    yield Reading(Document("", "good \ud83d bad"))


@pytest.mark.parametrize(
    ("reader", "reason"),
    [
        (fail_unexpectedly, "cannot be read as a .txt file: division by zero"),
        (
            fail_with_permission,
            "cannot be read as a .txt file: permission denied; check who may read it",
        ),
        (fail_by_recursion, "cannot be read as a .txt file: maximum recursion depth exceeded"),
        (yield_nothing, "is empty"),
        (
            yield_surrogate,
            "has half a character in it ('\\ud83d', a lone surrogate); write it out as UTF-8",
        ),
    ],
)
def test_whatever_a_reader_raises_is_the_files_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: object, reason: str
) -> None:
    write(tmp_path, "a.md", "b.txt", "c.md")
    get = readers.get
    monkeypatch.setattr(readers, "get", lambda name: reader if name == ".txt" else get(name))
    records = read(tmp_path)
    assert [record.file.relative for record in records if record.document][::2] in (
        ["a.md"],
        ["a.md", "c.md"],
    )
    assert records[-1].document is not None and records[-1].file.relative == "c.md"
    (problem,) = [record.problem for record in records if record.problem]
    assert (problem.path, problem.reason, problem.line) == (str(tmp_path / "b.txt"), reason, None)
    assert isinstance(problem, ReadError)


def test_file_that_vanished(tmp_path: Path) -> None:
    write(tmp_path, "a.txt", "b.md")
    found = find_files([tmp_path])
    (tmp_path / "a.txt").unlink()
    records = list(read_files(found.files, {tmp_path.resolve(): "r"}))
    assert records[0].problem is not None
    assert records[0].problem.reason == "cannot be read as a .txt file: is no longer there"
    assert records[1].document is not None


@pytest.mark.parametrize("name", ["a.md", "a.txt", "a.html", "a.jsonl", "a.pdf", "a.jsonl.gz"])
@pytest.mark.parametrize("content", [b"", b" \n\n "])
def test_empty_file_of_any_type_is_one_problem(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    (record,) = read(tmp_path)
    assert record.problem is not None
    expected = {"a.pdf": "is not a PDF file", "a.jsonl.gz": "is not a gzip file"}.get(name)
    if content == b"":
        expected = "is empty"
    assert record.problem.reason.startswith(expected or "is empty")


def test_a_parent_folder_whose_name_is_not_utf8_is_a_problem_of_its_files_only(tmp_path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff"))
    (odd / "docs").mkdir(parents=True)
    (odd / "docs" / "a.txt").write_text("alpha")
    (tmp_path / "good.txt").write_text("beta")
    found = find_files([tmp_path / "good.txt", odd / "docs" / "a.txt", odd])
    assert [file.relative for file in found.files] == ["good.txt"]
    assert {problem.reason for problem in found.problems} == {
        "has a name that is not UTF-8; rename it"
    }
    assert all(problem.path.isprintable() for problem in found.problems)
