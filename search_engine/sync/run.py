"""A folder and an index made to agree: what is new goes in, what is gone comes out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from search_engine.document_writer import DocumentWriter, WriterCounts
from search_engine.errors import ReadError
from search_engine.index.store.known_files import KnownFile
from search_engine.index.store.roots import Root
from search_engine.ingest.reading import Record
from search_engine.search import SearchEngine
from search_engine.sync.comparison import Change, Comparison, compare
from search_engine.sync.intake import Vanished, read_into, store_roots

# A larger share of a root's documents is deleted only where somebody says so.
MOST_DELETED = 0.2
_REMOVED = (
    "was taken out of the index by hand; it comes back when it changes, or by search-cli index"
)
_UNSEEN = "the folder is empty or cannot be looked into, so nothing is known of its files"


@dataclass(frozen=True, slots=True)
class Kept:
    """Documents that seem to be gone and were not deleted.

    Attributes:
        root: the folder they lay in.
        documents: how many they are.
        reason: why they were kept, and what to do.
    """

    root: Path
    documents: int
    reason: str


@dataclass(slots=True)
class SyncReport:
    """What one `sync` found and did.

    Attributes:
        comparison: what was found, and how it differed from what the index knew.
        indexed: files of which the index holds documents now.
        unread: files of which it holds none; why stands among the problems.
        problems: everything that could not be read, of unchanged files too.
        kept: what was not deleted.
        counts: what became of documents and chunks.
    """

    comparison: Comparison
    indexed: int = 0
    unread: int = 0
    problems: list[ReadError] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    counts: WriterCounts = field(default_factory=WriterCounts)


def sync(
    engine: SearchEngine,
    paths: Sequence[str | Path],
    *,
    change: Change = lambda settings: settings,
    prune: bool = False,
) -> SyncReport:
    """Make an index agree with files and folders.

    Files that are new or changed are read, and only chunks are encoded whose text no chunk of the
    index has. Documents are deleted only with proof: the folder that their file lay in was looked
    into and the file is not there (or is left out by a rule now), or the file was read to its end
    without a problem and does not have them any more. Of a root that is missing or empty nothing
    is deleted, nor of a folder that could not be looked into; and if more than a fifth of a root's
    documents would go at once, none of them goes, unless `prune` says so.

    Args:
        change: gives the settings that a root is to have, from those that are remembered.
        prune: delete also where it is more than a fifth.
    """
    comparison = compare(engine.folder, paths, change)
    with engine.writer() as writer:
        return bring_into_step(writer, comparison, prune=prune)


def report_unchanged(comparison: Comparison) -> SyncReport:
    """What is to be said before anything was read: all of it where all is in step."""
    report = SyncReport(comparison, problems=list(comparison.found.problems))
    for known, file in comparison.plan.unchanged:
        if known.file_id in comparison.removed:
            report.unread += 1
            report.problems.append(ReadError(file.given, _REMOVED))
        elif known.documents:
            report.indexed += 1
            report.counts.unchanged += known.documents
        else:
            report.unread += 1
        report.problems += [
            ReadError(file.given, reason, line=line) for reason, line in known.problems
        ]
    for root in comparison.roots.values():
        unseen = sum(e.documents for e in comparison.plan.unseen if e.root_id == root.root_id)
        if unseen:
            report.kept.append(Kept(root.path, unseen, _UNSEEN))
    return report


def foretell_deletions(comparison: Comparison, *, prune: bool) -> list[Kept]:
    """What would not be deleted, as far as it can be known before a file is read."""
    kept = report_unchanged(comparison).kept
    plan = comparison.plan
    for path, root in comparison.roots.items():
        doomed = (file for file in (*plan.gone, *plan.left_out) if file.root_id == root.root_id)
        count = sum(file.documents for file in doomed)
        count += len(comparison.orphans.get(root.root_id, ()))
        reason = judge_deletion(count, comparison.stored[root.root_id], prune=prune)
        if reason is not None:
            kept.append(Kept(path, count, reason))
    return kept


def judge_deletion(documents: int, of: int, *, prune: bool) -> str | None:
    """Why documents are not to be deleted; None where they may be.

    Args:
        documents: how many of a root would go.
        of: how many it has.
    """
    if prune or documents <= MOST_DELETED * of:
        return None
    return (
        f"they are gone, but they are more than a fifth of its {of}; if they are meant to go, say "
        "so by --prune"
    )


def bring_into_step(
    writer: DocumentWriter,
    comparison: Comparison,
    *,
    prune: bool = False,
    on_record: Callable[[Record], None] | None = None,
) -> SyncReport:
    """Do what a comparison says is to be done; the caller commits by leaving the writer.

    Args:
        prune: see `sync`.
        on_record: called with each document and each problem that is read.
    """
    report = report_unchanged(comparison)
    writer.counts.unchanged += report.counts.unchanged
    report.counts = writer.counts
    roots = store_roots(writer, comparison.settings)
    plan, found = comparison.plan, comparison.found
    read = read_into(writer, plan.to_read, roots, found=found.files, on_record=on_record)
    report.indexed += read.indexed
    report.unread += read.unread
    report.problems += read.problems
    not_read = {problem.path for problem in read.problems}
    for path, root in roots.items():
        deletion = _Deletion(writer, root, comparison)
        for moved, to in plan.renamed:
            if moved.root_id == root.root_id and to.given not in not_read:
                deletion.delete_moved(moved)
        doomed = deletion.choose([each for each in read.vanished if each.root_id == root.root_id])
        count = comparison.stored.get(root.root_id, 0)
        reason = judge_deletion(doomed, count, prune=prune)
        if reason is None:
            deletion.delete_chosen()
        else:
            report.kept.append(Kept(path, doomed, reason))
    return report


class _Deletion:
    """The documents below one root that are to be deleted, looked at once more just before.

    Reading may have taken hours: what is there again by now is left alone, and everything is if
    the root itself is missing or empty by now.
    """

    def __init__(self, writer: DocumentWriter, root: Root, comparison: Comparison) -> None:
        self._writer = writer
        self._root = root
        self._comparison = comparison
        self._files: list[tuple[KnownFile, list[str]]] = []
        self._vanished: Sequence[Vanished] = ()
        self._orphans: tuple[str, ...] = ()

    def delete_moved(self, file: KnownFile) -> None:
        """Delete what was read at another place now."""
        if not self._is_back(file):
            self._delete(file, self._doc_ids(file))

    def choose(self, vanished: Sequence[Vanished]) -> int:
        """How many documents are to go: of files that are gone, and of records that left theirs."""
        if not _has_anything(self._root.path):
            return 0
        plan = self._comparison.plan
        gone = [file for file in plan.gone if not self._is_back(file)]
        self._files = [
            (file, self._doc_ids(file))
            for file in (*gone, *plan.left_out)
            if file.root_id == self._root.root_id
        ]
        self._vanished = vanished
        self._orphans = self._comparison.orphans.get(self._root.root_id, ())
        records = sum(len(each.doc_ids) for each in vanished)
        return sum(len(doc_ids) for _, doc_ids in self._files) + records + len(self._orphans)

    def delete_chosen(self) -> None:
        """Delete what `choose` counted."""
        for file, doc_ids in self._files:
            self._delete(file, doc_ids)
        for each in self._vanished:
            for doc_id in each.doc_ids:
                self._writer.delete(doc_id)
            self._writer.know_file(each.file)
        for doc_id in self._orphans:
            self._writer.delete(doc_id)

    def _is_back(self, file: KnownFile) -> bool:
        return os.path.lexists(self._root.path / file.relative)

    def _doc_ids(self, file: KnownFile) -> list[str]:
        return self._writer.documents_of_file(file.root_id, file.relative)

    def _delete(self, file: KnownFile, doc_ids: Sequence[str]) -> None:
        for doc_id in doc_ids:
            self._writer.delete(doc_id)
        self._writer.forget_file(file.root_id, file.relative)


def _has_anything(folder: Path) -> bool:
    try:
        return next(folder.iterdir(), None) is not None
    except OSError:
        return False
