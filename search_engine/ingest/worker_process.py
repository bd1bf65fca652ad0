"""One process in which files are read, as the process that started it sees it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections import deque
from contextlib import suppress

from search_engine.errors import SearchEngineError
from search_engine.ingest.frames import HEADER, FrameKind
from search_engine.ingest.problems import describe

_RECEIVE_BYTES = 2**18
# A process that waits for a network share that is gone does not end even when it is killed.
_KILL_SECONDS = 10
# Modules are found as here, and the program's own __main__ is not imported again.
_BEGIN = (
    "import sys; sys.path[:] = sys.argv[2:]; "
    "from search_engine.ingest.worker import work; work(int(sys.argv[1]))"
)


class WorkerProcess:
    """A process that is given jobs and sends frames, without blocking whoever uses it.

    It ends by itself when this process does, however that happens. What it and the programs it
    starts write to temporary files is removed with it.

    Attributes:
        socket: to wait on; becomes readable when there are frames or the process has ended.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(
            prefix="search-engine-", ignore_cleanup_errors=True
        )
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
                self._folder.cleanup()
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
        """The frames that have arrived whole; None after the last, when the process has ended."""
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
        self._folder.cleanup()
        return status
