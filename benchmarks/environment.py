"""What a figure was measured on: every benchmark prints it above its figures."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = (
    "search-engine",
    "torch",
    "transformers",
    "openvino",
    "faiss-cpu",
    "faiss-gpu-cu12",
    "numpy",
    "sentence-transformers",
)


def describe_environment() -> str:
    """The machine, the versions of what computes, and the command, as lines of a Markdown list."""
    return "\n".join(
        [
            f"- machine: {_processor()}, {_cores()} cores, {_memory_gib():.0f} GiB",
            f"- system: {platform.system()} {platform.release()} {platform.machine()}",
            f"- versions: Python {platform.python_version()}, {_versions()}",
            f"- command: `{shlex.join(['python', *sys.orig_argv[1:]])}`",
        ]
    )


def _processor() -> str:
    """The model of the processor; Linux alone tells it without another program."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    """Those that this process may use, which a container can make fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _versions() -> str:
    found = []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)
