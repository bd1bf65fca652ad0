"""search-cli: one command a file; everything heavy is imported when a command runs."""

from __future__ import annotations

import os
import sys

from search_engine.errors import FilterError, SearchEngineError

WRONG_USAGE = 2


def main() -> None:
    """Run search-cli and exit.

    Status 0: done; 1: failed; 2: wrong usage; 3: done, but some input was not read; 130:
    interrupted.
    """
    from search_engine.cli.app import app

    try:
        app()
    except FilterError as error:
        _fail(str(error), WRONG_USAGE)
    except SearchEngineError as error:
        _fail(str(error))
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


def _fail(message: str, status: int = 1) -> None:
    from search_engine.cli.terminal import printable

    print(f"error: {printable(message)}", file=sys.stderr)
    sys.exit(status)
