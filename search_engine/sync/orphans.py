"""Documents and files of an index that do not belong together any more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from search_engine.index.store.known_files import KnownFile
from search_engine.index.store.roots import Root
from search_engine.ingest.files import FoundFiles
from search_engine.sync.plan import look_for


def find_orphans(
    doc_ids: Iterable[str], root: Root, known: Mapping[str, KnownFile], found: FoundFiles
) -> Iterator[str]:
    """Documents of a file that is not remembered and is gone: its folder was looked into.

    Args:
        doc_ids: of all documents below the root.
        known: the files that are remembered, by their paths below the root.
    """
    there = {file.relative for file in found.files if file.root == root.path}
    for doc_id in doc_ids:
        places = list(_possible_files(doc_id.removeprefix(f"{root.root_id}/")))
        if any(place in known or place in there for place in places):
            continue
        if all(look_for(PurePosixPath(place), root.path, found) == "gone" for place in places):
            yield doc_id


def find_removed(doc_ids: Sequence[str], known: Iterable[KnownFile]) -> Iterator[str]:
    """The ids of files that had documents when they were read and have none now."""
    there = {place for doc_id in doc_ids for place in _possible_files(doc_id)}
    return (file.file_id for file in known if file.documents and file.file_id not in there)


def _possible_files(doc_id: str) -> Iterator[str]:
    """What the file of a document may be called: all of its id, or what stands before any "#"."""
    yield doc_id
    for place, character in enumerate(doc_id):
        if character == "#":
            yield doc_id[:place]
