"""What went wrong with a file, in words for the person who owns it."""

from __future__ import annotations


def describe(error: BaseException) -> str:
    """What went wrong, in one line for the person who owns the file."""
    if isinstance(error, PermissionError):
        return "permission denied; check who may read it"
    if isinstance(error, FileNotFoundError):
        return "is no longer there"
    if isinstance(error, MemoryError):
        return "is too large for the memory of this machine"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
