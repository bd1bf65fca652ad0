"""E-mail: single messages (.eml), mailboxes (.mbox), and what Outlook saves (.msg)."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from email.message import Message
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from search_engine.errors import ReadError
from search_engine.ingest.formats.mail_message import (
    is_encrypted,
    parse_message,
    read_body,
    read_date,
    read_header,
)
from search_engine.ingest.formats.plain import name_binary
from search_engine.ingest.problems import describe
from search_engine.ingest.readers import Reading
from search_engine.types import Document, Metadata

# The line before each message of a mailbox (RFC 4155): a sender and a date as of `asctime`. A line
# of text that begins with "From " has no such date.
_SEPARATOR = re.compile(
    rb"From .*\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +\d{1,2} "
    rb"+\d{1,2}:\d\d(?::\d\d)? .*\d{4}"
)
_QUOTED = re.compile(rb"^>(?=>*From )", re.MULTILINE)
# A message is held in memory whole, so one that has no end must not be read to its end.
_MAX_MESSAGE = 128 * 2**20
_MAX_LINE = 2**20
_TOO_LARGE = f"is larger than {_MAX_MESSAGE // 2**20} MiB; save it without its attachments"
_EMPTY = "has no text: neither its subject nor its body says anything"


@dataclass(frozen=True, slots=True)
class _Message:
    """A message as it stands in a mailbox.

    Attributes:
        line: 1-based line of the file on which it begins.
        data: its bytes; None where they are more than is read.
    """

    line: int
    data: bytes | None


def read_eml(path: Path) -> Iterator[Reading]:
    """One message as one document: its subject is the title, its text the plain one, else the HTML.

    The metadata are `author` (the sender), `to` and `date` (ISO, UTC), where the message says them.
    A message without text is its subject.

    Raises:
        ReadError: the file is no message, is encrypted, or says nothing.
    """
    if path.stat().st_size > _MAX_MESSAGE:
        raise ReadError(str(path), _TOO_LARGE)
    data = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    message = parse_message(data)
    if message is None:
        kind = name_binary(data) or "other text: it has no header"
        raise ReadError(str(path), f"is not an e-mail message but {kind}")
    yield Reading(_make_document(message, path))


def read_mbox(path: Path) -> Iterator[Reading]:
    """One document for each message, as `read_eml` reads it, and one problem for each that is none.

    The id is the Message-ID, or `message-<number>` where the message has none or one that stood
    before. The file is streamed: one message at a time is in memory, and the ids seen.

    Raises:
        ReadError: the file is no mailbox.
    """
    seen: set[str] = set()
    with path.open("rb") as file:
        for number, raw in enumerate(_split_messages(file, path), start=1):
            content: Document | ReadError
            try:
                content = _read_one(raw, path, f"message-{number}", seen)
            except ReadError as error:
                content = error
            except Exception as error:  # the other messages must not be lost with this one
                reason = f"the message cannot be read: {describe(error)}"
                content = ReadError(str(path), reason, line=raw.line)
            yield Reading(content, file.tell())


def read_outlook(path: Path) -> Iterator[Reading]:
    """One message as one document, as `read_eml` reads it.

    Raises:
        ReadError: the file is no Outlook message, or its text is in no form that is read.
    """
    # Outlook's files are the rarest: the others need nothing of this.
    from search_engine.ingest.formats.outlook_message import read_outlook_message

    found = read_outlook_message(path)
    if found.rtf_only:
        reason = "has its text as RTF only, which is not read; save the message as .eml"
        raise ReadError(str(path), reason)
    text = found.body.text if found.body.text.strip() else found.subject
    if not text:
        raise ReadError(str(path), _EMPTY)
    yield Reading(
        Document(
            doc_id="",
            text=text,
            title=found.subject,
            markup=found.body.markup,
            metadata=_make_metadata(found.sender, found.to, found.date),
        )
    )


def _read_one(raw: _Message, path: Path, fallback_id: str, seen: set[str]) -> Document:
    if raw.data is None:
        raise ReadError(str(path), f"the message {_TOO_LARGE}", line=raw.line)
    message = parse_message(_QUOTED.sub(b"", raw.data))
    if message is None:
        raise ReadError(str(path), "the message has no header", line=raw.line)
    try:
        document = _make_document(message, path)
    except ReadError as error:
        raise ReadError(str(path), f"the message {error.reason}", line=raw.line) from error
    message_id = read_header(message, "message-id").strip("<> ")
    doc_id = fallback_id if not message_id or message_id in seen else message_id
    seen.add(doc_id)
    # Decoding moves lines about, so all of it is said to stand where the message begins.
    return replace(document, doc_id=doc_id, first_line=raw.line, single_line=True)


def _make_document(message: Message, path: Path) -> Document:
    if is_encrypted(message):
        raise ReadError(str(path), "is encrypted; save it decrypted")
    subject = read_header(message, "subject")
    body = read_body(message)
    text = body.text if body.text.strip() else subject
    if not text:
        raise ReadError(str(path), _EMPTY)
    sender, to = read_header(message, "from"), read_header(message, "to")
    return Document(
        doc_id="",
        text=text,
        title=subject,
        markup=body.markup,
        metadata=_make_metadata(sender, to, read_date(message)),
    )


def _make_metadata(sender: str, to: str, date: str) -> Metadata:
    found = {"author": sender, "to": to, "date": date}
    return MappingProxyType({name: value for name, value in found.items() if value})


def _split_messages(file: BinaryIO, path: Path) -> Iterator[_Message]:
    """The messages between the separators, which are left out."""
    first = file.readline(_MAX_LINE)
    if _SEPARATOR.match(first) is None:
        kind = name_binary(first) or "something else: it does not begin with a From line"
        raise ReadError(str(path), f"is not a mailbox but {kind}")
    start = line = 1
    lines: list[bytes] | None = []
    size, begins_line = 0, first.endswith(b"\n")
    while data := file.readline(_MAX_LINE):
        line += begins_line
        if begins_line and data.startswith(b"From ") and _SEPARATOR.match(data) is not None:
            yield _Message(start, None if lines is None else b"".join(lines))
            start, lines, size = line, [], 0
        elif lines is not None:
            size += len(data)
            lines.append(data)
            if size > _MAX_MESSAGE:
                lines = None
        begins_line = data.endswith(b"\n")
    yield _Message(start, None if lines is None else b"".join(lines))
