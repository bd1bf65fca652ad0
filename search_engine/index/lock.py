"""One writer at a time: a lock on a file, which the system lets go of when its process dies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from search_engine.errors import IndexLockedError

FILE_NAME = "write.lock"


@contextmanager
def write_lock(folder: Path, *, timeout: float) -> Iterator[None]:
    """Hold the index for one commit.

    Args:
        timeout: seconds to wait for another writer's commit to end.

    Raises:
        IndexLockedError: it did not end in time.
    """
    try:
        with FileLock(folder / FILE_NAME, timeout=timeout):
            yield
    except Timeout as error:
        raise IndexLockedError(
            f"another process has been writing to {folder} for more than {timeout:g} s; "
            "wait for it to end, or stop it, then try again"
        ) from error
