"""Jobs done by worker processes: in order, some way ahead, whatever becomes of a process."""

from __future__ import annotations

import os
import select
import sys
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from search_engine.errors import SearchEngineError
from search_engine.ingest.frames import FrameKind
from search_engine.ingest.worker_process import WorkerProcess

T = TypeVar("T")

_MOST_WORKERS = 4
# A worker that has this much before it gets no more, and another worker is started.
_WORKER_JOBS = 8
_WORKER_BYTES = 2**20
# What may wait for jobs before it; beyond that only the first job's worker is listened to.
_AHEAD_RECORDS = 1_000
_AHEAD_BYTES = 32 * 2**20
# The longest wait in one go, in seconds. No more is counted, so that the time for which the whole
# computer or this terminal was asleep is nobody's fault.
_LONGEST_WAIT = 1.0


@dataclass(frozen=True, slots=True)
class Job(Generic[T]):
    """Something for a worker process to do.

    Attributes:
        key: comes back with each record.
        size: how much work it is, in bytes.
        seconds: that are waited for its next record.
    """

    key: T
    payload: bytes
    size: int
    seconds: float


@dataclass(frozen=True, slots=True)
class WorkerFailure:
    """A worker process that was gone before its job was done.

    Attributes:
        status: its exit status, or the negative number of the signal that ended it; None where it
            was ended because nothing came from it for too long.
    """

    status: int | None


def run_jobs(
    jobs: Iterable[Job[T]],
) -> Generator[tuple[T, bytes | WorkerFailure], None, None]:
    """The records of all jobs, in the order of the jobs.

    A worker process that ends is one failure of the job it was at, which comes after the records
    sent before; another goes on with the other jobs. There are at most as many as CPUs, and no
    more than four; one for a few small jobs. None is left when this ends or is closed.

    Args:
        jobs: read only as far as workers need them.

    Raises:
        SearchEngineError: worker processes cannot be started here.
    """
    pool = _WorkerPool(iter(jobs))
    try:
        yield from pool.run()
    finally:
        pool.close()


@dataclass(slots=True, eq=False)
class _Task(Generic[T]):
    """A job that a worker has, and what came of it so far."""

    job: Job[T]
    outcomes: deque[bytes | WorkerFailure] = field(default_factory=deque)
    done: bool = False


@dataclass(slots=True, eq=False)
class _Worker(Generic[T]):
    """A worker process and the tasks before it, the one it is at first.

    Attributes:
        between: whether it has done a job and not begun with another since.
        waited: seconds for which nothing came from it while it was listened to.
    """

    process: WorkerProcess
    tasks: deque[_Task[T]]
    ready: bool = False
    between: bool = False
    waited: float = 0.0

    @property
    def load(self) -> int:
        return sum(task.job.size for task in self.tasks)

    @property
    def is_full(self) -> bool:
        return len(self.tasks) >= _WORKER_JOBS or self.load >= _WORKER_BYTES


class _WorkerPool(Generic[T]):
    """The state of one `run_jobs`."""

    def __init__(self, jobs: Iterator[Job[T]]) -> None:
        self._jobs = jobs
        self._most = min(os.cpu_count() or 1, _MOST_WORKERS)
        self._workers: list[_Worker[T]] = []
        self._order: deque[_Task[T]] = deque()
        self._ahead_records = 0
        self._ahead_bytes = 0

    def run(self) -> Iterator[tuple[T, bytes | WorkerFailure]]:
        while True:
            self._deal()
            if not self._order:
                return
            first = self._order[0]
            while not first.done or first.outcomes:
                if not first.outcomes:
                    self._listen()
                    self._deal()
                    continue
                outcome = first.outcomes.popleft()
                if isinstance(outcome, bytes):
                    self._ahead_records -= 1
                    self._ahead_bytes -= len(outcome)
                yield first.job.key, outcome
            self._order.popleft()

    def close(self) -> None:
        for worker in self._workers:
            worker.process.kill()
        while self._workers:
            self._workers[-1].process.close()
            self._workers.pop()

    def _deal(self) -> None:
        """Give every worker what it has room for, and start those that are worth it."""
        while True:
            worker = min(self._workers, key=_burden, default=None)
            if worker is None or worker.is_full:
                if len(self._workers) == self._most:
                    return
                worker = None
            job = next(self._jobs, None)
            if job is None:
                return
            task = _Task(job)
            self._order.append(task)
            if worker is None:
                self._start(deque([task]))
            else:
                worker.tasks.append(task)
                worker.process.give(job.payload)

    def _start(self, tasks: deque[_Task[T]]) -> None:
        worker = _Worker(WorkerProcess(), tasks)
        self._workers.append(worker)
        for task in tasks:
            worker.process.give(task.job.payload)

    def _listen(self) -> None:
        """Wait until a worker says something, and take it; end those that were waited for long."""
        full = self._ahead_records >= _AHEAD_RECORDS or self._ahead_bytes >= _AHEAD_BYTES
        heard = {
            worker.process.socket.fileno(): worker
            for worker in self._workers
            if worker.tasks and (not full or worker.tasks[0] is self._order[0])
        }
        poll = select.poll()
        for number, worker in heard.items():
            poll.register(number, select.POLLIN | select.POLLOUT * worker.process.has_unsent)
        started = time.monotonic()
        patience = min((worker.tasks[0].job.seconds for worker in heard.values()), default=1.0)
        events = dict(poll.poll(min(patience, _LONGEST_WAIT) * 1000))
        waited = min(time.monotonic() - started, _LONGEST_WAIT)
        for number, worker in heard.items():
            event = events.get(number, 0)
            if event & select.POLLOUT:
                worker.process.send()
            if event & ~select.POLLOUT:
                self._receive(worker)
            elif worker.ready:
                worker.waited += waited
                if worker.waited >= worker.tasks[0].job.seconds:
                    self._end(worker, is_late=True)

    def _receive(self, worker: _Worker[T]) -> None:
        frames = worker.process.receive()
        if frames is None:
            self._end(worker, is_late=False)
            return
        for kind, content in frames:
            worker.waited = 0.0
            if not worker.tasks and kind in (FrameKind.RECORD, FrameKind.END):
                # Nobody asked; what runs there is not ours any more.
                self._end(worker, is_late=False)
                return
            if kind == FrameKind.RECORD:
                worker.tasks[0].outcomes.append(content)
                self._ahead_records += 1
                self._ahead_bytes += len(content)
            elif kind == FrameKind.END:
                worker.tasks.popleft().done = True
                worker.between = True
            elif kind == FrameKind.BEGIN:
                worker.between = False
            else:
                worker.ready = True

    def _end(self, worker: _Worker[T], *, is_late: bool) -> None:
        """Blame the task that the worker was at, and let another go on with the rest."""
        status = worker.process.close()
        self._workers.remove(worker)
        if not worker.ready:
            raise SearchEngineError(
                f"the process that reads files cannot start (exit status {status}); to see why, "
                f"run: {sys.executable} -c 'import search_engine.ingest.worker'"
            )
        if not worker.between and worker.tasks:
            task = worker.tasks.popleft()
            task.outcomes.append(WorkerFailure(None if is_late else status))
            task.done = True
        if worker.tasks:
            self._start(worker.tasks)


def _burden(worker: _Worker[T]) -> tuple[bool, int]:
    return worker.is_full, worker.load
