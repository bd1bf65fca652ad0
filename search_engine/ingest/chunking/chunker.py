"""The chunker: each kind of mark-up cut at its own largest units.

How the default numbers go together: the default model reads 256 tokens, two of which are the
special ones at the ends. A chunk of at most 200 leaves 54 for the title and the heading path that
`text_format` puts before it. A longer title costs the end of the chunk's text in the dense vector
only, and the encoder counts that cut; BM25 and the stored text lose nothing.

A piece that says nothing by itself (a fence, an anchor, a heading without its text) is joined to
its neighbour, for otherwise the title and the headings encoded with it would find it above the
passages that answer. Such a chunk may exceed the size by those few tokens, never by more than the
same 54: at worst the title and the headings cost it its last tokens, as a long title does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from semantic_text_splitter import MarkdownSplitter, TextSplitter
from tokenizers import Tokenizer

from search_engine.config import ChunkingConfig
from search_engine.errors import ReadError
from search_engine.ingest.chunking.code_pieces import cut_at_definitions
from search_engine.ingest.chunking.sections import Sections
from search_engine.ingest.chunking.slight_pieces import Marks, join_slight
from search_engine.ingest.chunking.token_counting import CHARS_PER_TOKEN, TokenCounter
from search_engine.ingest.chunking.windows import cut_windows
from search_engine.ingest.formats.code import find_definitions, outline_code
from search_engine.ingest.formats.grammars import has_grammar
from search_engine.ingest.formats.markdown import outline_markdown
from search_engine.ingest.formats.rst import outline_rst
from search_engine.types import Chunk, Document

# Tokens by which a chunk may exceed its size for the sake of pieces without content.
_ROOM = 54


@dataclass(frozen=True, slots=True)
class _Cut:
    """A text cut into pieces.

    Attributes:
        pieces: start and end of each, in order.
        sections: whose headings the pieces stand under.
        marks: what in the pieces says nothing by itself.
    """

    pieces: Iterator[tuple[int, int]]
    sections: Sections
    marks: Marks | None = None


class Chunker:
    """Cuts documents at the largest semantic unit that fits.

    Sections, paragraphs, sentences, words, in that order (semantic-text-splitter); neighbours are
    merged while they fit. The sections of reStructuredText are not merged with each other. Of a
    program each function that fits is a chunk of its own, and a longer one is cut at blank lines,
    then at lines.

    Args:
        config: the strategy and the size of a chunk.
        tokenizer: of the encoder that will read the chunks; it is copied, so that neither its
            truncation nor its padding counts here. Without one, a token is four characters.
    """

    def __init__(self, config: ChunkingConfig, tokenizer: Tokenizer | None = None) -> None:
        self._strategy = config.strategy
        self._max_tokens = config.max_tokens
        if tokenizer is None:
            self._count: Callable[[str], int] = _count_characters
            self._count_joined = self._count
        else:
            self._count = TokenCounter(tokenizer, config.max_tokens).count
            self._count_joined = TokenCounter(tokenizer, config.max_tokens + _ROOM).count
        self._plain = TextSplitter.from_callback(self._count, config.max_tokens)
        self._markdown = MarkdownSplitter.from_callback(self._count, config.max_tokens)

    def chunk(self, document: Document) -> list[Chunk]:
        """The chunks of a document, in order; none of a document without text.

        For each, `document.text[start:end] == text`. Front matter is in none (unless there is
        nothing else); every other character that is not white space is in exactly one.
        With strategy "none" there is one chunk, the whole text as it is.

        Raises:
            ReadError: the text has characters that are none (lone surrogates).
        """
        text = document.text
        if not text.strip():
            return []
        if self._strategy == "none":
            return [Chunk(text, 0, len(text))]
        try:
            text.encode()
        except UnicodeEncodeError as error:
            place = document.source or document.doc_id
            reason = f"has half a character (a lone surrogate) at offset {error.start}"
            raise ReadError(place, reason) from error
        cut = self._cut(text, document.markup)
        return [
            Chunk(text[start:end], start, end, cut.sections.find_path(content))
            for start, end, content in join_slight(text, cut.pieces, cut.marks, self._fits_joined)
        ]

    def _cut(self, text: str, markup: str) -> _Cut:
        kind, _, language = markup.partition("/")
        if kind == "markdown":
            return self._cut_markdown(text)
        if kind == "rst":
            return self._cut_rst(text)
        if kind == "code" and has_grammar(language):
            return self._cut_code(text, language)
        return _Cut(self._split(text, 0, len(text), by=self._plain), Sections(()))

    def _cut_markdown(self, text: str) -> _Cut:
        outline = outline_markdown(text)
        sections = Sections(outline.headings)
        # A file that is all front matter is found by that.
        body = outline.body if text[outline.body :].strip() else 0
        pieces = self._split(text, body, len(text), by=self._markdown, sections=sections.starts)
        return _Cut(pieces, sections, Marks.of_markdown(text, sections.starts))

    def _cut_rst(self, text: str) -> _Cut:
        sections = Sections(outline_rst(text))
        pieces = (
            piece
            for start, end in pairwise((0, *sections.starts, len(text)))
            for piece in self._split(text, start, end, by=self._plain)
        )
        return _Cut(pieces, sections, Marks.of_rst(text, sections.starts))

    def _cut_code(self, text: str, language: str) -> _Cut:
        definitions = find_definitions(text, language)
        pieces = (
            piece
            for start, end in cut_at_definitions(text, definitions, fits=self._fits)
            for piece in self._split_unless_it_fits(text, start, end)
        )
        class_lines = [
            found.name_line
            for found in definitions
            if not found.is_function and text.find("\n", found.name_line, found.end) >= 0
        ]
        sections = Sections(outline_code(text, language))
        return _Cut(pieces, sections, Marks.of_code(text, class_lines))

    def _split_unless_it_fits(self, text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
        # The splitter would take the indentation of a whole piece from its first line.
        if self._fits(text[start:end]):
            return iter(((start, end),))
        return self._split(text, start, end, by=self._plain)

    def _split(
        self,
        text: str,
        start: int,
        end: int,
        *,
        by: TextSplitter | MarkdownSplitter,
        sections: Sequence[int] = (),
    ) -> Iterator[tuple[int, int]]:
        """The splitter's pieces of a part of the text, window by window."""
        for window_start, window_end in cut_windows(text, start, end, sections):
            for offset, piece in by.chunk_indices(text[window_start:window_end]):
                if not piece.isspace():
                    first = window_start + offset
                    yield first, first + len(piece)

    def _fits(self, text: str) -> bool:
        return self._count(text) <= self._max_tokens

    def _fits_joined(self, text: str) -> bool:
        return self._count_joined(text) <= self._max_tokens + _ROOM


def _count_characters(text: str) -> int:
    return -(-len(text) // CHARS_PER_TOKEN)
