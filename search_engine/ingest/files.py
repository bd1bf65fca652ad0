"""The files to read in the files and folders that a person names."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from search_engine.errors import ReadError
from search_engine.ingest.folder_layout import FolderLayout
from search_engine.ingest.ignore import IGNORE_FILES, IgnoreRules
from search_engine.ingest.problems import describe
from search_engine.ingest.readers import find_extension, known_extensions
from search_engine.ingest.settings import RootSettings


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file to be read.

    Attributes:
        path: resolved, to open.
        given: the path as the user would recognise it: the given root joined with the path below.
        root: the resolved folder that it belongs to: the one that was given, the parent folder of a
            file given directly, or a known root that either lies in.
        relative: POSIX path below the root.
        size: in bytes.
        modified_ns: time of modification, in nanoseconds since 1970.
    """

    path: Path
    given: str
    root: Path
    relative: str
    size: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """What stands in the files and folders that were given.

    Attributes:
        files: those that have a reader, by `given`.
        problems: what was given and cannot be read: a path that is missing, a folder without a
            file that has a reader, a folder that may not be listed, a file without a reader.
        skipped: files in folders that were passed over, because their type has no reader.
        ignored: how many files and folders were left out because a rule says so, they are hidden,
            or they belong to a data set that is read by another file; what is in a folder that was
            left out is not counted.
        listed: root -> paths of the folders below it that were looked into.
        unlisted: root -> paths below it of which nothing is known: a folder that cannot be listed,
            a link that leads nowhere, a folder that was given and is empty, as the place is where
            a disk is not mounted.
    """

    files: tuple[SourceFile, ...]
    problems: tuple[ReadError, ...]
    skipped: tuple[str, ...]
    ignored: int
    listed: Mapping[Path, frozenset[PurePosixPath]]
    unlisted: Mapping[Path, frozenset[PurePosixPath]]

    @property
    def skipped_types(self) -> Mapping[str, int]:
        """Extension -> how many files were passed over."""
        counts = Counter(PurePosixPath(name).suffix.lower() for name in self.skipped)
        return MappingProxyType(dict(sorted(counts.items())))


def find_files(
    paths: Sequence[str | Path],
    *,
    settings_of: Callable[[Path], RootSettings] = lambda _: RootSettings(),
    roots: Collection[Path] = (),
) -> FoundFiles:
    """The files to read in the files and folders given; only ignore files are opened.

    Hidden files and folders are left out, unless given themselves or asked for, and so is what the
    ignore files of a root and of the folders below it name. Links are followed once, but for those
    to a folder that they lie in. A file that is reached twice is taken once, under its own name
    rather than a link's. In a folder in the BEIR layout (it has `corpus.jsonl` or
    `corpus.jsonl.gz`) only the corpus is taken, of a data set saved by `datasets` only the Arrow
    files, and of an index of ours nothing.

    Args:
        settings_of: how the files below a root are found.
        roots: resolved folders known from before; what lies in one belongs to it, even if a folder
            below it or around it was given. Of several, the innermost.
    """
    search = _Search(settings_of, roots)
    for path in paths:
        search.add(Path(path))
    return FoundFiles(
        files=tuple(sorted(search.files.values(), key=lambda file: file.given)),
        problems=tuple(search.problems),
        skipped=tuple(sorted(search.skipped)),
        ignored=search.ignored,
        listed=_freeze(search.listed),
        unlisted=_freeze(search.unlisted),
    )


def _freeze(places: Mapping[Path, set[PurePosixPath]]) -> Mapping[Path, frozenset[PurePosixPath]]:
    return MappingProxyType({root: frozenset(below) for root, below in places.items()})


@dataclass(frozen=True, slots=True)
class _Tree:
    """One folder or file that was given, as a part of its root."""

    given: Path
    start: PurePosixPath
    root: Path
    settings: RootSettings
    rules: IgnoreRules

    def name(self, place: PurePosixPath) -> Path:
        """A path below the root, as the user would recognise it."""
        return self.given / place.relative_to(self.start)


