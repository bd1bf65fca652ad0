"""search-cli: one command a file; everything heavy is imported when a command runs."""

from __future__ import annotations

import os
import sys

from search_engine.errors import SearchEngineError


def main() -> None:
    """Run search-cli and exit: 0 done, 1 failed, 2 wrong usage, 3 done but some was not read."""
    from search_engine.cli.app import app

    try:
        app()
    except SearchEngineError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("interrupted; what was committed is kept, and the same command goes on from there")
    except BrokenPipeError:
        # The reader of our output went away (`| head`); nobody is left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get("SEARCH_ENGINE_DEBUG"):
            raise
        _fail(
            f"{type(error).__name__}: {error} (this should not happen; run it again with "
            "SEARCH_ENGINE_DEBUG=1 for the details to report)"
        )


def _fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)
