"""Documents cut into pieces that an encoder can read whole."""

from __future__ import annotations

from search_engine.ingest.chunking.chunker import Chunker

__all__ = ["Chunker"]
