"""Files and folders that a person names, and the documents in them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from search_engine.errors import ReadError
from search_engine.ingest.readers import Reading, find_extension, readers
from search_engine.types import Document

_BEIR_CORPORA = ("corpus.jsonl", "corpus.jsonl.gz")
_BEIR_QUESTIONS = frozenset({"queries.jsonl", "queries.jsonl.gz", *_BEIR_CORPORA})


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file to be read.

    Attributes:
        path: resolved, to open.
        given: the path as the user would recognise it: the given root joined with the path below.
        root: the resolved folder that was given; the parent folder of a file given directly.
        relative: POSIX path below the root.
        size: in bytes.
    """

    path: Path
    given: str
    root: Path
    relative: str
    size: int


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """What stands in the files and folders that were given.

    Attributes:
        files: those that have a reader, by `given`.
        problems: what was given and cannot be read: a path that is missing, a folder without a
            file that has a reader, a folder that may not be listed, a file without a reader.
        skipped: extension -> number of files in folders that were passed over, because their type
            has no reader or because they lie beside the corpus of a BEIR data set.
    """

    files: tuple[SourceFile, ...]
    problems: tuple[ReadError, ...]
    skipped: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Record:
    """One document of a file, or what is wrong with a part of it: exactly one of the two.

    Attributes:
        bytes_read: how far into the file this is, in bytes on disk.
    """

    file: SourceFile
    document: Document | None
    problem: ReadError | None
    bytes_read: int


def find_files(paths: Sequence[str | Path]) -> FoundFiles:
    """The files to read in the files and folders given; nothing is opened.

    Hidden files and folders are left out, unless given themselves. Links are followed once. A
    file that is reached twice is taken once, under its own name rather than a link's. In a folder
    in the BEIR layout (it has `corpus.jsonl` or `corpus.jsonl.gz`) only the corpus is taken.
    """
    search = _Search()
    for path in paths:
        search.add(Path(path))
    return FoundFiles(
        files=tuple(sorted(search.files.values(), key=lambda file: file.given)),
        problems=tuple(search.problems),
        skipped=MappingProxyType(dict(sorted(search.skipped.items()))),
    )


class _Search:
    """The state of one `find_files`: what was found and where it has been."""

    def __init__(self) -> None:
        self.files: dict[Path, SourceFile] = {}
        self.problems: list[ReadError] = []
        self.skipped: Counter[str] = Counter()
        self._folders: set[Path] = set()

    def add(self, given: Path) -> None:
        """Take a file or a folder that the user named."""
        try:
            path = given.resolve(strict=True)
        except FileNotFoundError:
            self._report(given, "does not exist; check the spelling")
        except (OSError, RuntimeError) as error:
            self._report(given, _say(error))
        else:
            if path.is_dir():
                self._add_folder(given, path)
            elif not path.is_file():
                self._report(given, "is neither a file nor a folder")
            elif find_extension(given.name) is None:
                what = given.suffix.lower() or "files without an extension"
                known = ", ".join(readers.names())
                self._report(given, f"there is no reader for {what}; there are for {known}")
            else:
                self._take(path, given, path.parent, given.name)

    def _add_folder(self, given: Path, root: Path) -> None:
        if root in self._folders:
            return
        known, problems = len(self.files), len(self.problems)
        # Links wait until everything that lies here itself is known, so that a file is taken
        # under its own name and a link back up finds its goal already visited.
        links: list[Path] = []
        self._walk(root, PurePosixPath(), given, root, links)
        while links:
            self._follow(links.pop(0), given, root, links)
        if len(self.files) == known and len(self.problems) == problems:
            self._report(given, "has no file in it that there is a reader for")

    def _walk(
        self, folder: Path, below: PurePosixPath, given: Path, root: Path, links: list[Path]
    ) -> None:
        pending = [(folder, below)]
        while pending:
            folder, below = pending.pop()
            if folder in self._folders:
                continue
            self._folders.add(folder)
            try:
                with os.scandir(folder) as scan:
                    entries = sorted(scan, key=lambda entry: entry.name)
                    visible = [entry for entry in entries if not entry.name.startswith(".")]
                    corpus = _find_corpus(folder)
                    for entry in visible:
                        place = below / entry.name
                        if corpus is not None and entry.name == "qrels":
                            continue
                        if entry.is_symlink():
                            links.append(root / place)
                        elif entry.is_dir():
                            pending.append((folder / entry.name, place))
                        elif entry.is_file():
                            self._consider(folder / entry.name, place, given, root, corpus)
            except OSError as error:
                self._report(given / below, _say(error))

    def _follow(self, link: Path, given: Path, root: Path, links: list[Path]) -> None:
        place = PurePosixPath(link.relative_to(root).as_posix())
        try:
            path = link.resolve(strict=True)
        except (OSError, RuntimeError):
            if find_extension(link.name) is not None:
                self._report(given / place, "is a link that leads nowhere")
            return
        if path.is_dir():
            self._walk(path, place, given, root, links)
        elif path.is_file():
            self._consider(path, place, given, root, _find_corpus(link.parent))

    def _consider(
        self, path: Path, place: PurePosixPath, given: Path, root: Path, corpus: str | None
    ) -> None:
        if corpus is not None and place.name != corpus:
            if place.name not in _BEIR_QUESTIONS:
                self.skipped[place.suffix.lower()] += 1
        elif find_extension(place.name) is None:
            self.skipped[place.suffix.lower()] += 1
        else:
            self._take(path, given / place, root, str(place))

    def _take(self, path: Path, given: Path, root: Path, relative: str) -> None:
        if path in self.files:
            return
        try:
            for name in (relative, str(given), str(root)):
                name.encode()
            size = path.stat().st_size
        except UnicodeEncodeError:
            self._report(given, "has a name that is not UTF-8; rename it")
        except OSError as error:
            self._report(given, _say(error))
        else:
            self.files[path] = SourceFile(path, str(given), root, relative, size)

    def _report(self, given: Path, reason: str) -> None:
        # A name in another encoding must not break the terminal that it is shown on.
        name = os.fsencode(given).decode(errors="replace")
        self.problems.append(ReadError(name, reason))


