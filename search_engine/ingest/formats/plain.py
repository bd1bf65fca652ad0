"""Plain text files, and the decoding that all text formats share."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

from search_engine.errors import ReadError
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


def read_plain(path: Path) -> Iterator[Reading]:
    """The file as one document of plain text, exactly as it stands but for a byte order mark.

    Raises:
        ReadError: the file is not text, or not in the encoding it should be in.
    """
    yield Reading(Document(doc_id="", text=read_text(path), first_line=1))


def read_text(path: Path) -> str:
    """The characters of a text file, line ends as they are, without a byte order mark.

    UTF-8, or what the byte order mark says (UTF-8, UTF-16, UTF-32).

    Raises:
        ReadError: the file is not text, or not in that encoding; the line is that of the first
            byte that does not decode.
    """
    data = path.read_bytes()
    encoding = find_encoding(data)
    kind = name_binary(data)
    if kind is not None:
        raise ReadError(str(path), f"is not text but {kind}; give it its own extension")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding.removesuffix("-sig").upper()
        if name == "UTF-8":
            line = data.count(b"\n", 0, error.start) + 1
            what = f"byte 0x{data[error.start]:02x} is not {name}; convert the file to UTF-8"
        else:
            line = data[: error.start].decode(encoding, errors="replace").count("\n") + 1
            what = f"breaks off or is damaged as {name}; save the file again as UTF-8"
        raise ReadError(str(path), what, line=line) from error


def find_encoding(data: bytes) -> str:
    """The encoding that the byte order mark at the beginning of a file names, UTF-8 without one."""
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if data.startswith(mark):
            return encoding
    return "utf-8"


def name_binary(data: bytes) -> str | None:
    """What a file is that should be text and is not, by its beginning; None when it may be text."""
    if find_encoding(data) in {"utf-16", "utf-32"}:
        return None
    if b"\x00" not in data[:65536] and not data.startswith((b"%PDF-", b"\x1f\x8b")):
        return None
    for signature, kind in _SIGNATURES.items():
        if data.startswith(signature):
            return kind
    return "binary data (it has zero bytes)"
