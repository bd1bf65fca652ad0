"""The JSON files of a checkpoint, and the settings in them, each of the kind that it must be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from search_engine.errors import CheckpointError

_Kind = TypeVar("_Kind")

# What JSON calls the kinds that a file or a setting can be of.
_JSON_NAMES: Mapping[type, str] = {
    dict: "an object",
    list: "a list",
    str: "a text",
    int: "a whole number",
}


def read_json(path: Path, *, kind: type[_Kind]) -> _Kind | None:
    """The content of a JSON file of a checkpoint, or None where there is no such file.

    Raises:
        CheckpointError: it cannot be read, or is of another kind than `kind` (dict or list).
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} cannot be read as JSON: {error}. Download or save the model again."
        ) from error
    if not isinstance(content, kind):
        raise CheckpointError(
            f"{path} must hold {_JSON_NAMES[kind]}, not {str(content)[:80]!r}. Download or save "
            "the model again."
        )
    return content


def read_setting(
    settings: Mapping[str, Any], key: str, *, path: Path, kind: type[_Kind]
) -> _Kind | None:
    """A setting of the kind that it must be of, or None where it is absent or null.

    Raises:
        CheckpointError: it is of another kind; the message names `path`, where it stands.
    """
    value = settings.get(key)
    # In Python, though not in JSON, true and false are integers.
    if value is None or (isinstance(value, kind) and not isinstance(value, bool)):
        return value
    raise CheckpointError(
        f"{path}: {key!r} must be {_JSON_NAMES[kind]}, not {value!r}; correct it or remove it."
    )
