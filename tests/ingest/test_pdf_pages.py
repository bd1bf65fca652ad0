"""The pages of real PDF files hold the characters that PDFium gives for them, in any order."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import closing
from pathlib import Path

import pypdfium2

from search_engine.errors import ReadError
from search_engine.ingest.formats.pdf import read_pdf
from search_engine.types import Document

# PDFium marks broken words by two characters of its own.
_NO_LETTER = re.compile(r"[\W\x02\ufffe]")


def _read(path: Path) -> Document | None:
    try:
        contents = [reading.content for reading in read_pdf(path)]
    except ReadError:
        return None
    return next((each for each in contents if isinstance(each, Document)), None)


def test_each_page_has_its_own_characters(shared_data) -> None:
    pages = 0
    for path in sorted((shared_data / "folders").rglob("*.pdf")):
        document = _read(path)
        if document is None:
            continue
        ends = [*document.pages[1:], len(document.text)]
        with closing(pypdfium2.PdfDocument(path)) as pdf:
            for number, (start, end) in enumerate(zip(document.pages, ends, strict=True)):
                with closing(pdf[number]) as page, closing(page.get_textpage()) as textpage:
                    given = Counter(_NO_LETTER.sub("", textpage.get_text_bounded()))
                found = Counter(_NO_LETTER.sub("", document.text[start:end]))
                different = (given - found).total() + (found - given).total()
                assert different <= 0.02 * max(1, given.total()), f"{path.name}, page {number + 1}"
                pages += 1
    assert pages > 200
