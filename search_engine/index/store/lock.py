"""Locks on files, which the system lets go of when their process dies.

`write.lock` is held for one commit: one writer at a time. `merge.lock` is held while segments are
merged, which goes on beside the commits of other writers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from search_engine.errors import IndexLockedError


@contextmanager
def write_lock(folder: Path, *, timeout: float) -> Iterator[None]:
    """Hold the index for one commit.

    Args:
        timeout: seconds to wait for another writer's commit to end.

    Raises:
        IndexLockedError: it did not end in time.
    """
    with _lock(folder / "write.lock", timeout, f"writing to {folder}"):
        yield


@contextmanager
def merge_lock(folder: Path, *, timeout: float) -> Iterator[None]:
    """Be the only one who merges segments or removes folders.

    Args:
        timeout: seconds to wait for another merge to end.

    Raises:
        IndexLockedError: it did not end in time.
    """
    with _lock(folder / "merge.lock", timeout, f"merging segments of {folder}"):
        yield


@contextmanager
def _lock(path: Path, timeout: float, doing: str) -> Iterator[None]:
    try:
        with FileLock(path, timeout=timeout):
            yield
    except Timeout as error:
        raise IndexLockedError(
            f"another process has been {doing} for more than {timeout:g} s; "
            "wait for it to end, or stop it, then try again"
        ) from error
