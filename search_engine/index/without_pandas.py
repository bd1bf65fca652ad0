"""sqlite-utils imported without pandas."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType


class _NoPandas(MetaPathFinder):
    """Finds no pandas, for the thread that made it."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None, /
    ) -> None:
        if fullname == "pandas" and threading.get_ident() == self._thread:
            raise ModuleNotFoundError("pandas is not looked for here", name="pandas")


def import_sqlite_utils() -> None:
    """Import sqlite-utils, which imports pandas where it is installed, without it.

    It would only want it for data frames, which it is never given here, and importing it takes a
    quarter of a second of a cold query.
    """
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        import sqlite_utils  # noqa: F401
    finally:
        sys.meta_path.remove(finder)
