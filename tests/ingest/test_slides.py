"""Presentations: slides as pages, notes, and slides that say nothing."""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path

import pptx
from hypothesis import given
from hypothesis import strategies as st
from pptx.util import Inches

from search_engine.ingest.formats.slides import join_slides
from tests.ingest.reading import read, read_one, read_problem


def test_presentation(tmp_path: Path) -> None:
    presentation = pptx.Presentation()
    presentation.core_properties.author = "Ann Lee"
    title_only, blank = presentation.slide_layouts[5], presentation.slide_layouts[6]
    first = presentation.slides.add_slide(title_only)
    first.shapes.title.text = "Über\vblick"
    box = first.shapes.add_textbox(Inches(1), Inches(3), Inches(1), Inches(1))
    box.text_frame.text = "first point"
    first.notes_slide.notes_text_frame.text = "say hello"
    second = presentation.slides.add_slide(blank)
    cells = second.shapes.add_table(2, 2, Inches(1), Inches(1), Inches(4), Inches(1)).table
    for index, text in enumerate(("Qty", "Price", "2", "a_b")):
        cells.cell(index // 2, index % 2).text = text
    presentation.slides.add_slide(blank)
    last = presentation.slides.add_slide(title_only)
    last.shapes.title.text = "End"
    presentation.save(tmp_path / "a.pptx")
    (document,), problems = read(tmp_path / "a.pptx")
    assert problems == []
    slides = [
        "# Über blick\nfirst point\n\n### Notes:\nsay hello",
        "# Slide 2\n\n| Qty | Price |\n| --- | --- |\n| 2 | a_b |",
        "",
        "# End",
    ]
    assert document.text == "\n\n".join(slides)
    starts = [*document.pages, len(document.text) + 2]
    pages = [document.text[a : b - 2] for a, b in pairwise(starts)]
    assert pages == slides
    assert document.title == "Über blick"
    assert document.metadata["author"] == "Ann Lee"


def test_presentation_of_images_only(tmp_path: Path) -> None:
    presentation = pptx.Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[6])
    pixel = bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
        "0000000a49444154789c6360000000020001480057700000000049454e44ae426082"
    )
    slide.shapes.add_picture(io.BytesIO(pixel), Inches(1), Inches(1), Inches(1), Inches(1))
    picture = slide.shapes[0]
    picture._element._nvXxPr.cNvPr.set("descr", "")
    presentation.save(tmp_path / "a.pptx")
    data = (tmp_path / "a.pptx").read_bytes()
    assert read_problem(tmp_path, "a.pptx", data) == (
        "has no text: it is empty, or all of it is images",
        None,
    )
    picture._element._nvXxPr.cNvPr.set("descr", "A cup of tea")
    presentation.save(tmp_path / "b.pptx")
    document = read_one(tmp_path, "b.pptx", (tmp_path / "b.pptx").read_bytes())
    assert document.text == "# Slide 1\n\nA cup of tea"
    assert document.title == "b"


@given(st.lists(st.text("ab# \n", max_size=12), max_size=6))
def test_slides_are_pages(slides: list[str]) -> None:
    text, pages = join_slides(slides)
    if not any(slide.strip() for slide in slides):
        assert (text, pages) == ("", ())
        return
    assert len(pages) == len(slides)
    bounds = [*pages, len(text) + 2]
    for number, slide in enumerate(slides):
        page = text[bounds[number] : bounds[number + 1] - 2]
        assert page in {slide.strip(), f"# Slide {number + 1}\n\n{slide.strip()}"}
