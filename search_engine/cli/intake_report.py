"""What became of files and documents, for a terminal and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from search_engine.cli.places import index_folder
from search_engine.cli.progress import console
from search_engine.cli.terminal import count_of, printable_line

if TYPE_CHECKING:
    from search_engine.errors import ReadError
    from search_engine.sync.run import SyncReport

SOME_NOT_READ = 3
# Names shown of files of one type that has no reader; `--json` has all.
_NAMES_SHOWN = 5
# Problems shown of one file.
_PROBLEMS_SHOWN = 3
# Of all documents, those that must be new for all to be compared: it takes 5 s for 100,000.
_SHARE_TO_COMPARE = 0.01
# Of the chunks that were encoded; below it nothing is said.
_FEW_UNREADABLE = 0.05
MULTILINGUAL_MODEL = "paraphrase-multilingual-MiniLM-L12-v2"


def report_intake(name: str, report: SyncReport, seconds: float, *, as_json: bool) -> None:
    """Say what became of every file, and end with status 3 where some were not read.

    Args:
        name: of the index, as the user gave it.
        seconds: that it took.
    """
    repeating = _count_near_duplicates(name, report)
    _print_problems(report.problems)
    for kept in report.kept:
        _warn(f"not deleted: {kept.root}: {count_of(kept.documents, 'document')}: {kept.reason}")
    if as_json:
        typer.echo(json.dumps(_as_json(name, report, seconds, repeating), ensure_ascii=False))
    else:
        _print_summary(name, report, seconds, repeating)
    if report.problems:
        raise typer.Exit(SOME_NOT_READ)


def _count_near_duplicates(name: str, report: SyncReport) -> int | None:
    """How many documents nearly repeat others; None where too little came in to look again."""
    from search_engine.index.upkeep.duplicates import find_duplicates

    counts = report.counts
    new = counts.added + counts.replaced
    if not new or new < _SHARE_TO_COMPARE * (new + counts.unchanged):
        return None
    return find_duplicates(index_folder(name)).repeating


def _print_problems(problems: Iterable[ReadError]) -> None:
    """Name problems, of one file no more than a few."""
    counts: Counter[str] = Counter()
    for problem in problems:
        counts[problem.path] += 1
        if counts[problem.path] <= _PROBLEMS_SHOWN:
            _warn(f"problem: {problem}")
    for path, count in counts.items():
        if count > _PROBLEMS_SHOWN:
            _warn(f"problem: {path}: and {count - _PROBLEMS_SHOWN} more (--json names all)")


def _warn(message: str) -> None:
    console.print(Text(printable_line(message), style="yellow"), soft_wrap=True)


def _as_json(
    name: str, report: SyncReport, seconds: float, near_duplicates: int | None
) -> dict[str, object]:
    found = report.comparison.found
    return {
        "index": name,
        **asdict(report.counts),
        "files": {
            "indexed": report.indexed,
            "unread": report.unread,
            "without_reader": len(found.skipped),
            "left_out": found.ignored,
        },
        "near_duplicates": near_duplicates,
        "problems": [
            {"path": each.path, "line": each.line, "reason": each.reason}
            for each in report.problems
        ],
        "skipped": dict(found.skipped_types),
        "without_reader": list(found.skipped),
        "not_deleted": [
            {"root": str(each.root), "documents": each.documents, "reason": each.reason}
            for each in report.kept
        ],
        "seconds": round(seconds, 3),
    }


def _print_summary(
    name: str, report: SyncReport, seconds: float, near_duplicates: int | None
) -> None:
    counts, found = report.counts, report.comparison.found
    deleted = f"{counts.deleted} deleted, " if counts.deleted else ""
    typer.echo(
        f"{name}: {count_of(counts.added, 'document')} added, {counts.replaced} replaced, {deleted}"
        f"{counts.unchanged} unchanged, {count_of(counts.chunks, 'chunk')}, in {seconds:.1f} s"
    )
    if counts.truncated:
        texts = count_of(counts.truncated, "text")
        typer.echo(f"{texts} longer than the model reads: cut in its vectors, whole in all else")
    _warn_of_languages(report)
    typer.echo(
        f"files: {report.indexed} indexed, {report.unread} not readable, "
        f"{len(found.skipped)} without a reader for their type, {found.ignored} left out by rules "
        "(a folder counts once)"
    )
    for kind, count in found.skipped_types.items():
        names = [each for each in found.skipped if PurePosixPath(each).suffix.lower() == kind]
        typer.echo(f"  no reader for {kind or 'no extension'} ({count}): {_name_some(names)}")
    if near_duplicates:
        repeating = count_of(near_duplicates, "near-duplicate document")
        typer.echo(f"{repeating} (search-cli dedupe lists what they repeat)")
    if report.problems:
        rest = "; the rest went in" if report.indexed else ""
        typer.echo(f"problems: {len(report.problems)}, named above{rest}.")


def _warn_of_languages(report: SyncReport) -> None:
    """Name a model for texts that the index's own cannot read, where they are more than a few."""
    unreadable, encoded = report.counts.unreadable, report.counts.encoded
    total = sum(unreadable.values())
    if total <= _FEW_UNREADABLE * encoded:
        return
    most = sorted(unreadable.items(), key=lambda each: -each[1])
    named = ", ".join(f"{language or 'unknown'} {count}" for language, count in most)
    _warn(
        f"warning: {total} of {encoded} encoded chunks are in languages whose words the model does "
        f"not know ({named}); they are found by their words only. A multilingual model reads "
        f"them: --model {MULTILINGUAL_MODEL}, for a new index or with search-cli rebuild"
    )


def _name_some(names: Sequence[str]) -> str:
    shown = ", ".join(printable_line(name) for name in names[:_NAMES_SHOWN])
    more = len(names) - _NAMES_SHOWN
    return f"{shown} and {more} more (--json names all)" if more > 0 else shown
