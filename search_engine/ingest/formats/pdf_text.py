"""The text of one page of a PDF file, in reading order, by PDFium's characters and their boxes."""

from __future__ import annotations

import ctypes
import math
import re
from collections.abc import Sequence
from contextlib import closing
from itertools import pairwise
from statistics import median

import pypdfium2
import pypdfium2.raw as pdfium

from search_engine.ingest.formats.reading_order import Segment, order_segments

_WORD = re.compile(r"\S+")
# PDFium marks a hyphen at which a word was broken at the end of a line.
_BROKEN_WORD = re.compile("[\x02\ufffe](?:\r\n?|\n)?")
# One that it could not know of, because it took two columns for one line.
_HYPHEN_AT_END = re.compile(r"(?<=[^\W\d_])-$")
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]")
# Gaps between two words, in line heights. The wide one may be one between columns; justified lines
# have such gaps too, so what stands on both sides comes together again where it is none.
_WIDE_GAP = 0.7
_SPACE = 0.12
# How much further apart than usual two lines are, between which a paragraph ends.
_PARAGRAPH_PITCH = 1.35


def read_page_text(page: pypdfium2.PdfPage) -> str:
    """What a page says: a line each for its lines, a blank line where the layout has a gap.

    Words that were broken at the end of a line are whole. Text outside the page's crop box is left
    out; invisible text is not, since it is how text recognition adds what a scan says. Lines that
    run in another direction than most (a stamp along the margin) come after the others.
    """
    with closing(page.get_textpage()) as textpage:
        drawn = _read_characters(textpage)
        right_to_left = 2 * len(_RIGHT_TO_LEFT.findall(drawn)) > sum(map(str.isalpha, drawn))
        characters = list(drawn)
        directions = _find_segments(textpage, drawn, characters, page.get_bbox())
    parts = []
    for segments in sorted(directions.values(), key=_count_characters, reverse=True):
        ordered = order_segments(segments, right_to_left=right_to_left)
        parts.append(_join_segments(ordered, characters))
    return "\n\n".join(parts)


def _count_characters(segments: Sequence[Segment]) -> int:
    return sum(segment.end - segment.start for segment in segments)


def _read_characters(textpage: pypdfium2.PdfTextPage) -> str:
    """The characters of a page as they were drawn, one for each of PDFium's."""
    raw, count = textpage.raw, textpage.count_chars()
    buffer = (ctypes.c_ushort * (2 * count + 2))()
    units = pdfium.FPDFText_GetText(raw, 0, count, buffer)
    text = bytes(buffer)[: 2 * max(units - 1, 0)].decode("utf-16-le", errors="replace")
    if len(text) != count:
        # It leaves out characters that fonts do not name, and those have boxes all the same.
        codes = (pdfium.FPDFText_GetUnicode(raw, index) for index in range(count))
        text = "".join(" " if 0xD800 <= code < 0xE000 else chr(code) for code in codes)
    return text


