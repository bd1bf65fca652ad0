"""Ingest net of encoding: files and megabytes a second of each format, beside markitdown.

    python benchmarks/ingest_speed.py [--folders DIR ...] [--rounds N] [--repeat N]

Four sides read the same files by turns: `read-chunk` finds them, reads them in worker processes and
cuts them into chunks by the default model's tokenizer; `read` does the same without chunks;
`one-process` reads one file after the other in this process; `markitdown` converts one file after
the other, without plugins. Nothing is encoded, analysed or stored.

Cold is a process of its own for each run, its start and its imports included. Warm is measured in
one process after a first run that does not count; `read-chunk` and `read` start their worker
processes in every run all the same, so formats with few files are copied until that is little.

A format of which markitdown reads no file here is left out of what is measured in all.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from environment import describe_environment

if TYPE_CHECKING:
    from markitdown import MarkItDown

    from search_engine.ingest.chunking import Chunker
    from search_engine.ingest.reading import Record

FOLDERS = Path(__file__).resolve().parents[2] / "shared" / "data" / "folders"
REFERENCE = "markitdown"
# A format with fewer files than this is copied.
FEW_FILES = 20
MB = 10**6


@dataclass(slots=True)
class Tally:
    """What one run of a side read.

    Attributes:
        seconds: from the folder's name to the last document.
        characters: of all texts.
        chunks: 0 where none are made.
        unread: place of a file that gave no text -> why.
    """

    seconds: float = 0.0
    characters: int = 0
    chunks: int = 0
    unread: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Corpus:
    """Copies of files, each in a folder of its own, so that no rule of a layout leaves any out.

    Attributes:
        folder: where the copies lie, as `<place>/<name>`.
        names: place -> the name of the file that was copied, below the folders given.
        size: of all copies, in bytes.
    """

    folder: Path
    names: Mapping[str, str]
    size: int


def main() -> int:
    arguments = parse_arguments()
    if arguments.side:
        print(json.dumps(asdict(SIDES[arguments.side](arguments.folders[0]))))
        return 0
    print(describe_environment())
    print(f"- {REFERENCE} {version(REFERENCE)}\n", flush=True)
    with TemporaryDirectory() as place:
        compare(Path(place), arguments.folders, rounds=arguments.rounds, repeat=arguments.repeat)
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--folders", nargs="+", type=Path, default=[FOLDERS], metavar="DIR",
        help="folders to read (default: ../shared/data/folders)",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default: 3")
    parser.add_argument(
        "--repeat", type=int, default=20, metavar="N",
        help=f"copies of each file of a format with fewer than {FEW_FILES} files (default: 20)",
    )  # fmt: skip
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    return parser.parse_args()


def compare(place: Path, folders: Sequence[Path], *, rounds: int, repeat: int) -> None:
    formats, left_out = find_formats(folders)
    if not formats:
        sys.exit("ingest_speed.py: the folders have no file in them that there is a reader for")
    unread: defaultdict[str, dict[str, str]] = defaultdict(dict)
    warm: dict[str, tuple[Corpus, dict[str, list[Tally]]]] = {}
    for extension, files in formats.items():
        copies = repeat if len(files) < FEW_FILES else 1
        corpus = copy_files(files, place / extension.lstrip("."), copies)
        warm[extension] = (corpus, run_by_turns(corpus, rounds, warm=True))
        report_progress(extension)
    for corpus, runs in warm.values():
        for side, tallies in runs.items():
            for at, reason in tallies[0].unread.items():
                unread[side][corpus.names[at]] = reason.replace(str(corpus.folder / at), "").strip()
    compared = [extension for extension, measured in warm.items() if is_read(*measured)]
    files = {name: path for extension in compared for name, path in formats[extension].items()}
    if files:
        everything = copy_files(files, place / "in-all", 1)
        warm["in all"] = (everything, run_by_turns(everything, rounds, warm=True))
        report_progress("in all, warm")
        cold = run_by_turns(everything, rounds, warm=False)
        print(f"Cold, {len(everything.names)} files, {everything.size / MB:.1f} MB\n")
        print(format_cold(everything, cold), end="\n\n")
    print("Warm: files/s, MB/s (times markitdown)\n")
    print(format_warm(warm), end="\n\n")
    print(f"Without a reader of ours, not measured: {left_out or 'none'}\n")
    for side in SIDES:
        print(f"Not read by {side}: {len(unread[side])}")
        for name, reason in unread[side].items():
            print(f"- {name}: {reason}")
        print()


def find_formats(folders: Sequence[Path]) -> tuple[dict[str, dict[str, Path]], str]:
    """Extension -> name -> file, those of most files first, and what no reader of ours reads."""
    from search_engine.ingest.files import find_files
    from search_engine.ingest.readers import find_extension

    found = find_files(folders)
    formats: defaultdict[str, dict[str, Path]] = defaultdict(dict)
    for file in found.files:
        formats[find_extension(file.relative) or ""][file.given] = file.path
    names = {
        f"{Path(given).relative_to(folder)}": (extension, path)
        for extension, files in formats.items()
        for given, path in files.items()
        for folder in folders
        if Path(given).is_relative_to(folder)
    }
    named: defaultdict[str, dict[str, Path]] = defaultdict(dict)
    for name, (extension, path) in names.items():
        named[extension][name] = path
    left_out = ", ".join(
        f"{count} {extension or 'without an extension'}"
        for extension, count in found.skipped_types.items()
    )
    return dict(sorted(named.items(), key=lambda item: -len(item[1]))), left_out
