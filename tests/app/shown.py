"""What the page shows, read by an HTML parser that is not ours."""

from __future__ import annotations

from lxml import html
from streamlit.testing.v1 import AppTest

from app.page import STYLE

OUR_TAGS = {"article", "div", "span", "h1", "h3", "p", "bdi", "mark"}
OUR_ATTRIBUTES = {"class", "dir"}


def elements(page: AppTest) -> list[html.HtmlElement]:
    """The pieces of HTML on the page, in order, without the style sheet."""
    assert not page.exception, [each.value for each in page.exception]
    bodies = [each.proto.body for each in page.get("html")]
    style, *pieces = sorted(bodies, key=lambda body: not body.startswith("<style>"))
    assert style == f"<style>{STYLE.read_text()}</style>"
    return [html.fragment_fromstring(body, create_parent="article") for body in pieces]


def texts(page: AppTest, css_class: str) -> list[str]:
    """The texts of the elements of a class, in order."""
    return [found.text_content() for each in elements(page) for found in each.find_class(css_class)]


def marks(page: AppTest, css_class: str) -> list[list[str]]:
    """The marked words of each element of a class."""
    return [
        [mark.text_content() for mark in found.iter("mark")]
        for each in elements(page)
        for found in each.find_class(css_class)
    ]
