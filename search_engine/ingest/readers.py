"""Which reader opens which type of file, and what a reader yields."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TypeAlias

from search_engine.errors import ReadError
from search_engine.registry import Registry
from search_engine.types import Document


@dataclass(frozen=True, slots=True)
class Fields:
    """A record of a file whose fields have names (a line of JSONL, a row of a table).

    `records.document_of` makes a document of it, by the names that a person gave or by custom. A
    row of a table is a `records.Row`.

    Attributes:
        values: by field, as the file has them.
        key: names the record in its file where no field does, such as "line-7" or "row-7".
        line: 1-based line of the file, where the format has lines.
    """

    values: Mapping[str, object]
    key: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """One thing that a reader found in a file.

    Attributes:
        content: a document, the fields that make one, or what is wrong with a part of the file.
            The `doc_id` of a document is its id within the file, "" where the document is the whole
            file; `source`, an empty title and what is known of the file are added later.
        bytes_read: how far into the file the reader is, in bytes on disk; None after the whole.
    """

    content: Document | Fields | ReadError
    bytes_read: int | None = None


Reader: TypeAlias = Callable[[Path], Iterator[Reading]]

readers: Registry[Reader] = Registry(
    "reader",
    group="search_engine.readers",
    builtin={
        ".adoc": "search_engine.ingest.formats.plain:read_plain",
        ".arrow": "search_engine.ingest.formats.arrow:read_arrow",
        ".asciidoc": "search_engine.ingest.formats.plain:read_plain",
        ".bash": "search_engine.ingest.formats.code:read_code",
        ".c": "search_engine.ingest.formats.code:read_code",
        ".cc": "search_engine.ingest.formats.code:read_code",
        ".cfg": "search_engine.ingest.formats.plain:read_plain",
        ".cjs": "search_engine.ingest.formats.code:read_code",
        ".conf": "search_engine.ingest.formats.plain:read_plain",
        ".cpp": "search_engine.ingest.formats.code:read_code",
        ".cs": "search_engine.ingest.formats.code:read_code",
        ".csv": "search_engine.ingest.formats.delimited:read_delimited",
        ".csv.gz": "search_engine.ingest.formats.delimited:read_delimited",
        ".cxx": "search_engine.ingest.formats.code:read_code",
        ".docx": "search_engine.ingest.formats.office:read_office",
        ".eml": "search_engine.ingest.formats.mail:read_eml",
        ".epub": "search_engine.ingest.formats.epub:read_epub",
        ".go": "search_engine.ingest.formats.code:read_code",
        ".h": "search_engine.ingest.formats.code:read_code",
        ".hh": "search_engine.ingest.formats.code:read_code",
        ".hpp": "search_engine.ingest.formats.code:read_code",
        ".htm": "search_engine.ingest.formats.html:read_html",
        ".html": "search_engine.ingest.formats.html:read_html",
        ".ini": "search_engine.ingest.formats.plain:read_plain",
        ".ipynb": "search_engine.ingest.formats.notebook:read_notebook",
        ".java": "search_engine.ingest.formats.code:read_code",
        ".js": "search_engine.ingest.formats.code:read_code",
        ".json": "search_engine.ingest.formats.plain:read_plain",
        ".jsonl": "search_engine.ingest.formats.jsonl:read_jsonl",
        ".jsonl.gz": "search_engine.ingest.formats.jsonl:read_jsonl",
        ".jsx": "search_engine.ingest.formats.code:read_code",
        ".log": "search_engine.ingest.formats.plain:read_plain",
        ".markdown": "search_engine.ingest.formats.markdown:read_markdown",
        ".mbox": "search_engine.ingest.formats.mail:read_mbox",
        ".md": "search_engine.ingest.formats.markdown:read_markdown",
        ".mdx": "search_engine.ingest.formats.markdown:read_markdown",
        ".mjs": "search_engine.ingest.formats.code:read_code",
        ".msg": "search_engine.ingest.formats.mail:read_outlook",
        ".ndjson": "search_engine.ingest.formats.jsonl:read_jsonl",
        ".ndjson.gz": "search_engine.ingest.formats.jsonl:read_jsonl",
        ".odp": "search_engine.ingest.formats.opendocument:read_opendocument",
        ".ods": "search_engine.ingest.formats.opendocument:read_opendocument",
        ".odt": "search_engine.ingest.formats.opendocument:read_opendocument",
        ".org": "search_engine.ingest.formats.plain:read_plain",
        ".parquet": "search_engine.ingest.formats.arrow:read_parquet",
        ".pdf": "search_engine.ingest.formats.pdf:read_pdf",
        ".php": "search_engine.ingest.formats.code:read_code",
        ".pptx": "search_engine.ingest.formats.office:read_office",
        ".properties": "search_engine.ingest.formats.plain:read_plain",
        ".py": "search_engine.ingest.formats.code:read_code",
        ".pyi": "search_engine.ingest.formats.code:read_code",
        ".rb": "search_engine.ingest.formats.code:read_code",
        ".rest": "search_engine.ingest.formats.rst:read_rst",
        ".rs": "search_engine.ingest.formats.code:read_code",
        ".rst": "search_engine.ingest.formats.rst:read_rst",
        ".sh": "search_engine.ingest.formats.code:read_code",
        ".sql": "search_engine.ingest.formats.plain:read_plain",
        ".srt": "search_engine.ingest.formats.plain:read_plain",
        ".tex": "search_engine.ingest.formats.plain:read_plain",
        ".text": "search_engine.ingest.formats.plain:read_plain",
        ".toml": "search_engine.ingest.formats.plain:read_plain",
        ".ts": "search_engine.ingest.formats.code:read_code",
        ".tsv": "search_engine.ingest.formats.delimited:read_delimited",
        ".tsv.gz": "search_engine.ingest.formats.delimited:read_delimited",
        ".tsx": "search_engine.ingest.formats.code:read_code",
        ".txt": "search_engine.ingest.formats.plain:read_plain",
        ".vtt": "search_engine.ingest.formats.plain:read_plain",
        ".xhtml": "search_engine.ingest.formats.html:read_html",
        ".xls": "search_engine.ingest.formats.office:read_office",
        ".xlsx": "search_engine.ingest.formats.office:read_office",
        ".xml": "search_engine.ingest.formats.plain:read_plain",
        ".yaml": "search_engine.ingest.formats.plain:read_plain",
        ".yml": "search_engine.ingest.formats.plain:read_plain",
    },
)

# What projects call their texts, with or without more behind a dash: LICENSE-MIT.
_PLAIN_NAME = re.compile(
    r"(?:readme|licen[cs]e|copying|copyright|notice|authors|contributors|contributing|changelog"
    r"|changes|history|news|install|todo|makefile|dockerfile)(?:[-_][\w-]+)?",
    re.IGNORECASE,
)
# Consulted first where text recognition was asked for (`RootSettings.ocr`).
ocr_readers: Registry[Reader] = Registry(
    "reader with text recognition",
    group="search_engine.ocr_readers",
    builtin={
        ".bmp": "search_engine.ingest.formats.ocr:read_image",
        ".jpeg": "search_engine.ingest.formats.ocr:read_image",
        ".jpg": "search_engine.ingest.formats.ocr:read_image",
        ".pdf": "search_engine.ingest.formats.ocr:read_scanned_pdf",
        ".png": "search_engine.ingest.formats.ocr:read_image",
        ".tif": "search_engine.ingest.formats.ocr:read_image",
        ".tiff": "search_engine.ingest.formats.ocr:read_image",
        ".webp": "search_engine.ingest.formats.ocr:read_image",
    },
)


def known_extensions(*, ocr: bool = False) -> list[str]:
    """All extensions that have a reader, sorted."""
    return sorted({*readers.names(), *(ocr_readers.names() if ocr else ())})


def find_extension(path: str, *, ocr: bool = False) -> str | None:
    """The longest extension of a file that has a reader, in lower case; None without one.

    A file without an extension whose name says that it is text, such as README, is a .txt file.

    Args:
        ocr: whether the readers that recognise text count too.
    """
    if _PLAIN_NAME.fullmatch(PurePath(path).name):
        return ".txt"
    suffixes = [suffix.lower() for suffix in PurePath(path).suffixes]
    for first in range(len(suffixes)):
        extension = "".join(suffixes[first:])
        if extension in readers or (ocr and extension in ocr_readers):
            return extension
    return None
