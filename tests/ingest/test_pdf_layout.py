"""The text of PDF pages in reading order: columns, tables, turned pages, other scripts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen import canvas

from tests.ingest.reading import read, read_one

# Lines of about the width of a column of 220 points at 10 points.
_LINE = "words of column {column} fill all of its line {line:02}"


def draw(path: Path, paint: Callable[[canvas.Canvas], None]) -> str:
    """The text of a page of A4 as it is read."""
    drawing = canvas.Canvas(str(path), pagesize=A4)
    drawing.setFont("Helvetica", 10)
    paint(drawing)
    drawing.save()
    (document,), problems = read(path)
    assert problems == []
    return document.text


def make_columns(count: int, rows: int) -> list[list[str]]:
    return [
        [_LINE.format(column=column, line=line) for line in range(rows)] for column in range(count)
    ]


@pytest.mark.parametrize("order", ["row by row", "column by column", "right column first"])
def test_two_columns_under_a_heading(tmp_path: Path, order: str) -> None:
    columns = make_columns(2, 30)
    places = [(column, row) for row in range(30) for column in range(2)]
    if order != "row by row":
        places.sort(key=lambda place: place[0], reverse=order == "right column first")

    def paint(drawing: canvas.Canvas) -> None:
        heading = "A heading that goes over both columns of the page and says what it is all about"
        drawing.drawString(60, 780, heading)
        for column, row in places:
            drawing.drawString(60 + 250 * column, 750 - 12 * row, columns[column][row])
        drawing.drawString(
            60, 360, "A foot that goes over both columns of the page, at the end of it"
        )

    lines = draw(tmp_path / "a.pdf", paint).splitlines()
    assert lines[0].startswith("A heading")
    assert [line for line in lines[1:-1] if line] == columns[0] + columns[1]
    assert lines[-1].startswith("A foot")


def test_three_columns_row_by_row(tmp_path: Path) -> None:
    columns = [[f"col {c} is narrow, line {r:02}" for r in range(20)] for c in range(3)]

    def paint(drawing: canvas.Canvas) -> None:
        for row in range(20):
            for column in range(3):
                drawing.drawString(50 + 140 * column, 750 - 12 * row, columns[column][row])

    lines = draw(tmp_path / "a.pdf", paint).splitlines()
    assert lines == columns[0] + columns[1] + columns[2]


def test_columns_stay_together_where_paragraphs_end_side_by_side(tmp_path: Path) -> None:
    columns = make_columns(2, 20)

    def paint(drawing: canvas.Canvas) -> None:
        for row in range(20):
            for column in range(2):
                y = 750 - 12 * row - 40 * (row >= 10)
                drawing.drawString(60 + 250 * column, y, columns[column][row])

    parts = draw(tmp_path / "a.pdf", paint).split("\n\n")
    assert [part.splitlines() for part in parts] == [
        columns[0][:10],
        columns[0][10:] + columns[1][:10],
        columns[1][10:],
    ]


def test_a_word_broken_at_the_end_of_a_line_of_a_column(tmp_path: Path) -> None:
    columns = make_columns(2, 10)
    columns[0][4] = "words that fill a line and then an exam-"
    columns[0][5] = "ple of what is broken at the end of it"

    def paint(drawing: canvas.Canvas) -> None:
        for row in range(10):
            for column in range(2):
                drawing.drawString(60 + 250 * column, 750 - 12 * row, columns[column][row])

    assert "and then an example of what is broken" in draw(tmp_path / "a.pdf", paint)


def test_rows_of_a_table_stay_rows(tmp_path: Path) -> None:
    rows = [(f"item {row}", f"{row * 7} pieces", f"{row}.50 EUR") for row in range(1, 15)]

    def paint(drawing: canvas.Canvas) -> None:
        for line, row in enumerate(rows):
            for column, cell in enumerate(row):
                drawing.drawString(60 + 180 * column, 750 - 14 * line, cell)

    assert draw(tmp_path / "a.pdf", paint).splitlines() == [" ".join(row) for row in rows]


def test_cells_of_several_lines_stay_whole(tmp_path: Path) -> None:
    cells = [
        [[f"cell {row} {column} holds the words of its line {line}" for line in range(3)]
         for column in range(2)]
        for row in range(5)
    ]  # fmt: skip

    def paint(drawing: canvas.Canvas) -> None:
        for row in range(5):
            for column in range(2):
                for line in range(3):
                    y = 750 - 60 * row - 12 * line
                    drawing.drawString(60 + 250 * column, y, cells[row][column][line])

    lines = [line for line in draw(tmp_path / "a.pdf", paint).splitlines() if line]
    assert lines == [line for row in cells for cell in row for line in cell]


def test_footer_and_header_drawn_out_of_order(tmp_path: Path) -> None:
    def paint(drawing: canvas.Canvas) -> None:
        drawing.drawString(60, 40, "The footer of the page was drawn first")
        for line in range(10):
            drawing.drawString(60, 700 - 12 * line, f"line {line} of the body of the page")
        drawing.drawString(60, 800, "The header was drawn last")

    parts = draw(tmp_path / "a.pdf", paint).split("\n\n")
    assert parts == [
        "The header was drawn last",
        "\n".join(f"line {line} of the body of the page" for line in range(10)),
        "The footer of the page was drawn first",
    ]


@pytest.mark.parametrize("angle", [0, 90, 180, 270])
@pytest.mark.parametrize("way", ["drawn", "shown"])
def test_turned_pages(tmp_path: Path, angle: int, way: str) -> None:
    columns = make_columns(2, 8)

    def paint(drawing: canvas.Canvas) -> None:
        if way == "shown":
            drawing.setPageRotation(angle)
            drawing.translate(0, -250)
        else:
            drawing.translate(300, 420)
            drawing.rotate(angle)
            drawing.translate(-280, -700)
        for row in range(8):
            for column in range(2):
                drawing.drawString(60 + 250 * column, 750 - 12 * row, columns[column][row])

    assert draw(tmp_path / "a.pdf", paint).splitlines() == columns[0] + columns[1]


def test_a_stamp_along_the_margin_comes_last(tmp_path: Path) -> None:
    def paint(drawing: canvas.Canvas) -> None:
        drawing.saveState()
        drawing.rotate(90)
        drawing.drawString(100, -20, "stamp of the archive")
        drawing.restoreState()
        for line in range(10):
            drawing.drawString(60, 700 - 12 * line, f"line {line} of the text")

    text = draw(tmp_path / "a.pdf", paint)
    assert text == "\n".join(f"line {line} of the text" for line in range(10)) + (
        "\n\nstamp of the archive"
    )


def test_invisible_text_is_read_and_text_outside_the_page_is_not(tmp_path: Path) -> None:
    def paint(drawing: canvas.Canvas) -> None:
        text = drawing.beginText(60, 700)
        text.setTextRenderMode(3)
        text.textLine("recognised in a scan")
        drawing.drawText(text)
        drawing.drawString(60, 1500, "far above the page")

    assert draw(tmp_path / "a.pdf", paint) == "recognised in a scan"


def test_raised_characters_stay_on_their_line(tmp_path: Path) -> None:
    def paint(drawing: canvas.Canvas) -> None:
        text = drawing.beginText(60, 700)
        text.setFont("Helvetica", 10)
        text.textOut("A claim")
        text.setFont("Helvetica", 6)
        text.setRise(4)
        text.textOut("17")
        text.setRise(0)
        text.setFont("Helvetica", 10)
        text.textOut(", and what follows it.")
        drawing.drawText(text)
        drawing.drawString(60, 688, "The next line.")

    assert draw(tmp_path / "a.pdf", paint) == "A claim17, and what follows it.\nThe next line."


def test_paragraphs_are_apart(tmp_path: Path) -> None:
    def paint(drawing: canvas.Canvas) -> None:
        for line in range(9):
            drawing.drawString(60, 700 - 12 * line - 8 * (line // 3), f"line {line} of a text")

    parts = draw(tmp_path / "a.pdf", paint).split("\n\n")
    assert [part.count("\n") for part in parts] == [2, 2, 2]


def test_real_files(shared_data: Path) -> None:
    """What their own order has wrong, and what it has right."""
    folder = shared_data / "folders/docs-mixed-markitdown/packages/markitdown/tests/test_files"
    (repair,), _ = read(folder / "REPAIR-2022-INV-001_multipage.pdf")
    assert repair.text.startswith("ZAVA AUTO REPAIR\nCertified Collision Repair\n")  # drawn last
    first = repair.text[: repair.pages[1]]
    assert first.index("Customer Information") < first.index("Insured name Gabriel Diaz Year 2022")
    samples = shared_data / "folders/docs-pdf-samples"
    (columns,), _ = read(samples / "026-latex-multicolumn/multicolumn.pdf")
    page = " ".join(columns.text[: columns.pages[1]].split())
    assert "a nulla. Cum sociis natoque penatibus et magnis dis parturient montes" in page
    assert page.index("Your Name") < page.index("Abstract") < page.index("Quisque ullamcorper")
    (formulas,), _ = read(samples / "009-pdflatex-geotopo/GeoTopo-komprimiert.pdf")
    assert "Die Kugeloberfläche S2 lässt sich durch strecken, stauchen" in formulas.text
    assert len(formulas.pages) == 117


def draw_hebrew(columns: Sequence[Sequence[str]], *, row_by_row: bool) -> bytes:
    """A page with lines in Hebrew as programs write them: the glyphs from left to right."""
    letters = sorted({letter for column in columns for line in column for letter in line})
    code = {letter: index for index, letter in enumerate(letters, start=65)}
    # The names of Hebrew letters in the Adobe Glyph List begin with afii57664, alef.
    names = ["space" if x == " " else f"afii{57664 + ord(x) - 0x5D0}" for x in letters]
    places = [(column, row) for column in range(len(columns)) for row in range(len(columns[0]))]
    if row_by_row:
        places.sort(key=lambda place: place[1])
    shown = b""
    for column, row in places:
        glyphs = bytes(code[letter] for letter in reversed(columns[column][row])).hex().encode()
        shown += b"1 0 0 1 %d %d Tm <%s> Tj\n" % (60 + 250 * column, 750 - 12 * row, glyphs)
    stream = b"BT /F1 10 Tf " + shown + b"ET"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R"
        b"/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/FirstChar 65/LastChar %d/Widths[%s]"
        b"/Encoding<</Type/Encoding/Differences[65 /%s]>>>>"
        % (64 + len(letters), b"600 " * len(letters), "/".join(names).encode()),
    ]
    body = b"%PDF-1.4\n"
    table = b"xref\n0 6\n0000000000 65535 f \n"
    for number, content in enumerate(objects, start=1):
        table += b"%010d 00000 n \n" % len(body)
        body += b"%d 0 obj %s endobj\n" % (number, content)
    return body + table + b"trailer<</Size 6/Root 1 0 R>>startxref\n%d\n%%%%EOF" % len(body)


@pytest.mark.parametrize("row_by_row", [False, True])
def test_the_right_column_of_hebrew_is_read_first(tmp_path: Path, row_by_row: bool) -> None:
    letters = "אבגדהו"
    columns = [
        [f"שלום עולם זה טקסט בעברית {letters[row]}" for row in range(6)],
        [f"והטור הזה נקרא ראשון כאן {letters[row]}" for row in range(6)],
    ]
    document = read_one(tmp_path, "a.pdf", draw_hebrew(columns, row_by_row=row_by_row))
    assert document.text.splitlines() == columns[1] + columns[0]
