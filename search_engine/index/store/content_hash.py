"""What tells whether a document changed, and whether its stored text is still what was added."""

from __future__ import annotations

import hashlib
import json

from search_engine.types import Document


def content_hash_of(document: Document) -> str:
    """Hex digest of all that a reader found, but for the path by which the file was reached."""
    content = (
        document.title,
        document.text,
        document.markup,
        document.first_line,
        document.single_line,
        document.pages,
        dict(document.metadata),
    )
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()