def _find_segments(
    textpage: pypdfium2.PdfTextPage,
    drawn: str,
    characters: list[str],
    crop: tuple[float, float, float, float],
) -> dict[int, list[Segment]]:
    """The stretches of text without a wide gap, upright.

    PDFium ends a line at some raised and lowered characters, where none ends. Those line ends are
    taken out of `characters`.

    Args:
        drawn: the characters of the page.
        characters: the same, to be changed.
        crop: left, bottom, right, top of what is shown of the page.

    Returns:
        by the direction they run in, in quarters of a turn, in the order in which they were drawn.
    """
    raw = textpage.raw
    get_box, get_angle = pdfium.FPDFText_GetLooseCharBox, pdfium.FPDFText_GetCharAngle
    first, last = pdfium.FS_RECTF(), pdfium.FS_RECTF()
    first_place, last_place = ctypes.byref(first), ctypes.byref(last)
    crop_left, crop_bottom, crop_right, crop_top = crop
    directions: dict[int, list[Segment]] = {}
    quarters, end = 0, 0
    # The segment that is being put together, and whether there is one.
    left = top = right = bottom = 0.0
    start, is_open = 0, False
    for word in _WORD.finditer(drawn):
        word_start, word_end = word.span()
        get_box(raw, word_start, first_place)
        x0, y0, x1, y1 = first.left, first.bottom, first.right, first.top
        if word_end - word_start > 1:
            get_box(raw, word_end - 1, last_place)
            x0, y0 = min(x0, last.left), min(y0, last.bottom)
            x1, y1 = max(x1, last.right), max(y1, last.top)
        if x0 > crop_right or x1 < crop_left or y0 > crop_top or y1 < crop_bottom:
            continue
        new_line = not is_open or "\n" in drawn[end:word_start]
        direction = _count_quarters(get_angle(raw, word_start)) if new_line else quarters
        if direction == 0:
            y0, y1 = -y1, -y0
        else:
            x0, y0, x1, y1 = _turn_upright(x0, y0, x1, y1, direction)
        height = min(y1 - y0, bottom - top)
        joined = is_open and direction == quarters
        if joined and new_line:
            overlap = min(y1, bottom) - max(y0, top)
            joined = overlap > height / 2 and -height / 2 < x0 - right < _WIDE_GAP * height
            if joined:
                is_space = x0 - right > _SPACE * max(y1 - y0, bottom - top)
                characters[end:word_start] = [" " * is_space] + [""] * (word_start - end - 1)
        elif joined:
            joined = max(x0 - right, left - x1) <= _WIDE_GAP * height
        if joined:
            left, top = min(left, x0), min(top, y0)
            right, bottom = max(right, x1), max(bottom, y1)
        else:
            if is_open:
                segment = Segment(left, top, right, bottom, start, end)
                directions.setdefault(quarters, []).append(segment)
            left, top, right, bottom = x0, y0, x1, y1
            start, quarters, is_open = word_start, direction, True
        end = word_end
    if is_open:
        directions.setdefault(quarters, []).append(Segment(left, top, right, bottom, start, end))
    return directions


def _count_quarters(radians: float) -> int:
    """The nearest quarter of a turn; PDFium gives a negative angle where it knows none."""
    return round(radians / (math.pi / 2)) % 4 if radians > 0 else 0


def _turn_upright(
    left: float, bottom: float, right: float, top: float, quarters: int
) -> tuple[float, float, float, float]:
    """The box of turned text, turned back, y growing downwards: left, top, right, bottom."""
    if quarters == 1:
        return -top, -right, -bottom, -left
    if quarters == 2:
        return -right, bottom, -left, top
    return bottom, left, top, right


def _join_segments(ordered: Sequence[Segment], characters: Sequence[str]) -> str:
    """The text of segments in the order given, those of one drawn line on one line."""
    pairs = list(pairwise(ordered))
    pitches = [pitch for a, b in pairs if (pitch := b.bottom - a.bottom) > (a.bottom - a.top) / 2]
    paragraph = _PARAGRAPH_PITCH * median(pitches) if pitches else math.inf
    pieces = ["".join(characters[ordered[0].start : ordered[0].end])]
    for last, segment in pairs:
        # What was drawn between the two, if nothing but white space was.
        between = "".join(characters[last.end : segment.start])
        piece = "".join(characters[segment.start : segment.end])
        if between.isspace() and "\n" not in between:
            pieces.append(between)
        elif segment.bottom - last.bottom > paragraph:
            pieces.append("\n\n")
        elif between.isspace() or not _HYPHEN_AT_END.search(pieces[-1]) or not piece[0].islower():
            pieces.append("\n")
        else:
            pieces[-1] = pieces[-1][:-1]
        pieces.append(piece)
    text = _BROKEN_WORD.sub("", "".join(pieces)).replace("\x00", "")
    return text.replace("\r\n", "\n").replace("\r", "\n")
