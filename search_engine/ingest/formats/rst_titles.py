"""The block parser of docutils, made to find section titles and nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from docutils import frontend, nodes, utils
from docutils.parsers.rst import Parser, states
from docutils.statemachine import TransitionCorrection, string2lines

# `text <target>` of a role; what Sphinx shows of `~package.name`; `!`, which keeps it from linking.
_WITH_TARGET = re.compile(r"(.+?)\s*<[^<>]*>", re.DOTALL)
_SHORTENED = re.compile(r"~(?:.*\.)?(.+)", re.DOTALL)


class _TitleInliner:
    """Stands in for the inline parser of docutils, which is run on titles only.

    Attributes:
        titles: as `find_titles` gives them.
    """

    def __init__(self) -> None:
        self.titles: list[tuple[int, str, str]] = []
        self._inliner = states.Inliner()
        self._inliner.interpreted = _show_role

    def init_customizations(self, settings: Any) -> None:
        self._inliner.init_customizations(settings)

    def parse(self, _text: str, _lineno: int, _memo: Any, _parent: Any) -> Any:
        return [], []

    def note_title(self, title: str, style: str | Sequence[str], lineno: int, state: Any) -> None:
        """Take down the title on a 1-based line, in the style that its adornment makes."""
        found, _ = self._inliner.parse(title, lineno, state.memo, state.parent)
        plain = " ".join("".join(node.astext() for node in found).split())
        self.titles.append((lineno - (len(style) - 1), "".join(style), plain))


def _show_role(rawsource: str, text: str, _role: str, _lineno: int) -> Any:
    """What a role shows as Sphinx would show it, whether docutils knows the role or not."""
    shown = utils.unescape(text).lstrip("!")
    for pattern in (_WITH_TARGET, _SHORTENED):
        match = pattern.fullmatch(shown)
        if match is not None:
            shown = match[1]
            break
    return [nodes.inline(rawsource, shown)], []


class _TitleState(states.RSTState):  # type: ignore[misc]
    """What all states do otherwise: titles are noted, and nothing is parsed that has none."""

    def section(self, title: str, _source: str, style: Any, lineno: int, _messages: Any) -> None:
        self.inliner.note_title(title, style, lineno, self)

    def nested_parse(self, block: Any, input_offset: int, node: Any) -> None:
        """Cells have no titles."""

    def quoted_literal_block(self) -> Any:
        return []


# A state machine knows its states by the names of their classes: those of docutils.
class Body(_TitleState, states.Body):  # type: ignore[misc]
    """The beginning of a block; one that is indented below its first line is passed over."""

    def indent(self, _match: Any, context: Any, next_state: Any) -> Any:
        self.state_machine.get_indented()
        return context, next_state, []

    def bullet(self, match: Any, _context: Any, next_state: Any) -> Any:
        self.state_machine.get_first_known_indented(match.end())
        return [], next_state, []

    # List items, directives, comments, footnotes, targets. docutils parses each list by a copy of
    # all lines that follow, which takes minutes where there are many.
    field_marker = option_marker = line_block = explicit_markup = anonymous = bullet

    def enumerator(self, match: Any, context: Any, next_state: Any) -> Any:
        style, sequence, _, ordinal = self.parse_enumerator(match)
        if not self.is_enumerated_list_item(ordinal, sequence, style):
            raise TransitionCorrection("text")
        return self.bullet(match, context, next_state)


class Text(_TitleState, states.Text):  # type: ignore[misc]
    """The second line of a block, which may be the adornment of the first."""

    def indent(self, _match: Any, _context: Any, _next_state: Any) -> Any:
        self.state_machine.get_indented()
        return [], "Body", []


class Line(_TitleState, states.Line):  # type: ignore[misc]
    """What follows a line that may be an overline."""


@cache
def _settings() -> Any:
    settings = frontend.get_default_settings(Parser)
    settings.file_insertion_enabled = False
    settings.raw_enabled = False
    settings.report_level = settings.halt_level = 5
    return settings


def find_titles(text: str) -> list[tuple[int, str, str]]:
    """The section titles of a text, in order.

    Returns:
        For each its 1-based line (of its overline, if it has one), the characters it is adorned
        by, and what it says without inline mark-up.
    """
    inliner = _TitleInliner()
    machine = states.RSTStateMachine(state_classes=(Body, Text, Line), initial_state="Body")
    lines = string2lines(text, tab_width=8, convert_whitespace=True)
    machine.run(lines, utils.new_document("", _settings()), inliner=inliner)
    machine.unlink()
    return inliner.titles
