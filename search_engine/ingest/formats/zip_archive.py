"""ZIP archives that are documents: whether one may be opened, and the XML in it."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from lxml import etree

from search_engine.errors import ReadError

_MAX_MEMBER = 2**30
_MAX_TOTAL = 2 * 2**30
_MAGIC = b"PK\x03\x04"
_ENCRYPTED = 0x1

# What `ZipFile.read` raises for a damaged member: of the archive, of the compressed data, for an
# end that comes too early, and for a way of compressing that Python does not have.
MEMBER_ERRORS = (BadZipFile, zlib.error, EOFError, NotImplementedError, OSError)


def check_expansion(path: Path) -> None:
    """Refuses an archive that its own directory says is too large, before anything is expanded.

    `zipfile` gives no more of a member than the directory says, so the directory cannot lie.

    Raises:
        ReadError: the file is no ZIP archive, is damaged, is encrypted, or a member expands to
            more than 1 GiB, or all of them to more than 2 GiB.
    """
    try:
        with ZipFile(path) as archive:
            members = archive.infolist()
    except (BadZipFile, ValueError, NotImplementedError) as error:
        with path.open("rb") as file:
            begins_as_archive = file.read(4) == _MAGIC
        if begins_as_archive:
            reason = "is damaged: it begins as a ZIP archive but its end is missing or broken"
        else:
            reason = f"is not a {path.suffix.lower()} file, whatever its name says"
        raise ReadError(str(path), reason) from error
    if any(member.flag_bits & _ENCRYPTED for member in members):
        raise ReadError(str(path), "is encrypted; save it without a password")
    largest = max((member.file_size for member in members), default=0)
    if largest > _MAX_MEMBER or sum(member.file_size for member in members) > _MAX_TOTAL:
        raise ReadError(
            str(path),
            f"expands to more than {_MAX_MEMBER // 2**30} GiB in one part or "
            f"{_MAX_TOTAL // 2**30} GiB in all; it was not opened",
        )


def parse_xml(data: bytes) -> etree._Element:
    """The root of an XML document; entities are neither expanded nor fetched.

    Raises:
        lxml.etree.XMLSyntaxError: the data is not well-formed XML.
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    return etree.fromstring(data, parser)


def read_xml(archive: ZipFile, name: str) -> etree._Element:
    """The root of a member that is XML.

    Raises:
        ReadError: the archive has no such member, or it is damaged, or not XML.
    """
    try:
        return parse_xml(archive.read(name))
    except KeyError as error:
        reason = f"is damaged: it has no {name}"
        raise ReadError(str(archive.filename), reason) from error
    except (*MEMBER_ERRORS, etree.XMLSyntaxError) as error:
        reason = f"is damaged: {name} in it cannot be read ({error})"
        raise ReadError(str(archive.filename), reason) from error


def find_text(root: etree._Element, names: Iterable[str]) -> str:
    """What the first element that says something has in it, on one line; "" without one.

    Args:
        names: of elements, `{namespace}name`; an earlier one goes before a later one.
    """
    for name in names:
        for element in root.iter(name):
            text = " ".join("".join(element.itertext()).split())
            if text:
                return text
    return ""
