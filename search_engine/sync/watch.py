"""Waiting for something to change in folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from watchfiles import Change, watch

# Where changes are not told (some network file systems), they are found this often.
_LONGEST_WAIT_MS = 60_000


def wait_for_changes(paths: Sequence[str | Path], *, index: Path) -> Iterator[None]:
    """Something each time that files below the paths may have changed, and once a minute.

    A burst of changes counts as one, 1.6 seconds long at most. Ends on Ctrl-C. What happens in the
    index's own folder does not count.
    """
    own = index.resolve()

    def counts(change: Change, path: str) -> bool:
        del change
        return own not in (Path(path), *Path(path).parents)

    changes = watch(
        *paths,
        watch_filter=counts,
        rust_timeout=_LONGEST_WAIT_MS,
        yield_on_timeout=True,
        raise_interrupt=False,
    )
    for _ in changes:
        yield
