"""What passes between a process in which files are read and the one that started it."""

from __future__ import annotations

import struct
from enum import IntEnum

# The kind of a frame and the bytes that follow.
HEADER = struct.Struct(">BQ")


class FrameKind(IntEnum):
    """What a frame from a worker process says.

    Attributes:
        READY: the process has started.
        BEGIN: it begins with the next job.
        RECORD: a record of the job that it is at, as JSON.
        END: the job is done. A process that ends before the next begins does so on its own account.
    """

    READY = 0
    BEGIN = 1
    RECORD = 2
    END = 3
