"""Text recognition in scanned PDF files and in images, by the program tesseract."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path

import pypdfium2

from search_engine.errors import ReadError
from search_engine.ingest.formats.pdf import pdfium_lock, read_pdf_pages
from search_engine.ingest.readers import Reading
from search_engine.types import Document

# What tesseract's models were trained for. A sheet for which this makes too many pixels gets less.
_DPI = 300
_MOST_PIXELS = 50_000_000
_SECONDS_PER_PAGE = 120
_PAGE_GAP = "\n\n"
# Each language that is looked for takes its time; with more installed, English alone is.
_MOST_LANGUAGES = 10
_NO_LANGUAGES = frozenset({"osd", "equ"})
# PNG, JPEG, TIFF, WebP, and BMP with the size of a header that there is. No less: tesseract takes
# what it does not know for a list of files and addresses to read.
_IMAGE = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|II\*\x00|MM\x00\*|RIFF.{4}WEBP|BM.{12}[\x0c(48@l|]\x00{3}",
    re.DOTALL,
)
_TIFF_SIGNATURES = (b"II*\x00", b"MM\x00*")


class _RecognitionError(Exception):
    """Tesseract says nothing of one page; the message says why."""


def read_scanned_pdf(path: Path) -> Iterator[Reading]:
    """What `pdf.read_pdf` yields, with the text that is recognised on pages that have none.

    A page that takes tesseract longer than two minutes is a problem of its own. Without tesseract,
    or where it does not work, that is one problem, and the pages with text go in.

    Raises:
        ReadError: the file is no PDF, is encrypted, or no text was found or recognised in it.
    """
    return read_pdf_pages(path, recognize=_recognize_page)


def read_image(path: Path) -> Iterator[Reading]:
    """The text that is recognised in an image; a TIFF file may have several pages.

    Raises:
        ReadError: tesseract is not installed or does not work, the file is no image that it reads,
            no text was recognised in it, or a page took longer than two minutes.
    """
    data = path.read_bytes()
    if not _IMAGE.match(data):
        raise ReadError(str(path), "is not an image, whatever its name says")
    pages: list[str] = []
    try:
        while (page := _recognize_image(data, len(pages))) is not None:
            pages.append(page)
    except _RecognitionError as error:
        raise ReadError(str(path), f"cannot be read as an image ({error})") from error
    if not any(pages):
        raise ReadError(str(path), "has no text that could be recognised")
    starts, offset = [], 0
    for text in pages:
        starts.append(offset)
        offset += len(text) + len(_PAGE_GAP)
    yield Reading(Document(doc_id="", text=_PAGE_GAP.join(pages), pages=tuple(starts)))


def _recognize_image(data: bytes, index: int) -> str | None:
    """The text on one page of an image file; None where it has no such page."""
    if index > 0 and not data.startswith(_TIFF_SIGNATURES):
        return None
    finished = _run_tesseract(data, "-c", f"tessedit_page_number={index}")
    # It names each page but the first; where there is none, it says nothing at all.
    if index > 0 and b"Page" not in finished.stderr:
        return None
    return finished.stdout.decode("utf-8", errors="replace").strip("\f\n ")


def _recognize_page(document: pypdfium2.PdfDocument, index: int) -> str:
    with pdfium_lock, closing(document[index]) as page:
        width, height = page.get_size()
        most = math.sqrt(_MOST_PIXELS / max(width * height, 1.0))
        bitmap = page.render(scale=min(_DPI / 72, most), grayscale=True)
        header = f"P5 {bitmap.width} {bitmap.height} 255\n".encode()
        pixels = bitmap.to_numpy().tobytes()
    finished = _run_tesseract(header + pixels, "--dpi", str(_DPI))
    return finished.stdout.decode("utf-8", errors="replace").strip("\f\n ")


def _run_tesseract(image: bytes, *options: str) -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("tesseract")
    if program is None:
        raise ReadError(
            "", "text recognition needs the program tesseract; install it (tesseract-ocr on Debian)"
        )
    program = str(Path(program).absolute())
    languages, layout = _find_languages(program)
    arguments = [program, "stdin", "stdout", "-l", languages, "--psm", layout, *options]
    # One thread: several are hardly faster, and there are as many readers as processors.
    environment = {**os.environ, "OMP_THREAD_LIMIT": "1"}
    try:
        # In an empty folder, no name in an image is that of a file.
        with tempfile.TemporaryDirectory() as folder:
            return subprocess.run(
                arguments,
                input=image,
                capture_output=True,
                check=True,
                cwd=folder,
                env=environment,
                timeout=_SECONDS_PER_PAGE,
            )
    except subprocess.TimeoutExpired as error:
        reason = f"recognising it took longer than {_SECONDS_PER_PAGE} s"
        raise _RecognitionError(reason) from error
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode("utf-8", errors="replace").splitlines()
        raise _RecognitionError(f"tesseract: {lines[0] if lines else 'failed'}") from error


@cache
def _find_languages(program: str) -> tuple[str, str]:
    """The languages to look for, joined by "+", and the way in which a page is taken apart.

    The second is 1, which turns pages upright, where the model for it is installed, else 3.
    """
    listed = subprocess.run([program, "--list-langs"], capture_output=True, check=True, text=True)
    installed = listed.stdout.splitlines()[1:]
    languages = [name for name in installed if name not in _NO_LANGUAGES and "/" not in name]
    if len(languages) > _MOST_LANGUAGES:
        languages = ["eng"]
    return "+".join(languages), "1" if "osd" in installed else "3"
