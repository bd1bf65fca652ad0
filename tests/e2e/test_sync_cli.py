"""search-cli sync as a person uses it: real processes over a folder that changes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from search_engine.config import Compute
from search_engine.search import SearchEngine

CLI = Path(sys.executable).with_name("search-cli")
ENVIRONMENT = os.environ | {"COLUMNS": "120", "HF_HUB_OFFLINE": "1"}


def _run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(CLI), *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT,
    )


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with documents and an index `mine` in step with them."""
    home = tmp_path_factory.mktemp("home")
    docs = home / "docs"
    (docs / "guide").mkdir(parents=True)
    for number in range(8):
        (docs / "guide" / f"{number}.md").write_text(f"# Page {number}\n\nAbout tram {number}.\n")
    (docs / "prices.csv").write_text("item,price\nticket,3\nday ticket,8\n")
    (docs / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(40))
    (docs / "secret.txt").write_text("left out\n")
    (docs / ".gitignore").write_text("secret.txt\n")
    done = _run("sync", "docs", "--index", "mine", cwd=home)
    assert done.returncode == 0, done.stderr
    assert "mine: 10 documents added, 0 replaced, 0 unchanged, 10 chunks" in done.stdout
    assert "files: 9 indexed, 0 not readable, 1 without a reader" in done.stdout
    assert "no reader for .jpg (1): docs/photo.jpg" in done.stdout
    return home


@pytest.fixture
def home(synced: Path, tmp_path: Path) -> Path:
    """A copy of it that the test may change; its `docs` is another root than the first one."""
    return Path(shutil.copytree(synced, tmp_path / "home", symlinks=True))


def _resync(home: Path, *options: str) -> dict[str, object]:
    done = _run("sync", "docs", "--index", "mine", "--json", *options, cwd=home)
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout) | {"status": done.returncode}


def test_nothing_is_done_where_nothing_changed(synced) -> None:
    database = synced / "indexes" / "mine" / "index.db"
    before = database.read_bytes()
    report = _resync(synced)
    assert (report["status"], report["unchanged"], report["encoded"]) == (0, 10, 0)
    assert report["files"] == {"indexed": 9, "unread": 0, "without_reader": 1, "left_out": 2}
    assert report["without_reader"] == ["docs/photo.jpg"]
    assert database.read_bytes() == before


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(home) -> None:
    _resync(home)
    docs = home / "docs"
    (docs / "guide").rename(docs / "handbook")
    (docs / "handbook" / "3.md").write_text("# Page 3\n\nAnother text.\n")
    (docs / "prices.csv").unlink()
    (docs / "new.txt").write_text("new\n")
    database = home / "indexes" / "mine" / "index.db"
    before = database.read_bytes()
    report = _resync(home, "--dry-run")
    assert report["new"] == ["docs/handbook/3.md", "docs/new.txt"]
    assert len(report["renamed"]) == 7
    assert report["gone"] == ["docs-2/guide/3.md", "docs-2/prices.csv"]
    # One page and two records of ten.
    assert [each["documents"] for each in report["not_deleted"]] == [3]
    assert database.read_bytes() == before
    lines = _run("sync", "docs", "--index", "mine", "--dry-run", cwd=home).stdout.splitlines()
    assert lines[-1] == (
        "mine: 2 new, 0 changed, 7 renamed, 2 gone, 0 unchanged files; nothing was written"
    )
    assert "renamed: docs-2/guide/0.md -> docs/handbook/0.md" in lines
    # No index is made where there is none.
    assert _run("sync", "docs", "--index", "other", "--dry-run", cwd=home).returncode == 0
    assert not (home / "indexes" / "other").exists()
    done = _resync(home)
    assert (done["added"], done["encoded"], done["reused"], done["deleted"]) == (9, 2, 7, 7)
    assert [each["documents"] for each in done["not_deleted"]] == [3]
    assert _resync(home, "--prune")["deleted"] == 3


def test_a_missing_folder_deletes_nothing_and_says_so(home) -> None:
    _resync(home)
    (home / "docs").rename(home / "away")
    done = _run("sync", "docs", "--index", "mine", "--prune", cwd=home)
    assert done.returncode == 3
    assert "docs: does not exist" in done.stderr
    (home / "docs").mkdir()
    done = _run("sync", "docs", "--index", "mine", "--prune", cwd=home)
    assert "not deleted" in done.stderr and "is empty" in done.stderr
    shutil.rmtree(home / "docs")
    (home / "away").rename(home / "docs")
    assert _resync(home)["unchanged"] == 10


def test_wrong_usage_is_told(synced) -> None:
    for options, message in (
        (("--watch", "--dry-run"), "contradict each other"),
        (("--fields", "nonsense"), "nonsense"),
    ):
        done = _run("sync", "docs", "--index", "mine", *options, cwd=synced)
        assert done.returncode in (1, 2)
        assert message in done.stderr and "Traceback" not in done.stderr
    done = _run("sync", "nowhere", "--index", "mine", "--watch", cwd=synced)
    assert done.returncode == 2 and "nowhere does not exist" in done.stderr


@pytest.fixture
def watching(home: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [str(CLI), "sync", "docs", "--index", "mine", "--watch", "--json"],
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=ENVIRONMENT | {"PYTHONUNBUFFERED": "1"},
    )
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_watching_follows_changes_until_it_is_interrupted(home, watching) -> None:
    first = json.loads(watching.stdout.readline())
    assert first["added"] == 10
    # The watch itself begins a moment after the first run, and misses nothing all the same.
    (home / "docs" / "late.txt").write_text("A late page about depots.\n")
    second = json.loads(watching.stdout.readline())
    assert (second["added"], second["unchanged"]) == (1, 10)
    (home / "docs" / "late.txt").unlink()
    third = json.loads(watching.stdout.readline())
    assert (third["deleted"], third["unchanged"]) == (1, 10)
    watching.send_signal(signal.SIGINT)
    assert watching.wait(20) in (0, 130)
    assert _resync(home)["added"] == 0


def test_a_run_that_was_killed_is_finished_by_the_next(tmp_path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for number in range(300):
        (docs / f"{number}.txt").write_text(f"Page {number} says {number * number}.\n" * 30)
    command = [str(CLI), "sync", "docs", "--index", "mine", "--json"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT
    )
    database = tmp_path / "indexes" / "mine" / "index.db"
    deadline = time.monotonic() + 60
    while not database.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    report = _resync(tmp_path)
    assert report["status"] == 0
    assert report["added"] + report["unchanged"] == 300
    with SearchEngine.open(database.parent, compute=Compute(offline=True)) as engine:
        assert engine.document_count == 300
    assert _resync(tmp_path)["unchanged"] == 300
