"""What is in folders, beside what an index knows of them; nothing is changed here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlite_utils

from search_engine.index.store.database import FILE_NAME, Database, is_writable, sqlite_errors
from search_engine.index.store.known_files import (
    KnownFile,
    doc_ids_below,
    document_count_below,
    known_files,
)
from search_engine.index.store.roots import Root, stored_roots
from search_engine.ingest.files import FoundFiles, find_files
from search_engine.ingest.settings import RootSettings
from search_engine.sync.orphans import find_orphans, find_removed
from search_engine.sync.plan import SyncPlan, make_plan

Change = Callable[[RootSettings], RootSettings]
"""Gives the settings that a root is to have, from those that are remembered."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Files and folders, and how they differ from what an index knows.

    Attributes:
        found: what is there.
        plan: how it differs.
        roots: those of the index that were looked into, by path.
        settings: by path, of all roots that were looked into, new ones too, as they are to be.
        stored: by root id, how many documents lie below those roots.
        orphans: by root id, documents whose file is gone and was never remembered: an earlier
            version read it.
        removed: files of which somebody deleted every document, by their ids; they stay out until
            they change.
    """

    found: FoundFiles
    plan: SyncPlan
    roots: Mapping[Path, Root]
    settings: Mapping[Path, RootSettings]
    stored: Mapping[str, int]
    orphans: Mapping[str, tuple[str, ...]]
    removed: frozenset[str]

    @property
    def in_step(self) -> bool:
        """Whether there is nothing to read, to delete or to remember."""
        plan = self.plan
        changes = (plan.new, plan.changed, plan.renamed, plan.gone, plan.left_out)
        return not (any(changes) or any(self.orphans.values())) and all(
            path in self.roots and settings == _remembered(self.roots[path])
            for path, settings in self.settings.items()
        )


def compare(folder: Path, paths: Sequence[str | Path], change: Change) -> Comparison:
    """Look into files and folders, and into the index.

    Args:
        folder: of the index; where there is none yet, everything is new.
    """
    if not (folder / FILE_NAME).exists():
        return _compare(paths, None, change)
    with Database(folder, writable=is_writable(folder)) as database, sqlite_errors(folder):
        return _compare(paths, database.here, change)


def _compare(
    paths: Sequence[str | Path], db: sqlite_utils.Database | None, change: Change
) -> Comparison:
    known_roots = {} if db is None else stored_roots(db)

    def settings_of(path: Path) -> RootSettings:
        known = known_roots.get(path)
        return change(RootSettings() if known is None else _remembered(known))

    found = find_files(paths, settings_of=settings_of, roots=known_roots)
    looked_in = sorted({*found.listed, *found.unlisted, *(file.root for file in found.files)})
    roots = {path: known_roots[path] for path in looked_in if path in known_roots}
    known: dict[Path, Mapping[str, KnownFile]] = {}
    stored: dict[str, int] = {}
    orphans: dict[str, tuple[str, ...]] = {}
    removed: set[str] = set()
    for path, root in roots.items():
        if db is None:
            continue
        known[path] = known_files(db, root.root_id)
        stored[root.root_id] = document_count_below(db, root.root_id)
        if stored[root.root_id] != sum(file.documents for file in known[path].values()):
            doc_ids = doc_ids_below(db, root.root_id)
            orphans[root.root_id] = tuple(find_orphans(doc_ids, root, known[path], found))
            removed.update(find_removed(doc_ids, known[path].values()))
    reread = [path for path, root in roots.items() if _differ(_remembered(root), settings_of(path))]
    plan = make_plan(found, known, reread=reread)
    settings = {path: settings_of(path) for path in looked_in}
    return Comparison(found, plan, roots, settings, stored, orphans, frozenset(removed))


def _remembered(root: Root) -> RootSettings:
    return RootSettings.from_json(root.settings)


def _differ(before: RootSettings, after: RootSettings) -> bool:
    """Whether the same files are read in another way."""
    return (before.fields, before.ocr) != (after.fields, after.ocr)
