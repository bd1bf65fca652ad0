"""Microsoft Office files: Word and PowerPoint by markitdown, Excel as the text of its cells."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zipfile import ZipFile

import olefile

from search_engine.errors import ReadError
from search_engine.ingest.formats.codepages import find_codec
from search_engine.ingest.formats.document_properties import find_title, make_metadata
from search_engine.ingest.formats.zip_archive import check_expansion, find_text, read_xml
from search_engine.ingest.readers import Reading
from search_engine.types import Document

_CORE = "docProps/core.xml"
_TITLE = "{http://purl.org/dc/elements/1.1/}title"
_CREATOR = "{http://purl.org/dc/elements/1.1/}creator"
_CREATED = "{http://purl.org/dc/terms/}created"

_SLIDE = re.compile(r"^<!-- Slide number: \d+ -->\n?", re.MULTILINE)
_IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s]*)[^)]*\)")

# The folder in the archive that holds a document's own parts.
_PARTS = {"word": ".docx", "ppt": ".pptx", "xl": ".xlsx"}
# The stream of an old document -> what it is.
_STREAMS = {
    "WordDocument": "an old Word document (.doc); save it as .docx",
    "PowerPoint Document": "an old presentation (.ppt); save it as .pptx",
    "__properties_version1.0": "an Outlook message; give it the extension .msg",
}


def read_office(path: Path) -> Iterator[Reading]:
    """The file as one Markdown document; what kind of file it is, its content says.

    A presentation has its slides for pages and the speaker's notes below each; a workbook has a
    table for each sheet. The title is that of the properties, else the first heading; the metadata
    are `author` and `created` (ISO), where the properties name them.

    Raises:
        ReadError: the file is none of Office, is encrypted or damaged, or has no text.
    """
    if olefile.isOleFile(path):
        document = _read_ole(path)
    else:
        check_expansion(path)
        document = _read_package(path)
    if not document.text:
        raise ReadError(str(path), "has no text: it is empty, or all of it is images")
    yield Reading(document)


def _read_package(path: Path) -> Document:
    with ZipFile(path) as archive:
        folders = {name.partition("/")[0] for name in archive.namelist()}
        kind = next((kind for folder, kind in _PARTS.items() if folder in folders), None)
        if kind is None or "[Content_Types].xml" not in archive.namelist():
            raise ReadError(str(path), "is a ZIP archive but not an Office document")
        if "xl/workbook.bin" in archive.namelist():
            raise ReadError(str(path), "is a binary workbook (.xlsb); save it as .xlsx")
        title, author, created = _read_core_properties(archive)
    pages: tuple[int, ...] = ()
    if kind == ".docx":
        text = _convert_word(path)
    elif kind == ".pptx":
        text, pages = _convert_slides(path)
    else:
        # Each of the libraries takes time and memory to load, and most files need one of them.
        from search_engine.ingest.formats.workbooks import convert_xlsx

        text = convert_xlsx(path)
    return Document(
        doc_id="",
        text=text,
        title=find_title(title, text),
        markup="markdown",
        pages=pages,
        metadata=make_metadata(author, created),
    )


def _read_ole(path: Path) -> Document:
    try:
        with olefile.OleFileIO(path) as container:
            streams = {entry[0] for entry in container.listdir()}
            properties = container.get_metadata()
    except (OSError, ValueError, IndexError) as error:
        raise ReadError(str(path), f"is damaged: {error}") from error
    if "EncryptedPackage" in streams:
        raise ReadError(str(path), "is encrypted; save it without a password")
    if not streams & {"Workbook", "Book"}:
        what = next((what for name, what in _STREAMS.items() if name in streams), None)
        raise ReadError(str(path), f"is {what}" if what else "is not an Office document")
    from search_engine.ingest.formats.workbooks import convert_xls

    text = convert_xls(path)
    encoding = find_codec(properties.codepage) or "utf-8"
    created = properties.create_time
    return Document(
        doc_id="",
        text=text,
        title=find_title((properties.title or b"").decode(encoding, "replace"), text),
        markup="markdown",
        metadata=make_metadata(
            (properties.author or b"").decode(encoding, "replace"),
            f"{created.isoformat()}Z" if isinstance(created, datetime) else "",
        ),
    )


def _convert_word(path: Path) -> str:
    from markitdown import StreamInfo
    from markitdown.converters import DocxConverter

    from search_engine.ingest.formats.word_styles import map_styles

    with ZipFile(path) as archive:
        styles = map_styles(archive)
    with path.open("rb") as file, warnings.catch_warnings():
        # The parser of HTML warns of text that looks like a file's name.
        warnings.simplefilter("ignore")
        converter = DocxConverter()  # type: ignore[no-untyped-call]
        result = converter.convert(
            file,
            StreamInfo(extension=".docx"),
            style_map=styles,
            escape_asterisks=False,
            escape_underscores=False,
            strip=["a"],
        )
    return _IMAGE.sub(_describe_image, result.markdown).strip()


def _convert_slides(path: Path) -> tuple[str, tuple[int, ...]]:
    from markitdown import StreamInfo
    from markitdown.converters import PptxConverter

    from search_engine.ingest.formats.slides import join_slides

    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converter = PptxConverter()  # type: ignore[no-untyped-call]
        result = converter.convert(
            file,
            StreamInfo(extension=".pptx"),
            escape_asterisks=False,
            escape_underscores=False,
        )
    # python-pptx writes a line break within a paragraph as a vertical tab.
    text = _IMAGE.sub(_describe_image, result.markdown.replace("\v", " "))
    return join_slides(_SLIDE.split(text)[1:])


def _describe_image(image: re.Match[str]) -> str:
    """The description that somebody wrote for an image; the name of a shape is none."""
    description, target = image[1], image[2]
    return "" if target == re.sub(r"\W", "", description) + ".jpg" else description


def _read_core_properties(archive: ZipFile) -> tuple[str, str, str]:
    """Title, author and the time of making; "" for what the file does not say."""
    if _CORE not in archive.namelist():
        return "", "", ""
    root = read_xml(archive, _CORE)
    return find_text(root, [_TITLE]), find_text(root, [_CREATOR]), find_text(root, [_CREATED])
