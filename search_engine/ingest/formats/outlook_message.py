"""The properties of an Outlook message (.msg; Microsoft, [MS-OXMSG] and [MS-OXPROPS])."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import olefile

from search_engine.errors import ReadError
from search_engine.ingest.formats.codepages import find_codec
from search_engine.ingest.formats.html_markdown import convert_html
from search_engine.ingest.formats.mail_message import MailText, format_moment

_PROPERTIES = "__properties_version1.0"
_HEADER_SIZE = 32
_ENTRY = struct.Struct("<HHI8s")
_LONG, _TIME = 0x0003, 0x0040
_STRING8, _UNICODE, _BINARY = "001E", "001F", "0102"

_SUBJECT = "0037"
_SENDER_NAME = "0C1A"
_SENDER_ADDRESS = "0C1F"
_SENDER_SMTP = "5D01"
_TO = "0E04"
_BODY = "1000"
_RTF = "1009"
_HTML = "1013"
_SENT, _RECEIVED = 0x0039, 0x0E06
_BODY_CODEPAGE, _MESSAGE_CODEPAGE = 0x3FDE, 0x3FFD
_FILE_NAMES = ("3707", "3704")
_ATTACHMENT = "__attach_version1.0_"

# A FILETIME counts tenths of microseconds from here.
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class OutlookMessage:
    """What a message says.

    Attributes:
        subject, sender, to: as text; "" where the message does not say.
        date: the time of sending, ISO 8601 in UTC, or "".
        rtf_only: the text is there in a form that is not read.
    """

    subject: str
    sender: str
    to: str
    date: str
    body: MailText
    rtf_only: bool


def read_outlook_message(path: Path) -> OutlookMessage:
    """The message in a file.

    Raises:
        ReadError: the file is no Outlook message, or is damaged.
    """
    if not olefile.isOleFile(path):
        raise ReadError(str(path), "is not an Outlook message, whatever its name says")
    try:
        with olefile.OleFileIO(path) as container:
            if not container.exists(_PROPERTIES):
                raise ReadError(str(path), "is not an Outlook message but another old document")
            return _read_container(container)
    except (OSError, ValueError, IndexError) as error:
        raise ReadError(str(path), f"is damaged: {error}") from error


def _read_container(container: olefile.OleFileIO) -> OutlookMessage:
    numbers = _read_numbers(container)
    codec = find_codec(numbers.get(_MESSAGE_CODEPAGE) or numbers.get(_BODY_CODEPAGE)) or "cp1252"
    body_codec = find_codec(numbers.get(_BODY_CODEPAGE)) or codec
    text, markup = _read_string(container, _BODY, body_codec), "plain"
    text = text.replace("\r\n", "\n").strip("\n")
    if not text.strip():
        text, markup = convert_html(_read_html(container, body_codec)), "markdown"
    has_rtf = _read_stream(container, f"__substg1.0_{_RTF}{_BINARY}") != b""
    rtf_only = not text and has_rtf
    names = _list_attachments(container, codec)
    if names and not rtf_only:
        text = "\n\n".join(filter(None, [text, f"Attachments: {', '.join(names)}"]))
    name = _read_line(container, _SENDER_NAME, codec)
    address = _read_line(container, _SENDER_SMTP, codec)
    address = address or _read_line(container, _SENDER_ADDRESS, codec)
    # Within an organisation an address is a path of its directory, which nobody knows.
    if not name or ("@" in address and address != name):
        name = f"{name} <{address}>" if name else address
    return OutlookMessage(
        subject=_read_line(container, _SUBJECT, codec),
        sender=name,
        to=_read_line(container, _TO, codec),
        date=_format_time(numbers.get(_SENT) or numbers.get(_RECEIVED)),
        body=MailText(text, markup),
        rtf_only=rtf_only,
    )


def _read_numbers(container: olefile.OleFileIO) -> dict[int, int]:
    """The properties of a fixed size that are numbers or times, by their id."""
    data = _read_stream(container, _PROPERTIES)[_HEADER_SIZE:]
    numbers = {}
    for kind, key, _flags, value in _ENTRY.iter_unpack(data[: len(data) // 16 * 16]):
        if kind == _LONG:
            numbers[key] = int.from_bytes(value[:4], "little", signed=True)
        elif kind == _TIME:
            numbers[key] = int.from_bytes(value, "little")
    return numbers


def _format_time(filetime: int | None) -> str:
    if not filetime:
        return ""
    try:
        return format_moment(_EPOCH + timedelta(microseconds=filetime // 10))
    except OverflowError:
        return ""


def _read_html(container: olefile.OleFileIO, codec: str) -> str:
    data = _read_stream(container, f"__substg1.0_{_HTML}{_BINARY}")
    if not data:
        return _read_string(container, _HTML, codec)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode(codec, errors="replace")


def _list_attachments(container: olefile.OleFileIO, codec: str) -> list[str]:
    """The names of the attached files; the long form before the old one of 8 letters."""
    folders = sorted({entry[0] for entry in container.listdir() if len(entry) > 1})
    names = []
    for folder in folders:
        if folder.startswith(_ATTACHMENT):
            found = (_read_line(container, name, codec, folder=folder) for name in _FILE_NAMES)
            names.append(next(filter(None, found), ""))
    return [name for name in names if name]


def _read_line(container: olefile.OleFileIO, key: str, codec: str, *, folder: str = "") -> str:
    return " ".join(_read_string(container, key, codec, folder=folder).split())


def _read_string(container: olefile.OleFileIO, key: str, codec: str, *, folder: str = "") -> str:
    """A property of text, stored as UTF-16 or in the code page of the message."""
    place = f"{folder}/__substg1.0_{key}" if folder else f"__substg1.0_{key}"
    data = _read_stream(container, place + _UNICODE)
    if data:
        text = data.decode("utf-16-le", errors="replace")
    else:
        text = _read_stream(container, place + _STRING8).decode(codec, errors="replace")
    return text.replace("\x00", "")


def _read_stream(container: olefile.OleFileIO, place: str) -> bytes:
    if not container.exists(place):
        return b""
    with container.openstream(place) as stream:
        return bytes(stream.read())
