"""Builds a folder of files that are hard on whoever reads them."""

from __future__ import annotations

import gzip
import io
import os
import random
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile


def build_folder(
    folder: Path, *, tiny_files: int, line_size: int, bomb_size: int
) -> dict[str, str]:
    """Make a folder of everything that is hard on whoever reads it.

    Args:
        tiny_files: how many.
        line_size: of a file of one line, in bytes.
        bomb_size: of what a Word file expands to, in bytes; a multiple of 2**20.

    Returns:
        What must be found of the good files: the path below the folder -> a word in the text.
    """
    folder.mkdir()
    (folder / "line.txt").write_bytes(b"x" * line_size)
    (folder / "binary.txt").write_bytes(bytes(range(256)) * 40)
    (folder / "utf16.txt").write_bytes("gefunden: größe".encode("utf-16"))
    (folder / "utf16-without-mark.txt").write_bytes("größe und höhe".encode("utf-16-le") * 50)
    (folder / "mixed.txt").write_bytes("café ".encode() * 20 + "café ".encode("latin-1") * 20)
    (folder / "latin.txt").write_bytes("Die Straße der Bücher. ".encode("latin-1") * 40)
    for extension in ("txt", "md", "html", "pdf", "jsonl", "jsonl.gz", "docx", "csv", "parquet"):
        (folder / f"empty.{extension}").write_bytes(b"")
        (folder / f"noise.{extension}").write_bytes(_noise(50_000))
    (folder / "closed.txt").write_text("nobody may read this", encoding="utf-8")
    (folder / "closed.txt").chmod(0)
    (folder / "damaged.docx").write_bytes(_pack_docx(b"<w:p/>")[:-100])
    (folder / "huge.docx").write_bytes(_pack_docx(b" " * 2**20, repeat=bomb_size // 2**20))
    (folder / "large.docx").write_bytes(_pack_docx(_PARAGRAPH * 2**14, repeat=20))
    (folder / "records.jsonl.gz").write_bytes(_gzip_bomb(b'{"text": "%s"}\n' % (b"x" * 2**20), 400))
    (folder / "blank.jsonl.gz").write_bytes(_gzip_bomb(b"\n" * 2**24, 640))
    (folder / "forms.pdf").write_bytes(_nested_forms(levels=12, times=10))
    (folder / "deep.jsonl").write_bytes(b'{"text": ' + b"[" * 200_000 + b"\n")
    (folder / "deep.html").write_bytes(b"<div>" * 100_000 + b"bottom")
    (folder / "quotes.md").write_bytes(b">" * 20_000 + b" quoted")
    return {"utf16.txt": "größe", **_write_odd_names(folder), **_write_tiny(folder, tiny_files)}


def _write_odd_names(folder: Path) -> dict[str, str]:
    """Good files in odd places, and one whose name is no text."""
    deep = Path(*["d"] * 200) / "deep.md"
    names = ["line\nbreak.txt", "-rf.txt", "--help.md", " .txt", "x" * 251 + ".txt", "#1.md"]
    words = {}
    for number, name in enumerate([str(deep), *names, "\U0001f600 \u202etxt.md", "%00.txt"]):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"oddly named {number}", encoding="utf-8")
        words[name] = f"named {number}"
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.txt")).write_text("text", encoding="utf-8")
    return words


def _write_tiny(folder: Path, count: int) -> dict[str, str]:
    (folder / "tiny").mkdir()
    for number in range(count):
        (folder / "tiny" / f"{number}.txt").write_text(f"tiny {number}", encoding="utf-8")
    return {f"tiny/{number}.txt": f"tiny {number}" for number in range(count)}


def _noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


_PARAGRAPH = b"<w:p><w:r><w:t>again and again</w:t></w:r></w:p>"
_RELATION = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
_PARTS = {
    "[Content_Types].xml": """<Types
xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels"
ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Override
PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.\
wordprocessingml.document.main+xml"/></Types>""",
    "_rels/.rels": f"""<Relationships
xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1"
Type="{_RELATION}" Target="word/document.xml"/></Relationships>""",
}
_DOCUMENT = b"""<w:document
xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>%s</w:body></w:document>"""


def _pack_docx(body: bytes, *, repeat: int = 1) -> bytes:
    """A Word file whose body is repeated; what it holds is never whole in memory here."""
    packed = io.BytesIO()
    before, after = _DOCUMENT.split(b"%s")
    with ZipFile(packed, "w", ZIP_DEFLATED, compresslevel=1) as archive:
        for name, text in _PARTS.items():
            archive.writestr(name, text)
        with archive.open("word/document.xml", "w", force_zip64=True) as part:
            part.write(before)
            for _ in range(repeat):
                part.write(body)
            part.write(after)
    return packed.getvalue()


def _gzip_bomb(content: bytes, repeat: int) -> bytes:
    """A gzip file of many members, each of which says the same (RFC 1952, section 2.2)."""
    return gzip.compress(content) * repeat


def _nested_forms(*, levels: int, times: int) -> bytes:
    """A PDF of one page that draws a form, which draws the next so many times, and so on."""
    font = b"/Font << /F 5 0 R >>"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 99 99] /Contents 4 0 R "
        b"/Resources << /XObject << /X 6 0 R >> %s >> >>" % font,
        b"<< /Length 5 >>\nstream\n/X Do\nendstream",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for level in range(levels):
        last = level == levels - 1
        drawing = b"BT /F 9 Tf (x) Tj ET" if last else b"\n".join([b"/X Do"] * times)
        inner = b"" if last else b"/XObject << /X %d 0 R >>" % (len(objects) + 2)
        objects.append(
            b"<< /Type /XObject /Subtype /Form /BBox [0 0 99 99] /Resources << %s %s >> "
            b"/Length %d >>\nstream\n%s\nendstream" % (inner, font, len(drawing), drawing)
        )
    data, places = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, start=1):
        places.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    return (
        data
        + b"xref\n0 %d\n0000000000 65535 f \n%s" % (size, table)
        + b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, len(data))
    )