def _find_corpus(folder: Path) -> str | None:
    """The name of the corpus where a folder is in the BEIR layout."""
    return next((name for name in _BEIR_CORPORA if (folder / name).is_file()), None)


def read_files(files: Iterable[SourceFile], root_ids: Mapping[Path, str]) -> Iterator[Record]:
    """One record for each document of the files and for each thing wrong with them.

    Whatever a reader raises is a problem of its file and never stops the rest. A file without a
    document or a problem has one problem: it is empty.

    Args:
        files: as `find_files` gives them.
        root_ids: `SourceFile.root` -> the id that begins the `doc_id` of what is below it:
            `<root id>/<relative>`, and `<root id>/<relative>#<record id>` for a record of a file.
    """
    for file in files:
        yield from _read_file(file, f"{root_ids[file.root]}/{file.relative}")


def _read_file(file: SourceFile, file_id: str) -> Iterator[Record]:
    bytes_read, anything = 0, False
    extension = find_extension(file.relative)
    try:
        if extension is None:
            raise ReadError(file.given, "there is no reader for this type of file")
        if file.size == 0:
            raise ReadError(file.given, "is empty")
        for reading in readers.get(extension)(file.path):
            anything = True
            bytes_read = file.size if reading.bytes_read is None else reading.bytes_read
            yield _make_record(file, file_id, reading, bytes_read)
    except ReadError as error:
        yield _make_record(file, file_id, Reading(error), file.size)
    except Exception as error:
        reason = f"cannot be read as a {extension} file: {_say(error)}"
        yield _make_record(file, file_id, Reading(ReadError("", reason)), file.size)
    else:
        if not anything:
            yield _make_record(file, file_id, Reading(ReadError("", "is empty")), file.size)


def _make_record(file: SourceFile, file_id: str, reading: Reading, bytes_read: int) -> Record:
    content = reading.content
    if isinstance(content, Document):
        reason = _find_fault(content)
        if reason is None:
            return Record(file, _place_document(content, file, file_id), None, bytes_read)
        line = content.first_line if content.single_line else None
        content = ReadError("", reason, line=line)
    problem = ReadError(file.given, content.reason, line=content.line)
    return Record(file, None, problem, bytes_read)


def _find_fault(document: Document) -> str | None:
    if not document.text.strip():
        return "is empty"
    values = [value for value in document.metadata.values() if isinstance(value, str)]
    for value in (document.text, document.title, document.doc_id, *document.metadata, *values):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            half = ascii(value[error.start])
            return f"has half a character in it ({half}, a lone surrogate); write it out as UTF-8"
    return None


def _place_document(document: Document, file: SourceFile, file_id: str) -> Document:
    """The document as the index will know it: with its id and source, and never without a name."""
    if document.doc_id:
        return replace(document, doc_id=f"{file_id}#{document.doc_id}", source=file.given)
    title = document.title or PurePosixPath(file.relative).stem
    return replace(document, doc_id=file_id, source=file.given, title=title)


def _say(error: BaseException) -> str:
    """What went wrong, in one line for the person who owns the file."""
    if isinstance(error, PermissionError):
        return "permission denied; check who may read it"
    if isinstance(error, FileNotFoundError):
        return "is no longer there"
    if isinstance(error, MemoryError):
        return "is too large for the memory of this machine"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
