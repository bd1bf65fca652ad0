"""What the processor has: its instructions and the cores that we may use."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path


@cache
def processor_flags() -> frozenset[str]:
    """The names of the instruction sets, as Linux gives them; empty on other systems."""
    try:
        return frozenset(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return frozenset()


def usable_cores() -> int:
    """The cores that this process may run on, which a container may have fewer of."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
