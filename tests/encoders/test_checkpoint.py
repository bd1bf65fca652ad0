"""A model name is looked for in a fixed order of places, and a miss names them all."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from search_engine.encoders import checkpoint
from search_engine.encoders.checkpoint import find_checkpoint, sha256_of
from search_engine.errors import CheckpointError, ModelNotFoundError

NAME = "tiny-model"


@pytest.fixture
def empty_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No folder, shipped model, package or cached model of any name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkpoint, "SHIPPED", tmp_path / "shipped")
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


def test_the_hub_is_asked_last_and_only_online(
    empty_world: Path, bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def list_files(_self: object, repository: str) -> list[str]:
        asked.append(repository)
        raise OSError("the network is down")

    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_files", list_files)
    with pytest.raises(ModelNotFoundError):
        find_checkpoint(NAME, offline=True)
    assert asked == []
    with pytest.raises(ModelNotFoundError, match="the network is down"):
        find_checkpoint(NAME)
    assert asked == [NAME, f"sentence-transformers/{NAME}"]
    put_cached(empty_world, bert)
    find_checkpoint(NAME)
    assert len(asked) == 2


def test_an_incomplete_download_is_not_taken(empty_world: Path, bert: Path) -> None:
    (put_cached(empty_world, bert) / "model.safetensors").unlink()
    with pytest.raises(ModelNotFoundError, match="no complete snapshot"):
        find_checkpoint(NAME, offline=True)


def test_which_files_are_downloaded() -> None:
    files = ["config.json", "model.safetensors", "pytorch_model.bin", "2_Dense/pytorch_model.bin",
             "onnx/model.onnx", "onnx/config.json", "README.md", "vocab.txt"]  # fmt: skip
    assert checkpoint._wanted_files(files) == [
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
    checkpoint.SHIPPED.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(empty_world / "elsewhere" / "deep")
        with pytest.raises((ModelNotFoundError, CheckpointError)):
            find_checkpoint(name, offline=True)


@pytest.mark.parametrize("name", checkpoint.EMBEDDED_NAMES)
def test_the_embedded_default_is_checked_and_never_imported(
    empty_world: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = empty_world / "site" / checkpoint.EMBEDDED_PACKAGE
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('this must not be imported')")
    (package / "model" / "config.json").write_text("{}")
    weights = package / "model" / "model.safetensors"
    weights.write_bytes(b"not the published ones")
    with pytest.raises(CheckpointError, match="is not the published all-MiniLM-L6-v2"):
        find_checkpoint(name, offline=True)
    monkeypatch.setattr(checkpoint, "EMBEDDED_SHA256", sha256_of(weights))
    assert find_checkpoint(name, offline=True) == package / "model"


def test_a_changed_file_is_summed_again(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"abc")
    assert sha256_of(file) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    file.write_bytes(b"")
    assert sha256_of(file) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
