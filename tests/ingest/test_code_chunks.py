"""Chunks of programs and of reStructuredText: where they are cut, and what they stand under."""

from __future__ import annotations

import re
import textwrap
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_engine.config import ChunkingConfig
from search_engine.ingest.chunking import Chunker
from search_engine.ingest.formats.code import find_definitions
from search_engine.types import Chunk, Document

LIBRARY = Path(textwrap.__file__).parent
SMALL = Chunker(ChunkingConfig(max_tokens=16))
USUAL = Chunker(ChunkingConfig())


def chunk(text: str, markup: str, chunker: Chunker = USUAL) -> list[Chunk]:
    """The chunks, checked: offsets are exact, and only white space is in none or in two."""
    chunks = chunker.chunk(Document("d", text, markup=markup))
    end = 0
    for found in chunks:
        assert text[found.start : found.end] == found.text
        assert found.text.strip()
        assert text[end : found.start].strip() == ""
        end = found.end
    assert text[end:].strip() == ""
    return chunks


def summarise(text: str, markup: str, chunker: Chunker = USUAL) -> list[tuple[str, ...]]:
    return [(found.text, *found.headings) for found in chunk(text, markup, chunker)]


PYTHON = '''\
"""What the module is for."""

import os
import re

LIMIT = 5

# About one.
@cache
def one():
    def inner():
        return 1
    return inner


def two(): return 2


A = 1
B = 2


class Thing:
    """What a thing is."""

    size = 1

    def grow(self):
        self.size += 1

    def shrink(self):
        self.size -= 1

    other = 2

    class Part:
        def turn(self): pass


class Bare:
    def method(self):
        return 3


print(one, two)
'''


def test_each_function_is_a_chunk() -> None:
    assert summarise(PYTHON, "code/python") == [
        ('"""What the module is for."""\n\nimport os\nimport re\n\nLIMIT = 5',),
        (
            "# About one.\n@cache\ndef one():\n"
            "    def inner():\n        return 1\n    return inner",
            "one",
        ),
        ("def two(): return 2", "two"),
        ("A = 1\nB = 2",),
        ('class Thing:\n    """What a thing is."""\n\n    size = 1', "Thing"),
        ("    def grow(self):\n        self.size += 1", "Thing", "grow"),
        ("    def shrink(self):\n        self.size -= 1", "Thing", "shrink"),
        ("    other = 2", "Thing"),
        # The line of a class says nothing by itself: it goes to what follows.
        ("    class Part:\n        def turn(self): pass", "Thing", "Part", "turn"),
        ("class Bare:\n    def method(self):\n        return 3", "Bare", "method"),
        ("print(one, two)",),
    ]


def test_a_long_function_is_cut_at_lines() -> None:
    body = "".join(f"    value_{n} = compute({n})\n" for n in range(60))
    text = f"def long():\n{body}    def nested():\n        return 1\n{body}\n\ndef short(): pass\n"
    chunks = chunk(text, "code/python")
    assert len(chunks) > 4
    assert all(len(found.text) <= 800 for found in chunks)
    assert {found.headings for found in chunks} == {("long",), ("long", "nested"), ("short",)}
    assert [found.text for found in chunks if found.headings == ("long", "nested")] == [
        "    def nested():\n        return 1"
    ]
    lines = {line.strip() for line in text.splitlines()}
    for found in chunks:
        assert {line.strip() for line in found.text.splitlines()} <= lines


def test_a_long_preamble_is_cut_too() -> None:
    text = "".join(f"import module_number_{n}\n" for n in range(100)) + "\ndef f(): pass\n"
    *preamble, last = chunk(text, "code/python")
    assert len(preamble) > 2
    assert (last.text, last.headings) == ("def f(): pass", ("f",))
    assert {found.headings for found in preamble} == {()}


def test_the_ends_of_blocks_are_no_chunks() -> None:
    java = "class A {\n  int x;\n\n  void f() { x = 1; }\n\n  void g() { x = 2; }\n} // class A\n"
    assert summarise(java, "code/java") == [
        ("class A {\n  int x;", "A"),
        ("  void f() { x = 1; }", "A", "f"),
        ("  void g() { x = 2; }\n} // class A", "A", "g"),
    ]
    ruby = "module M\n  class A\n    def f\n      1\n    end\n  end\nend\n"
    assert summarise(ruby, "code/ruby") == [(ruby.strip(), "M", "A", "f")]
    header = "#ifndef X\n#define X\nclass A {\n public:\n  int f() { return 1; }\n};\n#endif // X\n"
    assert summarise(header, "code/cpp") == [
        ("#ifndef X\n#define X",),
        ("class A {\n public:\n  int f() { return 1; }\n};\n#endif // X", "A", "f"),
    ]


def test_a_class_on_one_line_is_a_chunk() -> None:
    text = "class NoError(Exception): pass\n\ndef f(): pass\n"
    assert summarise(text, "code/python") == [
        ("class NoError(Exception): pass", "NoError"),
        ("def f(): pass", "f"),
    ]


def test_a_language_without_a_grammar_is_plain_text() -> None:
    text = "IDENTIFICATION DIVISION.\nPROGRAM-ID. X.\n"
    assert summarise(text, "code/cobol") == summarise(text, "plain")


