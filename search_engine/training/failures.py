"""What goes wrong outside of us while a training runs, said in our own words."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors import SafetensorError

from search_engine.errors import ConfigError, TrainingError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def training_failures(output: str | Path) -> Iterator[None]:
    """Raise what the machine refuses as a `TrainingError`.

    Args:
        output: the folder of the run.

    Raises:
        TrainingError: the memory is too small, the disk is full, or a file or a network failed.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"the memory of the GPU is too small: {error}. Take a smaller batch_size with more "
            "accumulation, gradient_checkpointing, fewer max_tokens, or a loss with a "
            "mini_batch_size."
        ) from error
    except (OSError, SafetensorError) as error:
        # safetensors says what the system said in its own words.
        full = isinstance(error, SafetensorError) or error.errno in _NO_ROOM
        if full:
            raise TrainingError(
                f"{output} cannot be written: {error}. The checkpoints before are whole; make "
                "room and resume."
            ) from error
        raise TrainingError(
            f"the training in {output} stopped: {error}. The checkpoints before are whole; mend "
            "that and resume."
        ) from error


def check_packages() -> None:
    """See that what training needs is installed.

    Raises:
        ConfigError: a package is missing.
    """
    for package in ("accelerate", "matplotlib"):
        if find_spec(package) is None:
            raise ConfigError(f"training needs {package}: pip install 'search-engine[train]'")
