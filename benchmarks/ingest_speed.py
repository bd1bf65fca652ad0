"""Ingest net of encoding: files and megabytes a second of each format, beside markitdown.

    python benchmarks/ingest_speed.py [--folders DIR ...] [--rounds N] [--repeat N]

Four sides read the same files by turns: `read-chunk` finds them, reads them in worker processes and
cuts them into chunks by the default model's tokenizer; `read` does the same without chunks;
`one-process` reads one file after the other in this process; `markitdown` converts one file after
the other, without plugins. Nothing is encoded, analysed or stored.

Cold is a process of its own for each run, its start and its imports included. Warm is measured in
one process after a first run that does not count; `read-chunk` and `read` start their worker
processes in every run all the same. So formats with few files are copied, and what reading one
small file takes is stated beside.

A format of which a side reads no file here has no ratio, and is left out of what is measured in
all. A file that a side does not read counts in its speeds, and is named.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from environment import describe_environment
from ingest_sides import REFERENCE, SIDES, Tally

FOLDERS = Path(__file__).resolve().parents[2] / "shared" / "data" / "folders"
# A format with fewer files than this is copied.
FEW_FILES = 20
MB = 10**6


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


@dataclass(frozen=True, slots=True)
class Measured:
    """The runs of each side over the same files."""

    corpus: Corpus
    runs: Mapping[str, Sequence[Tally]]

    @property
    def is_compared(self) -> bool:
        """Whether every side reads any of the files."""
        return all(self.reads_any(side) for side in self.runs)

    def reads_any(self, side: str) -> bool:
        return len(self.runs[side][0].unread) < len(self.corpus.names)

    def median_seconds(self, side: str) -> float:
        return median(tally.seconds for tally in self.runs[side])

    def unread(self, side: str) -> Iterator[tuple[str, str]]:
        """Name and reason of each file that a side did not read, once for all its copies."""
        for place, reason in self.runs[side][0].unread.items():
            yield self.corpus.names[place], reason.replace(f"{self.corpus.folder / place}/", "")


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
    formats, without_reader = find_formats(folders)
    warm: dict[str, Measured] = {}
    for name, files in formats.items():
        copies = repeat if len(files) < FEW_FILES else 1
        corpus = copy_files(files, place / name, copies)
        warm[name] = Measured(corpus, run_by_turns(corpus, rounds, warm=True))
        print(f"done: {name}", file=sys.stderr, flush=True)
    each = list(warm.values())
    compared = {
        file: path
        for name, files in formats.items()
        if warm[name].is_compared
        for file, path in files.items()
    }
    if compared:
        everything = copy_files(compared, place / "in all", 1)
        warm["in all"] = Measured(everything, run_by_turns(everything, rounds, warm=True))
        print(f"Cold, {len(compared)} files, {everything.size / MB:.1f} MB\n")
        cold = Measured(everything, run_by_turns(everything, rounds, warm=False))
        print(format_cold(cold), end="\n\n")
    (place / "one" / "0").mkdir(parents=True)
    (place / "one" / "0" / "small.txt").write_text("One sentence.\n", encoding="utf-8")
    start = median(SIDES["read"](place / "one").seconds for _ in range(rounds))
    print("Warm: files/s, MB/s (times markitdown)\n")
    print(format_warm(warm), end="\n\n")
    print(f"`read` of one file of one sentence: {start:.2f} s\n")
    print(f"Without a reader of ours, not measured: {without_reader or 'none'}\n")
    print_unread(each)


def print_unread(measured: Sequence[Measured]) -> None:
    """What was not read and why, once for the sides that left out the same."""
    sides: defaultdict[tuple[tuple[str, str], ...], list[str]] = defaultdict(list)
    for side in SIDES:
        named = dict(pair for each in measured for pair in each.unread(side))
        sides[tuple(sorted((reason, name) for name, reason in named.items()))].append(side)
    for unread, agreeing in sides.items():
        print(f"Not read by {', '.join(agreeing)}: {len(unread)} files")
        for reason, group in groupby(unread, key=itemgetter(0)):
            print(f"- {reason}: {', '.join(name for _, name in group)}")
        print()


def find_formats(folders: Sequence[Path]) -> tuple[dict[str, dict[str, Path]], str]:
    """Extension -> name -> file, the format of most files first; and what has no reader."""
    from search_engine.ingest.files import find_files

    found = find_files(folders)
    if not found.files:
        sys.exit("ingest_speed.py: the folders have no file in them that there is a reader for")
    formats: defaultdict[str, dict[str, Path]] = defaultdict(dict)
    for file in found.files:
        extension = file.path.suffix.lower() or "no extension"
        formats[extension][f"{file.root.name}/{file.relative}"] = file.path
    skipped = [f"{count} {extension}" for extension, count in found.skipped_types.items()]
    return dict(sorted(formats.items(), key=lambda item: -len(item[1]))), ", ".join(skipped)


def copy_files(files: Mapping[str, Path], folder: Path, copies: int) -> Corpus:
    names: dict[str, str] = {}
    size = 0
    for name, path in files.items():
        for _ in range(copies):
            place = f"{len(names):06}"
            (folder / place).mkdir(parents=True)
            shutil.copyfile(path, folder / place / path.name)
            names[place] = name
            size += path.stat().st_size
    return Corpus(folder, names, size)


def run_by_turns(corpus: Corpus, rounds: int, *, warm: bool) -> dict[str, list[Tally]]:
    """The runs of each side; another side begins each round."""
    runs: dict[str, list[Tally]] = {side: [] for side in SIDES}
    if warm:
        for run in SIDES.values():
            run(corpus.folder)
    sides = list(SIDES)
    for number in range(rounds):
        first = number % len(sides)
        for side in sides[first:] + sides[:first]:
            runs[side].append(
                SIDES[side](corpus.folder) if warm else run_in_process(side, corpus.folder)
            )
    return runs


def run_in_process(side: str, folder: Path) -> Tally:
    """One run in a process of its own, in seconds from its start to its end."""
    command = [sys.executable, __file__, "--side", side, "--folders", str(folder)]
    started = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"ingest_speed.py: {side} failed with status {done.returncode}")
    tally = Tally(**json.loads(done.stdout.splitlines()[-1]))
    tally.seconds = seconds
    return tally


def format_cold(measured: Measured) -> str:
    corpus, reference = measured.corpus, measured.median_seconds(REFERENCE)
    lines = [
        "| side | seconds, each round | files/s | MB/s | times markitdown | files with text "
        "| characters | chunks |",
        "|---" * 8 + "|",
    ]
    for side, tallies in measured.runs.items():
        seconds = measured.median_seconds(side)
        lines.append(
            f"| {side} | {', '.join(f'{tally.seconds:.1f}' for tally in tallies)} "
            f"| {len(corpus.names) / seconds:.1f} | {corpus.size / MB / seconds:.2f} "
            f"| {reference / seconds:.2f} | {len(corpus.names) - len(tallies[0].unread)} "
            f"| {tallies[0].characters:,} | {tallies[0].chunks:,} |"
        )
    return "\n".join(lines)


def format_warm(measured: Mapping[str, Measured]) -> str:
    """Medians over rounds; copies count as files."""
    lines = [
        f"| format | files | copies of each | MB | {' | '.join(SIDES)} |",
        "|---" * (4 + len(SIDES)) + "|",
    ]
    for name, each in measured.items():
        corpus = each.corpus
        files = len(set(corpus.names.values()))
        cells = []
        for side in SIDES:
            seconds = each.median_seconds(side)
            speeds = f"{len(corpus.names) / seconds:.1f}, {corpus.size / MB / seconds:.2f}"
            if each.is_compared:
                speeds += f" ({each.median_seconds(REFERENCE) / seconds:.2f})"
            cells.append(speeds if each.reads_any(side) else "reads none")
        lines.append(
            f"| {name} | {files} | {len(corpus.names) // files} | {corpus.size / MB:.1f} "
            f"| {' | '.join(cells)} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
