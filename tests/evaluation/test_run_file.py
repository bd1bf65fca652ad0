"""TREC run files: what is written, what is read back, what trec_eval makes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from search_engine.errors import DatasetError
from search_engine.evaluation.metrics import score_run
from search_engine.evaluation.run_file import read_run, write_run


def test_lines_are_in_the_trec_format(tmp_path: Path) -> None:
    path = tmp_path / "run.txt"
    write_run(path, {"q1": [("b", 2.5), ("a", 1.0)], "q0": [("ü", -3.0)], "q2": []}, tag="ours")
    assert path.read_text(encoding="utf-8") == (
        "q1 Q0 b 1 2.5 ours\nq1 Q0 a 2 1.0 ours\nq0 Q0 ü 1 -3.0 ours\n"
    )
    assert read_run(path) == {"q1": [("b", 2.5), ("a", 1.0)], "q0": [("ü", -3.0)]}


IDS = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1, max_size=6)
SCORES = st.floats(-1e6, 1e6, width=32)


@given(
    run=st.dictionaries(
        IDS,
        st.dictionaries(IDS, SCORES, min_size=1, max_size=12).map(
            lambda scores: sorted(scores.items(), key=lambda item: -item[1])
        ),
        max_size=4,
    )
)
def test_a_run_comes_back_in_its_order(
    tmp_path_factory: pytest.TempPathFactory, run: dict[str, list[tuple[str, float]]]
) -> None:
    path = tmp_path_factory.mktemp("run") / "run.txt"
    write_run(path, run, tag="t")
    back = read_run(path)
    assert {query: [doc for doc, _ in hits] for query, hits in back.items()} == {
        query: [doc for doc, _ in hits] for query, hits in run.items()
    }
    for query, hits in run.items():
        scores = np.array([score for _, score in back[query]], np.float32)
        assert (np.diff(scores) < 0).all()
        np.testing.assert_allclose(scores, [score for _, score in hits], rtol=1e-5, atol=1e-40)


def test_trec_eval_reads_ties_in_our_order(tmp_path: Path) -> None:
    path = tmp_path / "run.txt"
    write_run(path, {"q": [("a", 0.5), ("z", 0.5), ("b", 0.5)]}, tag="t")
    with path.open(encoding="utf-8") as stream:
        parsed = pytrec_eval.parse_run(stream)
    qrels = {"q": {"z": 1}}
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, {"recip_rank"})
    assert evaluator.evaluate(parsed)["q"]["recip_rank"] == 0.5
    assert score_run(qrels, {"q": ["a", "z", "b"]})["mrr@10"][0] == 0.5


def test_reading_orders_by_score_then_rank(tmp_path: Path) -> None:
    path = tmp_path / "run.txt"
    path.write_text("q Q0 c 3 1.0 t\nq Q0 b 2 1.0 t\n\nq Q0 a 9 2.0 t\n")
    assert read_run(path) == {"q": [("a", 2.0), ("b", 1.0), ("c", 1.0)]}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("q Q0 a 1 0.5", "5 fields"),
        ("q Q0 a 1 high t", "could not convert"),
        ("q Q0 a first 0.5 t", "invalid literal"),
        ("q Q0 good 2 0.5 t", "document 'good' again for query 'q'"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "run.txt"
    path.write_text(f"q Q0 good 1 1.0 t\n{line}\n")
    with pytest.raises(DatasetError, match=rf"run\.txt:2: .*{reason}"):
        read_run(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nothing\.txt: cannot be read"):
        read_run(tmp_path / "nothing.txt")


def test_what_the_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.txt"
    with pytest.raises(DatasetError, match="document 'two words'"):
        write_run(path, {"q": [("two words", 1.0)]}, tag="t")
    with pytest.raises(DatasetError, match="tag 'my tag'"):
        write_run(path, {"q": [("a", 1.0)]}, tag="my tag")
    with pytest.raises(DatasetError, match=r"rises to 2\.0 at rank 2"):
        write_run(path, {"q": [("a", 1.0), ("b", 2.0)]}, tag="t")
    with pytest.raises(DatasetError, match="rises to nan at rank 1"):
        write_run(path, {"q": [("a", float("nan"))]}, tag="t")
