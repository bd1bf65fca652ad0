"""ONNX Runtime gives torch's outputs: every encoder, tokens too, from the cache and anew."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from search_engine.encoders.backends import selection, torch_backend
from search_engine.encoders.backends.export_cache import cache_folder, graph_folder
from search_engine.encoders.backends.onnx_backend import ONNXBackend, open_session
from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.cross_encoder import CrossEncoder
from search_engine.encoders.inference import CheckpointInference
from search_engine.encoders.sparse_encoder import SparseEncoder
from search_engine.errors import CheckpointError, ConfigError
from tests.encoders.checkpoints import TEXTS, write_sentence_transformer, write_trunk

PAIRS = [("the cell", text) for text in TEXTS]


def open_onnx(folder: Path) -> BiEncoder:
    return BiEncoder(str(folder), backend="onnx", dtype="float32")


@pytest.mark.parametrize("architecture", ["bert", "roberta", "distilbert"])
def test_dense_vectors(tmp_path: Path, architecture: str) -> None:
    trunk = write_trunk(tmp_path / "trunk", architecture=architecture)
    folder = write_sentence_transformer(
        tmp_path / "st",
        trunk,
        pooling=("cls", "mean"),
        include_prompt=False,
        dense=True,
        normalize=True,
        prompts={"query": "query of the "},
    )
    ours = open_onnx(folder)
    theirs = BiEncoder(str(folder), backend="torch", dtype="float32")
    assert (ours.backend, ours.dtype, ours.dimension) == ("onnx", "float32", 6)
    np.testing.assert_allclose(ours.encode_query(TEXTS), theirs.encode_query(TEXTS), atol=1e-5)
    np.testing.assert_allclose(ours.encode(TEXTS[:1]), theirs.encode(TEXTS[:1]), atol=1e-5)


def test_sparse_vectors_and_scores(masked_lm: Path, classifier: Path) -> None:
    sparse = [
        SparseEncoder(str(masked_lm), backend=name, dtype="float32").encode_document(TEXTS)
        for name in ("onnx", "torch")
    ]
    np.testing.assert_array_equal(sparse[0].indptr, sparse[1].indptr)
    np.testing.assert_array_equal(sparse[0].indices, sparse[1].indices)
    np.testing.assert_allclose(sparse[0].weights, sparse[1].weights, atol=1e-5)
    scores = [
        CrossEncoder(str(classifier), backend=name, dtype="float32").predict(PAIRS)
        for name in ("onnx", "torch")
    ]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-5)


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_vectors_of_tokens(bert: Path, backend: str) -> None:
    outputs = {}
    for name in (backend, "torch"):
        inference = CheckpointInference(
            str(bert),
            task="embedding",
            token_budget=64,
            backend=name,
            dtype="float32",
            device=None,
            offline=True,
        )
        opened = inference.opened(None, output="tokens")
        assert (opened.backend.name, opened.backend.width) == (name, 16)
        outputs[name] = {
            int(position): rows[: mask.sum()]
            for batch, found in opened.run(TEXTS)
            for position, rows, mask in zip(
                batch.positions, found, batch.inputs["attention_mask"], strict=True
            )
        }
    for position in range(len(TEXTS)):
        np.testing.assert_allclose(
            outputs[backend][position], outputs["torch"][position], atol=1e-5
        )


def test_a_warm_start_imports_neither_torch_nor_transformers(bert: Path) -> None:
    expected = open_onnx(bert).encode(TEXTS)
    script = (
        "import sys; from search_engine.encoders.bi_encoder import BiEncoder\n"
        f"e = BiEncoder({str(bert)!r}, offline=True, backend='onnx')\n"
        f"v = e.encode({TEXTS!r})\n"
        "heavy = {'torch', 'transformers', 'onnx', 'openvino', 'nncf', 'huggingface_hub'}\n"
        "print(e.dtype, sorted(heavy & set(sys.modules)), v.tobytes().hex())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ
    )
    dtype, heavy, vectors = done.stdout.split()
    assert (dtype, heavy) == ("float32", "[]")
    found = np.frombuffer(bytes.fromhex(vectors), np.float32).reshape(expected.shape)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_damaged_graph_is_made_anew(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    encoder = open_onnx(bert)
    first = encoder.encode(TEXTS)
    kept = graph_folder(encoder.fingerprint, backend="onnx")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    graph = shutil.copytree(kept, cache_folder("onnx") / kept.name) / "graph.onnx"
    graph.write_bytes(graph.read_bytes()[:500])
    np.testing.assert_allclose(open_onnx(bert).encode(TEXTS), first, atol=1e-6)
    assert str(graph) in caplog.text
    assert [path.name for path in cache_folder("onnx").iterdir()] == [kept.name]
    assert graph.read_bytes() == (kept / "graph.onnx").read_bytes()


def test_a_cache_that_cannot_be_written(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = open_onnx(bert).encode(TEXTS)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    np.testing.assert_allclose(open_onnx(bert).encode(TEXTS), expected, atol=1e-6)
    assert "is not kept" in caplog.text


def test_an_export_that_computes_something_else(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_trunk(tmp_path / "trunk", seed=7)
    encoder = open_onnx(bert)
    wrong = graph_folder(encoder.fingerprint, backend="onnx") / "graph.onnx"
    monkeypatch.setattr(
        "torch.onnx.export", lambda _module, _inputs, path, **_: shutil.copyfile(wrong, path)
    )
    with pytest.raises(CheckpointError, match="differs from torch's"):
        open_onnx(folder)
    assert not list(cache_folder("onnx").glob(".new-*"))


def test_what_auto_falls_back_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_trunk(tmp_path / "trunk", seed=8)

    def fail(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("no translator for aten::something")

    monkeypatch.setattr("openvino.convert_model", fail)
    monkeypatch.setattr("torch.onnx.export", fail)
    assert BiEncoder(str(folder), dtype="float32").backend == "torch"
    assert "Going on with the onnx backend" in caplog.text
    assert "Going on with the torch backend" in caplog.text
    with pytest.raises(CheckpointError, match=r"as ONNX .*aten::something"):
        open_onnx(folder)
    monkeypatch.undo()
    monkeypatch.setattr("openvino.convert_model", fail)
    # ONNX Runtime has no bfloat16 on the processor.
    assert BiEncoder(str(folder), dtype="bfloat16").backend == "torch"


@pytest.mark.parametrize(
    ("installed", "backend"),
    [({"openvino", "onnx"}, "openvino"), ({"onnx"}, "onnx"), (set(), "torch")],
)
def test_auto_takes_what_is_installed(
    bert: Path, monkeypatch: pytest.MonkeyPatch, installed: set[str], backend: str
) -> None:
    monkeypatch.setattr(selection, "_is_installed", lambda name: name in installed)
    assert BiEncoder(str(bert), dtype="float32").backend == backend
    for name in {"openvino", "onnx"} - installed:
        with pytest.raises(ConfigError, match=rf"search-engine\[{name}\]"):
            BiEncoder(str(bert), backend=name)
    if not installed:
        with pytest.raises(ConfigError, match="int8 needs OpenVINO or ONNX Runtime"):
            BiEncoder(str(bert), dtype="int8")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"backend": "tensorrt"}, "auto, torch, openvino, onnx"),
        ({"dtype": "int4"}, "bfloat16, int8"),
        ({"backend": "onnx", "dtype": "bfloat16"}, "float32 or int8"),
        ({"backend": "torch", "dtype": "int8"}, "torch backend has no int8"),
        ({"dtype": "int8", "device": "cuda"}, "int8 is for the CPU"),
        ({"backend": "openvino", "device": "cuda"}, "runs on the CPU"),
        ({"backend": "openvino", "dtype": "float16"}, "float16 is for GPUs"),
        ({"backend": "onnx", "device": "mps"}, "CPUExecutionProvider"),
        ({"backend": "torch", "device": "abacus"}, "'abacus' cannot be used here"),
        ({"device": "cuda:99"}, "CUDA devices"),
    ],
)
def test_settings_that_contradict_each_other(
    bert: Path, settings: dict[str, str], reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        BiEncoder(str(bert), **settings)


def test_devices_that_are_not_there(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_backend.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch_backend.torch.cuda, "device_count", lambda: 2)
    torch_backend.check_device("cuda:1")
    with pytest.raises(ConfigError, match="'cuda:2' cannot be used here: torch finds 2 CUDA"):
        torch_backend.check_device("cuda:2")
    monkeypatch.setattr(torch_backend.torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="finds no Metal"):
        torch_backend.check_device("mps")


def test_a_session_on_the_graphics_card(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_folder(open_onnx(bert).fingerprint, backend="onnx") / "graph.onnx"
    asked: list[object] = []
    whole = onnxruntime.InferenceSession

    def open_recorded(path: str, options: object, *, providers: list[object]) -> object:
        asked.extend(providers)
        return whole(path, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "InferenceSession", open_recorded)
    monkeypatch.setattr(
        onnxruntime,
        "get_available_providers",
        lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
    )
    open_session(graph, device="cuda:1")
    assert asked == [("CUDAExecutionProvider", {"device_id": 1}), "CPUExecutionProvider"]


def test_several_threads_at_once(bert: Path) -> None:
    encoder = open_onnx(bert)
    assert isinstance(encoder._inference.first.backend, ONNXBackend)
    expected = encoder.encode(TEXTS)
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(10):
            if not np.allclose(encoder.encode(TEXTS[number:]), expected[number:], atol=1e-5):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
