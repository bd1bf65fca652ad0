"""PDF files, by pypdfium2 (the PDF engine of Chromium)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

import pypdfium2
import pypdfium2.raw as pdfium

from search_engine.errors import ReadError
from search_engine.ingest.formats.document_properties import clean_author, clean_title
from search_engine.ingest.formats.pdf_text import read_page_text
from search_engine.ingest.problems import describe
from search_engine.ingest.readers import Reading
from search_engine.types import NO_METADATA, Document, Metadata

# PDFium must not be entered by two threads at a time, not even for two documents.
pdfium_lock = threading.Lock()

PageRecognizer: TypeAlias = Callable[[pypdfium2.PdfDocument, int], str]

_PAGE_GAP = "\n\n"


@dataclass(frozen=True, slots=True)
class _Pages:
    """What a file says.

    Attributes:
        texts: of each page, "" where it has none or cannot be read.
        scanned: the numbers of the pages that have images and no text, from 1.
    """

    texts: list[str]
    scanned: list[int]
    title: str
    metadata: Metadata
    problems: list[ReadError]


def read_pdf(path: Path) -> Iterator[Reading]:
    """The text of all pages as one document, with the offset at which each page starts.

    A page that cannot be read is a problem of its own, and counts as a page without text. Pages
    that are scanned are a problem where they are more than half of all; a few are often blank,
    a cover or a figure. The metadata is the author, where the file names one.

    Raises:
        ReadError: the file is no PDF, is encrypted, or has no text on any page.
    """
    return read_pdf_pages(path, recognize=None)


def read_pdf_pages(path: Path, *, recognize: PageRecognizer | None) -> Iterator[Reading]:
    """What `read_pdf` yields, with the text that is recognised on scanned pages.

    Args:
        recognize: says what is written on a page, given the file and the page's index; raises
            ReadError where it cannot for any page. None to leave scanned pages without text.

    Raises:
        ReadError: the file is no PDF, is encrypted, or has no text on any page.
    """
    pages = _read_pages(path, recognize)
    for problem in pages.problems:
        yield Reading(problem)
    if not any(page.strip() for page in pages.texts):
        if pages.problems:
            return
        if recognize is not None:
            raise ReadError(str(path), "has no text on any page, and none was recognised")
        raise ReadError(
            str(path),
            "has no text on any page (scanned?); --ocr reads it where tesseract is installed",
        )
    if recognize is None and 2 * len(pages.scanned) > len(pages.texts):
        reason = (
            f"has no text on {len(pages.scanned)} of {len(pages.texts)} pages (scanned?, the first "
            f"is page {pages.scanned[0]}); --ocr reads them where tesseract is installed"
        )
        yield Reading(ReadError(str(path), reason))
    starts, offset = [], 0
    for page in pages.texts:
        starts.append(offset)
        offset += len(page) + len(_PAGE_GAP)
    document = Document(
        doc_id="",
        text=_PAGE_GAP.join(pages.texts),
        title=pages.title,
        pages=tuple(starts),
        metadata=pages.metadata,
    )
    yield Reading(document)


def _read_pages(path: Path, recognize: PageRecognizer | None) -> _Pages:
    with path.open("rb") as file:
        # The standard lets up to a kilobyte of something else stand before the header.
        if b"%PDF-" not in file.read(1024 + 5):
            raise ReadError(str(path), "is not a PDF file, whatever its name says")
    with pdfium_lock:
        document = _open_document(path)
        title = clean_title(document.get_metadata_value("Title"))
        author = clean_author(document.get_metadata_value("Author"))
        count = len(document)
    metadata = MappingProxyType({"author": author}) if author else NO_METADATA
    pages = _Pages([], [], title, metadata, [])
    try:
        for index in range(count):
            text = ""
            try:
                with pdfium_lock:
                    text, is_scanned = _read_page(document, index)
                if is_scanned:
                    pages.scanned.append(index + 1)
                    text = "" if recognize is None else recognize(document, index)
            except ReadError as error:  # there is nothing that could recognise
                pages.problems.append(error)
                recognize = None
            except Exception as error:  # the other pages must not be lost with this one
                reason = f"page {index + 1} cannot be read ({describe(error)})"
                pages.problems.append(ReadError(str(path), reason))
            pages.texts.append(text)
    finally:
        with pdfium_lock:
            document.close()
    return pages


def _open_document(path: Path) -> pypdfium2.PdfDocument:
    try:
        return pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        code = getattr(error, "err_code", None)
        if code == pdfium.FPDF_ERR_PASSWORD:
            reason = "is encrypted and needs a password; save it without one"
        elif code == pdfium.FPDF_ERR_SECURITY:
            reason = "is encrypted in a way that is not supported; save it without protection"
        else:
            reason = "is damaged: it begins as a PDF file but cannot be opened as one"
        raise ReadError(str(path), reason) from error


def _read_page(document: pypdfium2.PdfDocument, index: int) -> tuple[str, bool]:
    """The text of a page, and whether it has images and no text."""
    with closing(document[index]) as page:
        text = read_page_text(page)
        if text.strip():
            return text, False
        images = page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE])
        return "", next(iter(images), None) is not None
