"""Mined queries as training examples, and as lines of a file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias

from search_engine.errors import TrainingDataError
from search_engine.training.mining.candidates import ScoredText
from search_engine.training.mining.mining import Mined

ExampleFormat: TypeAlias = Literal["tuples", "triplets", "pairs", "lists"]


def make_examples(
    mined: Mined, format_: ExampleFormat, *, negatives: int, with_scores: bool = False
) -> Iterator[dict[str, Any]]:
    """The examples that a query makes, by column.

    - "tuples": (query, positive, negative_1 ... negative_n), one for each positive; none where
      there are fewer than n negatives.
    - "triplets": (query, positive, negative), one for each positive and negative.
    - "pairs": (query, text, label), one for each positive, whose label is 1, and for each negative,
      whose label is 0.
    - "lists": (query, documents, labels), one for each positive, which comes first, with all
      negatives.

    With scores, "tuples" and "triplets" have a further column `scores`, the positive's first, as
    MarginMSE and the distillation by divergence take them; "pairs" have `score` and "lists" have
    `scores` instead of the labels. A positive whose score is not known then makes no example.

    Args:
        negatives: n of a tuple.
    """
    positives = [each for each in mined.positives if not with_scores or each.score is not None]
    if format_ == "pairs":
        for label, texts in ((1, positives), (0, mined.negatives)):
            for each in texts:
                value = {"score": each.score} if with_scores else {"label": label}
                yield {"query": mined.query, "text": each.text, **value}
        return
    for positive in positives:
        if format_ == "lists":
            documents = (positive, *mined.negatives)
            labels = {"labels": [1, *[0] * len(mined.negatives)]}
            yield {
                "query": mined.query,
                "documents": [each.text for each in documents],
                **({"scores": [each.score for each in documents]} if with_scores else labels),
            }
        elif format_ == "triplets":
            for negative in mined.negatives:
                yield _tuple(mined.query, positive, {"negative": negative}, with_scores)
        elif len(mined.negatives) >= negatives:
            named = {
                f"negative_{number}": negative
                for number, negative in enumerate(mined.negatives[:negatives], start=1)
            }
            yield _tuple(mined.query, positive, named, with_scores)


def write_examples(path: Path, examples: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Write examples as JSON Lines, each as soon as it comes, and pass them on.

    They are written into the `unfinished_file` of the path. After the last it gets the name of the
    path, in place of a file that is there, which is left as it is where there is no example.
    Whatever ends the process before, the path is as it was; of the unfinished file all lines are
    whole but perhaps the last, and the next run begins it anew.

    Raises:
        TrainingDataError: the file cannot be written.
    """
    unfinished = unfinished_file(path)
    try:
        # Without a buffer every line is one write.
        stream = unfinished.open("wb", buffering=0)
    except OSError as error:
        raise _cannot_write(path, error) from error
    written = False
    with stream:
        for example in examples:
            line = json.dumps(example, ensure_ascii=False).encode() + b"\n"
            try:
                stream.write(line)
            except OSError as error:
                raise _cannot_write(path, error) from error
            written = True
            yield example
    if unfinished == path:
        return
    try:
        if written:
            unfinished.replace(path.resolve())
        else:
            unfinished.unlink()
    except OSError as error:
        raise _cannot_write(path, error) from error


def unfinished_file(path: Path) -> Path:
    """Where the examples of a path are until all are written: beside it, with ".tmp" behind.

    A device or a pipe is written itself.
    """
    if path.exists() and not path.is_file():
        return path
    # Beside the file itself, so that a link to it stays one.
    there = path.resolve()
    return there.with_name(f"{there.name}.tmp")


def check_output(path: Path) -> None:
    """See that a file can be written, before hours are spent on what goes into it.

    Raises:
        TrainingDataError: it cannot.
    """
    if path.is_dir():
        raise TrainingDataError(f"{path}: is a folder; give the name of a file in it")
    folder = path.resolve().parent
    if not folder.is_dir():
        raise TrainingDataError(f"{path}: cannot be written, for there is no folder {folder}")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise TrainingDataError(f"{path}: cannot be written; give another place")


def _cannot_write(path: Path, error: OSError) -> TrainingDataError:
    return TrainingDataError(f"{path}: cannot be written ({error.strerror or error})")


def _tuple(
    query: str, positive: ScoredText, negatives: dict[str, ScoredText], with_scores: bool
) -> dict[str, Any]:
    texts = {name: each.text for name, each in negatives.items()}
    scores = [positive.score, *(each.score for each in negatives.values())]
    return {
        "query": query,
        "positive": positive.text,
        **texts,
        **({"scores": scores} if with_scores else {}),
    }
