"""`python -m search_engine.cli`, as launchers of several processes start it."""

from __future__ import annotations

from search_engine.cli import main

main()
