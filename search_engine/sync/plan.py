"""What has to be done to make an index agree with its folders; nothing is changed here."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, TypeAlias

from search_engine.index.store.known_files import KnownFile
from search_engine.ingest.files import FoundFiles, SourceFile

LookedFor: TypeAlias = Literal["gone", "unseen", "elsewhere"]

# A file system may give a file that is changed again so soon after the same time of modification.
_UNSURE_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """How the files that were found differ from those that the index knows.

    Attributes:
        new: to be read.
        changed: to be read again.
        renamed: to be read at its new place; the content is that of a file that is gone.
        gone: known, and not there any more: their folder was looked into.
        left_out: known, there, and not to be read any more: a rule leaves them out, or they are
            reached by another name.
        unchanged: the same as they were.
        unseen: known, and nothing can be said of them: their folder could not be looked into.
    """

    new: tuple[SourceFile, ...]
    changed: tuple[tuple[KnownFile, SourceFile], ...]
    renamed: tuple[tuple[KnownFile, SourceFile], ...]
    gone: tuple[KnownFile, ...]
    left_out: tuple[KnownFile, ...]
    unchanged: tuple[tuple[KnownFile, SourceFile], ...]
    unseen: tuple[KnownFile, ...]

    @property
    def to_read(self) -> list[SourceFile]:
        """The files to read, in the order in which they were found."""
        again = (file for _, file in (*self.changed, *self.renamed))
        return sorted((*self.new, *again), key=lambda file: file.given)


def make_plan(
    found: FoundFiles,
    known: Mapping[Path, Mapping[str, KnownFile]],
    *,
    reread: Collection[Path] = (),
) -> SyncPlan:
    """Compare what was found with what is known.

    A file of the same size and time of modification is taken for unchanged, unless it was read
    within two seconds of that time: then its content decides, as in Git's index.

    Args:
        known: by the path of each root that was looked into, the files by their paths below it.
        reread: roots whose files are read in another way from now on.
    """
    new, changed, unchanged = [], [], []
    there: set[tuple[Path, str]] = set()
    for file in found.files:
        there.add((file.root, file.relative))
        before = known.get(file.root, {}).get(file.relative)
        if before is None:
            new.append(file)
        elif file.root not in reread and _is_unchanged(file, before):
            unchanged.append((before, file))
        else:
            changed.append((before, file))
    gone, left_out, unseen = [], [], []
    for root, files in known.items():
        for relative, before in files.items():
            if (root, relative) in there:
                continue
            match look_for(PurePosixPath(relative), root, found):
                case "gone" if os.path.lexists(root / relative):
                    left_out.append(before)
                case "gone":
                    gone.append(before)
                case "unseen":
                    unseen.append(before)
    renamed = list(_find_renamed(new, gone))
    moved = {before.file_id for before, _ in renamed}
    places = {file.path for _, file in renamed}
    return SyncPlan(
        new=tuple(file for file in new if file.path not in places),
        changed=tuple(changed),
        renamed=tuple(renamed),
        gone=tuple(before for before in gone if before.file_id not in moved),
        left_out=tuple(left_out),
        unchanged=tuple(unchanged),
        unseen=tuple(unseen),
    )


def hash_file(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _is_unchanged(file: SourceFile, before: KnownFile) -> bool:
    if file.size != before.size or file.modified_ns != before.modified_ns:
        return False
    if file.modified_ns < before.read_ns - _UNSURE_NS:
        return True
    try:
        return hash_file(file.path) == before.content_hash
    except OSError:
        # Reading it says what is wrong.
        return False


def look_for(place: PurePosixPath, root: Path, found: FoundFiles) -> LookedFor:
    """What is known of a path below a root at which nothing was found.

    Returns:
        "gone" where its folder was looked into, "unseen" where that could not be, "elsewhere"
        where nobody asked.
    """
    around = {place, *place.parents}
    if around & found.unlisted.get(root, frozenset()):
        return "unseen"
    return "gone" if around & found.listed.get(root, frozenset()) else "elsewhere"


def _find_renamed(
    new: Iterable[SourceFile], gone: Iterable[KnownFile]
) -> Iterator[tuple[KnownFile, SourceFile]]:
    """New files that have the content of one that is gone; of several, one of its own name."""
    by_size: dict[int, list[KnownFile]] = {}
    for before in gone:
        by_size.setdefault(before.size, []).append(before)
    for file in new:
        candidates = by_size.get(file.size, [])
        if not candidates:
            continue
        try:
            digest = hash_file(file.path)
        except OSError:
            continue
        same = [before for before in candidates if before.content_hash == digest]
        if same:
            name = PurePosixPath(file.relative).name
            best = max(same, key=lambda before: PurePosixPath(before.relative).name == name)
            candidates.remove(best)
            yield best, file
