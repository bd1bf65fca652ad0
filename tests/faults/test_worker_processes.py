"""What readers do to their processes, and what becomes of those when nobody needs them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from search_engine.errors import SearchEngineError
from search_engine.ingest.files import SourceFile
from search_engine.ingest.limits import Limits
from search_engine.ingest.reading import read_files
from search_engine.ingest.worker_process import WorkerProcess
from tests.ingest.scripted import (
    count_starts,
    find_children,
    ids_of,
    nothing_left,
    read,
    reason_of,
    scripted_reader,
    wait_for_end,
    write_script,
)

_REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def clean(tmp_path: Path) -> Iterator[None]:
    with nothing_left(tmp_path / "temp"):
        yield


@pytest.fixture
def docs(tmp_path: Path) -> Iterator[Path]:
    """An empty folder; there is a reader for scripts."""
    (tmp_path / "docs").mkdir()
    with scripted_reader(tmp_path / "site"):
        yield tmp_path / "docs"


# Whatever a reader does to its process


_LAST_WORDS = {
    "segfault": ("os.kill(os.getpid(), signal.SIGSEGV)", "its reader crashed (signal 11)"),
    "exit0": ("os._exit(0)", "its reader crashed (exit status 0)"),
    "exit": ("sys.exit(3)", "its reader wanted to end the program"),
    "killed": ("os.kill(os.getpid(), 9)", "its reader was killed (signal 9)"),
    "closed": ("os.closerange(3, 100)", "its reader"),
    "python": ("while True: pass", "took longer than 1.5 s without a result"),
    "held": ("re.match('(a+)+$', 'a' * 60 + 'b')", "took longer than 1.5 s without a result"),
    "stopped": ("os.kill(os.getpid(), signal.SIGSTOP)", "took longer than 1.5 s"),
    "memory": ("while True: KEPT.append(bytearray(2**24))", "needs more than 0.125 GiB of memory"),
    "once": ("bytearray(2**34)", "needs more than 0.125 GiB of memory"),
    "endless": (
        "while True: yield say('x' * 9_000, str(time.monotonic()))",
        "says more than 100,000 characters, ",
    ),
    "faults": (
        "while True: yield Reading(ReadError('', 'no', line=1))",
        "says more than 100,000 characters, ",
    ),
    "long": ("yield say('x' * 20_001, '2')", "says more than 20,000 characters in one document"),
}
_LIMITS = Limits(
    seconds=1.5, memory=2**27, document_characters=20_000, file_characters=100_000, expansion=2
)


def test_what_a_reader_does_to_its_process_is_a_problem_of_its_file_only(docs: Path) -> None:
    files = []
    for name, (code, _) in _LAST_WORDS.items():
        files += [
            write_script(docs / f"{name}.script", "yield say('kept', '1')", code),
            write_script(docs / f"{name}.after.script", f"yield say('after {name}')"),
        ]
    said: dict[str, list[str]] = {}
    for name, text in read(files, _LIMITS):
        said.setdefault(name, []).append(text)
    assert list(said) == [file.relative for file in files]
    for name, (_, reason) in _LAST_WORDS.items():
        assert said[f"{name}.after.script"] == [f"after {name}"]
        first, *_, last = said[f"{name}.script"]
        assert first == "kept"
        assert last.startswith(f"! {reason}"), (name, last)
    assert said["endless.script"].count("x" * 9_000) == 11
    assert said["faults.script"].count("! no") == (100_000 - len("kept" + "1")) // 2


def test_a_file_has_its_memory_whatever_those_before_kept(
    docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = count_starts(monkeypatch)
    files = [
        write_script(docs / "a.script", "yield say(str(os.getpid()))"),
        write_script(docs / "b.script", "yield say(str(os.getpid()))"),
        write_script(docs / "c.script", "KEPT.append(bytearray(2**27))", "yield say('kept')"),
        write_script(docs / "d.script", "bytearray(2**28 - 2**24)", "yield say(str(os.getpid()))"),
    ]
    said = read(files, Limits(memory=2**28))
    assert [text for _, text in said] == [str(started[0])] * 2 + ["kept", str(started[1])]
    assert len(started) == 2


def test_a_process_that_is_killed_at_any_moment_costs_the_file_it_was_at(docs: Path) -> None:
    files = [
        write_script(
            docs / f"{number:02}.script",
            "for n in range(20):",
            "    yield say(f'{os.getpid()} {n}', str(n))",
            "    time.sleep(0.001)",
        )
        for number in range(40)
    ]
    said: dict[str, list[str]] = {file.relative: [] for file in files}
    killed: set[str] = set()
    for count, (name, text) in enumerate(read_slowly(files)):
        said[name].append(text)
        pid = text.split()[0]
        if count % 150 == 149 and pid.isdigit() and pid not in killed:
            killed.add(pid)
            os.kill(int(pid), signal.SIGKILL)
    assert len(killed) >= 3
    failed = 0
    for texts in said.values():
        if texts[-1].startswith("! its reader was killed (signal 9)"):
            texts.pop()
            failed += 1
        else:
            assert len(texts) == 20
        assert [text.split()[1] for text in texts] == [str(n) for n in range(len(texts))]
    assert failed <= len(killed)


def read_slowly(files: list[SourceFile]) -> Iterator[tuple[str, str]]:
    for record in read_files(files, ids_of(files)):
        yield record.file.relative, record.document.text if record.document else reason_of(record)


def test_a_process_that_cannot_be_started_is_said_so(
    docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [write_script(docs / "a.script", "yield say('x')")]
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(SearchEngineError, match=r"cannot start \(exit status 1\); to see why, run"):
        read(files)
    monkeypatch.setattr(sys, "executable", str(docs / "missing"))
    with pytest.raises(SearchEngineError, match="can be started: is no longer there"):
        read(files)


# What a process sees and what is seen of it


def test_what_a_reader_writes_and_reads_is_seen_nowhere(
    docs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = write_script(
        docs / "a.script",
        "print('out', flush=True)",
        "os.write(1, b'one')",
        "os.write(2, b'two')",
        "warnings.warn('careful')",
        "subprocess.run(['sh', '-c', 'echo child; echo child >&2'], check=True)",
        "yield say(repr(sys.stdin.read()))",
    )
    assert read([file]) == [("a.script", "''")]
    assert capfd.readouterr() == ("", "")


def test_a_process_is_light_and_has_a_place_of_its_own(docs: Path, tmp_path: Path) -> None:
    file = write_script(
        docs / "a.script",
        "heavy = {'torch', 'faiss', 'transformers', 'pydantic'}",
        "yield say(repr(sorted(heavy & set(sys.modules))), '1')",
        "yield say(tempfile.gettempdir(), '2')",
        "yield say(str(signal.getsignal(signal.SIGINT) == signal.SIG_IGN), '3')",
        "yield say(str(os.getpgrp() == os.getpid()), '4')",
    )
    modules, folder, ignores, leads = (text for _, text in read([file]))
    assert (modules, ignores, leads) == ("[]", "True", "True")
    assert Path(folder).parent == tmp_path / "temp"


def test_what_a_process_leaves_behind_goes_with_it(docs: Path) -> None:
    leave = (
        "held = tempfile.mkstemp()",
        "child = subprocess.Popen(['sleep', '1000'], close_fds=False)",
        "yield say(str(child.pid))",
    )
    files = [
        write_script(docs / "a.script", *leave, "os.kill(os.getpid(), signal.SIGSEGV)"),
        write_script(docs / "b.script", *leave, "while True: pass"),
        write_script(docs / "c.script", *leave),
    ]
    a, crash, b, late, c = (text for _, text in read(files, Limits(seconds=1)))
    # What the child holds open does not keep the end of its parent from being noticed.
    assert crash.startswith("! its reader crashed (signal 11)") and late.startswith("! took longer")
    assert all(wait_for_end(int(child)) for child in (a, b, c))


# However the one who reads ends


def test_nothing_is_left_of_a_reading_that_is_given_up(docs: Path) -> None:
    lines = ("yield say(str(os.getpid()))", "while True: pass")
    files = [write_script(docs / f"{name}.script", *lines) for name in "abc"]
    # Other tests may have started some that stay, such as multiprocessing's own.
    before = find_children(os.getpid())
    records = read_files(files, ids_of(files))
    first = next(records)
    assert first.document is not None and len(find_children(os.getpid()) - before) == 1
    records.close()
    assert find_children(os.getpid()) == before
    with pytest.raises(ZeroDivisionError):
        for _ in read_files(files, ids_of(files)):
            raise ZeroDivisionError

    def broken() -> Iterator[SourceFile]:
        yield files[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(read_files(broken(), ids_of(files)))


def test_threads_read_at_the_same_time(docs: Path) -> None:
    files = [write_script(docs / f"{n}.script", f"yield say('text {n}')") for n in range(12)]
    expected = [(file.relative, f"text {n}") for n, file in enumerate(files)]
    found: list[list[tuple[str, str]]] = []
    threads = [threading.Thread(target=lambda: found.append(read(files))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 3


_PROGRAM = """
import sys
print("started", flush=True)
from pathlib import Path
from search_engine.ingest.files import SourceFile
from search_engine.ingest.limits import Limits
from search_engine.ingest.reading import read_files
paths = [Path(path) for path in sys.argv[1:]]
files = [SourceFile(path, path.name, path.parent, path.name, 9, 0) for path in paths]
for record in read_files(files, {path.parent: "r" for path in paths}):
    print(record.document.text if record.document else record.problem, flush=True)