@pytest.mark.parametrize("name", ["textwrap", "json/decoder", "dataclasses", "tkinter/ttk"])
def test_the_standard_library(name: str) -> None:
    text = (LIBRARY / f"{name}.py").read_text(encoding="utf-8")
    chunks = chunk(text, "code/python")
    assert all(len(found.text) <= (200 + 54) * 4 for found in chunks)
    functions = [d for d in find_definitions(text, "python") if d.is_function]
    whole_until = 0
    for function in functions:
        if function.start < whole_until or function.end - function.start > 800:
            continue
        # A function that fits is in one chunk, and no other function is.
        whole_until = function.end
        (own,) = [c for c in chunks if c.start <= function.start and function.end <= c.end]
        assert own.headings[-1] == function.title
        others = [d for d in functions if own.start <= d.start and d.end <= own.end]
        assert all(function.start <= d.start and d.end <= function.end for d in others)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("var a=function(b,c){return b+c};" * 5_000, "javascript"),
        ("{" * 100_000, "c"),
        ("[" * 50_000 + "]" * 50_000, "javascript"),
        ("function f(){" * 20_000 + "g();" + "}" * 20_000, "javascript"),
        ("".join(f"{' ' * n}def f{n}():\n" for n in range(400)), "python"),
        ("x = '" + "QUJD" * 100_000 + "'\n", "python"),
    ],
)
def test_generated_programs_are_cut_to_their_end(text: str, language: str) -> None:
    chunks = chunk(text, f"code/{language}")
    assert all(len(found.text) <= (200 + 54) * 4 for found in chunks)


snippets = st.sampled_from(
    [
        "def f(x):\n    return 1\n", "class A:\n", "    def m(self):\n        pass\n", "# ü 😀\n",
        "@d\n", "x = 1\n", "\n", "\r\n", "    y = 'ü'\n", "}", "{", "(", '"""', "漢 = 1 # c\n",
        "\tif x:\n", "def g(): pass # 😀\n", "\x00", "\x0c", "function h() {", "end\n", "/* */",
        "class B { void f() { int a; } }\n", "  word another third fourth fifth sixth seventh\n",
        "int f(int a) {\n  return a;\n}\n", "#endif // X\n", "public:\n", "module M\n",
    ]
)  # fmt: skip
languages = st.sampled_from(["python", "javascript", "ruby", "cpp", "java", "rust", "bash", "php"])


@given(st.lists(snippets, max_size=30).map("".join), languages, st.sampled_from([SMALL, USUAL]))
@settings(max_examples=300, deadline=None)
def test_programs_are_cut_exactly(text: str, language: str, chunker: Chunker) -> None:
    most = (16 if chunker is SMALL else 200) + 54
    chunks = chunk(text, f"code/{language}", chunker)
    assert all(len(found.text) <= most * 4 for found in chunks)


LEAD = "A few words that say something."
RST = """\
Preface of the text.

=====
Guide
=====

What it is.

.. _install:

Install
=======

By ``pip``.

Windows
-------

Linux
-----

Use a package.

::

    Not a heading
    =============
"""


def test_rst_is_cut_at_its_headings() -> None:
    assert summarise(RST, "rst") == [
        ("Preface of the text.",),
        ("=====\nGuide\n=====\n\nWhat it is.\n\n.. _install:", "Guide"),
        ("Install\n=======\n\nBy ``pip``.", "Guide", "Install"),
        # A heading without a text goes to what follows.
        (
            "Windows\n-------\n\nLinux\n-----\n\nUse a package.\n\n::\n\n    Not a heading\n"
            "    =============",
            "Guide",
            "Install",
            "Linux",
        ),
    ]


def test_an_overlined_heading_goes_to_its_text() -> None:
    text = f"{LEAD}\n\n=====\nGuide\n=====\n\nUse\n===\n\n{LEAD}\n"
    assert summarise(text, "rst") == [
        (LEAD,),
        (f"=====\nGuide\n=====\n\nUse\n===\n\n{LEAD}", "Guide", "Use"),
    ]


def test_many_short_rst_sections_are_chunks_of_their_own() -> None:
    count = 3_000
    text = "".join(f"Section {n}\n============\n\n{LEAD}\n\n" for n in range(count))
    assert len(text) > 2 * 65_536
    chunks = chunk(text, "rst")
    assert [found.headings for found in chunks] == [(f"Section {n}",) for n in range(count)]


def test_long_rst_sections_are_cut_on() -> None:
    paragraphs = "\n\n".join(f"Paragraph {n} says a few words." for n in range(60))
    chunks = chunk(f"One\n===\n\n{paragraphs}\n\nTwo\n===\n\nLast words.\n", "rst")
    assert [found.headings for found in chunks] == [("One",)] * (len(chunks) - 1) + [("Two",)]
    assert len(chunks) == 4
    assert chunks[0].text.startswith("One\n===\n\nParagraph 0")


rst_parts = st.sampled_from(
    [
        "Title\n=====\n\n", "Other 😀\n--------\n\n", "~~~~~\nOver\n~~~~~\n\n", "Ü\n=\n\n",
        "Some words here.\n\n", "* item\n* item\n\n", ".. note:: words\n   ======\n\n", "***\n\n",
        "::\n\n    literal\n\n", "----\n\n", "=====\n", "\n", "\r\n", "text\n", "\x0b\n", "\u2028",
        "+---+\n| a |\n+---+\n\n", "漢字かな交じり文。\n\n",
    ]
)  # fmt: skip


@given(st.lists(rst_parts, max_size=30).map("".join))
@settings(max_examples=200, deadline=None)
def test_rst_is_cut_exactly(text: str) -> None:
    chunks = chunk(text, "rst", SMALL)
    assert all(len(found.text) <= (16 + 54) * 4 for found in chunks)
    for found, following in pairwise(chunks):
        if not re.search(r"[^\W_]", found.text):
            assert len(text[found.start : following.end]) > (16 + 54) * 4
