"""A folder and an index made to agree: what is new goes in, what is gone comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from search_engine.document_writer import DocumentWriter, WriterCounts
from search_engine.errors import ReadError
from search_engine.index.store.known_files import KnownFile
from search_engine.ingest.reading import Record
from search_engine.search import SearchEngine
from search_engine.sync.comparison import Change, Comparison, compare
from search_engine.sync.intake import Vanished, read_into

# A larger share of a root's documents is deleted only where somebody says so.
MOST_DELETED = 0.2
_UNSEEN = "their folder is empty or cannot be looked into, so nothing is known of them"


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
        if known.documents:
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
    paired = (*plan.unchanged, *plan.changed, *plan.renamed)
    there = [*plan.gone, *plan.unseen, *(known for known, _ in paired)]
    for path, root in comparison.roots.items():
        gone = sum(file.documents for file in plan.gone if file.root_id == root.root_id)
        count = sum(file.documents for file in there if file.root_id == root.root_id)
        reason = judge_deletion(gone, count, prune=prune)
        if reason is not None:
            kept.append(Kept(path, gone, reason))
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
        f"{documents} of its {of} documents would be deleted, more than a fifth; if they are meant "
        "to go, say so by --prune"
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
    roots = {
        path: writer.root(path, settings=settings.as_json())
        for path, settings in comparison.settings.items()
    }
    before = {each.root_id: writer.document_count_below(each.root_id) for each in roots.values()}
    read = read_into(writer, comparison.plan.to_read, roots, on_record=on_record)
    report.indexed += read.indexed
    report.unread += read.unread
    report.problems += read.problems
    not_read = {problem.path for problem in read.problems}
    for moved, to in comparison.plan.renamed:
        if to.given not in not_read:
            _delete_file(writer, moved)
    for path, root in roots.items():
        gone = [file for file in comparison.plan.gone if file.root_id == root.root_id]
        records = [each for each in read.vanished if each.root_id == root.root_id]
        doomed = sum(file.documents for file in gone) + sum(len(e.doc_ids) for e in records)
        reason = judge_deletion(doomed, before[root.root_id], prune=prune)
        if reason is None:
            _delete(writer, gone, records)
        else:
            report.kept.append(Kept(path, doomed, reason))
    return report


def _delete(
    writer: DocumentWriter, files: Sequence[KnownFile], records: Sequence[Vanished]
) -> None:
    for file in files:
        _delete_file(writer, file)
    for each in records:
        for doc_id in each.doc_ids:
            writer.delete(doc_id)
        if each.file is not None:
            writer.know_file(each.file)


def _delete_file(writer: DocumentWriter, file: KnownFile) -> None:
    for doc_id in writer.documents_of_file(file.root_id, file.relative):
        writer.delete(doc_id)
    writer.forget_file(file.root_id, file.relative)