"""


def run_program(docs: Path, *scripts: SourceFile) -> subprocess.Popen[str]:
    """A program without a guard for its main part, in a process group of its own."""
    program = docs / "program.py"
    program.write_text(_PROGRAM)
    paths = os.pathsep.join([str(_REPOSITORY), str(docs.parent / "site")])
    return subprocess.Popen(
        [sys.executable, str(program), *(str(script.path) for script in scripts)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
        env={**os.environ, "PYTHONPATH": paths, "TMPDIR": str(docs)},
    )


def test_a_program_needs_no_guard(docs: Path) -> None:
    files = [write_script(docs / f"{name}.script", f"yield say('{name}')") for name in "ab"]
    with run_program(docs, *files) as program:
        assert program.communicate() == ("started\na\nb\n", "")
    assert program.returncode == 0


_UNTIL_THE_END = textwrap.dedent(
    """
    child = subprocess.Popen(['sleep', '1000'])
    yield say(f'{os.getpid()} {child.pid}')
    """
)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "then",
    ["while True: pass", "re.match('(a+)+$', 'a' * 60 + 'b')", "while True: yield say('x', 'i')"],
)
def test_processes_end_with_the_one_that_started_them(
    docs: Path, number: signal.Signals, then: str
) -> None:
    script = write_script(docs / "a.script", *_UNTIL_THE_END.splitlines(), then)
    with run_program(docs, script) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "started\n"
        pids = [int(pid) for pid in program.stdout.readline().split()]
        assert len(pids) == 2 and pids[0] in find_children(program.pid)
        os.killpg(program.pid, number)
        _, errors = program.communicate()
        assert all(wait_for_end(pid) for pid in pids)
    assert program.returncode == -number
    if number == signal.SIGINT:
        assert errors.endswith("KeyboardInterrupt\n")
        assert not list(docs.glob("search-engine-*"))


def test_what_a_killed_one_left_goes_when_the_next_process_starts(docs: Path) -> None:
    lines = (
        "Path(tempfile.gettempdir(), 'kept').write_text('x')",
        "yield say(tempfile.gettempdir())",
        "while True: pass",
    )
    script = write_script(docs / "a.script", *lines)
    folders = []
    programs = [run_program(docs, script) for _ in range(2)]
    for program in programs:
        assert program.stdout is not None
        assert program.stdout.readline() == "started\n"
        folders.append(Path(program.stdout.readline().strip()))
    left, used = folders
    programs[0].kill()
    programs[0].communicate()
    young, foreign = docs / "search-engine-young", docs / "search-engine-link"
    young.mkdir()
    foreign.symlink_to(docs / "other", target_is_directory=True)
    file, other = docs / "search-engine-file", docs / "other" / "kept"
    file.write_text("x")
    other.parent.mkdir()
    other.write_text("x")
    assert (left / "kept").exists()
    for path in (left, used, file, other.parent, docs):
        os.utime(path, (0, 0))
    os.utime(foreign, (0, 0), follow_symlinks=False)
    with mock.patch.object(tempfile, "tempdir", str(docs)):
        process = WorkerProcess()
        assert process.close() == -signal.SIGKILL
    there = {path.name for path in docs.glob("search-engine-*")}
    assert there == {used.name, young.name, foreign.name, file.name}
    assert (used / "kept").exists() and other.exists()
    programs[1].kill()
    programs[1].communicate()


def test_a_frame_of_no_kind_is_the_end_of_its_process(docs: Path) -> None:
    file = write_script(
        docs / "a.script",
        "import stat",
        "for number in range(3, 20):",
        "    try: is_socket = stat.S_ISSOCK(os.fstat(number).st_mode)",
        "    except OSError: continue",
        "    if is_socket: os.write(number, bytes([9]) * 9)",
        "time.sleep(1000)",
    )
    after = write_script(docs / "b.script", "yield say('after')")
    said = read([file, after], Limits(seconds=5))
    assert len(said) == 2 and said[0][1].startswith("! its reader") and said[1][1] == "after"
