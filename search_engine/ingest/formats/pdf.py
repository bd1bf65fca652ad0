"""PDF files, by pypdfium2 (the PDF engine of Chromium)."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pypdfium2

from search_engine.errors import ReadError
from search_engine.ingest.readers import Reading
from search_engine.types import Document

# PDFium must not be entered by two threads at a time, not even for two documents.
_pdfium_lock = threading.Lock()

_PAGE_GAP = "\n\n"
# PDFium marks a hyphen at which a word was broken at the end of a line.
_BROKEN_WORD = re.compile("[\x02\ufffe](?:\r\n?|\n)?")
# What programs write when nobody gave a title.
_NO_TITLE = re.compile(
    r"\W*(?:untitled|anonymous|unspecified|unknown|title|(?:microsoft )?(?:powerpoint )?"
    r"presentation|document|slide|page)\W*\d*",
    re.IGNORECASE,
)
_FILE_NAME = re.compile(r"\S+\.(?:\w{2,4}|\w)|\S+\.indd", re.IGNORECASE)
_PROGRAM = re.compile(r"^Microsoft (?:Word|PowerPoint|Excel) - ", re.IGNORECASE)


def read_pdf(path: Path) -> Iterator[Reading]:
    """The text of all pages as one document, with the offset at which each page starts.

    A page that cannot be read is a problem of its own, and counts as a page without text.

    Raises:
        ReadError: the file is no PDF, is encrypted, or has no text on any page.
    """
    with _pdfium_lock:
        pages, title, problems = _read_pages(path)
    for problem in problems:
        yield Reading(problem)
    if not any(page.strip() for page in pages):
        if problems:
            return
        raise ReadError(
            str(path), "has no text on any page (scanned?); run text recognition (OCR) on it first"
        )
    starts, offset = [], 0
    for page in pages:
        starts.append(offset)
        offset += len(page) + len(_PAGE_GAP)
    text = _PAGE_GAP.join(pages)
    yield Reading(Document(doc_id="", text=text, title=title, pages=tuple(starts)))


def _read_pages(path: Path) -> tuple[list[str], str, list[ReadError]]:
    """The text of each page, the title, and the pages that could not be read."""
    with path.open("rb") as file:
        # The standard lets up to a kilobyte of something else stand before the header.
        if b"%PDF-" not in file.read(1024 + 5):
            raise ReadError(str(path), "is not a PDF file, whatever its name says")
    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        code = getattr(error, "err_code", None)
        if code == pypdfium2.raw.FPDF_ERR_PASSWORD:
            reason = "is encrypted and needs a password; save it without one"
        elif code == pypdfium2.raw.FPDF_ERR_SECURITY:
            reason = "is encrypted in a way that is not supported; save it without protection"
        else:
            reason = "is damaged: it begins as a PDF file but cannot be opened as one"
        raise ReadError(str(path), reason) from error
    pages, problems = [], []
    with closing(document):
        title = _clean_title(document.get_metadata_value("Title"))
        for number in range(1, len(document) + 1):
            try:
                pages.append(_read_page(document, number - 1))
            except Exception as error:  # the other pages must not be lost with this one
                problems.append(ReadError(str(path), f"page {number} cannot be read ({error})"))
                pages.append("")
    return pages, title, problems


def _read_page(document: pypdfium2.PdfDocument, index: int) -> str:
    with closing(document[index]) as page, closing(page.get_textpage()) as textpage:
        text: str = textpage.get_text_bounded()
    text = _BROKEN_WORD.sub("", text).replace("\x00", "")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _clean_title(title: str) -> str:
    """The title from the metadata, or "" where it is a program's default or a file's name."""
    title = _PROGRAM.sub("", " ".join(title.replace("\x00", "").split()))
    if _NO_TITLE.fullmatch(title) or _FILE_NAME.fullmatch(title):
        return ""
    return title
