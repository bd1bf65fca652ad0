"""Mined queries as rows, and as lines that outlive whoever writes them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from search_engine.errors import TrainingDataError
from search_engine.training.mining.candidates import ScoredText
from search_engine.training.mining.examples import (
    check_output,
    make_examples,
    unfinished_file,
    write_examples,
)
from search_engine.training.mining.mining import Mined

MINED = Mined(
    "q",
    (ScoredText("p", 0.9), ScoredText("r", None)),
    (ScoredText("a", 0.8), ScoredText("b", 0.7)),
)


def rows(format_: str, *, negatives: int = 2, with_scores: bool = False) -> list[dict]:
    return list(make_examples(MINED, format_, negatives=negatives, with_scores=with_scores))


def test_each_positive_makes_examples() -> None:
    assert rows("tuples") == [
        {"query": "q", "positive": "p", "negative_1": "a", "negative_2": "b"},
        {"query": "q", "positive": "r", "negative_1": "a", "negative_2": "b"},
    ]
    assert rows("triplets")[1:3] == [
        {"query": "q", "positive": "p", "negative": "b"},
        {"query": "q", "positive": "r", "negative": "a"},
    ]
    assert rows("pairs") == [
        {"query": "q", "text": "p", "label": 1},
        {"query": "q", "text": "r", "label": 1},
        {"query": "q", "text": "a", "label": 0},
        {"query": "q", "text": "b", "label": 0},
    ]
    assert rows("lists")[1] == {"query": "q", "documents": ["r", "a", "b"], "labels": [1, 0, 0]}


def test_a_positive_without_a_score_makes_none_with_scores() -> None:
    assert rows("tuples", with_scores=True) == [
        {
            "query": "q",
            "positive": "p",
            "negative_1": "a",
            "negative_2": "b",
            "scores": [0.9, 0.8, 0.7],
        }
    ]
    assert rows("triplets", with_scores=True) == [
        {"query": "q", "positive": "p", "negative": "a", "scores": [0.9, 0.8]},
        {"query": "q", "positive": "p", "negative": "b", "scores": [0.9, 0.7]},
    ]
    assert [row["score"] for row in rows("pairs", with_scores=True)] == [0.9, 0.8, 0.7]
    assert rows("lists", with_scores=True) == [
        {"query": "q", "documents": ["p", "a", "b"], "scores": [0.9, 0.8, 0.7]}
    ]


def test_a_tuple_has_all_negatives_or_is_none() -> None:
    assert rows("tuples", negatives=3) == []
    assert list(rows("tuples", negatives=1)[0]) == ["query", "positive", "negative_1"]
    assert len(rows("triplets", negatives=3)) == 4


def test_each_example_is_written_before_the_next_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("something that was there before")
    examples = ({"text": text} for text in ("ä\nb", "c", "d"))
    writing = write_examples(path, examples)
    for count, example in enumerate(writing, start=1):
        written = unfinished_file(path).read_text(encoding="utf-8").splitlines()
        assert len(written) == count
        assert json.loads(written[-1]) == example
        assert path.read_text() == "something that was there before"
    assert path.read_bytes().startswith('{"text": "ä\\nb"}\n'.encode())
    assert [each.name for each in tmp_path.iterdir()] == ["out.jsonl"]


def test_no_example_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    assert list(write_examples(path, [])) == []
    assert not path.exists()
    path.write_text("before")
    list(write_examples(path, []))
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["out.jsonl"]


def test_links_stay_links_and_devices_are_written(tmp_path: Path) -> None:
    link = tmp_path / "link"
    (tmp_path / "there").mkdir()
    link.symlink_to(tmp_path / "there" / "out.jsonl")
    list(write_examples(link, [{"a": 1}]))
    assert link.is_symlink()
    assert (tmp_path / "there" / "out.jsonl").read_text() == '{"a": 1}\n'
    check_output(Path("/dev/null"))
    assert list(write_examples(Path("/dev/null"), [{"a": 1}])) == [{"a": 1}]


def test_a_writer_that_is_killed_leaves_the_path_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    program = (
        "import sys; from itertools import count; from pathlib import Path\n"
        "from search_engine.training.mining.examples import write_examples\n"
        "rows = ({'number': n, 'text': 'x' * 5000} for n in count())\n"
        "for row in write_examples(Path(sys.argv[1]), rows):\n"
        "    if row['number'] == 200: print('go', flush=True)\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "go\n"
    writer.kill()
    writer.stdout.close()
    assert writer.wait() == -signal.SIGKILL
    assert not path.exists()
    # The kernel may cut the write that is under way.
    whole, _, _ = unfinished_file(path).read_bytes().rpartition(b"\n")
    numbers = [json.loads(line)["number"] for line in whole.splitlines()]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > 200


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="cannot be written"):
        list(write_examples(tmp_path / "none" / "out.jsonl", []))
    (tmp_path / "file").touch()
    for wrong in (tmp_path / "none" / "out.jsonl", tmp_path / "file" / "out.jsonl"):
        with pytest.raises(TrainingDataError, match="cannot be written, for there is no folder"):
            check_output(wrong)
    with pytest.raises(TrainingDataError, match="is a folder"):
        check_output(tmp_path)
    check_output(tmp_path / "out.jsonl")

    def failing():
        yield {}
        raise OSError("the index")

    # What goes wrong while examples are made is not the file's fault.
    with pytest.raises(OSError, match="the index"):
        list(write_examples(tmp_path / "out.jsonl", failing()))
