"""Documents cut into pieces that an encoder can read whole.

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

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache

from semantic_text_splitter import MarkdownSplitter, TextSplitter
from tokenizers import Tokenizer

from search_engine.config import ChunkingConfig
from search_engine.errors import ReadError
from search_engine.ingest.markdown import Heading, outline_markdown
from search_engine.types import Chunk, Document

# What a token of English prose takes, for when there is no tokenizer to ask.
_CHARS_PER_TOKEN = 4

# The splitter's time grows with the square of the text it is given: slowly with many lines, fast
# within one line. So it gets a window at a time, a small one where lines are long.
_WINDOW = 65_536
_SMALL_WINDOW = 4_096
_BREAKS = ("\n\n", "\n\r\n", "\n", "。", ". ", " ")

# Tokens by which a chunk may exceed its size for the sake of pieces without content.
_ROOM = 54
_WORD = re.compile(r"[^\W_]")
_TAG = re.compile(r"<!--.*?-->|</?[A-Za-z][^<>]*>", re.DOTALL)
_FENCE = re.compile(r"^[ \t]*(?:`{3,}[^`\n]*|~{3,}.*)$", re.MULTILINE)


class Chunker:
    """Cuts documents at the largest semantic unit that fits.

    Sections, paragraphs, sentences, words, in that order (semantic-text-splitter); neighbours are
    merged while they fit.

    Args:
        config: the strategy and the size of a chunk.
        tokenizer: of the encoder that will read the chunks; it is copied, so that neither its
            truncation nor its padding counts here. Without one, a token is four characters.
    """

    def __init__(self, config: ChunkingConfig, tokenizer: Tokenizer | None = None) -> None:
        self._strategy = config.strategy
        if tokenizer is None:
            capacity = config.max_tokens * _CHARS_PER_TOKEN
            self._plain = TextSplitter(capacity)
            self._markdown = MarkdownSplitter(capacity)
            roomy = capacity + _ROOM * _CHARS_PER_TOKEN
            self._fits: Callable[[str], bool] = lambda text: len(text) <= roomy
        else:
            count = _TokenCounter(tokenizer, config.max_tokens).count
            self._plain = TextSplitter.from_callback(count, config.max_tokens)
            self._markdown = MarkdownSplitter.from_callback(count, config.max_tokens)
            most = config.max_tokens + _ROOM
            count_joined = _TokenCounter(tokenizer, most).count
            self._fits = lambda text: count_joined(text) <= most

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
        body, sections = 0, _Sections(())
        splitter: TextSplitter | MarkdownSplitter = self._plain
        if document.markup == "markdown":
            outline = outline_markdown(text)
            sections, splitter = _Sections(outline.headings), self._markdown
            # A file that is all front matter is found by that.
            body = outline.body if text[outline.body :].strip() else 0
        pieces = (
            (start + offset, start + offset + len(piece))
            for start, end in _cut_windows(text, body, sections.starts)
            for offset, piece in splitter.chunk_indices(text[start:end])
            if not piece.isspace()
        )
        marks = _Marks(text, sections.starts) if document.markup == "markdown" else None
        return [
            Chunk(text[start:end], start, end, sections.find_path(content))
            for start, end, content in _join_slight(text, pieces, marks, self._fits)
        ]


class _Marks:
    """Where a Markdown text has mark-up that says nothing by itself."""

    def __init__(self, text: str, headings: Sequence[int]) -> None:
        self._text = text
        self._headings = headings
        self._fences = [match.start() for match in _FENCE.finditer(text)]

    def lead(self, start: int, end: int) -> bool:
        """Whether a piece without content has a heading in it, or opens a fence."""
        if self._find_headings(start, end):
            return True
        fences = bisect_left(self._fences, start)
        return fences % 2 == 0 and bisect_left(self._fences, end) - fences == 1

    def cut_out(self, start: int, end: int) -> str:
        """A piece without its headings, fences, HTML comments and tags."""
        rest, position = [], start
        for heading in self._find_headings(start, end):
            rest.append(self._text[position:heading])
            line_end = self._text.find("\n", heading, end)
            position = end if line_end < 0 else line_end
        rest.append(self._text[position:end])
        return _FENCE.sub("", _TAG.sub("", "".join(rest)))

    def _find_headings(self, start: int, end: int) -> Sequence[int]:
        return self._headings[bisect_left(self._headings, start) : bisect_left(self._headings, end)]


def _join_slight(
    text: str,
    pieces: Iterable[tuple[int, int]],
    marks: _Marks | None,
    fits: Callable[[str], bool],
) -> list[tuple[int, int, int]]:
    """The pieces, those without content joined to a neighbour where both together fit.

    A heading and the opening of a fence go to what follows, anything else to what stands before;
    where there is nothing or no room, the other way; without room on either side it stays alone.

    Args:
        pieces: start and end of each.
        marks: of a Markdown text; in any other, only a piece without a word has no content.
        fits: whether a text is short enough for a chunk of joined pieces.

    Returns:
        start, end, and where the first content begins, whose section the chunk belongs to.
    """
    chunks: list[tuple[int, int, int]] = []
    waiting: list[tuple[int, int]] = []

    def join_before(end: int) -> bool:
        if not chunks or not fits(text[chunks[-1][0] : end]):
            return False
        chunks[-1] = (chunks[-1][0], end, chunks[-1][2])
        return True

    def release_first() -> None:
        start, end = waiting.pop(0)
        if not join_before(end):
            chunks.append((start, end, start))

    for start, end in pieces:
        content = text[start:end] if marks is None else marks.cut_out(start, end)
        slight = _WORD.search(content) is None
        leads = marks is not None and marks.lead(start, end)
        if slight and not waiting and not leads and join_before(end):
            continue
        while waiting and not fits(text[waiting[0][0] : end]):
            release_first()
        if slight:
            waiting.append((start, end))
        else:
            chunks.append((waiting[0][0] if waiting else start, end, start))
            waiting.clear()
    while waiting:
        release_first()
    return chunks


class _Sections:
    """The sections of a text: where each starts, and the headings it stands under."""

    def __init__(self, headings: Sequence[Heading]) -> None:
        self.starts = [heading.start for heading in headings]
        self._paths: list[tuple[str, ...]] = [()]
        open_headings: list[Heading] = []
        for heading in headings:
            open_headings = [above for above in open_headings if above.level < heading.level]
            open_headings.append(heading)
            self._paths.append(tuple(above.title for above in open_headings if above.title))

    def find_path(self, offset: int) -> tuple[str, ...]:
        """The headings above an offset, outermost first, one that begins there included."""
        return self._paths[bisect_right(self.starts, offset)]


def _cut_windows(text: str, start: int, sections: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Stretches of a text that together are all of it, each short enough for the splitter."""
    while start < len(text):
        end = _find_window_end(text, start, _WINDOW, sections)
        if max(map(len, text[start:end].splitlines())) > _SMALL_WINDOW:
            end = _find_window_end(text, start, _SMALL_WINDOW, sections)
        yield start, end
        start = end


