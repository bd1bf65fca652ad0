"""The converted graph is kept, survives damage, and spares a warm start torch and transformers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from search_engine.encoders.backends import openvino_backend
from search_engine.encoders.backends.export_cache import cache_folder, graph_folder
from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.errors import CheckpointError
from tests.encoders.checkpoints import TEXTS, write_trunk


def open_openvino(folder: Path) -> BiEncoder:
    return BiEncoder(str(folder), backend="openvino", dtype="float32")


def test_a_warm_start_imports_neither_torch_nor_transformers(bert: Path) -> None:
    expected = open_openvino(bert).encode(TEXTS)
    script = (
        "import sys; from search_engine.encoders.bi_encoder import BiEncoder\n"
        f"e = BiEncoder({str(bert)!r}, offline=True, dtype='float32')\n"
        f"v = e.encode({TEXTS!r})\n"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'huggingface_hub'}\n"
        "print(e.backend, sorted(heavy & set(sys.modules)), v.tobytes().hex())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ
    )
    backend, heavy, vectors = done.stdout.split()
    assert (backend, heavy) == ("openvino", "[]")
    found = np.frombuffer(bytes.fromhex(vectors), np.float32).reshape(expected.shape)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_nothing_is_reported_to_the_makers_of_openvino(bert: Path, tmp_path: Path) -> None:
    open_openvino(bert)
    script = (
        "import sys; from search_engine.encoders.bi_encoder import BiEncoder\n"
        f"BiEncoder({str(bert)!r}, backend='openvino', offline=True)\n"
        "print([name for name, module in sys.modules.items() if module and 'telemetry' in name])"
    )
    # Its reporting leaves an identifier of the user in the home folder.
    environment = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert "openvino_telemetry" not in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file", ["graph.xml", "graph.bin"])
def test_damaged_graphs_are_made_anew(
    bert: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    file: str,
) -> None:
    encoder = open_openvino(bert)
    first = encoder.encode(TEXTS)
    kept = graph_folder(encoder.fingerprint, backend="openvino")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    graph = shutil.copytree(kept, cache_folder("openvino") / kept.name) / "graph.xml"
    damaged = graph.with_name(file)
    damaged.write_bytes(damaged.read_bytes()[:500])
    np.testing.assert_allclose(open_openvino(bert).encode(TEXTS), first, atol=1e-5)
    assert "is removed" in caplog.text
    assert sorted(path.name for path in graph.parent.iterdir()) == ["graph.bin", "graph.xml"]
    assert [path.name for path in graph.parent.parent.iterdir()] == [graph.parent.name]


def test_a_cache_that_cannot_be_written(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert open_openvino(bert).encode(TEXTS).shape == (len(TEXTS), 16)
    assert "is not kept" in caplog.text


def test_an_architecture_that_cannot_be_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_trunk(tmp_path / "trunk", seed=5)

    def fail(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("no translator for aten::something")

    monkeypatch.setattr(openvino_backend.openvino, "convert_model", fail)
    with pytest.raises(CheckpointError, match="aten::something"):
        open_openvino(folder)
    encoder = BiEncoder(str(folder))
    # Before torch, ONNX Runtime is tried.
    assert encoder.backend == "onnx"
    assert "aten::something" in caplog.text
    assert "onnx backend" in caplog.text


def test_a_conversion_that_computes_something_else(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_trunk(tmp_path / "trunk", seed=7)
    wrong = open_openvino(bert)._inference.first.backend._model
    monkeypatch.setattr(openvino_backend.openvino, "convert_model", lambda *_a, **_k: wrong)
    with pytest.raises(CheckpointError, match="differs from torch's"):
        open_openvino(folder)


def test_several_threads_at_once(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = open_openvino(bert)
    expected = encoder.encode(TEXTS)
    monkeypatch.setattr(encoder._inference.first, "_token_budget", 100)
    wrong: list[str] = []

    def work(number: int) -> None:
        for _ in range(10):
            texts = TEXTS if number % 2 else TEXTS[number : number + 1]
            wanted = expected if number % 2 else expected[number : number + 1]
            if not np.allclose(encoder.encode(texts), wanted, atol=2e-5):
                wrong.append(f"thread {number}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_callback_that_raises_leaves_the_encoder_usable(
    bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = open_openvino(bert)
    expected = encoder.encode(TEXTS)
    monkeypatch.setattr(encoder._inference.first, "_token_budget", 60)

    def stop(_count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encoder.encode(TEXTS, on_batch=stop)
    np.testing.assert_allclose(encoder.encode(TEXTS), expected, atol=2e-5)
