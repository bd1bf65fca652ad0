"""Waiting for something to change in folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from watchfiles import Change, watch

# What happened before the watch began is found after a second, and where changes are not told (some
# network file systems) they are found once a minute.
_TICK_MS = 1_000
_MOST_TICKS = 60


def wait_for_changes(paths: Sequence[str | Path], *, index: Path) -> Iterator[None]:
    """Something each time that files below the paths may have changed, and once a minute.

    The first time is a second after the watch has begun. A burst of changes counts as one, 1.6
    seconds long at most. Ends on Ctrl-C. What happens in the index's own folder does not count.
    """
    own = index.resolve()

    def counts(change: Change, path: str) -> bool:
        del change
        return own not in (Path(path), *Path(path).parents)

    changes = watch(
        *paths,
        watch_filter=counts,
        rust_timeout=_TICK_MS,
        yield_on_timeout=True,
    )
    with suppress(KeyboardInterrupt):
        for number, changed in enumerate(changes):
            if changed or number % _MOST_TICKS == 0:
                yield
