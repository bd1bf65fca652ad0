"""A folder of 10,000 files kept in step: seconds of `search-cli sync`, and what it encodes.

    python benchmarks/sync_speed.py [--files 10000] [--data DIR]

Each file is a Stack Exchange question title, one in a hundred a page of fifty; the folder lies in
temporary space. Every time is that of a whole process, its start included.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from environment import describe_environment
from query_latency import DATA, read_questions

CLI = Path(sys.executable).with_name("search-cli")
PAGE = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--data", type=Path, default=DATA)
    arguments = parser.parse_args()
    print(describe_environment())
    print()
    print("| what changed | seconds | added | replaced | deleted | encoded | reused |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        docs = home / "docs"
        _write(docs, read_questions(arguments.data), arguments.files)
        _measure("everything is new", home)
        _measure("nothing", home)
        page = docs / "00" / "0.txt"
        page.write_text(page.read_text().replace("?", "!", 1), encoding="utf-8")
        _measure("one sentence of one page", home)
        (docs / "01").rename(docs / "renamed")
        _measure("a folder was renamed", home)
        docs.rename(home / "away")
        _measure("the folder is gone", home)
        docs.mkdir()
        _measure("the folder is empty", home, "--prune")
        docs.rmdir()
        (home / "away").rename(docs)
        _measure("it is there again", home)


def _write(docs: Path, questions: Iterator[str], count: int) -> None:
    for number in range(count):
        path = docs / f"{number // 100:02}" / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = islice(questions, PAGE if number % 100 == 0 else 1)
        path.write_text("\n\n".join(lines) + "\n", encoding="utf-8")


def _measure(what: str, home: Path, *options: str) -> None:
    command = [str(CLI), "sync", "docs", "--index", "./index", "--json", "--offline", *options]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    report = json.loads(done.stdout)
    counts = (report[name] for name in ("added", "replaced", "deleted", "encoded", "reused"))
    print(
        f"| {what} | {seconds:.2f} | {' | '.join(f'{count:,}' for count in counts)} |", flush=True
    )


if __name__ == "__main__":
    main()
