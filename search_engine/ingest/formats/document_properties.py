"""What a document's own properties say of it: its title, who wrote it, when it was made."""

from __future__ import annotations

import re
from datetime import datetime
from types import MappingProxyType

from search_engine.ingest.formats.markdown import outline_markdown
from search_engine.types import Metadata

# What programs write when nobody gave a title.
_NO_TITLE = re.compile(
    r"\W*(?:untitled|anonymous|unspecified|unknown|title|(?:microsoft )?(?:powerpoint )?"
    r"presentation|(?:microsoft )?(?:word )?document|slide|page)\W*\d*",
    re.IGNORECASE,
)
_FILE_NAME = re.compile(r"\S+\.(?:\w{2,4}|\w)|\S+\.indd", re.IGNORECASE)
_PROGRAM = re.compile(r"^Microsoft (?:Word|PowerPoint|Excel) - ", re.IGNORECASE)
# What programs and systems write where they know no author; libraries name themselves, or the
# person who made their template.
_NO_AUTHOR = re.compile(
    r"\W*(?:anonymous|unspecified|unknown|author|(?:microsoft office )?user|admin|administrator"
    r"|root|owner|none|n/?a|openpyxl|python-docx|steve canny)?\W*\d*",
    re.IGNORECASE,
)
# The zero of Windows, which is in a file where nobody set the time.
_FIRST_YEAR = 1602


def clean_title(title: str) -> str:
    """The title from the properties, or "" where it is a program's default or a file's name."""
    title = _PROGRAM.sub("", " ".join(title.replace("\x00", "").split()))
    if _NO_TITLE.fullmatch(title) or _FILE_NAME.fullmatch(title):
        return ""
    return title


def clean_author(author: str) -> str:
    """The author from the properties, or "" where it is a program's default."""
    author = " ".join(author.replace("\x00", "").split())
    return "" if _NO_AUTHOR.fullmatch(author) else author


def find_title(title: str, text: str) -> str:
    """The title from the properties, else the first heading of the Markdown text, else ""."""
    first = next(
        (heading.title for heading in outline_markdown(text).headings if heading.title), ""
    )
    return clean_title(title) or clean_title(first)


def make_metadata(author: str, created: str) -> Metadata:
    """`author` and `created`, each only where it says something.

    Args:
        author: a name, or "".
        created: the time of making; one that is not ISO 8601 is left out.
    """
    metadata: dict[str, str] = {}
    if name := clean_author(author):
        metadata["author"] = name
    try:
        if datetime.fromisoformat(created).year >= _FIRST_YEAR:
            metadata["created"] = created
    except ValueError:
        pass
    return MappingProxyType(metadata)
