"""Mailboxes: where a message begins, what it is called, and those that cannot be read."""

from __future__ import annotations

import mailbox
import tracemalloc
from email.message import EmailMessage
from pathlib import Path

import pytest

from search_engine.errors import ReadError
from search_engine.ingest.formats import mail
from search_engine.ingest.formats.mail import read_mbox
from search_engine.types import Document
from tests.ingest.reading import read, read_bytes, read_problem

_HEAD = b"From: a@example.org\nMIME-Version: 1.0\n"
_DATE = b"Sat Jan  3 01:05:34 1996"


def _message(subject: str = "The keys", text: str = "They are with Ann.\n") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Jörg Maß <joerg@example.org>"
    message["To"] = "ann@example.org, bob@example.org"
    message["Subject"] = subject
    message["Date"] = "Tue, 01 Jul 2003 10:52:37 +0200"
    message["Message-ID"] = "<one@example.org>"
    message.set_content(text)
    return message


def test_mailbox_as_the_standard_library_writes_it(tmp_path: Path) -> None:
    box = mailbox.mbox(tmp_path / "box.mbox")
    for number in range(3):
        message = _message(f"Subject {number}", f"From here on it is text {number}.\n")
        message.replace_header("Message-ID", f"<{number}@example.org>")
        box.add(message)
    box.close()
    documents, problems = read(tmp_path / "box.mbox")
    assert problems == []
    assert [(each.doc_id, each.title, each.text) for each in documents] == [
        (
            f"r/box.mbox#{number}@example.org",
            f"Subject {number}",
            f"From here on it is text {number}.",
        )
        for number in range(3)
    ]
    lines = (tmp_path / "box.mbox").read_bytes().split(b"\n")
    starts = [index for index, line in enumerate(lines, 1) if line.startswith(b"From MAILER")]
    assert [each.first_line for each in documents] == starts
    assert all(each.single_line for each in documents)


def test_ids_bad_messages_and_how_far(tmp_path: Path) -> None:
    parts = [
        b"From a@b " + _DATE + b"\nMessage-ID: <x>\nSubject: one\n\n>From the start\n>>From more\n",
        b"From - " + _DATE + b"\nMessage-ID: <x>\nSubject: two\n\nFrom us all\n",
        b"From 99@xxx Mon Jan 01 00:00:00 +0000 2001\nSubject: three\n\n\n",
        b"From a@b " + _DATE + b"\nno header here\n",
        b"From a@b " + _DATE + b"\nFrom: x@y\n\n",
        b"From a@b " + _DATE + b"\r\nSubject: six\r\n\r\nlast\r\n",
    ]
    path = tmp_path / "b.mbox"
    path.write_bytes(b"".join(parts))
    readings = list(read_mbox(path))
    found = [
        (each.content.doc_id, each.content.title, each.content.text, each.content.first_line)
        if isinstance(each.content, Document)
        else (each.content.reason, each.content.line)
        for each in readings
        if isinstance(each.content, Document | ReadError)
    ]
    assert found == [
        ("x", "one", "From the start\n>From more", 1),
        ("message-2", "two", "From us all", 7),
        ("message-3", "three", "three", 12),
        ("the message has no header", 16),
        (
            "the message has no text: neither its subject nor its body says anything",
            18,
        ),
        ("message-6", "six", "last", 21),
    ]
    ends = [reading.bytes_read for reading in readings]
    assert ends == sorted(ends, key=lambda end: end or 0)
    assert ends[-1] == path.stat().st_size


def test_no_mailbox(tmp_path: Path) -> None:
    reason = "is not a mailbox but something else: it does not begin with a From line"
    assert read_problem(tmp_path, "a.mbox", b"From us all\nhello\n") == (reason, None)


def test_a_large_mailbox_is_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "_MAX_MESSAGE", 2**20)
    path = tmp_path / "a.mbox"
    with path.open("wb") as file:
        for number in range(40):
            file.write(b"From a@b " + _DATE + b"\nSubject: %d\n\n" % number)
            file.write(b"x" * 79 + b"\n" if number != 7 else b"y" * 8 * 2**20 + b"\n")
            file.write((b"line of text " * 80 + b"\n") * 400)
    tracemalloc.start()
    problems = [
        (reading.content.reason, reading.content.line)
        for reading in read_mbox(path)
        if isinstance(reading.content, ReadError)
    ]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    line = 7 * 404 + 1
    assert problems == [
        ("the message is larger than 128 MiB; save it without its attachments", line)
    ]
    assert path.stat().st_size > 20 * 2**20
    assert peak < 10 * 2**20


def test_a_message_that_breaks_the_parser_is_its_own_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(message: object) -> str:
        raise RuntimeError("broken\nin two lines")

    monkeypatch.setattr(mail, "read_date", fail)
    data = (b"From a@b " + _DATE + b"\nSubject: s\n\ntext\n") * 2
    documents, problems = read_bytes(tmp_path, "a.mbox", data)
    assert documents == []
    assert [(each.reason, each.line) for each in problems] == [
        ("the message cannot be read: broken", 1),
        ("the message cannot be read: broken", 5),
    ]
