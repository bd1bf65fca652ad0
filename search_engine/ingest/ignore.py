"""Files that a folder says to leave out: `.gitignore` and `.searchignore`, as Git reads them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from pathspec import GitIgnoreSpec

_SPECIAL = re.compile(r"[\\*?\[\]]")
# The second is read after the first, so it may take back what the first leaves out.
IGNORE_FILES = (".gitignore", ".searchignore")


class IgnoreRules:
    """The rules of a root and of the folders below it, read as the folders are visited.

    A pattern counts from the folder that its file lies in. Of all patterns that match, the last of
    the innermost folder decides (gitignore(5)); below a folder that is left out nothing is looked
    at. A line that is no pattern leaves nothing out, and the others count.

    Args:
        root: the folder that the paths are below of.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        # By folder: the patterns of it and of those around it, as if all stood in the root's file.
        self._patterns: dict[PurePosixPath, tuple[str, ...]] = {}
        self._lines: dict[str, GitIgnoreSpec] = {}
        self._specs: dict[tuple[tuple[str, ...], bool], GitIgnoreSpec] = {}

    def leave_out(self, place: PurePosixPath, *, folder: bool) -> bool:
        """Whether a path below the root is left out, its parent folder not being."""
        patterns = self._patterns_of(place.parent)
        if not patterns:
            return False
        key = patterns, folder
        if key not in self._specs:
            self._specs[key] = self._compile(
                [_for_folders(each) for each in patterns] if folder else patterns
            )
        # Asked for "name/", pathspec does not tell what names it from what names a folder above.
        return self._specs[key].match_file(str(place))

    def _patterns_of(self, folder: PurePosixPath) -> tuple[str, ...]:
        if folder not in self._patterns:
            around = () if folder == folder.parent else self._patterns_of(folder.parent)
            self._patterns[folder] = (*around, *self._read(folder))
        return self._patterns[folder]

    def _compile(self, patterns: Sequence[str]) -> GitIgnoreSpec:
        for pattern in patterns:
            if pattern not in self._lines:
                self._lines[pattern] = _compile_line(pattern)
        return GitIgnoreSpec(
            compiled for pattern in patterns for compiled in self._lines[pattern].patterns
        )

    def _read(self, folder: PurePosixPath) -> Iterator[str]:
        for name in IGNORE_FILES:
            # Rules that cannot be read leave nothing out.
            with suppress(OSError):
                path = self._root / folder / name
                text = path.read_text(encoding="utf-8-sig", errors="replace")
                for line in text.splitlines():
                    # A line of slashes alone names nothing, here or below.
                    if line.removeprefix("!").rstrip().strip("/") and not line.startswith("#"):
                        yield _from_root(line, folder)


def _compile_line(pattern: str) -> GitIgnoreSpec:
    """The pattern alone; nothing where pathspec cannot read it, which Git has match nothing."""
    with warnings.catch_warnings():
        # Brackets in brackets, of which re says that it may read them in another way one day.
        warnings.simplefilter("ignore", FutureWarning)
        try:
            return GitIgnoreSpec.from_lines([pattern])
        except (ValueError, re.error):
            return GitIgnoreSpec([])


def _from_root(pattern: str, folder: PurePosixPath) -> str:
    """A pattern of a folder's file as it would stand in the root's."""
    sign = "!" if pattern.startswith("!") else ""
    body = pattern.removeprefix("!")
    plain = body.rstrip()
    if plain.endswith("/**"):
        # Both name everything in a folder, and pathspec takes the shorter for the folder too.
        body = f"{plain}/*"
    anchored = "/" in plain.rstrip("/")
    if folder == folder.parent:
        return f"{sign}{body}"
    above = _SPECIAL.sub(r"\\\g<0>", str(folder))
    return f"{sign}/{above}/{body.lstrip('/')}" if anchored else f"{sign}/{above}/**/{body}"


def _for_folders(pattern: str) -> str:
    """A pattern that names of folders alone what the one given names of files and folders."""
    plain = pattern.rstrip()
    if not plain.endswith("/"):
        return pattern
    plain = plain.removesuffix("/")
    return f"{plain}/*" if plain.endswith("/**") else plain
