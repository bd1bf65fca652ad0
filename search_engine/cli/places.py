"""Where indexes live: a name stands for a folder under indexes/, anything else is a path."""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from pathlib import Path

from search_engine.errors import IndexNotFoundError

ROOT_VARIABLE = "SEARCH_ENGINE_INDEXES"
_NAME = re.compile(r"[\w][\w.-]*")


def indexes_root() -> Path:
    """The folder of named indexes: SEARCH_ENGINE_INDEXES, or indexes/ in the working folder."""
    return Path(os.environ.get(ROOT_VARIABLE, "indexes"))


def index_folder(name: str) -> Path:
    """The folder that a name or a path means, whether or not there is an index in it."""
    return indexes_root() / name if _NAME.fullmatch(name) else Path(name)


def index_names() -> list[str]:
    """The names of the indexes under the root, sorted."""
    root = indexes_root()
    if not root.is_dir():
        return []
    return sorted(
        folder.name
        for folder in root.iterdir()
        if not folder.name.startswith(".") and (folder / "index.db").is_file()
    )


def size_of(folder: Path) -> int:
    """Bytes of all files of an index."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def existing_index(name: str) -> Path:
    """The folder of an index that is there.

    Raises:
        IndexNotFoundError: with the nearest name that there is.
    """
    folder = index_folder(name)
    if (folder / "index.db").is_file():
        return folder
    if any((folder / "segments").glob("*")):
        raise IndexNotFoundError(
            f"{folder} has segments, but its index.db is gone; restore it from a backup, or remove "
            "the folder and index the documents again"
        )
    near = get_close_matches(name, index_names(), n=1, cutoff=0.5)
    if near:
        hint = f"did you mean {near[0]!r}?"
    else:
        hint = f"build one with `search-cli index PATH --index {name}`"
    raise IndexNotFoundError(f"there is no index at {folder}; {hint}")
