"""Several processes encode as one does, and whatever becomes of one is told, never waited for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from search_engine.encoders import process_pool
from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.process_pool import EncoderPool
from search_engine.errors import CheckpointError, ConfigError, ModelError, ModelNotFoundError
from tests.encoders.checkpoints import TEXTS, write_sentence_transformer

pytestmark = pytest.mark.filterwarnings(
    "ignore::FutureWarning:transformers.*", "ignore::DeprecationWarning"
)
PROMPTS = {"query": "query of the ", "other": "made "}


@pytest.fixture(scope="module")
def checkpoint(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pool") / "st"
    return write_sentence_transformer(folder, bert, prompts=PROMPTS)


@pytest.fixture(scope="module")
def shared_pool(checkpoint: Path) -> Iterator[EncoderPool]:
    with EncoderPool(
        str(checkpoint), devices=["cpu", "cpu"], backend="openvino", dtype="float32"
    ) as pool:
        yield pool


def test_as_one_process_does(
    checkpoint: Path, shared_pool: EncoderPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_pool, "_CHUNK_TEXTS", 7)
    texts = [f"{text} {number}" for number in range(9) for text in TEXTS]
    alone = BiEncoder(str(checkpoint), backend="openvino", dtype="float32")
    assert shared_pool.dimension == alone.dimension
    before = shared_pool.truncated_texts, shared_pool.truncated_tokens
    for asked in (
        {},
        {"kind": "query", "normalize": True, "truncate_dim": 5},
        {"prompt_name": "other"},
        {"prompt": "the "},
    ):
        done: list[int] = []
        found = shared_pool.encode(texts, on_batch=done.append, **asked)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, alone.encode(texts, **asked), atol=2e-5)
        assert sorted(done) == [3, *[7] * 15]
    assert shared_pool.encode([], truncate_dim=5).shape == (0, 5)
    cut = alone.truncated_texts, alone.truncated_tokens
    after = shared_pool.truncated_texts, shared_pool.truncated_tokens
    assert tuple(np.subtract(after, before)) == cut
    assert min(cut) > 0


def test_processes_on_the_cpu_share_its_cores(shared_pool: EncoderPool) -> None:
    ours = os.sched_getaffinity(0)
    shares = [os.sched_getaffinity(worker.process.pid) for worker in shared_pool._workers]
    if len(ours) > 1:
        assert shares[0] | shares[1] == ours
        assert not shares[0] & shares[1]
    else:
        assert shares == [ours, ours]


@pytest.mark.parametrize(
    ("cores", "devices", "expected"),
    [
        ({4, 5, 6, 7, 9}, ["cpu", "cuda:0", "cpu"], [{4, 5}, None, {6, 7, 9}]),
        ({2, 3}, ["cpu"] * 3, [{2}, {2}, {3}]),
        ({0, 1, 2}, ["cpu"], [{0, 1, 2}]),
    ],
)
def test_shares_of_the_cores(
    monkeypatch: pytest.MonkeyPatch,
    cores: set[int],
    devices: list[str],
    expected: list[set[int] | None],
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: cores)
    shares = process_pool._share_cpus(devices)
    assert shares == list(zip(devices, expected, strict=True))


def test_an_error_in_a_process_is_raised_and_the_pool_goes_on(shared_pool: EncoderPool) -> None:
    with pytest.raises(ConfigError, match="no prompt named 'lost'"):
        shared_pool.encode(TEXTS, prompt_name="lost")
    with pytest.raises(ModelError, match="encoding on cpu failed: TypeError: "):
        shared_pool.encode(TEXTS, truncate_dim="2")
    assert shared_pool.encode(TEXTS).shape == (len(TEXTS), 16)


def test_one_text_is_no_list_of_texts(shared_pool: EncoderPool) -> None:
    with pytest.raises(ConfigError, match="in a list"):
        shared_pool.encode("x")


def test_what_cannot_be_opened(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="nowhere"):
        EncoderPool(str(tmp_path / "nowhere"), devices=["cpu"], offline=True)
    with pytest.raises(ConfigError, match="one or more"):
        EncoderPool(str(checkpoint), devices=[])
    with pytest.raises(ConfigError, match="one or more"):
        EncoderPool(str(checkpoint), devices="cpu")
    assert issubclass(CheckpointError, ModelError)


@pytest.mark.parametrize("stops", [True, False], ids=["at work", "before"])
def test_a_killed_process_is_an_error(checkpoint: Path, stops: bool) -> None:
    with EncoderPool(str(checkpoint), devices=["cpu", "cpu"], backend="openvino") as pool:
        victim, other = (worker.process.pid for worker in pool._workers)
        if stops:
            # It takes a chunk and cannot be done with it when it is killed.
            os.kill(victim, signal.SIGSTOP)
        else:
            os.kill(victim, signal.SIGKILL)
            pool._workers[0].process.join(60)
        with pytest.raises(ModelError, match=r"on cpu has ended \(signal 9\)"):
            pool.encode(["the cell"] * 400, on_batch=lambda _: os.kill(victim, signal.SIGKILL))
        # The other is of no more use, and the pool says so.
        assert not _runs(other)
        with pytest.raises(ModelError, match="is closed; open another"):
            pool.encode(["the cell"])


def test_processes_end_with_the_one_that_started_them(checkpoint: Path) -> None:
    program = (
        "import sys, time\n"
        "from search_engine.encoders.process_pool import EncoderPool\n"
        "if __name__ == '__main__':\n"
        "    pool = EncoderPool(sys.argv[1], devices=['cpu'], backend='openvino')\n"
        "    print(pool._workers[0].process.pid, flush=True)\n"
        "    time.sleep(600)\n"
    )
    command = [sys.executable, "-c", program, str(checkpoint)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert _runs(pid)
        parent.kill()
    assert _ends(pid)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _ends(pid: int) -> bool:
    until = time.monotonic() + 60
    while _runs(pid) and time.monotonic() < until:
        time.sleep(0.05)
    return not _runs(pid)
