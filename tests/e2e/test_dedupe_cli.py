"""search-cli dedupe, from the command line to the files, in this process."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from search_engine.cli import main
from search_engine.index.store.database import Database, write_transaction
from search_engine.index.store.signatures import delete_signatures
from search_engine.index.writer import IndexWriter
from search_engine.near_duplicates.shingles import jaccard, shingles_of
from search_engine.near_duplicates.signature import estimate_jaccard, signature_of
from tests.index.documents import encode
from tests.index.rows import count_rows, query

Run = Callable[..., "Ended"]
WORDS = [f"word{number}" for number in range(200)]
LONG = " ".join(WORDS)
NEAR = " ".join([*WORDS[:-1], "changed"])
TEXTS = {
    "notes/b": "Buy milk.",
    "notes/a": "buy  MILK.",
    "copy": LONG,
    "first": NEAR,
    "copy of the copy": LONG.upper(),
    "alone": "Nothing else says this.",
}
EXACT = jaccard(shingles_of(LONG), shingles_of(NEAR))
ESTIMATED = estimate_jaccard(signature_of(LONG), signature_of(NEAR))


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs search-cli as its entry point does."""

    def run_it(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["search-cli", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Ended(int(ended.value.code or 0), captured.out, captured.err)

    return run_it


@pytest.fixture
def folder(make_index: Callable[[str], Path]) -> Path:
    """An index of three texts that repeat each other, two that do, and one that is alone."""
    folder = make_index("mine")
    with IndexWriter(folder) as writer:
        for doc_id, text in TEXTS.items():
            encoded = encode(doc_id, text)
            # A title may hold anything.
            document = replace(encoded.document, title=f"Title\x1b[2J of {doc_id}\n")
            writer.add(replace(encoded, document=document, signature=signature_of(text)))
    return folder


def _unsign(folder: Path, doc_ids: list[str]) -> None:
    rows = query(folder, "SELECT document_id, doc_id FROM documents")
    with Database(folder, writable=True) as database, write_transaction(database.here):
        delete_signatures(database.here, [each for each, doc_id in rows if doc_id in doc_ids])


def test_groups_are_listed_largest_first(folder, run) -> None:
    ended = run("dedupe", "--index", str(folder))
    assert (ended.status, ended.err) == (0, "")
    lines = [line.split("\t") for line in ended.out.splitlines()]
    assert lines == [
        ["1. 3 documents; the others repeat the first"],
        [
            "   copy",
            "Title�[2J of copy�",
            f"{len(LONG)} characters",
            "Jaccard 1.000 (estimated 1.000)",
        ],
        [
            "   copy of the copy",
            "Title�[2J of copy of the copy�",
            f"{len(LONG)} characters",
            "Jaccard 1.000 (estimated 1.000)",
        ],
        [
            "   first",
            "Title�[2J of first�",
            f"{len(NEAR)} characters",
            f"Jaccard {EXACT:.3f} (estimated {ESTIMATED:.3f})",
        ],
        ["2. 2 documents; the others repeat the first"],
        ["   notes/a", "Title�[2J of notes/a�", "10 characters", "Jaccard 1.000 (estimated 1.000)"],
        ["   notes/b", "Title�[2J of notes/b�", "9 characters", "Jaccard 1.000 (estimated 1.000)"],
        [f"{folder}: 3 near-duplicate documents"],
        [f"`search-cli delete --index {folder} DOC_ID` deletes one; nothing was deleted."],
    ]


def test_groups_are_given_as_json(folder, run) -> None:
    report = run("dedupe", "-i", str(folder), "--json").json
    assert {key: report[key] for key in ("index", "threshold", "without_signature")} == {
        "index": str(folder),
        "threshold": 0.8,
        "without_signature": 0,
    }
    assert [[each["doc_id"] for each in group] for group in report["groups"]] == [
        ["copy", "copy of the copy", "first"],
        ["notes/a", "notes/b"],
    ]
    assert report["groups"][0][2] == {
        "doc_id": "first",
        "title": "Title\x1b[2J of first\n",
        "characters": len(NEAR),
        "estimated_jaccard": ESTIMATED,
        "jaccard": EXACT,
    }


def test_the_threshold_decides(folder, run) -> None:
    report = run("dedupe", "-i", str(folder), "--json", "--threshold", "1").json
    assert report["threshold"] == 1.0
    assert [[each["doc_id"] for each in group] for group in report["groups"]] == [
        ["copy", "copy of the copy"],
        ["notes/a", "notes/b"],
    ]
    for wrong in ("0.4", "1.1", "much"):
        assert run("dedupe", "-i", str(folder), "--threshold", wrong).status == 2


def test_nothing_is_deleted_but_by_delete(folder, run) -> None:
    before = query(folder, "SELECT * FROM documents")
    assert run("dedupe", "-i", str(folder)).status == 0
    assert query(folder, "SELECT * FROM documents") == before
    assert run("delete", "copy", "notes/b", "-i", str(folder)).status == 0
    report = run("dedupe", "-i", str(folder), "--json").json
    assert [[each["doc_id"] for each in group] for group in report["groups"]] == [
        ["copy of the copy", "first"]
    ]
    assert run("compact", "-i", str(folder)).status == 0
    assert count_rows(folder, "documents") == count_rows(folder, "signatures") == 4
    assert run("dedupe", "-i", str(folder), "--json").json == report


def test_documents_without_a_signature_are_counted(folder, run) -> None:
    _unsign(folder, ["copy", "notes/a"])
    ended = run("dedupe", "-i", str(folder))
    assert ended.status == 0
    assert ended.out.splitlines()[-3:] == [
        f"{folder}: 1 near-duplicate document",
        f"`search-cli delete --index {folder} DOC_ID` deletes one; nothing was deleted.",
        "2 documents have no signature and were not compared: an earlier version added them. "
        "Index their files again to compare them too.",
    ]
    assert run("dedupe", "-i", str(folder), "--json").json["without_signature"] == 2
    _unsign(folder, list(TEXTS))
    assert run("dedupe", "-i", str(folder)).out.splitlines() == [
        f"{folder}: 0 near-duplicate documents",
        "6 documents have no signature and were not compared: an earlier version added them. "
        "Index their files again to compare them too.",
    ]


def test_an_index_that_is_not_there_is_told(run, tmp_path) -> None:
    ended = run("dedupe", "-i", str(tmp_path / "nowhere"))
    assert ended.status == 1
    assert "error: there is no index at" in ended.err
