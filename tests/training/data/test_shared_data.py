"""Every set of training pairs in the shared data opens with a loss that fits it."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from search_engine.training.data.training_set import TrainingSet, open_training_set
from tests.training.data.sets import Takes

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data is not here")


def read_lines(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def files(pattern: str) -> list[Any]:
    return [pytest.param(path, id=path.name) for path in sorted(SHARED.glob(pattern))] or [None]


@pytest.mark.parametrize("path", files("pairs/*.jsonl.gz"))
def test_pairs(path: Path) -> None:
    opened = open_training_set(TrainingSet(path, Takes("tuples", "pairs")))
    assert opened.columns.texts == ("query", "positive")
    assert (opened.columns.format, opened.left_out) == ("pairs", ("source",))
    assert opened.rows.to_list() == [
        {"query": each["query"], "positive": each["positive"]} for each in read_lines(path)
    ]
    assert len(opened.problems) == 0


@pytest.mark.parametrize("path", files("pairs-labelled/*.jsonl.gz"))
def test_labelled_pairs(path: Path) -> None:
    opened = open_training_set(TrainingSet(path, Takes("labelled_pairs", "scored_pairs")))
    assert opened.rows.to_list() == [
        {name: each[name] for name in ("sentence1", "sentence2", "label")}
        for each in read_lines(path)
        if each["split"] == "train"
    ]
    assert len(opened.problems) == 0
    triplets = open_training_set(TrainingSet(path, Takes("tuples")))
    assert triplets.columns.texts == ("anchor", "positive", "negative")
    # Some pairs are labelled both ways.
    labelled = {tuple(row.values()) for row in opened.rows}
    for anchor, positive, negative in (tuple(row.values()) for row in triplets.rows):
        assert (anchor, positive, 1) in labelled and (anchor, negative, 0) in labelled
        assert (anchor, negative, 1) not in labelled


@pytest.mark.parametrize("path", files("sts/stsb/*/dev.csv.gz"))
def test_scored_pairs(path: Path) -> None:
    opened = open_training_set(TrainingSet(path, Takes("scored_pairs")))
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        expected = [row | {"score": float(row["score"])} for row in csv.DictReader(file)]
    assert opened.rows.to_list() == expected
    assert len(opened.problems) == 0
