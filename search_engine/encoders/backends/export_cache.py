"""Exported graphs, kept in the user's cache folder under the fingerprint of what they compute."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from logging import getLogger
from pathlib import Path
from typing import TypeVar

from search_engine.encoders.checkpoints.layout import Layout

_Graph = TypeVar("_Graph")

# Part of the cache's key: to be raised when the modules compute something else.
GRAPH_VERSION = 2

log = getLogger(__name__)


def cache_folder(backend: str) -> Path:
    """Where the graphs of a backend are kept: `search-engine/<backend>` in the user's cache."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "search-engine" / backend


def graph_folder(fingerprint: str, *, backend: str, variant: str = "") -> Path:
    """The folder of one graph; a variant is one that computes in another way, such as "int8"."""
    name = f"{fingerprint}-{GRAPH_VERSION}"
    return cache_folder(backend) / (f"{name}-{variant}" if variant else name)


def graph_layout(layout: Layout) -> Layout:
    """The layout without what is done to a graph's outputs, which so share the graph."""
    return replace(layout, truncate_dim=None, max_active_dims=None)


def graph_fingerprint(layout: Layout, *, checkpoint: str) -> str:
    """The key of the graph that runs the modules of a layout.

    It is the fingerprint of the checkpoint, but where one checkpoint has several graphs, of the
    routes of a Router or of token vectors.

    Args:
        checkpoint: its fingerprint, as `graph_layout` has it.
    """
    if not layout.is_routed and layout.output == "vector":
        return checkpoint
    # Relative, so that a checkpoint keeps its exported graphs when it is moved.
    folders = [str(module.folder.relative_to(layout.folder)) for module in layout.modules]
    way = ":".join([layout.output, *folders])
    return sha256(f"{checkpoint}:{way}".encode()).hexdigest()


def read_graph(path: Path, read: Callable[[Path], _Graph]) -> _Graph | None:
    """What `read` makes of a kept graph; None where there is none, or only a damaged one.

    A damaged graph is removed, with its folder.
    """
    if not path.is_file():
        return None
    try:
        return read(path)
    # The runtimes raise classes of their own, which have no common root.
    except Exception as error:
        log.warning("The exported graph %s cannot be read and is removed: %s", path, error)
        shutil.rmtree(path.parent, ignore_errors=True)
        return None


def write_graph(folder: Path, write: Callable[[Path], None], *, replace: bool = False) -> None:
    """Keep the files that `write` puts into a folder, all or none of them.

    Args:
        replace: whether a graph that is there already makes room.

    Raises:
        OSError, RuntimeError: they cannot be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    try:
        write(temporary)
        for path in temporary.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        # One rename for all files; if another process was first, its graph is as good.
        if replace and folder.exists():
            former = temporary.with_name(temporary.name.replace(".new-", ".old-"))
            folder.rename(former)
            shutil.rmtree(former, ignore_errors=True)
        if not folder.exists():
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
