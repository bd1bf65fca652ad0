"""Plain text files, and the decoding that all text formats share."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from search_engine.errors import ReadError
from search_engine.ingest.formats.encodings import find_unmarked_encoding, guess_legacy_encoding
from search_engine.ingest.readers import Reading
from search_engine.types import Document

# A file that begins so is something else, whatever its name says.
_SIGNATURES = {
    b"%PDF-": "a PDF file",
    b"PK\x03\x04": "a ZIP archive or an office document",
    b"\xd0\xcf\x11\xe0": "an old office document",
    b"\x1f\x8b": "a gzip file",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"SQLite format 3\x00": "a SQLite database",
    b"\x7fELF": "a program",
    b"MZ": "a program",
}
# The longer marks first: the mark of UTF-32 begins with that of UTF-16.
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# How much of a file is looked at: to tell what it is, and to tell its legacy encoding.
_BEGINNING = 65_536
_SAMPLE = 8_192
# Text has white space and, in logs of terminals, escape, bell and backspace.
_CONTROLS = bytes(byte for byte in range(32) if byte not in b"\t\n\v\f\r\x1b\a\b")
# ISO-2022-JP is all ASCII; this begins each of its stretches of Japanese.
_JAPANESE_ESCAPES = (b"\x1b$B", b"\x1b$@")


@dataclass(frozen=True, slots=True)
class DecodedText:
    """The characters of a text file.

    Attributes:
        text: the characters, line ends as they are, without a byte order mark.
        encoding: Python's name of the encoding it was in.
        problem: which bytes do not decode and stand as U+FFFD in the text; None without any.
    """

    text: str
    encoding: str
    problem: ReadError | None = None


def read_plain(path: Path) -> Iterator[Reading]:
    """The file as one document of plain text, exactly as it stands but for a byte order mark.

    Bytes that are not in the encoding of the rest are a problem of their own.

    Raises:
        ReadError: the file is not text, or in no encoding that is recognised.
    """
    decoded = read_text(path)
    if decoded.problem is not None:
        yield Reading(decoded.problem)
    yield Reading(Document(doc_id="", text=decoded.text, first_line=1))


def read_text(path: Path) -> DecodedText:
    """The characters of a text file, in whichever encoding it is.

    In this order: what a byte order mark says; UTF-16 or UTF-32 by their zero bytes; ISO-2022-JP
    by its escapes; UTF-8, if need be with some bytes that are not (fewer than it has characters
    beyond ASCII); the legacy encoding in which it reads like a language.

    Raises:
        ReadError: the file is not text, or in no encoding that is recognised; the line is that of
            the first byte that does not decode.
    """
    data = path.read_bytes()
    kind = name_binary(data)
    if kind is not None:
        raise ReadError(str(path), f"is not text but {kind}; give it its own extension")
    return decode_text(data, path)


def decode_text(data: bytes, path: Path) -> DecodedText:
    """The characters of data that is known to be text, in whichever encoding; see `read_text`.

    Args:
        path: the file it came from, for what is said of it.

    Raises:
        ReadError: as `read_text` does.
    """
    encoding = find_encoding(data)
    if encoding.startswith(("utf-16", "utf-32")):
        return _decode_marked(data, encoding, path)
    if any(escape in data[:_BEGINNING] for escape in _JAPANESE_ESCAPES) and data.isascii():
        try:
            return DecodedText(data.decode("iso2022_jp"), "iso2022_jp")
        except UnicodeDecodeError:
            encoding = "utf-8"
    try:
        return DecodedText(data.decode(encoding), encoding)
    except UnicodeDecodeError as error:
        return _decode_damaged(data, encoding, error, path)


def find_encoding(data: bytes) -> str:
    """The Unicode encoding of a file by its beginning; UTF-8 where nothing says another.

    That is what a byte order mark names, else UTF-16 or UTF-32 where the zero bytes stand as
    theirs do.

    Args:
        data: the beginning, 64 KiB or all of the file.
    """
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            return encoding
    if b"\x00" in data[:_BEGINNING] and not data.startswith(tuple(_SIGNATURES)):
        return find_unmarked_encoding(data[:_BEGINNING]) or "utf-8"
    return "utf-8"


def name_binary(data: bytes) -> str | None:
    """What a file is that should be text and is not, by its beginning; None when it may be text."""
    if find_encoding(data).startswith(("utf-16", "utf-32")):
        return None
    beginning = data[:_BEGINNING]
    zeros = b"\x00" in beginning
    if zeros or data.startswith((b"%PDF-", b"\x1f\x8b")):
        for signature, kind in _SIGNATURES.items():
            if data.startswith(signature):
                return kind
    if zeros:
        return "binary data (it has zero bytes)"
    controls = len(beginning) - len(beginning.translate(None, _CONTROLS))
    if 10 * controls > len(beginning):
        return "binary data (it has control characters)"
    return None


def _decode_marked(data: bytes, encoding: str, path: Path) -> DecodedText:
    try:
        return DecodedText(data.decode(encoding), encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].decode(encoding, errors="replace").count("\n") + 1
        name = encoding[:6].upper()
        what = f"breaks off or is damaged as {name}; save the file again as UTF-8"
        raise ReadError(str(path), what, line=line) from error


def _decode_damaged(
    data: bytes, encoding: str, error: UnicodeDecodeError, path: Path
) -> DecodedText:
    """What is not UTF-8 throughout: UTF-8 with bad bytes, or in a legacy encoding."""
    is_marked = encoding == "utf-8-sig"
    data = data.removeprefix(codecs.BOM_UTF8)  # what the error counts from
    line = data.count(b"\n", 0, error.start) + 1
    text = data.decode(errors="replace")
    bad = text.count("\ufffd") - data.count("\ufffd".encode())
    beyond_ascii = len(text) - len(data.translate(None, bytes(range(128, 256)))) - bad
    if is_marked or beyond_ascii > bad:
        return _report_replaced(text, encoding, bad, line=line, path=path)
    begin = data.rfind(b"\n", max(0, error.start - _SAMPLE), error.start) + 1
    sample = data[begin or max(0, error.start - _SAMPLE // 2) :][:_SAMPLE]
    legacy = guess_legacy_encoding(sample)
    if legacy is None:
        what = f"byte 0x{data[error.start]:02x} is not UTF-8; convert the file to UTF-8"
        raise ReadError(str(path), what, line=line) from error
    try:
        return DecodedText(data.decode(legacy), legacy)
    except UnicodeDecodeError as legacy_error:
        line = data.count(b"\n", 0, legacy_error.start) + 1
        text = data.decode(legacy, errors="replace")
        return _report_replaced(text, legacy, text.count("\ufffd"), line=line, path=path)


def _report_replaced(text: str, encoding: str, count: int, *, line: int, path: Path) -> DecodedText:
    name = encoding.removesuffix("-sig").upper()
    places = f"{count:,} places here and below" if count > 1 else "one place here"
    reason = f"is {name} but for {places}, indexed as \ufffd; save the file again as UTF-8"
    return DecodedText(text, encoding, ReadError(str(path), reason, line=line))
