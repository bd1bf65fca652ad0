"""Saved web pages: headings stay, menus go, and what is said of each bad one."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.ingest.reading import read, read_bytes, read_one, read_problem

_ARTICLE = (
    "<h1>Tea</h1><p>Tea is made of leaves that were picked in the morning.</p>"
    "<h2>Green</h2><p>It is steamed at once and never left to wither.</p>"
    "<h2>Black</h2><p>It withers for a day, is rolled, and turns dark in the air.</p>"
)


@pytest.mark.parametrize("frame", ["%s", "<main>%s</main>", "<div><div>%s</div></div>"])
def test_html_keeps_headings_and_drops_menus(tmp_path: Path, frame: str) -> None:
    page = (
        "<!doctype html><html><head><title>All about tea</title></head><body>"
        "<nav><ul><li><a href='/'>Home page</a></li></ul></nav>"
        f"{frame % _ARTICLE}<footer>Imprint</footer></body></html>"
    )
    document = read_one(tmp_path, "tea.html", page.encode())
    assert document.title == "Tea"  # the page's only h1
    assert (document.markup, document.first_line) == ("markdown", None)
    lines = [line for line in document.text.splitlines() if line]
    assert lines == [
        "# Tea",
        "Tea is made of leaves that were picked in the morning.",
        "## Green",
        "It is steamed at once and never left to wither.",
        "## Black",
        "It withers for a day, is rolled, and turns dark in the air.",
    ]


def test_html_encoding_declared_in_the_page(tmp_path: Path) -> None:
    page = (
        '<html><head><meta charset="iso-8859-1"><title>Café</title></head>'
        "<body><p>Crème brûlée is a dessert of cream and burnt sugar.</p></body></html>"
    )
    document = read_one(tmp_path, "a.htm", page.encode("latin-1"))
    assert document.title == "Café"
    assert document.text.strip() == "Crème brûlée is a dessert of cream and burnt sugar."


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<html><body></body></html>", "is empty: the page has no text of its own"),
        (b"\x00\x01\x02\x03", "is not HTML but binary data (it has zero bytes)"),
        (b"just some words", "is not HTML: no element was found in it"),
        (b"%PDF-1.7\n", "is not HTML but a PDF file"),
    ],
)
def test_not_html(tmp_path: Path, data: bytes, reason: str) -> None:
    assert read_problem(tmp_path, "a.html", data) == (reason, None)


def write_page(body: str, *, head: str = "<title>A page</title>") -> bytes:
    return f"<!doctype html><html><head>{head}</head><body>{body}</body></html>".encode()


_SPHINX = """
<div class="related" role="navigation"><h3>Navigation</h3><ul><li><a href="g">index</a></li></ul>
</div>
<div class="document"><div class="body" role="main"><section id="m">
<h1><code>json</code> JSON encoder<a class="headerlink" href="#m">¶</a></h1>
<p>JSON is a lightweight data interchange format inspired by JavaScript.</p>
<div class="highlight-python3"><div class="highlight"><pre><span></span><span
class="gp">&gt;&gt;&gt; </span>
<span class="kn">import</span> <span class="nn">json</span></pre></div></div>
<section id="u"><h2>Basic usage<a class="headerlink" href="#u">¶</a></h2>
<dl class="py function"><dt class="sig" id="d"><span>json.</span><span
>dump</span>(<em>obj</em>, <em>fp</em>)<a class="headerlink" href="#d">¶</a></dt>
<dd><p>Serialize obj to a file-like object.</p></dd></dl></section>
<section id="t"><h2>Conversion<a class="headerlink" href="#t">¶</a></h2><table><thead><tr>
<th>JSON</th>
<th>Python</th></tr></thead><tbody><tr><td>object</td><td>dict</td></tr></tbody></table></section>
</section></div><div class="sphinxsidebar" role="navigation"><h3>Table of Contents</h3><ul>
<li><a href="#">Sidebar entry</a></li></ul></div></div>
<div class="footer" role="contentinfo">© Copyright 2024. Created using Sphinx 7.</div>"""

_MKDOCS = """
<a href="#first" class="md-skip">Skip to content</a>
<header class="md-header"><nav><a href=".">Site name</a><label>Search</label></nav></header>
<div class="md-container"><nav class="md-tabs"><ul><li><a href="../">Features</a></li></ul></nav>
<main><div class="md-sidebar"><nav class="md-nav"><ul><li><a href="x">Other page</a></li></ul>
</nav></div>
<div class="md-content"><article><h1 id="first">First Steps<a class="headerlink"
href="#first">¶</a></h1>
<p>The simplest file could look like this:</p><div class="highlight"><pre><span></span><code>
<a id="l1"></a><span class="kn">from</span> <span class="nn">fastapi</span> <span
class="kn">import</span> FastAPI
<a id="l2"></a>app = FastAPI()
</code></pre></div><h2 id="c">Check it<a class="headerlink" href="#c">¶</a></h2>
<p>Open your browser at the address.</p><ul><li>Import <code>FastAPI</code>.</li>
<li>Create an app.</li>
</ul></article></div></main><footer><nav><a href="n">Next: Parameters</a>
</nav>Made with MkDocs</footer></div>
<div class="md-consent"><form><h4>Cookie consent</h4>
<p>We use cookies to recognize your visits.</p></form></div>"""

_WIKIPEDIA = """
<div id="mw-navigation" role="navigation"><h2>Navigation menu</h2><ul><li><a>Main page</a></li>
</ul></div>
<div id="content" role="main"><h1 id="firstHeading">Alan Turing</h1><div class="mw-parser-output">
<table class="infobox"><tr><th>Born</th><td>23 June 1912</td></tr></table>
<p><b>Alan Turing</b> was an English mathematician.<sup class="reference"><a href="#c1">[1]</a>
</sup></p>
<div id="toc" class="toc"><h2>Contents</h2><ul><li><a href="#E">1 Early life</a></li></ul></div>
<h2><span class="mw-headline" id="E">Early life</span><span
class="mw-editsection">[<a>edit</a>]</span></h2>
<p>Turing was born in Maida Vale, London, while his father was on leave.</p></div></div>
<div id="footer" role="contentinfo"><ul><li>This page was last edited on 1 May.</li></ul></div>"""

_BY_HAND = """
<h1>Boat notes</h1><p>Kept since 1999.</p><h2>Paint</h2><p>Use two coats.</p><pre>sand 120
sand 240</pre><dl><dt>Hull</dt><dd>The body of the boat.</dd></dl><h2>Ropes</h2>
<table><tr><th>Rope</th><th>mm</th></tr><tr><td>Sheet</td><td>10</td></tr></table>"""

_LAYOUT_TABLE = """
<table width="100%"><tr><td><a href="a">Home</a></td><td><h1>Modem FAQ</h1>
<p>The modem dials twice before it gives up, and waits a minute in between.</p><h2>Errors</h2>
<p>NO CARRIER means that the other side hung up the phone.</p></td></tr></table>"""


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        pytest.param(
            _SPHINX,
            [
                "# `json` JSON encoder",
                "JSON is a lightweight data interchange format inspired by JavaScript.",
                "```",
                ">>>",
                "import json",
                "```",
                "## Basic usage",
                "- json.dump(*obj*, *fp*)",
                "- Serialize obj to a file-like object.",
                "## Conversion",
                "| JSON | Python |",
                "|---|---|",
                "| object | dict |",
            ],
            id="Sphinx",
        ),
        pytest.param(
            _MKDOCS,
            [
                "# First Steps",
                "The simplest file could look like this:",
                "```",
                "from fastapi import FastAPI",
                "app = FastAPI()",
                "```",
                "## Check it",
                "Open your browser at the address.",
                "- Import `FastAPI`.",
                "- Create an app.",
            ],
            id="MkDocs",
        ),
        pytest.param(
            _WIKIPEDIA,
            [
                "# Alan Turing",
                "| Born | 23 June 1912 |",
                "|---|---|",
                "**Alan Turing** was an English mathematician.",
                "## Early life",
                "Turing was born in Maida Vale, London, while his father was on leave.",
            ],
            id="Wikipedia",
        ),
        pytest.param(
            _BY_HAND,
            [
                "# Boat notes",
                "Kept since 1999.",
                "## Paint",
                "Use two coats.",
                "```",
                "sand 120",
                "sand 240",
                "```",
                "- Hull",
                "- The body of the boat.",
                "## Ropes",
                "| Rope | mm |",
                "|---|---|",
                "| Sheet | 10 |",
            ],
            id="by hand",
        ),
        pytest.param(
            _LAYOUT_TABLE,
            [
                "# Modem FAQ",
                "The modem dials twice before it gives up, and waits a minute in between.",
                "## Errors",
                "NO CARRIER means that the other side hung up the phone.",
            ],
            id="layout by a table",
        ),
    ],
)
def test_pages_as_programs_make_them(tmp_path: Path, body: str, lines: list[str]) -> None:
    text = read_one(tmp_path, "a.html", write_page(body)).text
    assert [line.rstrip() for line in text.splitlines() if line.strip()] == lines


def test_notices_and_marks_of_a_page_without_a_main_part(tmp_path: Path) -> None:
    body = (
        "<div id='CookieBar'><p>We use cookies on this site to count its visitors.</p></div>"
        "<h1>Tools <a class='anchor' href='#tools'>#</a></h1><p>Keep them dry and oiled.</p>"
        "<h2><a href='#saw'></a>Saw <a href='#saw'>§</a></h2>"
        "<p>Cut along the <a href='g'>grain</a>.</p>"
    )
    text = read_one(tmp_path, "a.html", write_page(body)).text
    assert [line for line in text.splitlines() if line] == [
        "# Tools",
        "Keep them dry and oiled.",
        "## Saw",
        "Cut along the grain.",
    ]


@pytest.mark.parametrize("heading", ["<h1>Baking</h1>", ""])
def test_a_page_about_cookies_is_no_notice(tmp_path: Path, heading: str) -> None:
    article = _ARTICLE.replace("<h1>Tea</h1>", heading)
    body = f'<div class="cookie-recipes">{article}</div><p>Bake them.</p>'
    text = read_one(tmp_path, "a.html", write_page(body)).text
    assert "It is steamed at once" in text


@pytest.mark.parametrize(
    ("head", "author"),
    [
        ("<meta name='author' content='Ada Lovelace'>", "Ada Lovelace"),
        ("<meta property='article:author' content='Ada Lovelace'>", "Ada Lovelace"),
        ("<meta name='generator' content='Sphinx'>", None),
    ],
)
def test_html_author(tmp_path: Path, head: str, author: str | None) -> None:
    document = read_one(tmp_path, "a.html", write_page(_ARTICLE, head=head))
    assert document.metadata.get("author") == author


@pytest.mark.parametrize(
    ("declared", "encoding"),
    [
        ("<meta charset='gb2312'>", "gb18030"),
        ("<meta http-equiv=Content-Type content='text/html; charset=windows-1251'>", "cp1251"),
        ("<meta charset='koi8-r'>", "koi8_r"),
        ("<meta charset='iso-8859-1'>", "utf-8"),  # what the bytes are counts
        ("<meta charset='no-such-thing'>", "utf-8"),
        ("<meta charset='no-such-thing'>", "cp1251"),
        ("", "cp1251"),
        ("", "utf-16"),
        ("<meta charset='utf-8'>", "cp1251"),  # what the page says is wrong
    ],
)
def test_html_encodings(tmp_path: Path, declared: str, encoding: str) -> None:
    sentence = "Съешь ещё этих мягких французских булок да выпей же чаю."
    page = f"<html><head>{declared}<title>Чай</title></head><body><p>{sentence}</p></body></html>"
    document = read_one(tmp_path, "a.html", page.encode(encoding))
    assert (document.title, document.text.strip()) == ("Чай", sentence)


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_latin_1_means_what_browsers_take_it_for(tmp_path: Path, encoding: str) -> None:
    page = "<html><head><meta charset='iso-8859-1'></head><body><p>A “café at €2.</p></body></html>"
    document = read_one(tmp_path, "a.html", page.encode(encoding))
    assert document.text.strip() == "A “café at €2."


def test_html_with_an_encoding_in_its_xml_declaration(tmp_path: Path) -> None:
    page = (
        "<?xml version='1.0' encoding='iso-8859-2'?><html xmlns='http://www.w3.org/1999/xhtml'>"
        "<head><title>Łódź</title></head><body><p>Zażółć gęślą jaźń.</p></body></html>"
    )
    document = read_one(tmp_path, "a.xhtml", page.encode("iso8859_2"))
    assert (document.title, document.text.strip()) == ("Łódź", "Zażółć gęślą jaźń.")


def test_html_fetches_and_resolves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a page must not open a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    (tmp_path / "secret").write_text("the secret words")
    page = (
        f"<!DOCTYPE html [<!ENTITY x SYSTEM 'file://{tmp_path}/secret'>]><html><head>"
        "<title>T</title><link rel=stylesheet href='http://127.0.0.1:9/a.css'>"
        "<script src='http://127.0.0.1:9/a.js'></script></head><body><p>Before &x; after it.</p>"
        "<img src='http://127.0.0.1:9/a.png'></body></html>"
    )
    document = read_one(tmp_path, "a.html", page.encode())
    assert "secret words" not in document.text
    assert "Before" in document.text


def test_html_with_bad_bytes(tmp_path: Path) -> None:
    data = write_page(
        "<p>Crème brûlée à la carte</p>\n<p>bad: \udce9 here</p>".replace("\udce9", "?")
    )
    documents, problems = read_bytes(tmp_path, "a.html", data.replace(b"bad: ?", b"bad: \xe9"))
    assert [problem.line for problem in problems] == [2]
    assert "bad: \ufffd here" in documents[0].text


def test_real_pages(shared_data: Path) -> None:
    folder = shared_data / "folders/docs-mixed-markitdown/packages/markitdown/tests/test_files"
    (document,), problems = read(folder / "test_wikipedia.html")
    assert (problems, document.title) == ([], "Microsoft - Wikipedia")
    headings = [line for line in document.text.splitlines() if line.startswith("#")]
    page = (folder / "test_wikipedia.html").read_text(encoding="utf-8")
    assert len(headings) == 1 + page.count('class="mw-headline"')
    assert headings[:3] == ["# Microsoft", "## History", "### 1972\u20131985: Founding"]
    assert "[edit]" not in document.text
    (blog,), _ = read(folder / "test_blog.html")
    assert "## Experiment Setup" in blog.text.splitlines()
