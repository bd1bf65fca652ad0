"""A local-first semantic search engine: retrieve, then rerank.

Names are imported on first use, so that `import search_engine` loads neither torch nor faiss.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search_engine.config import Config
    from search_engine.encoders.bi_encoder import BiEncoder
    from search_engine.encoders.cross_encoder import CrossEncoder
    from search_engine.encoders.process_pool import EncoderPool
    from search_engine.encoders.sparse_encoder import SparseEncoder
    from search_engine.search import SearchEngine
    from search_engine.types import Document, Result, SearchResponse

# Nothing leaves the machine: ONNX Runtime, which a backend and a reader of files use, would report
# its start over the network, and reads this before it is told anything else.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = [
    "BiEncoder",
    "Config",
    "CrossEncoder",
    "Document",
    "EncoderPool",
    "Result",
    "SearchEngine",
    "SearchResponse",
    "SparseEncoder",
]

_HOMES = {
    "BiEncoder": "search_engine.encoders.bi_encoder",
    "Config": "search_engine.config",
    "CrossEncoder": "search_engine.encoders.cross_encoder",
    "Document": "search_engine.types",
    "EncoderPool": "search_engine.encoders.process_pool",
    "Result": "search_engine.types",
    "SearchEngine": "search_engine.search",
    "SearchResponse": "search_engine.types",
    "SparseEncoder": "search_engine.encoders.sparse_encoder",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
