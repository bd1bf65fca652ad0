"""A folder of everything that is hard to read: each file of it is indexed or named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.torture import build_folder
from tests.ingest.scripted import install_reader, write_script

_REPOSITORY = Path(__file__).resolve().parents[2]

# Root may read every file. Without two capabilities it may not, and it loses them here for good:
# CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH (capabilities(7)), by PR_CAPBSET_DROP (prctl(2)).
_PROGRAM = """
import ctypes, json, os, sys
from pathlib import Path
if "again" not in sys.argv:
    for capability in (1, 2):
        ctypes.CDLL(None).prctl(24, capability)
    os.execv(sys.executable, [sys.executable, *sys.argv, "again"])

from search_engine.ingest.files import find_files
from search_engine.ingest.limits import Limits
from search_engine.ingest.reading import read_files

_, folder, seconds, memory, _ = sys.argv
found = find_files([folder])
limits = Limits(seconds=float(seconds), memory=int(memory))
texts, named, known = {}, {}, set()
for problem in found.problems:
    named.setdefault(problem.path, []).append(problem.reason)
for record in read_files(found.files, {file.root: "r" for file in found.files}, limits=limits):
    known.add(record.file.given)
    if record.document is not None:
        texts.setdefault(record.file.given, []).append(record.document.text[:100])
    else:
        named.setdefault(record.problem.path, []).append(record.problem.reason)
# What getrusage tells begins with the largest size of the process that started this one.
status = Path("/proc/self/status").read_text()
(largest,) = (int(line.split()[1]) * 1024 for line in status.splitlines() if "VmHWM" in line)
json.dump({"texts": texts, "named": named, "read": len(known), "largest": largest}, sys.stdout)
"""


def _read_folder(folder: Path, site: Path, *, seconds: float, memory: int) -> dict[str, Any]:
    """What a program that reads the folder says of it; nothing is left of the program."""
    temporary = site.parent / "temp"
    temporary.mkdir()
    program = site.parent / "program.py"
    program.write_text(_PROGRAM, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(program), str(folder), str(seconds), str(memory)],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(_REPOSITORY), str(site)]),
            "TMPDIR": str(temporary),
        },
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert list(temporary.iterdir()) == []
    assert _mentioning(str(temporary)) == []
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def _mentioning(text: str) -> list[str]:
    """The processes that have a text in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            environment = path.read_bytes()
        except OSError:
            continue
        if f"TMPDIR={text}".encode() in environment:
            found.append(path.parent.name)
    return found


@pytest.mark.parametrize(
    ("tiny_files", "line_size", "bomb_size", "seconds", "memory"),
    [
        (300, 25_000_000, 1_200 * 2**20, 3.0, 2**29),
        pytest.param(10_000, 200_000_000, 10 * 2**30, 60.0, 2**31, marks=pytest.mark.slow),
    ],
)
def test_every_file_of_a_torture_folder_is_indexed_or_named(
    tmp_path: Path, tiny_files: int, line_size: int, bomb_size: int, seconds: float, memory: int
) -> None:
    folder, site = tmp_path / "torture", install_reader(tmp_path / "site")
    words = build_folder(folder, tiny_files=tiny_files, line_size=line_size, bomb_size=bomb_size)
    write_script(folder / "hangs.script", "yield say('before', '1')", "while True: pass")
    write_script(folder / "crashes.script", "yield say('before', '1')", "ctypes.string_at(0)")
    write_script(folder / "eats.script", "while True: KEPT.append(bytearray(2**24))")
    report = _read_folder(folder, site, seconds=seconds, memory=memory)
    texts, named = report["texts"], report["named"]

    everything = {
        os.fsencode(path).decode(errors="replace") for path in folder.rglob("*") if path.is_file()
    }
    assert len(everything) > len(words) + 30
    assert texts.keys() | named.keys() == everything
    assert report["read"] == len(everything) - 1, "all but the name that is no text"
    for name, word in words.items():
        assert any(word in text for text in texts[str(folder / name)]), name
        assert str(folder / name) not in named

    def reason(name: str) -> str:
        (only,) = named[str(folder / name)]
        return str(only)

    assert reason("line.txt") == "says more than 20 million characters in one document; split it"
    assert reason("closed.txt").endswith("permission denied; check who may read it")
    assert reason("empty.docx") == reason("empty.parquet") == "is empty"
    assert reason("hangs.script").startswith(f"took longer than {seconds:g} s")
    assert reason("crashes.script").startswith("its reader crashed (signal 11)")
    assert reason("huge.docx").startswith("expands to more than 1 GiB")
    assert reason("records.jsonl.gz").startswith("says more than 100 million characters")
    # Which of its limits such a file meets first depends on the machine.
    for name in ("eats.script", "forms.pdf", "blank.jsonl.gz", "large.docx"):
        assert reason(name).startswith(("its reader crashed", "took longer", "needs more than")), (
            name
        )
    for name in ("hangs.script", "crashes.script"):
        assert texts[str(folder / name)] == ["before"]
    assert len(texts[str(folder / "records.jsonl.gz")]) == 95
    assert report["largest"] < 2**29, "what files expand to is not in the memory of the program"
