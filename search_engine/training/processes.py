"""What the processes of one distributed training tell each other."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from torch import distributed

from search_engine.errors import SearchEngineError

Answer = TypeVar("Answer")

# Seconds that processes wait for the one that evaluates and writes.
PATIENCE = 24 * 3600


def count_processes() -> int:
    """How many processes train together, as torchrun or accelerate launched them."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first_process() -> bool:
    """Whether this process is the one that writes."""
    return int(os.environ.get("RANK", "0")) == 0


def is_sharded() -> bool:
    """Whether accelerate is to shard the model over the processes (FSDP)."""
    return os.environ.get("ACCELERATE_USE_FSDP", "").lower() in ("1", "true", "yes")


def join_processes(device: str | None) -> None:
    """Connect this process with the others, where there are others."""
    if count_processes() > 1:
        from accelerate import PartialState

        PartialState(cpu=device == "cpu", timeout=timedelta(seconds=PATIENCE))


def ask_first(question: Callable[[], Answer]) -> Answer:
    """What the first process answers; the others wait for it.

    Raises:
        SearchEngineError: the question raised one in the first process; all processes raise it.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return question()
    said: list[Any] = [None, None]
    if is_first_process():
        try:
            said[0] = question()
        except SearchEngineError as error:
            said[1] = error
    distributed.broadcast_object_list(said, src=0)
    if said[1] is not None:
        raise said[1]
    answer: Answer = said[0]
    return answer
