"""Documents' text as HTML: an independent parser gives back what was written."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from lxml import html

from app.html_text import element, marked

# What HTML itself does not keep: line ends become \n, and control characters are no text.
WRITTEN = st.text(
    st.one_of(
        st.sampled_from("<>&\"'`$:[]()#*_!-=/ \n\tb"),
        st.characters(exclude_categories=["Cc", "Cs"]),
    )
)


@given(WRITTEN, st.lists(st.integers(0, 60), max_size=8, unique=True))
def test_marked_text_is_the_text_and_its_spans(text: str, cuts: list[int]) -> None:
    places = sorted(cut for cut in cuts if cut <= len(text))
    spans = list(pairwise(places))[::2]
    paragraph = html.fragment_fromstring(marked("se-passage", text, spans))
    assert paragraph.text_content() == text
    assert [mark.text_content() for mark in paragraph] == [text[a:b] for a, b in spans]
    assert {each.tag for each in paragraph} <= {"mark"}
    assert dict(paragraph.attrib) == {"class": "se-passage", "dir": "auto"}


@given(st.lists(WRITTEN))
def test_an_element_holds_its_texts_and_nothing_else(texts: list[str]) -> None:
    shown = html.fragment_fromstring(element("span", "se-leg", *texts))
    assert [(each.tag, each.text_content(), len(each)) for each in shown] == [
        ("bdi", text, 0) for text in texts
    ]


def test_marks_stand_where_the_spans_say() -> None:
    assert (
        marked("se-passage", "a<b & c", [(0, 1), (2, 3)])
        == '<p class="se-passage" dir="auto"><mark>a</mark>&lt;<mark>b</mark> &amp; c</p>'
    )
