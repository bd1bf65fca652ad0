"""Jupyter notebooks: their cells and short outputs as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from search_engine.errors import ReadError
from search_engine.ingest.formats.markdown import outline_markdown
from search_engine.ingest.readers import Reading
from search_engine.types import NO_METADATA, Document, Metadata

# A longer output is a log or a dump; what it says is not what the notebook is about.
_MAX_OUTPUT = 2_000
_DATA_URI = re.compile(r"data:[\w.+/-]+;base64,[A-Za-z0-9+/=]+")
# Colours and cursor movements of a terminal (ECMA-48, section 5.4).
_TERMINAL_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_FENCE = re.compile(r"^ {0,3}(`{3,})", re.MULTILINE)


def read_notebook(path: Path) -> Iterator[Reading]:
    """The notebook as one Markdown document, of format version 3 or 4.

    Code and its outputs are fenced. Of the outputs there is the plain text of those that have at
    most 2,000 characters and no image. The title is the first heading; the authors are the
    metadata "author".

    Raises:
        ReadError: the file is no notebook, or of another version.
    """
    import nbformat

    try:
        text = path.read_bytes().decode("utf-8-sig")
        raw = nbformat.reader.reads(text)  # type: ignore[no-untyped-call]
        if raw.nbformat not in {3, 4}:
            raise ReadError(str(path), f"is a notebook of version {raw.nbformat}; save it as 4")
        language = _find_language(raw)
        notebook = nbformat.convert(raw, 4)  # type: ignore[no-untyped-call]
        cells = [_render_cell(cell, language) for cell in notebook.cells]
    except (nbformat.reader.NotJSONError, UnicodeDecodeError) as error:
        raise ReadError(str(path), "is not a notebook: it is not JSON") from error
    except (nbformat.ValidationError, ValueError, AttributeError, KeyError, TypeError) as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ReadError(str(path), f"is not a notebook or is damaged: {said}") from error
    text = "\n\n".join(cell for cell in cells if cell.strip())
    if text.startswith("---"):
        # A rule that begins a cell is no front matter of the notebook.
        text = "\n" + text
    headings = outline_markdown(text).headings
    yield Reading(
        Document(
            doc_id="",
            text=text,
            title=next((heading.title for heading in headings if heading.title), ""),
            markup="markdown",
            metadata=_find_authors(notebook.metadata),
        )
    )


def _find_language(notebook: Mapping[str, Any]) -> str:
    """What a code cell is written in, "" where the notebook does not say."""
    metadata = notebook["metadata"]
    for place, name in (("language_info", "name"), ("kernelspec", "language")):
        language = metadata.get(place, {}).get(name)
        if isinstance(language, str):
            return language
    for sheet in notebook.get("worksheets", []):
        for cell in sheet["cells"]:
            if isinstance(cell.get("language"), str):
                return str(cell["language"])
    return ""


def _find_authors(metadata: Mapping[str, Any]) -> Metadata:
    authors = metadata.get("authors")
    names = [
        author["name"]
        for author in (authors if isinstance(authors, list) else [])
        if isinstance(author, Mapping) and isinstance(author.get("name"), str)
    ]
    return MappingProxyType({"author": ", ".join(names)}) if names else NO_METADATA


def _render_cell(cell: Mapping[str, Any], language: str) -> str:
    source = str(cell["source"])
    if cell["cell_type"] == "markdown":
        return _DATA_URI.sub("", source)
    if cell["cell_type"] != "code":
        return _fence(source, "")
    outputs = "".join(_say_output(output) for output in cell.get("outputs", []))
    return "\n\n".join((_fence(source, language), _fence(outputs, ""))).strip()


def _say_output(output: Mapping[str, Any]) -> str:
    """The plain text of an output, "" of one that is too long or stands for an image."""
    kind = output["output_type"]
    data = output.get("data", {})
    if kind == "stream":
        said = output.get("text", "")
    elif kind == "error":
        said = f"{output.get('ename', '')}: {output.get('evalue', '')}\n"
    elif any(name.startswith("image/") for name in data):
        said = ""
    else:
        said = data.get("text/plain", "")
    said = _TERMINAL_CONTROL.sub("", said)
    if len(said) > _MAX_OUTPUT:
        return ""
    return said if said.endswith("\n") or not said else said + "\n"


def _fence(text: str, language: str) -> str:
    """The text as a fenced block, whose fence is longer than any in it; "" of nothing."""
    if not text.strip():
        return ""
    fence = "`" * max((len(marks) + 1 for marks in _FENCE.findall(text)), default=3)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
