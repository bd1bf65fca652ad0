"""Outlook's messages, made of the properties that the format has."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from search_engine.ingest.formats.codepages import find_codec
from tests.ingest.compound_file import write_compound_file
from tests.ingest.reading import read, read_one, read_problem

_SENT = datetime(2024, 5, 1, 8, 30, tzinfo=UTC)
_FILETIME = int((_SENT - datetime(1601, 1, 1, tzinfo=UTC)).total_seconds()) * 10**7


def _number(kind: int, key: int, value: int) -> bytes:
    return struct.pack("<HHIq", kind, key, 6, value)


def _message(streams: Mapping[str, bytes], *properties: bytes) -> bytes:
    named = {f"__substg1.0_{name}": data for name, data in streams.items()}
    return write_compound_file(
        {"__properties_version1.0": bytes(32) + b"".join(properties), **named}
    )


def test_unicode_message(tmp_path: Path) -> None:
    data = _message(
        {
            "0037001F": "Größe".encode("utf-16-le"),
            "0C1A001F": "Jörg Maß".encode("utf-16-le"),
            "0C1F001F": "/O=ORG/CN=JOERG".encode("utf-16-le"),
            "5D01001F": "joerg@example.org".encode("utf-16-le"),
            "0E04001F": "Ann; Bob".encode("utf-16-le"),
            "1000001F": "Zeile 1\r\nZeile 2\r\n\0".encode("utf-16-le"),
        },
        _number(0x40, 0x39, _FILETIME),
    )
    document = read_one(tmp_path, "a.msg", data)
    assert (document.title, document.text, document.markup) == (
        "Größe",
        "Zeile 1\nZeile 2",
        "plain",
    )
    assert dict(document.metadata) == {
        "author": "Jörg Maß <joerg@example.org>",
        "to": "Ann; Bob",
        "date": "2024-05-01T08:30:00+00:00",
    }


def test_message_in_a_code_page(tmp_path: Path) -> None:
    data = _message(
        {
            "0037001E": "Привет".encode("cp1251"),
            "0C1A001E": b"Ivan",
            "0C1F001E": b"/O=ORG/CN=IVAN",
            "1000001E": "мир".encode("koi8-r"),
        },
        _number(3, 0x3FFD, 1251),
        _number(3, 0x3FDE, 20866),
        _number(0x40, 0x0E06, _FILETIME),
    )
    document = read_one(tmp_path, "a.msg", data)
    assert (document.title, document.text) == ("Привет", "мир")
    assert document.metadata["author"] == "Ivan"
    assert document.metadata["date"] == "2024-05-01T08:30:00+00:00"


def test_html_body_and_names_of_attachments(tmp_path: Path) -> None:
    named = {
        "__properties_version1.0": bytes(32),
        "__substg1.0_10130102": "<h1>Maß</h1><p>text</p>".encode(),
        "__attach_version1.0_#00000000/__substg1.0_3707001F": "Long name.pdf".encode("utf-16-le"),
        "__attach_version1.0_#00000000/__substg1.0_3704001F": "LONGNA~1.PDF".encode("utf-16-le"),
        "__attach_version1.0_#00000001/__substg1.0_3704001E": b"short.doc",
    }
    document = read_one(tmp_path, "a.msg", write_compound_file(named))
    assert document.text == "# Maß\n\ntext\n\nAttachments: Long name.pdf, short.doc"
    assert document.markup == "markdown"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"From: a@b\n\ntext", "is not an Outlook message, whatever its name says"),
        (
            write_compound_file({"WordDocument": b"x"}),
            "is not an Outlook message but another old document",
        ),
        (_message({}), "has no text: neither its subject nor its body says anything"),
        (
            _message({"0037001F": b"S\0", "10090102": b"rtf"}),
            "has its text as RTF only, which is not read; save the message as .eml",
        ),
    ],
)
def test_no_message(tmp_path: Path, data: bytes, reason: str) -> None:
    assert read_problem(tmp_path, "a.msg", data) == (reason, None)


def test_damaged(tmp_path: Path) -> None:
    whole = _message({"1000001F": b"x\0" * 9000})
    reason, _ = read_problem(tmp_path, "a.msg", whole[:600])
    assert reason.startswith("is damaged: ")


@pytest.mark.parametrize(
    ("codepage", "codec"),
    [
        (1252, "cp1252"),
        (65001, "utf-8"),
        (-535, "utf-8"),
        (10000, "mac-roman"),
        (28592, "iso8859-2"),
        (28605, "iso8859-15"),
        (932, "cp932"),
        (65000, "utf-7"),
        (4, None),
        (None, None),
    ],
)
def test_codecs_of_code_pages(codepage: int | None, codec: str | None) -> None:
    assert find_codec(codepage) == codec


def test_a_message_of_outlook_itself(shared_data: Path) -> None:
    folder = shared_data / "folders/docs-mixed-markitdown/packages/markitdown/tests/test_files"
    documents, problems = read(folder / "test_outlook_msg.msg")
    assert problems == []
    (document,) = documents
    assert document.title == "Test Email Message"
    assert document.text == "This is the body of the test email message"
    assert document.metadata["to"] == "test.recipient@example.com"
    assert document.metadata["date"] == "2024-12-22T08:23:00+00:00"
