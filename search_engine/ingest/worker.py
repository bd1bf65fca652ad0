"""What runs in a worker process: files are read one after the other, and each record is sent."""

from __future__ import annotations

import fcntl
import os
import pickle
import resource
import select
import signal
import socket
from contextlib import suppress
from pathlib import Path

from search_engine.errors import ReadError
from search_engine.ingest.file_reading import read_file
from search_engine.ingest.frames import HEADER, FrameKind
from search_engine.ingest.reading import ReadJob, Record, pack_record

# A worker that keeps more than this part of its limit after a file ends, so that the next file
# finds all of it: memory that was once in small pieces does not always come back.
_KEPT_PART = 4
_OOM_SCORE = Path("/proc/self/oom_score_adj")
_MEMORY = Path("/proc/self/statm")


def work(descriptor: int) -> None:
    """Read the files of the jobs that come through a socket, until it is closed.

    Args:
        descriptor: of the socket; frames go out through it.
    """
    _end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A core file of the memory that a reader ran away with is of use to nobody.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Where the memory of the machine runs out, this process goes and not the one that started it.
    with suppress(OSError):
        _OOM_SCORE.write_text("1000")
    with socket.socket(fileno=descriptor) as parent, parent.makefile("rb") as jobs:
        # Programs that a reader starts must not hold the socket open.
        parent.set_inheritable(False)
        at_rest = _measure_memory()
        _send(parent, FrameKind.READY)
        kept = 0
        limits = None
        while limits is None or kept < limits.memory // _KEPT_PART:
            try:
                job: ReadJob = pickle.load(jobs)
            except EOFError:
                return
            _send(parent, FrameKind.BEGIN)
            limits = job.limits
            _read(parent, job)
            _send(parent, FrameKind.END)
            kept = _measure_memory() - at_rest


def _read(parent: socket.socket, job: ReadJob) -> None:
    failed = False
    try:
        _limit_memory(_measure_memory() + job.limits.memory)
        for record in read_file(job.file, job.file_id, settings=job.settings, limits=job.limits):
            _send(parent, FrameKind.RECORD, pack_record(record))
    except MemoryError:
        failed = True
    finally:
        _limit_memory(resource.RLIM_INFINITY)
    if failed:
        problem = ReadError(job.file.given, f"needs more than {job.limits.memory_text}; split it")
        _send(parent, FrameKind.RECORD, pack_record(Record(job.file, None, problem, job.file.size)))


def _send(parent: socket.socket, kind: FrameKind, content: bytes = b"") -> None:
    parent.sendall(HEADER.pack(kind, len(content)) + content)


def _end_with_parent() -> None:
    """Have the system end this process when standard input does, which the parent holds.

    The system sends SIGIO then. A thread that waits would not do: a reader written in C may hold
    the interpreter's lock for as long as it likes.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    lifeline = os.dup(0)
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([lifeline], [], [], 0)[0]:
        os._exit(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def _measure_memory() -> int:
    """What counts for RLIMIT_DATA, in bytes; 0 where the system does not tell."""
    try:
        pages = int(_MEMORY.read_text().split()[5])
    except OSError:
        return 0
    return pages * resource.getpagesize()


def _limit_memory(size: int) -> None:
    """Let this process have so many bytes at most, or as many as the system lets it."""
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    if most != resource.RLIM_INFINITY:
        size = most if size == resource.RLIM_INFINITY else min(size, most)
    resource.setrlimit(resource.RLIMIT_DATA, (size, most))
