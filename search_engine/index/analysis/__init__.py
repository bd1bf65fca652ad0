"""Text to lexical terms: what BM25 counts and what a highlight marks."""

from __future__ import annotations

from search_engine.index.analysis.analyzer import AUTO, Analyzer
from search_engine.index.analysis.words import Token, has_identifier

__all__ = ["AUTO", "Analyzer", "Token", "has_identifier"]
