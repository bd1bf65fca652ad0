"""Text of documents and names of files, made safe to show on a terminal."""

from __future__ import annotations

import re

# Escape sequences could move the cursor, set the window's title, and worse.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """The text with U+FFFD for control characters (not tab and newline), lengths unchanged."""
    return _CONTROL.sub("\ufffd", text)


def printable_line(text: str) -> str:
    """The same for a text that must stay on one line."""
    return printable(text).replace("\n", "\ufffd").replace("\t", "\ufffd")


def count_of(number: int, what: str) -> str:
    """A number of things: `1 document`, `2 documents`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
