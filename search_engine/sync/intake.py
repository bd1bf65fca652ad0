"""Files read into an index, each remembered as it was once its documents are in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from shutil import which

from search_engine.document_writer import DocumentWriter
from search_engine.errors import ReadError
from search_engine.index.store.known_files import KnownFile
from search_engine.index.store.roots import Root
from search_engine.ingest.files import SourceFile
from search_engine.ingest.reading import Record, read_files
from search_engine.ingest.settings import RootSettings
from search_engine.sync.plan import hash_file


@dataclass(frozen=True, slots=True)
class Vanished:
    """Documents that are in the index and no longer in their file, which was read to its end.

    Attributes:
        root_id: of the root that the file lies below.
        doc_ids: of the documents.
        file: what is to be remembered of the file once they are deleted.
    """

    root_id: str
    doc_ids: tuple[str, ...]
    file: KnownFile


@dataclass(slots=True)
class FilesRead:
    """What became of files.

    Attributes:
        indexed: files of which at least one document is in the index.
        unread: files of which none is; why stands among the problems.
        problems: what was wrong, in the order in which it was found.
        vanished: of files that were read without a problem.
    """

    indexed: int = 0
    unread: int = 0
    problems: list[ReadError] = field(default_factory=list)
    vanished: list[Vanished] = field(default_factory=list)


def store_roots(writer: DocumentWriter, settings: Mapping[Path, RootSettings]) -> dict[Path, Root]:
    """The roots of files to read, made where they are new, with their settings remembered."""
    return {path: writer.root(path, settings=each.as_json()) for path, each in settings.items()}


def read_into(
    writer: DocumentWriter,
    files: Sequence[SourceFile],
    roots: Mapping[Path, Root],
    *,
    found: Iterable[SourceFile],
    on_record: Callable[[Record], None] | None = None,
) -> FilesRead:
    """Read files and add their documents; nothing is deleted.

    A file is remembered, in the commit of its last document, if it did not change while it was
    read; until then, and if it did, it is one to be read again.

    Args:
        roots: by path, those of all the files.
        found: all files that there are, those that are not to be read too.
        on_record: called with each document and each problem, after it was dealt with.
    """
    return _Intake(writer, files, roots, found).read(on_record)


class _Intake:
    """The state of one `read_into`: the file that is being read, and what it gave so far."""

    def __init__(
        self,
        writer: DocumentWriter,
        files: Sequence[SourceFile],
        roots: Mapping[Path, Root],
        found: Iterable[SourceFile],
    ) -> None:
        self._writer = writer
        self._files = files
        self._roots = roots
        # Files whose ids look like those of another file's records: `notes` and `notes#1.md`.
        self._odd = {(file.root, file.relative) for file in found if "#" in file.relative}
        self._result = FilesRead()

    def read(self, on_record: Callable[[Record], None] | None) -> FilesRead:
        settings = {
            path: RootSettings.from_json(root.settings) for path, root in self._roots.items()
        }
        root_ids = {path: root.root_id for path, root in self._roots.items()}
        current: SourceFile | None = None
        doc_ids: set[str] = set()
        problems: list[ReadError] = []
        started = time.time_ns()
        for record in read_files(self._files, root_ids, settings=settings):
            if record.file is not current:
                if current is not None:
                    self._finish(current, doc_ids, problems, started)
                current, doc_ids, problems = record.file, set(), []
            if record.document is not None:
                if not doc_ids:
                    root_id = self._roots[current.root].root_id
                    self._writer.begin_file(root_id, current.relative)
                self._writer.add(record.document)
                doc_ids.add(record.document.doc_id)
            if record.problem is not None:
                problems.append(record.problem)
                self._result.problems.append(record.problem)
            if on_record is not None:
                on_record(record)
        if current is not None:
            self._finish(current, doc_ids, problems, started)
        return self._result

    def _finish(
        self, file: SourceFile, doc_ids: set[str], problems: list[ReadError], started: int
    ) -> None:
        left = [doc_id for doc_id in self._stored(file) if doc_id not in doc_ids]
        if doc_ids or left:
            self._result.indexed += 1
        else:
            self._result.unread += 1
        known = self._as_read(file, len(doc_ids), problems, started)
        if known is None or self._may_pass(file, problems):
            return
        if left and not problems:
            # Until somebody deletes them, the file is read again each time.
            self._result.vanished.append(Vanished(known.root_id, tuple(left), known))
            return
        self._writer.know_file(replace(known, documents=len(doc_ids) + len(left)))

    def _may_pass(self, file: SourceFile, problems: list[ReadError]) -> bool:
        """Whether the same file may be read well the next time."""
        ocr = bool(self._roots[file.root].settings.get("ocr"))
        lacks_program = bool(problems) and ocr and which("tesseract") is None
        return lacks_program or any(problem.passing for problem in problems)

    def _stored(self, file: SourceFile) -> list[str]:
        """The ids of the documents of a file that the index has."""
        root_id = self._roots[file.root].root_id
        others = [
            f"{root_id}/{relative}"
            for root, relative in self._odd
            if root == file.root and relative.startswith(f"{file.relative}#")
        ]
        return [
            doc_id
            for doc_id in self._writer.documents_of_file(root_id, file.relative)
            if not any(doc_id == each or doc_id.startswith(f"{each}#") for each in others)
        ]

    def _as_read(
        self, file: SourceFile, documents: int, problems: list[ReadError], started: int
    ) -> KnownFile | None:
        """What to remember of a file; None where it is no longer what was read."""
        try:
            digest = hash_file(file.path)
            status = file.path.stat()
        except OSError:
            return None
        if (status.st_size, status.st_mtime_ns) != (file.size, file.modified_ns):
            return None
        return KnownFile(
            root_id=self._roots[file.root].root_id,
            relative=file.relative,
            size=file.size,
            modified_ns=file.modified_ns,
            content_hash=digest,
            documents=documents,
            problems=tuple((each.reason, each.line) for each in problems),
            read_ns=started,
        )
