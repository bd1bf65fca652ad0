"""Files of records that may be compressed by gzip."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import BinaryIO, cast

from search_engine.errors import ReadError

# What reading compressed data raises where it breaks off or is damaged.
GZIP_ERRORS = (EOFError, gzip.BadGzipFile, zlib.error)

_GZIP_MAGIC = b"\x1f\x8b"


def open_stream(path: Path, raw: BinaryIO) -> BinaryIO:
    """What the file says, decompressed where it is compressed, whatever its name.

    Args:
        path: of the file, for its extension.
        raw: the file, open at its beginning; `raw.tell()` goes on as the stream is read.

    Raises:
        ReadError: the name ends with .gz and the file is not compressed.
    """
    compressed = raw.read(2) == _GZIP_MAGIC
    raw.seek(0)
    if path.suffix.lower() == ".gz" and not compressed:
        raise ReadError(str(path), "is not a gzip file; check how it was downloaded")
    return cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if compressed else raw


def explain_damage(error: Exception, path: Path, line: int) -> ReadError:
    """The problem of a file whose compressed data ends at a line, for one of `GZIP_ERRORS`."""
    breaks_off = isinstance(error, EOFError)
    what = "breaks off here" if breaks_off else "is damaged from here on"
    reason = f"the compressed data {what}; the records before it were read"
    return ReadError(str(path), reason, line=line)
