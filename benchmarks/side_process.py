"""One side of a benchmark run as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def run_in_process(script: str, arguments: Mapping[str, object]) -> dict[str, Any]:
    """What a script says, as JSON on its last line, when it is run with these arguments.

    The script ends with a message where the process fails.

    Args:
        script: its file.
        arguments: `{"side": "x"}` is given as `--side x`.
    """
    command = [sys.executable, script]
    for name, value in arguments.items():
        command += [f"--{name}", str(value)]
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, "TQDM_DISABLE": "1"},
    )
    if done.returncode:
        shown = " ".join(command[2:])
        sys.exit(f"{Path(script).name}: {shown} failed with status {done.returncode}")
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said
