"""search-cli ui: the search page, in a browser."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import Annotated

import typer

from search_engine.cli.options import IndexOption
from search_engine.cli.places import existing_index
from search_engine.errors import ConfigError


def ui(
    index: IndexOption,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the page.")] = 8501,
) -> None:
    """Open the search page of an index."""
    folder = existing_index(index)
    page = find_spec("app.page")
    if find_spec("streamlit") is None or page is None or page.origin is None:
        raise ConfigError("the page needs streamlit: pip install 'search-engine[ui]'")
    command = [
        # -P: an app.py in the working folder is not ours.
        *(sys.executable, "-P", "-m", "streamlit", "run", page.origin),
        *("--server.address", "127.0.0.1"),
        *("--server.port", str(port)),
        *("--server.headless", "true"),
        *("--server.fileWatcherType", "none"),
        *("--browser.gatherUsageStats", "false"),
        *("--client.toolbarMode", "minimal"),
        *("--client.showErrorDetails", "type"),
        *("--logger.hideWelcomeMessage", "true"),
        *("--theme.light.primaryColor", "#3f6fb5"),
        *("--theme.dark.primaryColor", "#7aa5e0"),
        *("--", "--index", str(folder)),
    ]
    typer.echo(f"The page is at http://127.0.0.1:{port} (Ctrl-C ends it).", err=True)
    # In place of this process, so that whoever ends it ends the server.
    os.execv(sys.executable, command)