class _Search:
    """The state of one `find_files`: what was found and where it has been."""

    def __init__(
        self, settings_of: Callable[[Path], RootSettings], roots: Collection[Path]
    ) -> None:
        self.files: dict[Path, SourceFile] = {}
        self.problems: list[ReadError] = []
        self.skipped: list[str] = []
        self.ignored = 0
        self.listed: dict[Path, set[PurePosixPath]] = {}
        self.unlisted: dict[Path, set[PurePosixPath]] = {}
        self._settings_of = settings_of
        self._roots = frozenset(roots)
        self._folders: set[Path] = set()
        # Entries that are no folders.
        self._seen = 0

    def add(self, given: Path) -> None:
        """Take a file or a folder that the user named."""
        try:
            path = given.resolve(strict=True)
            mode = path.stat().st_mode
            str(path).encode()
        except FileNotFoundError:
            self._report(given, "does not exist; check the spelling")
            return
        except UnicodeEncodeError:
            self._report(given, "has a name that is not UTF-8; rename it")
            return
        except (OSError, RuntimeError) as error:
            self._report(given, describe(error))
            return
        if stat.S_ISDIR(mode):
            self._add_folder(self._tree(given, path, path))
            return
        tree = self._tree(given, path, path.parent)
        ocr = tree.settings.ocr
        if not stat.S_ISREG(mode):
            self._report(given, "is neither a file nor a folder")
        elif find_extension(given.name, ocr=ocr) is None:
            what = given.suffix.lower() or "files without an extension"
            known = ", ".join(known_extensions(ocr=ocr))
            self._report(given, f"there is no reader for {what}; there are for {known}")
        else:
            self._take(path, tree.start, tree)

    def _tree(self, given: Path, path: Path, folder: Path) -> _Tree:
        """A path that was given, placed below the innermost known root that it lies in."""
        around = [above for above in (folder, *folder.parents) if above in self._roots]
        root = around[0] if around else folder
        # A file given by the name of a link keeps that name, which says more than its target's.
        name = path.name if around or path.is_dir() else given.name
        start = PurePosixPath((path.parent / name).relative_to(root).as_posix())
        if path == root:
            start = PurePosixPath()
        return _Tree(given, start, root, self._settings_of(root), IgnoreRules(root))

    def _add_folder(self, tree: _Tree) -> None:
        folder = tree.root / tree.start
        if folder in self._folders:
            return
        known, problems, seen = len(self.files), len(self.problems), self._seen
        # Links wait until everything that lies here itself is known, so that a file is taken
        # under its own name and a link back up finds its goal already visited.
        links: list[PurePosixPath] = []
        self._walk(folder, tree.start, tree, links)
        while links:
            self._follow(links.pop(0), tree, links)
        if len(self.files) == known and len(self.problems) == problems:
            self._report(tree.given, "has no file in it that there is a reader for")
        if self._seen == seen:
            self._list(self.unlisted, tree, tree.start)

    def _walk(
        self, folder: Path, below: PurePosixPath, tree: _Tree, links: list[PurePosixPath]
    ) -> None:
        pending = [(folder, below)]
        while pending:
            folder, below = pending.pop()
            if folder in self._folders:
                continue
            self._folders.add(folder)
            try:
                with os.scandir(folder) as scan:
                    entries = sorted(scan, key=lambda entry: entry.name)
            except OSError as error:
                self._list(self.unlisted, tree, below)
                self._report(tree.name(below), describe(error))
                continue
            self._list(self.listed, tree, below)
            layout = FolderLayout({entry.name for entry in entries})
            for entry in entries:
                place = below / entry.name
                try:
                    self._seen += not entry.is_dir(follow_symlinks=False)
                    if entry.is_symlink():
                        if not self._is_ignored(place, tree, layout, folder=False):
                            links.append(place)
                    elif entry.is_dir():
                        if self._is_ignored(place, tree, layout, folder=True):
                            continue
                        inner = folder / entry.name
                        if inner in self._roots:
                            self._add_folder(self._tree(tree.name(place), inner, inner))
                        else:
                            pending.append((inner, place))
                    elif entry.is_file():
                        self._consider(folder / entry.name, place, tree, layout)
                except OSError as error:
                    self._list(self.unlisted, tree, place)
                    self._report(tree.name(place), describe(error))

    def _follow(self, place: PurePosixPath, tree: _Tree, links: list[PurePosixPath]) -> None:
        link = tree.root / place
        try:
            path = link.resolve(strict=True)
            mode = path.stat().st_mode
        except (OSError, RuntimeError):
            # What was read through it before may be there again tomorrow.
            self._list(self.unlisted, tree, place)
            if find_extension(link.name, ocr=tree.settings.ocr) is not None:
                self._report(tree.name(place), "is a link that leads nowhere")
            return
        if stat.S_ISDIR(mode):
            if path in (*link.parent.resolve().parents, link.parent.resolve()):
                # It leads back to where it lies, or out of the root to all that is around it.
                self.ignored += 1
                return
            self._walk(path, place, tree, links)
        elif stat.S_ISREG(mode):
            beside = {entry.name for entry in link.parent.iterdir()}
            self._consider(path, place, tree, FolderLayout(beside))

    def _is_ignored(
        self, place: PurePosixPath, tree: _Tree, layout: FolderLayout, *, folder: bool
    ) -> bool:
        hidden = place.name.startswith(".") and not tree.settings.hidden
        ignored = (
            hidden
            or place.name in (".git", *IGNORE_FILES)
            or layout.leaves_out(place.name, folder=folder)
            or tree.rules.leave_out(place, folder=folder)
        )
        self.ignored += ignored
        return ignored

    def _consider(
        self, path: Path, place: PurePosixPath, tree: _Tree, layout: FolderLayout
    ) -> None:
        if self._is_ignored(place, tree, layout, folder=False):
            return
        if layout.skips(place.name) or find_extension(place.name, ocr=tree.settings.ocr) is None:
            self.skipped.append(_printable(tree.name(place)))
        else:
            self._take(path, place, tree)

    def _take(self, path: Path, place: PurePosixPath, tree: _Tree) -> None:
        if path in self.files:
            return
        given = tree.name(place)
        try:
            for name in (str(place), str(given), str(tree.root)):
                name.encode()
            status = path.stat()
        except UnicodeEncodeError:
            self._report(given, "has a name that is not UTF-8; rename it")
        except OSError as error:
            self._list(self.unlisted, tree, place)
            self._report(given, describe(error))
        else:
            self.files[path] = SourceFile(
                path, str(given), tree.root, str(place), status.st_size, status.st_mtime_ns
            )

    def _list(
        self, places: dict[Path, set[PurePosixPath]], tree: _Tree, place: PurePosixPath
    ) -> None:
        places.setdefault(tree.root, set()).add(place)

    def _report(self, given: Path, reason: str) -> None:
        self.problems.append(ReadError(_printable(given), reason))


def _printable(given: Path) -> str:
    # A name in another encoding must not break the terminal that it is shown on.
    return os.fsencode(given).decode(errors="replace")
