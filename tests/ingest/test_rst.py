"""reStructuredText: headings as docutils sees them, and nothing of a document that is run."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from docutils import nodes
from docutils.core import publish_doctree
from docutils.parsers.rst import directives, roles
from hypothesis import given, settings
from hypothesis import strategies as st

from search_engine.ingest.formats.rst import outline_rst
from tests.ingest.reading import read_bytes, read_one

GUIDE = """\
.. _top:

=======
 Guide
=======

:Author: Ada

Intro with :mod:`json`.

Install
=======

.. note:: Not a title
   =====

.. include:: /etc/passwd

.. raw:: html

   <b>x</b>

The :mod:`~os.path` *module* |x| and ``code``
---------------------------------------------

* item
  ====

  Not a title
  ===========

1. one
2. two

::

    Literal
    =======

+------+
| Cell |
| ==== |
+------+

Term
    Definition
    ==========

.. toctree::
   :maxdepth: 2

   a
   b

:func:`json.dumps <dumps>`
--------------------------

Use
===
"""


def find_sections(text: str) -> list[tuple[int, str]]:
    """The sections of docutils' own document tree: level and title."""
    overrides = {
        "doctitle_xform": False,
        "report_level": 5,
        "halt_level": 5,
        "file_insertion_enabled": False,
        "raw_enabled": False,
        "line_length_limit": 2**31,
    }
    tree = publish_doctree(text, settings_overrides=overrides)
    found = []
    for section in tree.findall(nodes.section):
        level, parent = 1, section.parent
        while isinstance(parent, nodes.section):
            level, parent = level + 1, parent.parent
        found.append((level, " ".join(section[0].astext().split())))
    return found


def test_headings(capfd: pytest.CaptureFixture[str]) -> None:
    headings = outline_rst(GUIDE)
    assert [(heading.level, heading.title) for heading in headings] == [
        (1, "Guide"),
        (2, "Install"),
        (3, "The path module x and code"),
        (3, "json.dumps"),
        (2, "Use"),
    ]
    beginnings = [GUIDE[heading.start :].splitlines()[0] for heading in headings]
    assert beginnings == [
        "=======",
        "Install",
        "The :mod:`~os.path` *module* |x| and ``code``",
        ":func:`json.dumps <dumps>`",
        "Use",
    ]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_offsets_are_in_characters_whatever_the_line_ends(end: str) -> None:
    text = "\tTäb 😀\n\nA\x0bb\x0c c\u2028d\n\nÖne\n===\n\n----\n\n~~~~~~~~\nTwo 漢字\n~~~~~~~~\n"
    text = text.replace("\n", end)
    one, two = outline_rst(text)
    assert text[one.start :].startswith(f"Öne{end}===")
    assert text[two.start :].startswith(f"~~~~~~~~{end}Two 漢字")
    assert (one.title, two.title) == ("Öne", "Two 漢字")


def test_a_skipped_level_is_no_lost_heading() -> None:
    text = "A\n=\n\nB\n-\n\nC\n~\n\nD\n=\n\nE\n~\n"
    # docutils calls the last one an error and drops it.
    assert [title for _, title in find_sections(text)] == ["A", "B", "C", "D"]
    assert [(h.level, h.title) for h in outline_rst(text)] == [
        (1, "A"), (2, "B"), (3, "C"), (1, "D"), (3, "E")
    ]  # fmt: skip


blocks = st.sampled_from(
    [
        "1. Title\n========\n\n", "Title\n=====\n\n", "Other 😀\n--------\n\n",
        "~~~~~\nOver\n~~~~~\n\n", "*****\n Ind\n*****\n\n", "Short\n==\n\n",
        "A paragraph.\nMore of it.\n\n", "- a\n",
        "* item\n* item\n\n  ====\n\n", "1. one\n#. two\n\n", "2. no list\nbut text\n\n",
        "A. Ada\n\n", ":field: value\n   more\n\n", "-o FILE  option\n\n", "| line\n| block\n\n",
        ">>> 1 + 1\n2\n\n", "Literal::\n\n    Title\n    =====\n\n", "Quoted::\n\n> x\n> y\n\n",
        ".. _target:\n\n", ".. note::\n\n   Title\n   =====\n\n", ".. |sub| image:: x.png\n\n",
        ".. [1] note\n\n", ".. comment\n   Title\n\n", "..\n\n   quote\n\n", "__ anonymous\n\n",
        "Term\n  definition\n\n", "  Quote\n  =====\n\n", "----\n\n", "====\n\n", "=\n",
        "+---+\n| a |\n+---+\n\n", "=== ===\na   b\n=== ===\n\n", "=====\n", "\n", "text\n",
        "   indented\n", "====\nTitle\n", "Not\n====================\ndefinite\n",
    ]
)  # fmt: skip


@given(st.lists(blocks, max_size=14))
@settings(max_examples=300, deadline=None)
def test_titles_are_those_of_docutils(parts: list[str]) -> None:
    text = "".join(parts)
    found = [(heading.level, heading.title) for heading in outline_rst(text)]
    oracle = find_sections(text)
    levels = [0, *(level for level, _ in found)]
    if all(below <= above + 1 for above, below in pairwise(levels)):
        assert found == oracle
    else:
        # docutils drops a section that skips a level; all others are here in their order.
        rest = iter(found)
        assert all(any(title == other for _, other in rest) for _, title in oracle)


def test_no_directive_is_run_and_no_role_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, *_: object) -> None:
        raise AssertionError(name)

    before = dict(roles._roles)
    monkeypatch.setattr(directives, "directive", refuse)
    monkeypatch.setattr(roles, "role", refuse)
    text = (
        ".. include:: x\n\n.. role:: own\n\n.. default-role:: math\n\n:own:`A`\n========\n\n`b`\n"
    )
    assert [heading.title for heading in outline_rst(text)] == ["A"]
    assert roles._roles == before


def test_reading(tmp_path: Path) -> None:
    document = read_one(tmp_path, "a.rst", GUIDE.encode())
    assert (document.text, document.title, document.markup, document.first_line) == (
        GUIDE, "Guide", "rst", 1
    )  # fmt: skip
    assert read_one(tmp_path, "b.rest", b"No title.\n").title == "b"


def test_bytes_that_do_not_decode_are_named(tmp_path: Path) -> None:
    data = "Ä\n=\n\nöäüß öäüß öäüß\n".encode() + b"\xff\n"
    (document,), (problem,) = read_bytes(tmp_path, "a.rst", data)
    assert (document.title, problem.line) == ("Ä", 5)


@pytest.mark.parametrize(
    "text",
    [
        "* a\n\n- b\n\n+ c\n\n" * 10_000,
        "Quoted::\n\n> x\n\n" * 10_000,
        "".join(f"{'  ' * n}* deep\n\n" for n in range(1_500)),
        "=" * 1_000_000,
        "x\n" * 90_000,
    ],
)
@pytest.mark.timeout(60)
def test_long_and_deep_texts_are_read_to_their_end(text: str) -> None:
    # docutils by itself takes the square of the number of lists, and recurses into each.
    assert outline_rst(f"{text}\n\nEnd\n===\n")[-1].title == "End"
