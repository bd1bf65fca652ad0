"""What is excluded whatever it scores, what is counted, and how queries stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_engine.near_duplicates.shingles import jaccard, shingles_of
from search_engine.training.mining.candidates import Candidate, Found, ScoredText, TextCandidates
from search_engine.training.mining.mining import mine_negatives
from search_engine.training.mining.queries import MiningQuery, Positive
from search_engine.training.mining.report import MiningReport
from search_engine.training.mining.settings import MiningSettings
from search_engine.types import Document
from tests.training.mining.corpus import PAIRS, TEXTS, to_queries

LONG = "one two three four five six seven eight nine ten eleven twelve"


@dataclass
class Listed:
    """Gives the same candidates to every query, and remembers what it was asked."""

    candidates: Sequence[Candidate]
    positives: Sequence[ScoredText] = (ScoredText("the answer", 0.95),)
    missing: int = 0
    asked: list[list[str]] = field(default_factory=list)

    def find(self, queries: Sequence[MiningQuery], *, depth: int) -> list[Found]:
        self.asked.append([query.text for query in queries])
        found = Found(tuple(self.candidates), tuple(self.positives), self.missing)
        return [found for _ in queries]


@dataclass
class Table:
    """A cross-encoder that has the score of each text written down."""

    scores: dict[str, float]

    def predict(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        assert all(query == "query" for query, _ in pairs)
        return np.array([self.scores[text] for _, text in pairs], np.float32)


def listed(*texts: str) -> list[Candidate]:
    return [Candidate(text, text, 0.9 - place / 100) for place, text in enumerate(texts)]


def mined_texts(source, settings=None, *, positives=None, **options):
    report = MiningReport()
    queries = [MiningQuery("query", tuple(positives or [Positive("the answer")]))]
    mined = list(mine_negatives(queries, source, settings=settings, report=report, **options))
    return [each.text for mine in mined for each in mine.negatives], report


def test_what_answers_repeats_or_asks_is_left_out() -> None:
    positive = LONG
    candidates = [
        *listed(
            "ONE  two three four five six\nseven eight nine ten eleven twelve",
            f"{LONG} thirteen",
            "Query",
            "other",
            " OTHER ",
            f"zero {LONG.replace('six', 'SIX,')}",
            "two three four five six seven eight nine",
            "one two three four",
            "one two",
            f"A title\n{LONG} and so on and so forth with much more text than before about things",
        ),
        Candidate("Title\nthe words", "the words", 0.5, doc_id="judged"),
        Candidate(f"A title\n{LONG}", LONG, 0.4, doc_id="copy"),
        Candidate("Title\nquery", "query", 0.3, doc_id="asking"),
        Candidate("Title\nfree", "free", 0.2, doc_id="free"),
    ]
    source = Listed(candidates, [ScoredText(positive, 0.95)])
    chosen, report = mined_texts(source, positives=[Positive(positive), Positive(doc_id="judged")])
    assert chosen == ["other", "one two", "Title\nfree"]
    skipped = {reason: count for reason, count in report.skipped.items() if count}
    assert skipped == {
        # The text in other white space and case, the judged document, the body of another.
        "known_positive": 3,
        "query_text": 2,
        "repeated": 1,
        # One word more or less, two parts, and a text that holds the positive.
        "near_duplicate": 5,
    }


@pytest.mark.parametrize(
    ("positive", "answers", "others"),
    [
        (
            "Cell membrane lipids!",
            [
                "The cell  membrane LIPIDS are made of numbers and of more",
                "of cell membrane lipids",
            ],
            ["lipids of the cell membrane", "supercell membrane lipids", "cell membrane"],
        ),
        ("the fox", [], ["the fox is quick and brown and here"]),
        # Of scripts without spaces a token is a character.
        (
            "\u7ec6\u80de\u819c\u8102\u8d28",
            ["\u8fd9\u662f\u7ec6\u80de\u819c\u8102\u8d28\u3002"],
            ["\u8fd9\u662f\u7ec6\u80de\u8102\u8d28\u819c", "\u7ec6\u80de"],
        ),
        ("\u7ec6\u80de", [], ["\u8fd9\u662f\u7ec6\u80de"]),
    ],
)
def test_a_text_that_holds_a_short_positive_answers_too(
    positive: str, answers: list[str], others: list[str]
) -> None:
    source = Listed(listed(*answers, *others), [ScoredText(positive, 1.0)])
    chosen, report = mined_texts(source, positives=[Positive(positive)])
    assert chosen == others
    assert report.skipped["near_duplicate"] == len(answers)


def test_the_threshold_decides_what_is_a_near_duplicate() -> None:
    other = LONG.replace("twelve", "dozen").replace("one", "first")
    similarity = jaccard(shingles_of(LONG), shingles_of(other))
    assert 0.6 < similarity < 0.7
    source = Listed(listed(other), [ScoredText(LONG, 1.0)])
    for threshold, expected in ((similarity, []), (similarity + 0.01, [other])):
        settings = MiningSettings(near_duplicate=threshold)
        assert mined_texts(source, settings, positives=[Positive(LONG)])[0] == expected


_SENTENCES = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=14).map(" ".join)


@given(
    positives=st.lists(_SENTENCES, min_size=1, max_size=3),
    texts=st.lists(_SENTENCES, max_size=12),
    negatives=st.integers(1, 6),
    threshold=st.sampled_from([0.5, 0.8, 1.0]),
)
def test_no_positive_and_nothing_that_repeats_one_comes_out(
    positives, texts, negatives, threshold
) -> None:
    settings = MiningSettings(negatives=negatives, near_duplicate=threshold)
    source = Listed(listed(*positives, *texts), [ScoredText(text, 1.0) for text in positives])
    chosen, report = mined_texts(source, settings, positives=[Positive(text) for text in positives])

    def words(text: str) -> set[tuple[str, ...]]:
        parts = text.split()
        shingles = {tuple(parts[place : place + 3]) for place in range(len(parts) - 2)}
        return shingles if len(shingles) >= 5 else {("whole", *parts)}

    def holds(whole: str, part: str) -> bool:
        return len(part.split()) >= 3 and f" {part} " in f" {whole} "

    def repeats(text: str) -> bool:
        return any(
            holds(text, positive)
            or holds(positive, text)
            or words(text) <= words(positive)
            or words(positive) <= words(text)
            or len(words(text) & words(positive)) / len(words(text) | words(positive)) >= threshold
            for positive in positives
        )

    assert not any(repeats(text) for text in chosen)
    # And nothing else is kept from it.
    free = [text for text in dict.fromkeys(texts) if not repeats(text)]
    assert chosen == free[:negatives]
    assert report.candidates == len(chosen) + sum(report.skipped.values())


def test_ranks_are_counted_without_known_positives() -> None:
    source = Listed(listed("a", "the answer", "b", "The Answer", "c", "d"))
    settings = MiningSettings(negatives=1, min_rank=1, max_rank=3)
    chosen, report = mined_texts(source, settings)
    assert chosen == ["b"]
    # "d" is beyond the third, and is not looked at.
    assert report.candidates == 5
    assert report.skipped == {"known_positive": 2, "min_rank": 1, "not_needed": 1}


def test_a_positive_that_was_not_found_scores_below_all() -> None:
    source = Listed(listed("a", "b"), [ScoredText("the answer", 0.95), ScoredText("far", None)])
    assert mined_texts(source)[0] == ["a", "b"]
    for settings in (MiningSettings(margin=0), MiningSettings(relative_margin=0.1)):
        chosen, report = mined_texts(source, settings)
        assert chosen == []
        assert report.skipped == {"margin": 2}
        assert (report.without_negative, report.positives_not_found) == (1, 1)


def test_a_cross_encoder_drops_false_negatives_and_gives_the_scores() -> None:
    source = Listed(listed("a", "b", "c", "d"), [ScoredText("the answer", None)])
    table = {"the answer": 0.5, "a": 0.75, "b": 0.125, "c": 0.5, "d": 0.375}
    queries = to_queries([("query", "the answer")])
    (mined,) = mine_negatives(queries, source, rescorer=Table(table))
    assert mined.positives == (ScoredText("the answer", 0.5),)
    assert mined.negatives == tuple(ScoredText(text, table[text]) for text in "cdb")
    chosen, report = mined_texts(source, MiningSettings(margin=0.125), rescorer=Table(table))
    assert chosen == ["d", "b"]
    assert report.skipped == {"false_negative": 2}
    # The lowest of several positives is what counts.
    source.positives = [ScoredText("the answer", 1.0), ScoredText("b", 1.0)]
    source.candidates = listed("a", "c", "d")
    assert mined_texts(source, rescorer=Table(table))[0] == []


def test_rescored_scores_are_those_of_the_cross_encoder(encoder, cross_encoder) -> None:
    source = TextCandidates(TEXTS, encoder)
    for mined in mine_negatives(to_queries(PAIRS), source, rescorer=cross_encoder):
        for each in (*mined.positives, *mined.negatives):
            (expected,) = cross_encoder.predict([(mined.query, each.text)])
            assert each.score == pytest.approx(expected, abs=1e-5)


def test_queries_are_read_batch_by_batch() -> None:
    source = Listed(listed("a"))
    read = []

    def queries():
        for number in range(200):
            read.append(number)
            yield MiningQuery(f"q{number}", (Positive("the answer"),))

    mined = mine_negatives(queries(), source)
    assert read == []
    assert next(mined).query == "q0"
    assert len(read) == 64
    assert [each.query for each in mined] == [f"q{number}" for number in range(1, 200)]
    assert [len(batch) for batch in source.asked] == [64, 64, 64, 8]


def test_every_query_and_candidate_is_counted_once(encoder) -> None:
    documents = [Document(f"d{place}", text) for place, text in enumerate(TEXTS)]
    source = TextCandidates(documents, encoder)
    queries = [
        *to_queries(PAIRS),
        MiningQuery("gone", (Positive(doc_id="nowhere"),)),
        MiningQuery("half", (Positive(doc_id="d1"), Positive(doc_id="nowhere"))),
        MiningQuery("the membrane", (Positive("an answer that the corpus lacks"),)),
    ]
    report = MiningReport()
    settings = MiningSettings(negatives=3, max_rank=20, margin=0.01)
    mined = list(mine_negatives(queries, source, settings=settings, report=report))
    counts = report.to_json()
    assert counts["queries"] == 15
    assert counts["without_positive"] == 1
    assert counts["missing_positives"] == 2
    assert counts["positives"] == len(PAIRS) + 2
    assert len(mined) == 14 - counts["without_negative"]
    assert counts["negatives"] == sum(len(each.negatives) for each in mined)
    assert counts["with_fewer"] == sum(len(each.negatives) < 3 for each in mined)
    assert counts["candidates"] == counts["negatives"] + sum(counts["skipped"].values())
    assert counts["skipped"]["margin"] > 0 < counts["negatives"]
    # Of a corpus in memory, every positive has a score.
    assert counts["positives_not_found"] == 0
    lines = dict(line.rsplit("  ", 1) for line in report.to_table().splitlines())
    table = {name.strip(): int(count) for name, count in lines.items()}
    assert table["queries"] == 15
    assert table["left out: no positive in the corpus"] == 1
    assert table["scores too close to the positive, or above it"] == counts["skipped"]["margin"]
    assert "the query's own text" not in table
    assert table["examples written"] == 0