def _find_window_end(text: str, start: int, size: int, sections: Sequence[int]) -> int:
    """The best place to end a window, in its second half: a section's start, else a line's."""
    limit = start + size
    if limit >= len(text):
        return len(text)
    earliest = start + size // 2
    section = bisect_right(sections, limit) - 1
    if section >= 0 and sections[section] > earliest:
        return sections[section]
    for mark in _BREAKS:
        position = text.rfind(mark, earliest, limit)
        if position >= 0:
            return position + len(mark)
    return limit


# Scripts that do not put spaces between words: South-East Asian, kana, Chinese characters.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_PIECE = re.compile(f"[{_UNSPACED}\U00020000-\U0003ffff]{{1,8}}|[^{_UNSPACED}]{{1,100}}")
# Words up to this long are counted once and remembered; hardly any word is longer.
_COMMON_WORD = 16


class _TokenCounter:
    """How many tokens a text has.

    The splitter asks for some ten overlapping stretches per chunk, so encoding each anew costs
    several times as much as encoding the text once. Where white space only separates (WordPiece,
    and SentencePiece models that collapse it) a text has the tokens of its words, and a word is
    encoded once and remembered. Other tokenizers encode each stretch.
    """

    def __init__(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._max_tokens = max_tokens
        self._count_piece = lru_cache(maxsize=65_536)(self._encode)
        words = ("one", "\n\n  ", "two", "\t\n", "one")
        self._adds_up = self._encode("".join(words)) == sum(map(self._encode, words[::2]))

    def count(self, text: str) -> int:
        """Tokens of a text; of one with more than `max_tokens` only that it has more."""
        words = text.split(None, self._max_tokens)
        if len(words) > self._max_tokens:
            return len(words)
        if self._adds_up:
            count = self._count_piece
            counts = [count(w) if len(w) <= _COMMON_WORD else self._count_long(w) for w in words]
            return sum(counts)
        least = max(map(_count_least, words), default=0)
        return least if least > self._max_tokens else max(least, self._encode(text))

    def _count_long(self, word: str) -> int:
        least = _count_least(word)
        if least > self._max_tokens:
            return least
        return max(least, sum(map(self._count_piece, _PIECE.findall(word))))

    def _encode(self, piece: str) -> int:
        return len(self._tokenizer.encode(piece, add_special_tokens=False).ids)


def _count_least(word: str) -> int:
    """What the length of a word suggests, if it is no word of a language.

    WordPiece makes one [UNK] of more than 100 characters; a screenful of base64 must not pass for
    one token.
    """
    return len(word) // _CHARS_PER_TOKEN if len(word) > 100 else 1
