"""One file read by the reader of its type, each document with its id and what is known of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import PurePosixPath
from types import MappingProxyType

from search_engine.errors import ReadError
from search_engine.ingest.files import SourceFile
from search_engine.ingest.limits import DEFAULT_LIMITS, Limits
from search_engine.ingest.problems import describe
from search_engine.ingest.readers import Fields, Reader, find_extension, ocr_readers, readers
from search_engine.ingest.reading import Record
from search_engine.ingest.records import document_of
from search_engine.ingest.settings import RootSettings
from search_engine.types import Document

_NO_SETTINGS = RootSettings()


def read_file(
    file: SourceFile,
    file_id: str,
    *,
    settings: RootSettings = _NO_SETTINGS,
    limits: Limits = DEFAULT_LIMITS,
) -> Iterator[Record]:
    """The records of one file, read in this process; `reading.read_files` uses others.

    Every document's metadata say `path` (below the root), `extension`, `modified` (ISO 8601, UTC;
    None where the time is out of range) and `title`, whatever the file says.

    Args:
        file_id: the `doc_id` of a document that is the whole file, and the beginning of others.
        settings: of the file's root.
        limits: how many characters are taken; nothing is measured of time and memory here.

    Raises:
        MemoryError: reading it takes more memory than there is.
    """
    return _FileReading(file, file_id, settings, limits).read()


class _FileReading:
    """The state of one `read_file`."""

    def __init__(
        self, file: SourceFile, file_id: str, settings: RootSettings, limits: Limits
    ) -> None:
        self._file = file
        self._file_id = file_id
        self._settings = settings
        self._limits = limits
        self._extension = find_extension(file.relative, ocr=settings.ocr)
        self._seen: set[str] = set()
        self._characters = 0

    def read(self) -> Iterator[Record]:
        anything = False
        try:
            for reading in self._open()(self._file.path):
                anything = True
                at = self._file.size if reading.bytes_read is None else reading.bytes_read
                yield self._make_record(reading.content, at)
            problem = None if anything else ReadError("", "is empty")
        except MemoryError:
            raise
        except ReadError as error:
            problem = error
        except SystemExit:
            problem = ReadError(
                "", "its reader wanted to end the program; see whether it is damaged"
            )
        except Exception as error:
            reason = f"cannot be read as a {self._extension} file: {describe(error)}"
            problem = ReadError("", reason)
        if problem is not None:
            yield self._make_problem(problem, self._file.size)

    def _open(self) -> Reader:
        if self._extension is None:
            raise ReadError("", "there is no reader for this type of file")
        if self._file.size == 0:
            raise ReadError("", "is empty")
        if self._settings.ocr and self._extension in ocr_readers:
            return ocr_readers.get(self._extension)
        return readers.get(self._extension)

    def _make_record(self, content: Document | Fields | ReadError, bytes_read: int) -> Record:
        if isinstance(content, Fields):
            content = document_of(content, self._settings.fields, self._seen)
        if isinstance(content, ReadError):
            self._count(len(content.reason))
            return self._make_problem(content, bytes_read)
        characters = _count_characters(content)
        self._count(characters)
        reason = _find_fault(content)
        if characters > self._limits.document_characters:
            most = _in_words(self._limits.document_characters)
            reason = f"says more than {most} characters in one document; split it"
        if reason is None:
            return Record(self._file, self._place_document(content), None, bytes_read)
        line = content.first_line if content.single_line else None
        return self._make_problem(ReadError("", reason, line=line), bytes_read)

    def _make_problem(self, problem: ReadError, bytes_read: int) -> Record:
        problem = ReadError(self._file.given, problem.reason, line=problem.line)
        return Record(self._file, None, problem, bytes_read)

    def _count(self, characters: int) -> None:
        self._characters += characters
        most = self._limits.characters_of(self._file.size)
        if self._characters > most:
            times = self._characters // self._file.size
            raise ReadError(
                "",
                f"says more than {_in_words(most)} characters, {times} times its size; "
                "the rest was not read: unpack it, or split it",
            )

    def _place_document(self, document: Document) -> Document:
        """The document as the index will know it: with its id and source, never without a name.

        A record's own `path` or `extension` is its own. It has no time of modification: that of its
        file would make every record another one whenever one of them changes.
        """
        doc_id, title = self._file_id, str(document.title)
        own = {str(name): _make_plain(value) for name, value in document.metadata.items()}
        known = {"path": self._file.relative, "extension": self._extension}
        metadata: dict[str, str | int | float | bool | None]
        if document.doc_id:
            doc_id = f"{doc_id}#{document.doc_id}"
            metadata = {**own, **{name: known[name] for name in known if name not in own}}
        else:
            title = title or PurePosixPath(self._file.relative).stem
            metadata = {**own, **known, "modified": _format_time(self._file.modified_ns)}
        metadata["title"] = title
        return replace(
            document,
            doc_id=doc_id,
            text=str(document.text),
            title=title,
            source=self._file.given,
            metadata=MappingProxyType(metadata),
        )


def _find_fault(document: Document) -> str | None:
    if not document.text.strip():
        return "is empty"
    for name, value in document.metadata.items():
        if not isinstance(name, str) or not isinstance(value, str | int | float | None):
            kind = type(value).__name__
            return f"its reader gives metadata that nothing can be compared with: {name!r} ({kind})"
    values = [value for value in document.metadata.values() if isinstance(value, str)]
    for value in (document.text, document.title, document.doc_id, *document.metadata, *values):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            half = ascii(value[error.start])
            return f"has half a character in it ({half}, a lone surrogate); write it out as UTF-8"
    return None


def _count_characters(document: Document) -> int:
    metadata = sum(len(str(each)) for item in document.metadata.items() for each in item)
    return len(document.text) + len(document.title) + len(document.doc_id) + metadata


def _make_plain(value: str | int | float | bool | None) -> str | int | float | bool | None:
    """The value without what a library's own kind of string or number adds to it."""
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return None


def _format_time(nanoseconds: int) -> str | None:
    """ISO 8601 in UTC, to the second; None for what is before the year 1 or after 9999."""
    try:
        moment = datetime.fromtimestamp(nanoseconds // 10**9, UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _in_words(count: int) -> str:
    return f"{count / 10**6:,.3g} million" if count >= 10**6 else f"{count:,}"
