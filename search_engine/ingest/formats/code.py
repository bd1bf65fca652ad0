"""Source code: files as they stand, and their classes, functions and methods."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from search_engine.ingest.formats.grammars import load_definitions, parse_program
from search_engine.ingest.formats.markdown import Heading
from search_engine.ingest.formats.plain import read_text
from search_engine.ingest.readers import Reading
from search_engine.types import Document

if TYPE_CHECKING:
    from tree_sitter import Node

_LANGUAGES: Mapping[str, str] = MappingProxyType(
    {
        ".bash": "bash", ".c": "c", ".cc": "cpp", ".cjs": "javascript", ".cpp": "cpp",
        ".cs": "csharp", ".cxx": "cpp", ".go": "go", ".h": "cpp", ".hh": "cpp", ".hpp": "cpp",
        ".java": "java", ".js": "javascript", ".jsx": "javascript", ".mjs": "javascript",
        ".php": "php", ".py": "python", ".pyi": "python", ".rb": "ruby", ".rs": "rust",
        ".sh": "bash", ".ts": "typescript", ".tsx": "tsx",
    }
)  # fmt: skip
_MAX_TITLE = 100
# Deeper nesting is a machine's work, and a path of a thousand headings says nothing.
_MAX_LEVEL = 20
_STATEMENT_END = re.compile(rb"[ \t]*[;,]?[ \t]*")
_BLANKS = re.compile(rb"\s*")


@dataclass(frozen=True, slots=True)
class Definition:
    """A class, a function or a method, or what a language has of the kind.

    Attributes:
        start: offset of its first line, in characters: of the comment, the decorator or the
            attribute directly above it, if there is one.
        end: offset after it and after a comment on its last line.
        level: 1 for one that stands in no other; 20 is the deepest that there is.
        title: its name; that of a Go method with its type.
        name_line: offset of the line that its name is on.
        is_function: whether it is a function or a method.
    """

    start: int
    end: int
    level: int
    title: str
    name_line: int
    is_function: bool


def read_code(path: Path) -> Iterator[Reading]:
    """The file as one document, its text exactly as it stands; the title is the file's name.

    Bytes that are not in the encoding of the rest are a problem of their own.

    Raises:
        ReadError: the file is not text.
    """
    decoded = read_text(path)
    if decoded.problem is not None:
        yield Reading(decoded.problem)
    yield Reading(
        Document(
            doc_id="",
            text=decoded.text,
            title=path.name,
            markup=f"code/{_LANGUAGES[path.suffix.lower()]}",
            first_line=1,
        )
    )


def outline_code(text: str, language: str) -> tuple[Heading, ...]:
    """The definitions of a program as headings, in order.

    Where a definition ends there is a heading of its level without a title: what follows stands
    under the definitions around it only.

    Args:
        text: a program; one with mistakes has the definitions that can be made out.
        language: one that has a grammar.
    """
    headings: list[Heading] = []
    ending: list[Definition] = []

    def end_before(offset: int) -> None:
        while ending and ending[-1].end <= offset:
            ended = ending.pop()
            headings.append(Heading(ended.end, ended.level, ""))

    for definition in find_definitions(text, language):
        end_before(definition.start)
        headings.append(Heading(definition.start, definition.level, definition.title))
        ending.append(definition)
    end_before(len(text))
    return tuple(headings)


# The outline and the cuts of a document ask for the same text one after the other.
@lru_cache(maxsize=4)
def find_definitions(text: str, language: str) -> tuple[Definition, ...]:
    """The definitions of a program, each before those within it, found by tree-sitter.

    Args:
        text: a program; one with mistakes has the definitions that can be made out, one that
            `parse_program` gives up on has none.
        language: one that has a grammar.
    """
    from tree_sitter import QueryCursor

    data = text.encode()
    tree = parse_program(data, language)
    if tree is None:
        return ()
    comments: list[Node] = []
    largest: dict[int, tuple[Node, Definition]] = {}
    for _, captures in QueryCursor(load_definitions(language)).matches(tree.root_node):
        if "above" in captures:
            comments += captures["above"]
            continue
        is_function = "function" in captures
        (node,) = captures["function" if is_function else "class"]
        (name,) = captures["name"]
        name_line = name.start_byte - name.start_point.column
        found = Definition(
            start=node.start_byte,
            end=node.end_byte,
            level=1,
            title=_make_title(data, name, captures),
            name_line=max(name_line, node.start_byte),
            is_function=is_function,
        )
        before = largest.get(name.start_byte)
        if before is None or _size(found) > _size(before[1]):
            largest[name.start_byte] = node, found
    surroundings = _Surroundings(data, comments)
    extended = [surroundings.extend(definition, node) for node, definition in largest.values()]
    return _in_characters(data, _nest(extended))


def _make_title(data: bytes, name: Node, captures: Mapping[str, Sequence[Node]]) -> str:
    # C hides the name of a function in what its result is declared as: `*name(arguments)`.
    while True:
        inner = name.child_by_field_name("declarator")
        if inner is None and name.type == "reference_declarator":
            inner = name.named_child(0)
        if inner is None:
            break
        name = inner
    title = _say(data, name)
    for owner in captures.get("owner", ()):
        title = f"{_say(data, owner).lstrip('*')}.{title}"
    for trait in captures.get("trait", ()):
        title = f"{_say(data, trait)} for {title}"
    return title if len(title) <= _MAX_TITLE else f"{title[: _MAX_TITLE - 1]}…"


def _say(data: bytes, node: Node) -> str:
    # A name of a megabyte is no name.
    end = min(node.end_byte, node.start_byte + 4 * _MAX_TITLE)
    return " ".join(data[node.start_byte : end].decode(errors="ignore").split())


def _size(definition: Definition) -> int:
    return definition.end - definition.start


class _Surroundings:
    """The comments, decorators and attributes of a program, and which definition has which.

    Args:
        data: the program.
        comments: all of them.
    """

    def __init__(self, data: bytes, comments: Iterable[Node]) -> None:
        self._data = data
        # By the row of their end those that begin a line: start, row of the start, end.
        self._above: dict[int, tuple[int, int, int]] = {}
        self._after: dict[int, int] = {}
        # By the start of a line where its first character is that is not blank.
        self._first: dict[int, int] = {}
        for node in comments:
            if self._begins_line(node):
                # Some grammars count the line's end to the comment.
                row = node.end_point.row - (node.end_point.column == 0)
                place = node.start_byte, node.start_point.row, node.end_byte
                self._above[row] = min(place, self._above.get(row, place))
            else:
                self._after[node.start_byte] = node.end_byte

    def extend(self, definition: Definition, node: Node) -> Definition:
        """The definition with what is directly above it and behind it on its last line."""
        start, row = definition.start, node.start_point.row
        begins_line = self._begins_line(node)
        while True:
            places = (self._above.get(row), self._above.get(row - 1) if begins_line else None)
            place = next((p for p in places if p is not None and self._is_next(p, start)), None)
            if place is None:
                break
            (start, row, _), begins_line = place, True
        if begins_line:
            start = self._data.rfind(b"\n", 0, start) + 1
        match = _STATEMENT_END.match(self._data, definition.end)
        end = self._after.get(match.end() if match is not None else 0, definition.end)
        # Some grammars count the line's end to a comment.
        while self._data[end - 1 : end] in (b"\r", b"\n"):
            end -= 1
        return replace(definition, start=start, end=end)

    def _is_next(self, place: tuple[int, int, int], start: int) -> bool:
        return place[0] < start and self._skip_blanks(place[2]) >= start

    def _begins_line(self, node: Node) -> bool:
        line = node.start_byte - node.start_point.column
        if line not in self._first:
            self._first[line] = self._skip_blanks(line)
        return self._first[line] >= node.start_byte

    def _skip_blanks(self, offset: int) -> int:
        match = _BLANKS.match(self._data, offset)
        return offset if match is None else match.end()


def _nest(definitions: Iterable[Definition]) -> Iterator[Definition]:
    """The definitions in order, each with its level; of two at one place only the first."""
    around: list[Definition] = []
    end_before, last = 0, None
    for definition in sorted(definitions, key=lambda found: (found.start, -found.end)):
        while around and around[-1].end <= definition.name_line:
            end_before = around.pop().end
        # A comment may be the end of one definition and directly above the next.
        start = max(definition.start, end_before)
        if (start, definition.end) == last or len(around) == _MAX_LEVEL:
            continue
        last = start, definition.end
        placed = replace(definition, start=start, level=len(around) + 1)
        around.append(placed)
        yield placed


def _in_characters(data: bytes, definitions: Iterable[Definition]) -> tuple[Definition, ...]:
    """The definitions with their offsets in bytes made offsets in characters."""
    found = tuple(definitions)
    if data.isascii():
        return found
    characters: dict[int, int] = {0: 0}
    last = count = 0
    for offset in sorted({place for d in found for place in (d.start, d.end, d.name_line)}):
        count += len(data[last:offset].decode())
        last = offset
        characters[offset] = count
    return tuple(
        replace(
            definition,
            start=characters[definition.start],
            end=characters[definition.end],
            name_line=characters[definition.name_line],
        )
        for definition in found
    )
