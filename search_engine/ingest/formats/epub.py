"""Electronic books in EPUB: the chapters in the order in which they are read."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from urllib.parse import unquote
from zipfile import ZipFile

from lxml import etree

from search_engine.errors import ReadError
from search_engine.ingest.formats.document_properties import find_title
from search_engine.ingest.formats.html_markdown import convert_html
from search_engine.ingest.formats.zip_archive import (
    MEMBER_ERRORS,
    check_expansion,
    find_text,
    read_xml,
)
from search_engine.ingest.readers import Reading
from search_engine.types import Document

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_DC = "{http://purl.org/dc/elements/1.1/}"
_PAGES = {"application/xhtml+xml", "text/html", "text/x-oeb1-document"}


def read_epub(path: Path) -> Iterator[Reading]:
    """The book as one Markdown document: its chapters by the spine, without the contents page.

    Title and `author` are those of the book's own description (OPF), and so are `publisher` and
    `date`, as it writes them. A chapter that cannot be read is a problem of its own.

    Raises:
        ReadError: the file is no EPUB, is damaged or protected, or has no text.
    """
    check_expansion(path)
    with ZipFile(path) as archive:
        if _CONTAINER not in archive.namelist():
            raise ReadError(str(path), "is not an EPUB: it has no META-INF/container.xml")
        package = _find_package(archive)
        root = read_xml(archive, package)
        protected = _list_protected(archive)
        chapters: list[str] = []
        failed = False
        for name in _list_chapters(root, package, set(archive.namelist())):
            if name in protected:
                raise ReadError(str(path), "is protected against copying (DRM); it cannot be read")
            try:
                chapters.append(convert_html(archive.read(name)))
            except (KeyError, *MEMBER_ERRORS) as error:
                failed = True
                reason = f"the chapter {name} cannot be read ({error})"
                yield Reading(ReadError(str(path), reason))
    text = "\n\n".join(chapter for chapter in chapters if chapter)
    if text:
        yield Reading(_make_document(text, root))
    elif not failed:
        raise ReadError(str(path), "has no text: it is empty, or all of it is images")


def _find_package(archive: ZipFile) -> str:
    """The member that describes the book; a book of several renditions is read in its first."""
    for element in read_xml(archive, _CONTAINER).iter("{*}rootfile"):
        name = str(element.get("full-path", ""))
        if name:
            return name
    raise ReadError(str(archive.filename), f"is damaged: {_CONTAINER} names no book")


def _list_protected(archive: ZipFile) -> set[str]:
    """The members that are encrypted. Fonts often are, and stop nobody from reading."""
    if _ENCRYPTION not in archive.namelist():
        return set()
    references = read_xml(archive, _ENCRYPTION).iter("{*}CipherReference")
    return {unquote(reference.get("URI", "")) for reference in references}


def _list_chapters(root: etree._Element, package: str, members: set[str]) -> Iterator[str]:
    """The members that the spine names, once each, in order."""
    items = {item.get("id"): item for item in root.iter("{*}item")}
    seen = set()
    for reference in root.iter("{*}itemref"):
        item = items.get(reference.get("idref"))
        if item is None or item.get("media-type", "") not in _PAGES:
            continue
        name = _resolve(item.get("href", ""), package, members)
        if name not in seen and "nav" not in item.get("properties", "").split():
            seen.add(name)
            yield name


def _resolve(href: str, package: str, members: set[str]) -> str:
    """The member that a reference means: it is percent-encoded, though not in every book."""
    folder = posixpath.dirname(package)
    names = [posixpath.normpath(posixpath.join(folder, each)) for each in (unquote(href), href)]
    return next((name for name in names if name in members), names[0])


def _make_document(text: str, root: etree._Element) -> Document:
    authors = [" ".join("".join(each.itertext()).split()) for each in root.iter(f"{_DC}creator")]
    found = {
        "author": ", ".join(author for author in authors if author),
        "publisher": find_text(root, [f"{_DC}publisher"]),
        "date": find_text(root, [f"{_DC}date"]),
    }
    return Document(
        doc_id="",
        text=text,
        title=find_title(find_text(root, [f"{_DC}title"]), text),
        markup="markdown",
        metadata=MappingProxyType({name: value for name, value in found.items() if value}),
    )
