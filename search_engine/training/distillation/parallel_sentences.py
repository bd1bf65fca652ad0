"""Sentences with their translations, from the usual kinds of files."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TextIO

from search_engine.errors import ReadError, TrainingDataError
from search_engine.ingest.formats.compressed import GZIP_ERRORS
from search_engine.training.data.roles import is_label_name


@dataclass(frozen=True, slots=True)
class ParallelSentences:
    """Sentences in the language of a teacher, each with its translation.

    Attributes:
        path: a TSV file without a header, sentence and translation; or where there is another file,
            the sentences only.
        translations: a file that is aligned with the first line by line. Of both, `.csv` and
            `.tsv` have a header, and every column but those of labels is read; any other has one
            sentence a line. Any file may be packed by gzip.
    """

    path: Path
    translations: Path | None = None

    @property
    def name(self) -> str:
        """What logs call it."""
        return self.path.name if self.translations is None else self.translations.name

    def read(
        self, on_problem: Callable[[ReadError], None] | None = None
    ) -> Iterator[dict[str, str]]:
        """The pairs, as "sentence" and "translation".

        Args:
            on_problem: told of each line that is left out, since it has no two texts.

        Raises:
            TrainingDataError: a file is missing, damaged or not UTF-8, or two are not as long.
        """
        try:
            found = self._split_lines() if self.translations is None else self._align()
            for line, texts in found:
                stripped = [text.strip() for text in texts]
                if len(stripped) == 2 and all(stripped):
                    yield {"sentence": stripped[0], "translation": stripped[1]}
                elif on_problem is not None and any(stripped):
                    reason = (
                        f"a sentence and its translation are wanted; found {len(stripped)} texts"
                    )
                    if len(stripped) == 2:
                        reason = "the sentence or its translation is empty"
                    on_problem(ReadError(str(self.translations or self.path), reason, line=line))
        except (OSError, UnicodeDecodeError, csv.Error, *GZIP_ERRORS) as error:
            raise TrainingDataError(f"{self.name} cannot be read: {error}.") from error

    def _split_lines(self) -> Iterator[tuple[int, list[str]]]:
        with _open(self.path) as file:
            for number, line in enumerate(file, start=1):
                yield number, line.rstrip("\n").split("\t")

    def _align(self) -> Iterator[tuple[int, list[str]]]:
        with ExitStack() as opened:
            paths = [self.path, self.translations or self.path]
            sides = [_sentences(opened.enter_context(_open(path)), path) for path in paths]
            for one, other in zip_longest(*sides):
                if one is None or other is None:
                    shorter, longer = paths if one is None else paths[::-1]
                    raise TrainingDataError(
                        f"{shorter} ends before {longer}, so that their lines do not belong "
                        "together; give aligned files."
                    )
                yield other[0], [one[1], other[1]]


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="\n")
    return path.open(encoding="utf-8", newline="\n")


def _sentences(file: TextIO, path: Path) -> Iterator[tuple[int, str]]:
    """The sentences of one of two aligned files, with their lines."""
    kind = next((suffix for suffix in reversed(path.suffixes) if suffix != ".gz"), "")
    if kind not in (".csv", ".tsv"):
        yield from enumerate((line.rstrip("\n") for line in file), start=1)
        return
    rows = csv.reader(file, delimiter="," if kind == ".csv" else "\t")
    header = next(rows, [])
    kept = [n for n, column in enumerate(header) if not is_label_name(column)]
    for row in rows:
        for position in kept:
            yield rows.line_num, row[position] if position < len(row) else ""
