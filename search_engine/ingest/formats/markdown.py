"""Markdown files, their front matter and their headings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache
from itertools import islice, pairwise
from pathlib import Path
from types import MappingProxyType

import yaml
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from mdit_py_plugins.front_matter import front_matter_plugin

from search_engine.errors import ReadError
from search_engine.ingest.formats.plain import read_text
from search_engine.ingest.readers import Reading
from search_engine.types import NO_METADATA, Document, Metadata

# `{ #anchor .class key=value }` after a heading: an attribute block of Python-Markdown, kramdown
# and pandoc, which is no part of what the heading says.
_ATTRIBUTES = re.compile(r"\s*\{:?\s*(?:[#.][^\s{}]+|[\w:-]+=[^\s{}]+)(?:\s+[^{}]*)?\}\s*$")
_LINE_END = re.compile(r"\r\n|\r|\n")
# The parser takes up to 50 microseconds a line.
_MAX_LINES = 100_000
# Longer ones are a machine's work. libyaml calls itself for each level, until the stack is full.
_MAX_FRONT_MATTER = 100_000
_MAX_DEPTH = 100
_MAX_TITLE = 1_000


@dataclass(frozen=True, slots=True)
class Heading:
    """One heading of a text.

    Attributes:
        start: offset of the line it begins on, in characters.
        level: 1 is the outermost; 6 is the deepest of Markdown.
        title: what it says, without mark-up; empty where a section of the level ends.
    """

    start: int
    level: int
    title: str


@dataclass(frozen=True, slots=True)
class Outline:
    """What a Markdown text says about itself.

    Attributes:
        body: offset at which the text after the front matter begins; 0 without front matter.
        headings: in order.
        front_matter: the scalar values of the front matter.
        problem: why the front matter was taken for text, None when it was not.
    """

    body: int
    headings: tuple[Heading, ...]
    front_matter: Metadata
    problem: str | None


def read_markdown(path: Path) -> Iterator[Reading]:
    """The file as one document, its text exactly as it stands, front matter included.

    The title is the front matter's, else the first heading; other scalar values of the front
    matter are the metadata. Front matter that is not YAML is a problem of its own, and is indexed
    as text; so are bytes that are not in the encoding of the rest.

    Raises:
        ReadError: the file is not text.
    """
    decoded = read_text(path)
    if decoded.problem is not None:
        yield Reading(decoded.problem)
    text = decoded.text
    outline = outline_markdown(text)
    if outline.problem is not None:
        yield Reading(ReadError(str(path), outline.problem, line=1))
    metadata = dict(outline.front_matter)
    title = metadata.pop("title", None)
    if title is None or not str(title).strip():
        title = next((heading.title for heading in outline.headings if heading.title), "")
    yield Reading(
        Document(
            doc_id="",
            text=text,
            title=str(title).strip(),
            markup="markdown",
            first_line=1,
            metadata=MappingProxyType(metadata),
        )
    )


# The reader and the chunker ask for the same text one after the other.
@lru_cache(maxsize=4)
def outline_markdown(text: str) -> Outline:
    """Front matter and headings of a Markdown text (CommonMark; code and quotes have none).

    Of a text of more than 100,000 lines those of the first 100,000; a heading without a title
    ends them.
    """
    lines = [0, *(match.end() for match in islice(_LINE_END.finditer(text), _MAX_LINES))]
    is_cut = len(lines) > _MAX_LINES
    source = text[: lines[-1]] if is_cut else text
    blocks = _parse_blocks(source)
    body, front_matter, problem = 0, None, None
    if blocks and blocks[0].type == "front_matter":
        front_matter, problem = _parse_front_matter(blocks[0].content)
        if front_matter is not None:
            after = blocks[0].map[1] if blocks[0].map is not None else 0
            body = lines[after] if after < len(lines) else len(text)
        else:
            # A rule, text and another rule look like front matter. They are text after all: the
            # line feed in front keeps the parser from seeing it so a second time.
            blocks = _parse_blocks("\n" + source)
            lines = [0, *lines]
    headings = [
        Heading(
            start=lines[block.map[0]],
            level=int(block.tag.removeprefix("h")),
            title=_plain_title(following.content),
        )
        for block, following in pairwise(blocks)
        if block.type == "heading_open" and block.map is not None
    ]
    if is_cut:
        headings.append(Heading(lines[-1], 1, ""))
    return Outline(body, tuple(headings), front_matter or NO_METADATA, problem)


class _OutlineTokens(list[Token]):
    """Takes from the parser the front matter and each heading in no other block, with what it says.

    All tokens together would take some kilobytes a line.
    """

    def append(self, token: Token) -> None:
        """Keep the token if it is one of those."""
        if token.type == "inline":
            is_kept = token.level == 1 and bool(self) and self[-1].type == "heading_open"
        else:
            is_kept = token.level == 0 and token.type in {"front_matter", "heading_open"}
        if is_kept:
            super().append(token)


def _parse_blocks(text: str) -> list[Token]:
    parser = _block_parser()
    state = StateCore(text, parser, {})
    state.tokens = _OutlineTokens()
    parser.core.process(state)
    return state.tokens


@cache
def _block_parser() -> MarkdownIt:
    """CommonMark blocks only: inline parsing is most of the work, and only headings need it."""
    parser = MarkdownIt("commonmark").use(front_matter_plugin)
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser


@cache
def _inline_parser() -> MarkdownIt:
    return MarkdownIt("commonmark")


def _plain_title(content: str) -> str:
    """What a heading says: inline mark-up and a trailing attribute block removed."""
    content = _ATTRIBUTES.sub("", content[:_MAX_TITLE])
    if not content:
        return ""
    pieces = []
    for token in _inline_parser().parseInline(content)[0].children or []:
        if token.type in {"text", "code_inline", "image"}:
            pieces.append(token.content)
        elif token.type in {"softbreak", "hardbreak"}:
            pieces.append(" ")
    return " ".join("".join(pieces).split())


def _parse_front_matter(block: str) -> tuple[Metadata | None, str | None]:
    """The scalar values of the block, or None and, where it is broken YAML, what is wrong."""
    if len(block) > _MAX_FRONT_MATTER:
        return None, (
            f"the front matter is longer than {_MAX_FRONT_MATTER:,} characters; "
            "it was indexed as text"
        )
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    depth = 0
    try:
        for event in yaml.parse(block, Loader=loader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > _MAX_DEPTH:
                return None, "the front matter is nested too deeply; it was indexed as text"
        values = yaml.load(block, Loader=loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = getattr(error, "problem", None) or str(error)
        return None, f"the front matter is not YAML ({reason}); it was indexed as text"
    if not isinstance(values, Mapping):
        return None, None
    return MappingProxyType(dict(_keep_scalars(values))), None


def _keep_scalars(
    values: Mapping[object, object],
) -> Iterator[tuple[str, str | int | float | bool | None]]:
    for key, value in values.items():
        if isinstance(value, str | int | float | bool | None):
            yield str(key), value
        elif isinstance(value, date):
            yield str(key), value.isoformat()
