"""What an internet message (RFC 5322, MIME) says, however badly it is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import Header, decode_header
from email.message import Message
from email.utils import parsedate_to_datetime

from search_engine.ingest.formats.html_markdown import convert_html

_TEXTS = ("text/plain", "text/html")
_ENCRYPTED = ("multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime")
_SIGNATURES = ("application/pgp-signature", "application/pkcs7-signature")
_HEADERS = (
    "from",
    "to",
    "subject",
    "date",
    "received",
    "message-id",
    "mime-version",
    "return-path",
)


@dataclass(frozen=True, slots=True)
class MailText:
    """What a message says.

    Attributes:
        markup: "markdown" where all of the body was HTML, else "plain".
    """

    text: str
    markup: str


def parse_message(data: bytes) -> Message | None:
    """The message, None where the data has no header of one."""
    # By the old rules: those of `policy.default` raise on some broken headers (Python 3.11).
    message = message_from_bytes(data)
    if not any(name.lower() in _HEADERS for name in message):
        return None
    return message


def read_header(message: Message, name: str) -> str:
    """A header on one line, decoded; "" without one."""
    return _decode_header(message.get(name, ""))


def read_date(message: Message) -> str:
    """The time of sending, ISO 8601 in UTC; "" where the message does not say one."""
    try:
        moment = parsedate_to_datetime(read_header(message, "date"))
        # RFC 5322 writes -0000 where the place is not known; the time then is UTC too.
        zoned = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return format_moment(zoned.astimezone(UTC))
    except (ValueError, OverflowError, IndexError, TypeError):
        return ""


def format_moment(moment: datetime) -> str:
    """A time in UTC as mails have it in the metadata."""
    return moment.isoformat(timespec="seconds")


def read_body(message: Message) -> MailText:
    """The text of a message: of alternatives the plain one, else the HTML turned into Markdown.

    Parts that are shown one below the other are joined. A message that is attached stands where it
    is, with its own subject and sender. The names of attached files stand at the end.
    """
    markups: set[str] = set()
    names: list[str] = []
    blocks = list(_read_part(message, markups, names))
    if names:
        blocks.append(f"Attachments: {', '.join(names)}")
    return MailText("\n\n".join(blocks), "markdown" if markups == {"markdown"} else "plain")


def is_encrypted(message: Message) -> bool:
    """Whether the message is one that only its recipient can read (OpenPGP, S/MIME)."""
    return message.get_content_type() in _ENCRYPTED


def _read_part(part: Message, markups: set[str], names: list[str]) -> Iterator[str]:
    kind = part.get_content_type()
    if kind == "message/rfc822":
        for inner in _list_parts(part):
            yield from _read_attached(inner, markups, names)
    elif kind == "multipart/alternative":
        yield from _read_alternative(part, markups, names)
    elif part.is_multipart():
        for inner in _list_parts(part):
            yield from _read_part(inner, markups, names)
    elif part.get_content_disposition() == "attachment" or kind not in _TEXTS:
        name = _decode_header(part.get_filename(""))
        if name and kind not in _SIGNATURES:
            names.append(name)
    else:
        text = _read_text(part)
        if text.strip():
            markups.add("markdown" if kind == "text/html" else "plain")
            yield text


def _list_parts(part: Message) -> list[Message]:
    """The parts of a part; none of one that only claims to have some."""
    payload = part.get_payload()
    if not isinstance(payload, list):
        return []
    return [inner for inner in payload if isinstance(inner, Message)]


def _read_alternative(part: Message, markups: set[str], names: list[str]) -> Iterator[str]:
    """The first that says something: the plain one before the others."""
    for each in sorted(_list_parts(part), key=lambda each: each.get_content_type() != "text/plain"):
        blocks = list(_read_part(each, markups, names))
        if blocks:
            yield from blocks
            return


def _read_attached(message: Message, markups: set[str], names: list[str]) -> Iterator[str]:
    headers = [(name, read_header(message, name)) for name in ("Subject", "From")]
    lines = "\n".join(f"{name}: {value}" for name, value in headers if value)
    if lines:
        yield lines
    yield from _read_part(message, markups, names)


def _read_text(part: Message) -> str:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return ""
    text = _decode(payload, part.get_content_charset())
    if part.get_content_type() == "text/html":
        return convert_html(text)
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "").strip("\n")


def _decode(data: bytes, charset: str | None) -> str:
    """The text in the charset that is named, if that is right; else UTF-8, else as it is shown."""
    for name in (charset, "utf-8"):
        try:
            return data.decode(name or "ascii")
        except (LookupError, ValueError):
            continue
    return data.decode("cp1252", errors="replace")


def _decode_header(value: str | Header) -> str:
    """The text of a header, with its encoded words (RFC 2047) or its bytes beyond ASCII decoded."""
    try:
        parts = decode_header(value)
    except HeaderParseError:
        parts = [(str(value), None)]
    text = "".join(
        part if isinstance(part, str) else _decode(part, charset) for part, charset in parts
    )
    return " ".join(text.replace("\x00", "").split())
