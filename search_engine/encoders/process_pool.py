"""A bi-encoder on several devices: one process for each, which share the texts."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_engine.encoders.backends.selection import BackendName, DtypeName
from search_engine.encoders.checkpoints.module_specs import Input
from search_engine.encoders.encoding_worker import Chunk, Opening, Reply, serve
from search_engine.encoders.tokenizers.input_checks import check_texts
from search_engine.errors import ConfigError, ModelError, SearchEngineError

# Enough texts to sort by length, few enough that no process waits long for the last one.
_CHUNK_TEXTS = 4096
_CHUNKS_PER_PROCESS = 4
_KILL_SECONDS = 10


@dataclass(slots=True, eq=False)
class _Worker:
    """A process as the one that started it sees it."""

    device: str
    process: Any
    connection: Any
    truncated_texts: int = 0
    truncated_tokens: int = 0


class EncoderPool:
    """Processes that encode together, each with the model loaded once; a context manager.

    Vectors are those of a BiEncoder but for rounding, since texts meet in other batches. On Linux,
    several processes on the CPU share its cores evenly. The processes import the main module
    anew, so that a script must begin its work below `if __name__ == "__main__":`. They end when
    the pool is closed, and with the process that opened it, however it ends.

    Args:
        model, backend, dtype, offline, num_layers, truncate_dim, prompts, default_prompt_name: as
            of BiEncoder.
        devices: one torch device for each process, such as "cuda:0"; "cpu" may come several times.

    Attributes:
        dimension: of a vector.

    Raises:
        ModelNotFoundError, CheckpointError, ConfigError: as of BiEncoder; ConfigError also where
            no device is given.
        ModelError: a process ended before the model was loaded.
    """

    def __init__(
        self,
        model: str,
        *,
        devices: Sequence[str],
        backend: BackendName = "auto",
        dtype: DtypeName = "auto",
        offline: bool = False,
        num_layers: int | None = None,
        truncate_dim: int | None = None,
        prompts: Mapping[str, str] | None = None,
        default_prompt_name: str | None = None,
    ) -> None:
        if isinstance(devices, str) or not devices or not all(devices):
            raise ConfigError(f"devices is {devices!r}, and must be a list of one or more names.")
        self._turn = threading.Lock()
        self._workers: list[_Worker] = []
        try:
            # The first is waited for, so that what it downloads and converts is there for the rest.
            for number, (device, cpus) in enumerate(_share_cpus(devices)):
                opening = Opening(
                    model, device, backend, dtype, offline, num_layers, truncate_dim,
                    dict(prompts) if prompts else None, default_prompt_name,
                )  # fmt: skip
                self._workers.append(_start(opening, cpus))
                if number == 0:
                    self.dimension = _receive_opened(self._workers[0]).vectors.shape[1]
            for worker in self._workers[1:]:
                _receive_opened(worker)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> EncoderPool:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def truncated_texts(self) -> int:
        """How many texts the processes have cut so far."""
        return sum(worker.truncated_texts for worker in self._workers)

    @property
    def truncated_tokens(self) -> int:
        """How many tokens of them they have left out."""
        return sum(worker.truncated_tokens for worker in self._workers)

    def encode(
        self,
        texts: Sequence[str],
        *,
        kind: Input = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        normalize: bool = False,
        truncate_dim: int | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> NDArray[np.float32]:
        """One vector per text, float32 [n, dimension], in the order of the texts.

        Calls from several threads take turns.

        Args:
            kind, prompt_name, prompt, normalize, truncate_dim: as of `BiEncoder.encode`.
            on_batch: called with the number of texts that each finished chunk had.

        Raises:
            ConfigError: as of `BiEncoder.encode`.
            ModelError: the pool is closed; or a process failed. One that ended takes the pool
                with it, which is closed then.
        """
        check_texts(texts)
        asked = Chunk((), kind, prompt_name, prompt, normalize, truncate_dim)
        with self._turn:
            if not self._workers:
                raise ModelError("this pool of encoders is closed; open another.")
            try:
                outcome = self._run(texts, asked, on_batch)
            except BaseException:
                # What the processes are at is of no use to the next call.
                self.close()
                raise
        if isinstance(outcome, SearchEngineError):
            raise outcome
        return outcome

    def close(self) -> None:
        """End the processes; a pool that is closed already stays so."""
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.process.kill()
        for worker in workers:
            worker.process.join(_KILL_SECONDS)
            worker.connection.close()

    def _run(
        self, texts: Sequence[str], asked: Chunk, on_batch: Callable[[int], None] | None
    ) -> NDArray[np.float32] | SearchEngineError:
        """The vectors of texts, dealt in chunks to whichever process is free; or why not."""
        size = -(-len(texts) // (len(self._workers) * _CHUNKS_PER_PROCESS))
        size = min(max(1, size), _CHUNK_TEXTS)
        # Without a text there is one chunk of none, whose vectors have the right width.
        starts = iter(range(0, max(1, len(texts)), size))
        vectors = np.empty((0, 0), np.float32)
        failure: SearchEngineError | None = None
        idle = list(self._workers)
        busy: dict[Any, tuple[_Worker, int]] = {}
        while True:
            while idle and failure is None and (start := next(starts, None)) is not None:
                worker = idle.pop()
                # One that has ended says so when it is listened to.
                with suppress(BrokenPipeError, ConnectionResetError):
                    worker.connection.send(replace(asked, texts=list(texts[start : start + size])))
                busy[worker.connection] = worker, start
            if not busy:
                break
            for connection in wait(list(busy)):
                worker, start = busy.pop(connection)
                idle.append(worker)
                reply = _receive(worker)
                if isinstance(reply, SearchEngineError):
                    failure = reply
                    continue
                count, dimension = reply.vectors.shape
                if not vectors.size:
                    vectors = np.empty((len(texts), dimension), np.float32)
                vectors[start : start + count] = reply.vectors
                if on_batch is not None and count:
                    on_batch(count)
        return vectors if failure is None else failure


def _share_cpus(devices: Sequence[str]) -> list[tuple[str, frozenset[int] | None]]:
    """Each device, and the CPUs of those that compute on them: even shares of all we may use."""
    may_choose = hasattr(os, "sched_getaffinity")
    cpus = sorted(os.sched_getaffinity(0)) if may_choose else list(range(os.cpu_count() or 1))
    count = sum(device == "cpu" for device in devices)
    shares = (
        frozenset(
            cpus[len(cpus) * i // count : len(cpus) * (i + 1) // count] or [cpus[i % len(cpus)]]
        )
        for i in range(count)
    )
    return [(device, next(shares) if device == "cpu" else None) for device in devices]


def _start(opening: Opening, cpus: frozenset[int] | None) -> _Worker:
    # Not forked: a process that has used a GPU or holds locks must not be copied.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, opening), daemon=True)
    try:
        with _confined(cpus):
            process.start()
    except OSError as error:
        ours.close()
        raise ModelError(f"no process for {opening.device} can be started: {error}") from error
    finally:
        # Held here, it would hide the end of the process.
        theirs.close()
    return _Worker(opening.device, process, ours)


@contextmanager
def _confined(cpus: frozenset[int] | None) -> Iterator[None]:
    """Give this thread, and what it starts meanwhile, some CPUs only, where the system can.

    Inherited, and not set by the process itself: every library counts the CPUs when it is loaded,
    to start as many threads, and the main module may load any.
    """
    if cpus is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _receive(worker: _Worker) -> Reply | SearchEngineError:
    """What a process answers.

    Raises:
        ModelError: it has ended.
    """
    try:
        reply: Reply | SearchEngineError = worker.connection.recv()
    except (EOFError, ConnectionResetError) as error:
        worker.process.join(_KILL_SECONDS)
        status = worker.process.exitcode
        how = f"signal {-status}" if status is not None and status < 0 else f"exit status {status}"
        raise ModelError(
            f"the process that encodes on {worker.device} has ended ({how}). The memory may have "
            "run out; or a script begins its work outside of `if __name__ == '__main__':`."
        ) from error
    if isinstance(reply, Reply):
        worker.truncated_texts = reply.truncated_texts
        worker.truncated_tokens = reply.truncated_tokens
    return reply


def _receive_opened(worker: _Worker) -> Reply:
    reply = _receive(worker)
    if isinstance(reply, SearchEngineError):
        raise reply
    return reply
