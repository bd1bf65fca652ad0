"""A model name is looked for in a fixed order of places, and a miss names them all."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest

from search_engine.encoders.checkpoints import finding
from search_engine.encoders.checkpoints.finding import find_checkpoint, sha256_of
from search_engine.errors import CheckpointError, ModelNotFoundError

NAME = "tiny-model"


@pytest.fixture
def empty_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No folder, shipped model, package or cached model of any name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(finding, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    return tmp_path


def put_folder(world: Path, trunk: Path) -> Path:
    return Path(shutil.copytree(trunk, world / NAME)).relative_to(world)


def put_shipped(world: Path, trunk: Path) -> Path:
    return Path(shutil.copytree(trunk, world / "shipped" / NAME))


def put_package(world: Path, trunk: Path) -> Path:
    package = world / "site" / "tiny_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('this must not be imported')")
    folder = shutil.copytree(trunk, package / "models" / "tiny")
    info = world / "site" / "tiny_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[search_engine.models]\n{NAME} = tiny_package.models:tiny\n"
    )
    return Path(folder)


def put_cached(world: Path, trunk: Path) -> Path:
    commit = "0" * 40
    repository = world / "hub" / f"models--sentence-transformers--{NAME}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    return Path(shutil.copytree(trunk, repository / "snapshots" / commit))


PLACES = (put_folder, put_shipped, put_package, put_cached)


@pytest.mark.parametrize("first", range(len(PLACES)))
def test_the_first_place_wins(empty_world: Path, bert: Path, first: int) -> None:
    expected, *_ = [put(empty_world, bert) for put in PLACES[first:]]
    assert find_checkpoint(NAME, offline=True) == expected
    assert "tiny_package" not in sys.modules


def test_a_miss_names_every_place(empty_world: Path) -> None:
    with pytest.raises(ModelNotFoundError) as raised:
        find_checkpoint(NAME, offline=True)
    message = str(raised.value)
    for place in (
        str(empty_world / NAME),
        str(empty_world / "shipped"),
        "search_engine.models",
        str(empty_world / "hub"),
        f"sentence-transformers/{NAME}",
        "offline is on",
        "Give the path of a folder",
    ):
        assert place in message


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HTTPServer]:
    """A hub on this machine: answers with `status`; `asked` has the paths of models."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # The library may ask for more on its own account.
            if self.path.startswith("/api/models/"):
                server.asked.append(self.path)
            if not server.status:
                return  # hangs up without an answer
            self.send_response(server.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Hub(HTTPServer):
        asked: ClassVar[list[str]] = []
        status = 404

    server = Hub(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    point_hub_at(monkeypatch, server.server_port)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def point_hub_at(monkeypatch: pytest.MonkeyPatch, port: int) -> str:
    endpoint = f"http://127.0.0.1:{port}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    monkeypatch.setattr("huggingface_hub.hf_api.api.endpoint", endpoint)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return endpoint


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_the_hub_is_asked_last_and_only_online(
    empty_world: Path, bert: Path, hub: Any, status: int
) -> None:
    hub.status = status
    with pytest.raises(ModelNotFoundError):
        find_checkpoint(NAME, offline=True)
    assert hub.asked == []
    with pytest.raises(ModelNotFoundError, match=str(status)):
        find_checkpoint(NAME)
    both = [f"/api/models/{NAME}", f"/api/models/sentence-transformers/{NAME}"]
    assert hub.asked == both
    put_cached(empty_world, bert)
    find_checkpoint(NAME)
    assert hub.asked == both


def test_a_hub_that_hangs_up_is_asked_once(empty_world: Path, hub: Any) -> None:
    hub.status = 0
    with pytest.raises(ModelNotFoundError, match="RemoteProtocolError"):
        find_checkpoint(NAME)
    assert hub.asked == [f"/api/models/{NAME}"]


def test_a_hub_out_of_reach_is_a_miss_at_once(
    empty_world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound but not listening: refuses
        endpoint = point_hub_at(monkeypatch, closed.getsockname()[1])
        began = time.monotonic()
        with pytest.raises(ModelNotFoundError) as raised:
            find_checkpoint(NAME)
    # The library's own retries take more than ten seconds.
    assert time.monotonic() - began < 5
    message = str(raised.value)
    assert message.count(endpoint) == 1
    for part in (f"as {NAME}: ConnectError", str(empty_world / "hub"), "Check the spelling",
                 "Give the path of a folder", "--offline"):  # fmt: skip
        assert part in message


def test_a_proxy_out_of_reach_is_a_miss(empty_world: Path, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        program = (
            "from search_engine import BiEncoder, errors\n"
            "try:\n    BiEncoder('no-such-model')\n"
            "except errors.ModelNotFoundError as error:\n    print(error)\n"
        )
        kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**kept, "HF_HOME": str(tmp_path), "HF_ENDPOINT": "http://hub.invalid",
                 "HTTP_PROXY": f"http://127.0.0.1:{port}", "HF_HUB_OFFLINE": "0",
                 "PYTHONPATH": str(Path(finding.__file__).parents[3])},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "no model is named 'no-such-model'" in done.stdout
    assert done.stdout.count("the hub http://hub.invalid, as") == 1


def test_an_incomplete_download_is_not_taken(empty_world: Path, bert: Path) -> None:
    (put_cached(empty_world, bert) / "model.safetensors").unlink()
    with pytest.raises(ModelNotFoundError, match="no complete snapshot"):
        find_checkpoint(NAME, offline=True)


def test_which_files_are_downloaded() -> None:
    files = ["config.json", "model.safetensors", "pytorch_model.bin", "2_Dense/pytorch_model.bin",
             "onnx/model.onnx", "onnx/config.json", "README.md", "vocab.txt"]  # fmt: skip
    assert finding._wanted_files(files) == [
        "config.json", "model.safetensors", "2_Dense/pytorch_model.bin", "vocab.txt"
    ]  # fmt: skip


def test_a_folder_without_a_checkpoint(empty_world: Path) -> None:
    (empty_world / NAME).mkdir()
    with pytest.raises(CheckpointError, match=r"neither modules\.json nor config\.json"):
        find_checkpoint(NAME, offline=True)


def test_a_package_that_promises_a_folder_it_lacks(empty_world: Path, bert: Path) -> None:
    shutil.rmtree(put_package(empty_world, bert))
    with pytest.raises(CheckpointError, match=r"tiny_package\.models:tiny"):
        find_checkpoint(NAME, offline=True)


@pytest.mark.parametrize("name", ["../site", "..", "a/../../site"])
def test_a_name_does_not_lead_out_of_the_shipped_folder(
    empty_world: Path, bert: Path, name: str
) -> None:
    shutil.copy(bert / "config.json", empty_world / "site")
    (empty_world / "elsewhere" / "deep").mkdir(parents=True)
    finding.SHIPPED.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(empty_world / "elsewhere" / "deep")
        with pytest.raises((ModelNotFoundError, CheckpointError)):
            find_checkpoint(name, offline=True)


@pytest.mark.parametrize("name", finding.EMBEDDED_NAMES)
def test_the_embedded_default_is_checked_and_never_imported(
    empty_world: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = empty_world / "site" / finding.EMBEDDED_PACKAGE
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('this must not be imported')")
    (package / "model" / "config.json").write_text("{}")
    weights = package / "model" / "model.safetensors"
    weights.write_bytes(b"not the published ones")
    with pytest.raises(CheckpointError, match="is not the published all-MiniLM-L6-v2"):
        find_checkpoint(name, offline=True)
    monkeypatch.setattr(finding, "EMBEDDED_SHA256", sha256_of(weights))
    assert find_checkpoint(name, offline=True) == package / "model"


def test_a_changed_file_is_summed_again(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"abc")
    assert sha256_of(file) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    file.write_bytes(b"")
    assert sha256_of(file) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
