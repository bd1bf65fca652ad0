"""The documents of an index that nearly repeat others of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlite_utils

from search_engine.index.store.database import Database, is_writable, sqlite_errors
from search_engine.index.store.pins import pinned
from search_engine.index.store.signatures import (
    documents_without_signature,
    signatures_of_living,
)
from search_engine.index.store.stored import whole_document
from search_engine.near_duplicates.groups import Group, find_groups
from search_engine.near_duplicates.shingles import Shingles, jaccard, shingles_of


@dataclass(frozen=True, slots=True)
class DuplicateDocument:
    """A document of a group.

    Attributes:
        characters: the length of its text.
        estimated_jaccard: the similarity with the first of the group, by their signatures.
        jaccard: the same, counted from the stored texts.
    """

    doc_id: str
    title: str
    characters: int
    estimated_jaccard: float
    jaccard: float


@dataclass(frozen=True, slots=True)
class Duplicates:
    """The near-duplicates of an index at one commit.

    Attributes:
        groups: largest first; the first document of each is the one that the others repeat.
        without_signature: documents that could not be compared: an earlier version added them.
    """

    groups: tuple[tuple[DuplicateDocument, ...], ...]
    without_signature: int

    @property
    def repeating(self) -> int:
        """How many documents nearly repeat another one."""
        return sum(len(group) - 1 for group in self.groups)


def find_duplicates(folder: Path, *, threshold: float = 0.8) -> Duplicates:
    """Documents that nearly repeat others, found by their signatures, counted from their texts.

    Nothing is changed. Of what the signatures find, those whose texts share less are left out.

    Args:
        threshold: Jaccard similarity of the texts' shingles, 0.5 to 1.

    Raises:
        ConfigError: the threshold is too low or too high.
        IndexNotFoundError, IndexCorruptError, IndexFormatError, IndexReadOnlyError: see Database.
    """
    with Database(folder, writable=is_writable(folder)) as database, sqlite_errors(folder):
        db = database.here
        with pinned(database, str(folder)) as state:
            without_signature = documents_without_signature(db, state.commit)
            found = find_groups(signatures_of_living(db, state.commit), threshold)
            counted = [tuple(_counted(db, group, threshold)) for group in found]
    groups = [group for group in counted if len(group) > 1]
    groups.sort(key=len, reverse=True)
    return Duplicates(tuple(groups), without_signature)


def _counted(
    db: sqlite_utils.Database, group: Group, threshold: float
) -> Iterator[DuplicateDocument]:
    """The documents of a group whose texts share as much with the first as was asked."""
    first: Shingles | None = None
    for document_id, estimate in zip(group.document_ids, group.similarities, strict=True):
        stored = whole_document(db, document_id)
        if stored is None:
            # Removed meanwhile, as may be where no pin could be written.
            continue
        document, _ = stored
        shingles = shingles_of(document.text)
        if first is None:
            first = shingles
        similarity = jaccard(first, shingles)
        if similarity >= threshold:
            yield DuplicateDocument(
                document.doc_id, document.title, len(document.text), estimate, similarity
            )
