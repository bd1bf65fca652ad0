"""What a document says is shown as it was typed, wherever on the page it stands."""

from __future__ import annotations

import pytest

from search_engine.types import Document
from tests.app.conftest import MakeIndex, OpenPage, ask
from tests.app.shown import OUR_ATTRIBUTES, OUR_TAGS, elements, texts

HOSTILE = [
    "<script>document.title = 'otter'</script>",
    "<img src=x onerror=\"document.title='otter'\">",
    "</p></div><style>* { display: none }</style> otter",
    "<iframe src='javascript:alert(1)'></iframe> otter",
    "![otter](http://otter.example/x.png) [otter](javascript:alert(1))",
    "# otter\n\n> **bold** _it_ ~~gone~~ `code`",
    ":red[otter] :smile: :material/home: -> <- -- $e = mc^2$ $$otter$$",
    "&lt;b&gt;otter&lt;/b&gt; &amp;amp; &#60;i&#62;",
    "<!-- otter --> <mark>otter</mark> <![CDATA[otter]]>",
    "\u202eotter\u202c \u2066otter",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_is_shown_as_typed(
    hostile: str, make_index: MakeIndex, open_page: OpenPage
) -> None:
    title = hostile.replace("\n", " ")
    document = Document(
        f"id {title}", f"{hostile}\n\n{'filler ' * 50}", title=title, source=f"path {title}"
    )
    page = ask(open_page(make_index(document)), "otter")
    shown = elements(page)
    assert texts(page, "se-title")[0] == title
    assert texts(page, "se-source")[0] == f"path {title}"
    passages, chunks = texts(page, "se-passage"), texts(page, "se-chunk")
    assert any(hostile in passage for passage in passages)
    assert any(hostile in chunk for chunk in chunks)
    assert any(place.startswith(f"id {title}, characters") for place in texts(page, "se-place"))
    assert {each.tag for piece in shown for each in piece.iter()} <= OUR_TAGS
    assert {name for piece in shown for each in piece.iter() for name in each.attrib} <= (
        OUR_ATTRIBUTES
    )
    # Nothing that a document says goes through Markdown, in which the rest of Streamlit writes.
    assert not page.markdown and not page.caption and not page.title


def test_hostile_headings_are_shown_as_typed(make_index: MakeIndex, open_page: OpenPage) -> None:
    heading = "1 < 2 & $x$ :red[care] :smile:"
    document = Document("a", f"# {heading}\n\nAn otter swims.\n", markup="markdown")
    page = ask(open_page(make_index(document)), "swims")
    assert texts(page, "se-headings") == [heading]


def test_a_hostile_name_of_an_index_is_shown_as_typed(
    make_index: MakeIndex, open_page: OpenPage
) -> None:
    page = open_page(make_index(name="<b>x<b> *y* $z$"))
    assert texts(page, "se-index") == ["<b>x<b> *y* $z$"]
