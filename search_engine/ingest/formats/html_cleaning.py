"""What is taken out of a web page, or written plainly, before its main text is looked for."""

from __future__ import annotations

from lxml.html import HtmlElement

# Marks beside headings that link to the heading itself.
_HEADING_MARKS = frozenset({"", "¶", "#", "§", "\N{LINK SYMBOL}"})
_HEADINGS = ".//h1|.//h2|.//h3|.//h4|.//h5|.//h6"
_NAVIGATION = (
    ".//*[self::nav or @role='navigation' or @role='search' or @role='contentinfo']"
    "|.//*[contains(concat(' ', @class, ' '), ' mw-editsection ')]"
    "|.//*[contains(concat(' ', @class, ' '), ' toc ')]"
    "|.//a[contains(concat(' ', @class, ' '), ' headerlink ')]"
    "|.//sup[contains(concat(' ', @class, ' '), ' reference ')]"
    "|.//a[starts-with(@href, '#') and (contains(@class, 'skip') or "
    "starts-with(normalize-space(translate(., 'SK', 'sk')), 'skip to'))]"
)
_NOTICES = ("cookie", "consent", "gdpr")
# A notice is short beside the page; longer, it is a page about cookies.
_LONGEST_NOTICE = 0.5


def clean_page(page: HtmlElement) -> None:
    """Takes out of a page what is about the site and not said by the page, in place.

    That is navigation, tables of contents, links of headings to themselves, links to skip what
    comes first, numbers of references, and notices about cookies. Code is written as plain text in
    `<code>`, since link targets and colours within it make it look like a menu; tables that lay
    out the page become blocks, since their headings are lost in cells.
    """
    for element in page.xpath(_NAVIGATION):
        _drop(element)
    for heading in page.xpath(_HEADINGS):
        for link in heading.xpath(".//a"):
            if link.text_content().strip() in _HEADING_MARKS:
                _drop(link)
    _drop_notices(page)
    for block in page.xpath(".//pre"):
        code = block.text_content()
        for child in list(block):
            block.remove(child)
        block.text = None
        child = block.makeelement("code")
        child.text = code
        block.append(child)
    for table in page.xpath(".//table[.//h1 or .//h2 or .//h3 or .//table or .//article]"):
        for part in table.iter("table", "tbody", "thead", "tfoot", "tr", "td", "th"):
            part.tag = "div"


def _drop_notices(page: HtmlElement) -> None:
    length = len(page.text_content())
    for element in page.xpath(".//*[@id or @class]"):
        name = f"{element.get('id', '')} {element.get('class', '')}".lower()
        if element.tag in {"body", "main", "article"} or not any(n in name for n in _NOTICES):
            continue
        if len(element.text_content()) <= _LONGEST_NOTICE * length and not element.xpath(".//h1"):
            _drop(element)


def _drop(element: HtmlElement) -> None:
    # An element may already be gone with the one around it.
    if element.getparent() is not None:
        element.drop_tree()
