"""Records that make no example: each is told with its place, and none stops the others."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search_engine.errors import TrainingDataError
from search_engine.training.data.training_set import TrainingSet, open_training_set
from tests.training.data.sets import Takes, write_lines

PAIRS = [{"query": f"frage {n} ü", "positive": f"antwort\n{n}"} for n in range(2)]


def open_file(path: Path, **options: Any) -> Any:
    return open_training_set(TrainingSet(path, Takes("pairs"), **options))


def test_a_bad_record_is_told_and_stops_no_other(tmp_path: Path) -> None:
    good: list[Any] = [{"query": f"q{n}", "positive": f"p{n}"} for n in range(10_000)]
    bad: dict[int, Any] = {
        3: b'{"query": "cut off',
        4: b'{"query": "latin-1 \xfc", "positive": "p"}',
        5: b"[1, 2]",
        6: {"query": None, "positive": "p"},
        7: {"query": "q", "positive": " \n"},
        8: {"query": "q"},
        9: {"query": "half a \ud83d", "positive": "p"},
        7312: {"query": "q", "positive": 42},
        9000: {"query": "q", "positive": ["a", "b"]},
    }
    lines = [bad.get(number, record) for number, record in enumerate(good, start=1)]
    path = write_lines(tmp_path / "pairs.jsonl", lines)
    opened = open_file(path)
    assert opened.rows["query"][:] == [
        record["query"] for number, record in enumerate(good, start=1) if number not in bad
    ]
    reasons = {problem.line: problem.reason for problem in opened.problems}
    assert list(reasons) == list(bad) and len(opened.problems) == len(bad)
    assert {problem.path for problem in opened.problems} == {str(path)}
    for number, reason in {
        3: "not a JSON object",
        4: "utf-8",
        5: "a JSON object is needed",
        6: "'query' is null",
        7: "'positive' is empty",
        8: "it has no 'positive'",
        9: "UTF-8",
        7312: "'positive' is an integer, and not text",
        9000: "'positive' is a list of texts, and not text",
    }.items():
        assert reason in reasons[number]
    assert any("9 records" in note and f"{path}:3" in note for note in opened.notes)


def test_a_stream_counts_each_problem_once(tmp_path: Path) -> None:
    lines = [PAIRS[0], b"{", {"query": "", "positive": "p"}, PAIRS[1]]
    opened = open_file(write_lines(tmp_path / "pairs.jsonl", lines), streaming=True)
    for _ in range(3):
        assert list(opened.rows) == PAIRS
    assert [problem.line for problem in opened.problems] == [2, 3]


def test_a_bad_row_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_bytes(
        b'\xef\xbb\xbfquery,positive\r\nq1,"two\nlines"\r\nq2\r\nq3,p3,x\r\nq\xfc4,p4\r\n\r\nq5,p5\r\n'
    )
    opened = open_file(path)
    assert opened.rows.to_list() == [
        {"query": "q1", "positive": "two\nlines"},
        {"query": "q5", "positive": "p5"},
    ]
    found = [(problem.line, problem.reason) for problem in opened.problems]
    assert [line for line, _ in found] == [4, 5, 6]
    assert "1 cells, and the header 2" in found[0][1] and "UTF-8" in found[2][1]


def test_a_damaged_archive_keeps_what_was_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [{"query": f"q{n}", "positive": rng.bytes(200).hex()} for n in range(2000)]
    path = tmp_path / "pairs.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n".join(json.dumps(r).encode() for r in rows))[:-200_000])
    opened = open_file(path)
    count = len(opened.rows)
    assert 0 < count < 2000 and opened.rows.to_list() == rows[:count]
    assert "damaged" in list(opened.problems)[-1].reason
    assert count + len(opened.problems) <= 2000 and len(opened.problems) <= 2


def test_a_list_that_breaks_off(tmp_path: Path) -> None:
    path = tmp_path / "pairs.json"
    path.write_text('[{"query": "a", "positive": "b"},\n 5,\n {"query": ', encoding="utf-8")
    opened = open_file(path)
    assert opened.rows.to_list() == [{"query": "a", "positive": "b"}]
    assert [problem.line for problem in opened.problems] == [2, 3]
    # All in one line.
    path.write_text('[{"query": "a", "positive": 1}, 2, {"query": "", "positive": "b"}, '
                    '{"query": "a", "positive": "b"}, {"que')  # fmt: skip
    opened = open_file(path)
    assert opened.rows.to_list() == [{"query": "a", "positive": "b"}]
    assert [problem.line for problem in opened.problems] == [1, 1, 1, 1]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"{\n[]\n", b'{"query": "", "positive": "p"}\n'])
def test_no_good_record_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(content)
    with pytest.raises(TrainingDataError, match=r"pairs\.jsonl"):
        open_file(path)
