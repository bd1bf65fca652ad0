"""One process in which files are read, as the process that started it sees it."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from search_engine.errors import SearchEngineError
from search_engine.ingest.frames import HEADER, FrameKind
from search_engine.ingest.problems import describe

_KINDS = frozenset(FrameKind)
_RECEIVE_BYTES = 2**18
# A process that waits for a network share that is gone does not end even when it is killed.
_KILL_SECONDS = 10
_PREFIX = "search-engine-"
# A folder this young may be that of a process that is about to lock it.
_LEFTOVER_SECONDS = 60
# Modules are found as here, and the program's own __main__ is not imported again.
_BEGIN = (
    "import sys; sys.path[:] = sys.argv[2:]; "
    "from search_engine.ingest.worker import work; work(int(sys.argv[1]))"
)


class WorkerProcess:
    """A process that is given jobs and sends frames, without blocking whoever uses it.

    It ends by itself when this process does, however that happens. What it and the programs it
    starts write to temporary files is removed when it is closed; where this process was killed
    before that, when any process starts the next one a minute later or more.

    Attributes:
        socket: to wait on; becomes readable when there are frames or the process has ended.
    """

    def __init__(self) -> None:
        _remove_leftovers(Path(tempfile.gettempdir()))
        self._folder = tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True)
        # The system lets go of it when this process ends, however that happens.
        self._lock = _lock_folder(Path(self._folder.name))
        self.socket, theirs = socket.socketpair()
        self.socket.setblocking(False)
        with theirs:
            paths = [path for path in sys.path if isinstance(path, str)]
            command = [sys.executable, "-c", _BEGIN, str(theirs.fileno()), *paths]
            try:
                # Standard input is a pipe that nothing is written to: its end is the end of this
                # process. The group is its own, so that Ctrl-C is for this process alone, and so
                # that the programs that a reader starts can be ended with it.
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    process_group=0,
                    env={**os.environ, "TMPDIR": self._folder.name},
                )
            except OSError as error:
                self.socket.close()
                self._remove_folder()
                raise SearchEngineError(
                    f"no process to read files in can be started: {describe(error)}"
                ) from error
        self._outgoing = bytearray()
        self._incoming = bytearray()

    @property
    def pid(self) -> int:
        """The id of the process, which is that of its group too."""
        return self._process.pid

    @property
    def has_unsent(self) -> bool:
        """Whether jobs wait until the socket can be written to."""
        return bool(self._outgoing)

    def give(self, job: bytes) -> None:
        """Hand a pickled job over; what the process does not take at once waits for `send`."""
        self._outgoing += job
        self.send()

    def send(self) -> None:
        """Send as much of the jobs as the process takes now."""
        # Where the process has ended, `receive` says so.
        with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            while self._outgoing:
                del self._outgoing[: self.socket.send(self._outgoing)]

    def receive(self) -> deque[tuple[FrameKind, bytes]] | None:
        """The frames that have arrived whole; None after the last, when the process has ended.

        Bytes that are no frame end it too: what it says after them means nothing.
        """
        try:
            data = self.socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return deque()
        except ConnectionResetError:
            return None
        if not data:
            return None
        self._incoming += data
        frames: deque[tuple[FrameKind, bytes]] = deque()
        position = 0
        while len(self._incoming) - position >= HEADER.size:
            kind, length = HEADER.unpack_from(self._incoming, position)
            if kind not in _KINDS:
                return None
            end = position + HEADER.size + length
            if len(self._incoming) < end:
                break
            frames.append((FrameKind(kind), bytes(self._incoming[position + HEADER.size : end])))
            position = end
        del self._incoming[:position]
        return frames

    def kill(self) -> None:
        """End the process and all that it started; one that has ended already stays as it ended."""
        # macOS refuses this for a group of which only its ended leader is left.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> int:
        """Kill it, wait for its end and give everything back.

        Returns:
            Its exit status, or the negative number of the signal that ended it.
        """
        if self._process.returncode is None:
            self.kill()
        try:
            status = self._process.wait(_KILL_SECONDS)
        except subprocess.TimeoutExpired:
            status = -signal.SIGKILL
        if self._process.stdin is not None:
            self._process.stdin.close()
        self.socket.close()
        self._remove_folder()
        return status

    def _remove_folder(self) -> None:
        self._folder.cleanup()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _lock_folder(folder: Path) -> int | None:
    """A descriptor that keeps a folder locked; None where another has it, or it cannot be locked.

    Raises nothing: without a lock, a folder is only left where it is.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _remove_leftovers(place: Path) -> None:
    """Remove the folders of this user's processes that were killed before they could do it."""
    oldest = time.time() - _LEFTOVER_SECONDS
    for folder in place.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            status = folder.lstat()
            if status.st_uid != os.getuid() or status.st_mtime > oldest:
                continue
            lock = _lock_folder(folder)
            if lock is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)
