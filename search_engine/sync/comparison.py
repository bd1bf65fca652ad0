"""What is in folders, beside what an index knows of them; nothing is changed here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from search_engine.index.store.database import FILE_NAME, Database, is_writable, sqlite_errors
from search_engine.index.store.known_files import KnownFile, known_files
from search_engine.index.store.roots import Root, stored_roots
from search_engine.ingest.files import FoundFiles, find_files
from search_engine.ingest.settings import RootSettings
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
    """

    found: FoundFiles
    plan: SyncPlan
    roots: Mapping[Path, Root]
    settings: Mapping[Path, RootSettings]

    @property
    def in_step(self) -> bool:
        """Whether there is nothing to read, to delete or to remember."""
        plan = self.plan
        return not (plan.new or plan.changed or plan.renamed or plan.gone) and all(
            path in self.roots and settings == _remembered(self.roots[path])
            for path, settings in self.settings.items()
        )


def compare(folder: Path, paths: Sequence[str | Path], change: Change) -> Comparison:
    """Look into files and folders, and into the index.

    Args:
        folder: of the index; where there is none yet, everything is new.
    """
    if not (folder / FILE_NAME).exists():
        return _compare(paths, {}, lambda _: {}, change)
    with Database(folder, writable=is_writable(folder)) as database, sqlite_errors(folder):
        db = database.here
        return _compare(paths, stored_roots(db), lambda root_id: known_files(db, root_id), change)


def _compare(
    paths: Sequence[str | Path],
    known_roots: Mapping[Path, Root],
    known_below: Callable[[str], Mapping[str, KnownFile]],
    change: Change,
) -> Comparison:
    def settings_of(path: Path) -> RootSettings:
        known = known_roots.get(path)
        return change(RootSettings() if known is None else _remembered(known))

    found = find_files(paths, settings_of=settings_of, roots=known_roots)
    looked_in = sorted({*found.listed, *found.unlisted, *(file.root for file in found.files)})
    roots = {path: known_roots[path] for path in looked_in if path in known_roots}
    known = {path: known_below(root.root_id) for path, root in roots.items()}
    reread = [path for path, root in roots.items() if _differ(_remembered(root), settings_of(path))]
    plan = make_plan(found, known, reread=reread)
    return Comparison(found, plan, roots, {path: settings_of(path) for path in looked_in})


def _remembered(root: Root) -> RootSettings:
    return RootSettings.from_json(root.settings)


def _differ(before: RootSettings, after: RootSettings) -> bool:
    """Whether the same files are read in another way."""
    return (before.fields, before.ocr) != (after.fields, after.ocr)
