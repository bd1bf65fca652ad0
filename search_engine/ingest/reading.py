"""The documents in files, each with its id and source, read in processes of their own."""

from __future__ import annotations

import json
import operator
import pickle
import signal
from collections.abc import Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType

from search_engine.errors import ReadError
from search_engine.ingest.files import SourceFile
from search_engine.ingest.limits import DEFAULT_LIMITS, Limits
from search_engine.ingest.readers import find_extension, ocr_readers
from search_engine.ingest.settings import RootSettings
from search_engine.ingest.worker_pool import Job, WorkerFailure, run_jobs
from search_engine.types import Document

_FIELDS = tuple(each.name for each in fields(Document))
# Other libraries' integers, as offsets of pages, are written as integers.
_ENCODER = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, separators=(",", ":"), default=operator.index
)


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


@dataclass(frozen=True, slots=True)
class ReadJob:
    """What a worker process needs to know to read a file.

    Attributes:
        file_id: begins the `doc_id` of what is in the file.
        settings: of the file's root.
    """

    file: SourceFile
    file_id: str
    settings: RootSettings
    limits: Limits


def read_files(
    files: Iterable[SourceFile],
    root_ids: Mapping[Path, str],
    *,
    settings: Mapping[Path, RootSettings] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Generator[Record, None, None]:
    """One record for each document of the files and for each thing wrong with them, in their order.

    Readers run in worker processes, a few files ahead. Whatever a reader raises, and whatever its
    process comes to (it crashes, hangs or takes too much memory), is a problem of its file and
    never stops the rest; the records that came before are kept. A file without a document or a
    problem has one problem: it is empty. The processes end with the iterator, when it is closed
    or at its end.

    Args:
        files: as `find_files` gives them; taken only as they are needed.
        root_ids: `SourceFile.root` -> the id that begins the `doc_id` of what is below it:
            `<root id>/<relative>`, and `<root id>/<relative>#<record id>` for a record of a file.
        settings: by `SourceFile.root`; a root that is not named has none.
        limits: what each file may take.

    Raises:
        SearchEngineError: no process can be started.
    """
    jobs = (
        _make_job(
            ReadJob(
                file,
                f"{root_ids[file.root]}/{file.relative}",
                (settings or {}).get(file.root, RootSettings()),
                limits,
            )
        )
        for file in files
    )
    with closing(run_jobs(jobs)) as outcomes:
        for file, outcome in outcomes:
            if isinstance(outcome, bytes):
                yield unpack_record(outcome, file)
            else:
                recognizing = _recognizes(file, (settings or {}).get(file.root))
                reason = _explain_failure(outcome, limits, recognizing=recognizing)
                killed = outcome.status == -signal.SIGKILL
                problem = ReadError(file.given, reason, passing=killed)
                yield Record(file, None, problem, file.size)


def pack_record(record: Record) -> bytes:
    """A record as JSON, without its file; not pickled, since whoever unpickles runs what it says.

    Raises:
        TypeError: a document that is not plain data.
    """
    document, problem = record.document, record.problem
    values = None
    if document is not None:
        values = [getattr(document, name) for name in _FIELDS]
        values[-1] = dict(document.metadata)
    reason = None if problem is None else (problem.reason, problem.line)
    return _ENCODER.encode((values, reason, record.bytes_read)).encode("utf-8", "surrogatepass")


def unpack_record(packed: bytes, file: SourceFile) -> Record:
    """The record of a file that `pack_record` packed; a problem of the file for any other bytes."""
    try:
        content = json.loads(packed.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        content = None
    match content:
        case [
            [
                str(doc_id),
                str(text),
                str(title),
                str() | None as source,
                str(markup),
                int() | None as first_line,
                bool(single_line),
                list() as pages,
                dict() as metadata,
            ],
            None,
            int(bytes_read),
        ] if all(isinstance(page, int) for page in pages) and not any(
            isinstance(value, list | dict) for value in metadata.values()
        ):
            document = Document(
                doc_id,
                text,
                title=title,
                source=source,
                markup=markup,
                first_line=first_line,
                single_line=single_line,
                pages=tuple(pages),
                metadata=MappingProxyType(metadata),
            )
            return Record(file, document, None, bytes_read)
        case [None, [str(reason), int() | None as line], int(bytes_read)]:
            return Record(file, None, ReadError(file.given, reason, line=line), bytes_read)
    reason = "its reader crashed (what it sent is no record); it may be damaged"
    return Record(file, None, ReadError(file.given, reason), file.size)


def _make_job(job: ReadJob) -> Job[SourceFile]:
    plain = replace(job, settings=job.settings.changed(fields=dict(job.settings.fields)))
    seconds = job.limits.seconds_of(recognizing=_recognizes(job.file, job.settings))
    return Job(job.file, pickle.dumps(plain), job.file.size, seconds)


def _recognizes(file: SourceFile, settings: RootSettings | None) -> bool:
    """Whether text is recognised in a file, which takes seconds a page."""
    if settings is None or not settings.ocr:
        return False
    extension = find_extension(file.relative, ocr=True)
    return extension is not None and extension in ocr_readers


def _explain_failure(failure: WorkerFailure, limits: Limits, *, recognizing: bool) -> str:
    status = failure.status
    if status is None:
        return (
            f"took longer than {limits.seconds_of(recognizing=recognizing):g} s without a result; "
            "see whether it is damaged, or split it"
        )
    if status == -signal.SIGKILL:
        return "its reader was killed (signal 9); the memory of this machine may have run out"
    how = f"exit status {status}" if status >= 0 else f"signal {-status}"
    return f"its reader crashed ({how}); it may be damaged, or need more than {limits.memory_text}"
