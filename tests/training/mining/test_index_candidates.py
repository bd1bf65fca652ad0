"""Candidates from an index, compared with what its legs find and with a list of the same texts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from search_engine.config import ChunkingConfig, Compute, Config, DenseConfig, SpladeConfig
from search_engine.errors import ConfigError
from search_engine.search import SearchEngine
from search_engine.training.mining.candidates import TextCandidates
from search_engine.training.mining.index_candidates import IndexCandidates
from search_engine.training.mining.mining import mine_negatives
from search_engine.training.mining.queries import MiningQuery, Positive
from search_engine.training.mining.settings import MiningSettings
from search_engine.types import Document
from tests.training.mining.corpus import PAIRS, TEXTS, to_queries

TORCH = Compute(backend="torch", dtype="float32", offline=True)
DOCUMENTS = [
    Document(f"d{place}", text, title=f"about {place}" if place % 2 else "")
    for place, text in enumerate(TEXTS)
]


def create(folder: Path, documents: list[Document], **config: object) -> SearchEngine:
    engine = SearchEngine.create(folder, config=Config(**config), compute=TORCH)
    with engine.writer() as writer:
        for document in documents:
            writer.add(document)
    return engine


@pytest.fixture(scope="module")
def engine(
    bi_encoder_folder: Path, masked_lm: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SearchEngine]:
    """Whole documents, all legs."""
    folder = tmp_path_factory.mktemp("indexes") / "whole"
    with create(
        folder,
        DOCUMENTS,
        dense=DenseConfig(model=str(bi_encoder_folder)),
        splade=SpladeConfig(model=str(masked_lm)),
        chunking=ChunkingConfig(strategy="none"),
    ) as engine:
        yield engine


@pytest.fixture(scope="module")
def cut(
    bi_encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SearchEngine]:
    """Documents of several chunks each."""
    documents = [
        Document(
            f"long{number}",
            "\n\n".join(
                f"Part {part} of text {number} has the words {TEXTS[4 * number + part]} in it."
                for part in range(4)
            ),
            title=f"Long {number}",
        )
        for number in range(8)
    ]
    folder = tmp_path_factory.mktemp("indexes") / "cut"
    with create(
        folder,
        documents,
        dense=DenseConfig(model=str(bi_encoder_folder)),
        chunking=ChunkingConfig(max_tokens=32),
    ) as engine:
        assert engine.chunk_count > 12
        yield engine


def judged(count: int = 12) -> list[MiningQuery]:
    places = {text: place for place, text in enumerate(TEXTS)}
    return [
        MiningQuery(
            query.text,
            tuple(Positive(doc_id=f"d{places[each.text]}") for each in query.positives),
        )
        for query in to_queries(PAIRS)[:count]
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"negatives": 4},
        {"negatives": 3, "margin": 0.01},
        {"negatives": 3, "min_rank": 2, "max_rank": 12},
        {"negatives": 3, "sampling": "random"},
    ],
    ids=str,
)
def test_whole_documents_are_mined_as_from_a_list(engine, encoder, options) -> None:
    settings = MiningSettings(**options)
    with IndexCandidates(engine, leg="dense") as source:
        own = list(mine_negatives(judged(), source, settings=settings))
    listed = TextCandidates(DOCUMENTS, encoder)
    expected = list(mine_negatives(judged(), listed, settings=settings))
    assert len(own) == len(expected) > 0
    for mined, other in zip(own, expected, strict=True):
        assert mined.query == other.query
        assert [each.text for each in mined.negatives] == [each.text for each in other.negatives]
        assert [each.text for each in mined.positives] == [each.text for each in other.positives]
        for each, wanted in zip(mined.negatives, other.negatives, strict=True):
            assert each.score == pytest.approx(wanted.score, abs=1e-5)
        for each, wanted in zip(mined.positives, other.positives, strict=True):
            assert each.score is None or each.score == pytest.approx(wanted.score, abs=1e-5)


@pytest.mark.parametrize("leg", ["fused", "dense", "bm25", "splade"])
def test_candidates_are_the_hits_of_the_leg(engine, leg) -> None:
    query = judged()[5]
    with IndexCandidates(engine, leg=leg) as source:
        (found,) = source.find([query], depth=7)
    stages = engine.retrieve(query.text, depth=8, rerank=False)
    hits = stages.fused if leg == "fused" else stages.legs[leg]
    assert [each.score for each in found.candidates] == hits.scores[:8].tolist()
    doc_ids = engine.doc_ids(hits.chunk_ids[:8])
    assert [each.doc_id for each in found.candidates] == doc_ids
    texts = {document.doc_id: document for document in DOCUMENTS}
    for candidate in found.candidates:
        document = texts[candidate.doc_id]
        title = f"{document.title}\n" if document.title else ""
        assert candidate.text == title + document.text
        assert candidate.body == document.text
    best = dict(zip(doc_ids, hits.scores[:8].tolist(), strict=True))
    assert [each.score for each in found.positives] == [best.get(query.positives[0].doc_id)]


def test_a_positive_is_known_by_its_text_too(engine) -> None:
    with IndexCandidates(engine, leg="dense") as source:
        (found,) = source.find([MiningQuery("the cell", (Positive(TEXTS[1].upper()),))], depth=40)
        by_text = found.positives[0]
        (found,) = source.find([MiningQuery("the cell", (Positive(doc_id="d1"),))], depth=40)
        by_id = found.positives[0]
        lacking = MiningQuery("the cell", (Positive("not in the index"),))
        (found,) = source.find([lacking], depth=40)
    # A text is trained on as it was given, a document as an encoder sees it.
    assert by_text.text == TEXTS[1].upper()
    assert by_id.text == f"about 1\n{TEXTS[1]}"
    assert by_text.score == by_id.score is not None
    assert found.positives[0].score is None
    assert found.missing == 0


def test_all_chunks_of_a_positive_document_are_positives(cut) -> None:
    query = MiningQuery("the words of text 3", (Positive(doc_id="long3"),))
    with IndexCandidates(cut, leg="dense") as source:
        (found,) = source.find([query], depth=100)
        (mined,) = mine_negatives([query], source, settings=MiningSettings(negatives=60))
    own = [each for each in found.candidates if each.doc_id == "long3"]
    assert len(own) > 1
    # Its best chunk stands for the document.
    assert mined.positives[0].text == own[0].text
    assert mined.positives[0].score == max(each.score for each in own)
    assert own[0].text.startswith("Long 3\n")
    texts = {each.text for each in mined.negatives}
    assert texts == {each.text for each in found.candidates} - {each.text for each in own}


def test_a_whole_document_as_positive_excludes_its_chunks(cut) -> None:
    with IndexCandidates(cut, leg="dense") as source:
        whole = "\n\n".join(
            f"Part {part} of text 2 has the words {TEXTS[8 + part]} in it." for part in range(4)
        )
        query = MiningQuery("the words of text 2", (Positive(whole),))
        (mined,) = mine_negatives([query], source, settings=MiningSettings(negatives=60))
    assert mined.negatives
    assert not any("of text 2 " in each.text for each in mined.negatives)


def test_a_document_that_was_not_found_gives_its_first_chunk(cut) -> None:
    # BM25 finds the documents alone that share a word with the query.
    query = MiningQuery("text 5", (Positive(doc_id="long1"), Positive(doc_id="nowhere")))
    with IndexCandidates(cut, leg="bm25") as source:
        (found,) = source.find([query], depth=1)
    (positive,) = found.positives
    assert positive.score is None
    assert positive.text.startswith("Long 1\nPart 0 of text 1 has")
    assert found.missing == 1


@pytest.mark.parametrize(
    ("query", "plain"),
    [
        ("the cell -membrane", "the cell membrane"),
        ('"numbers" of lipids', " numbers  of lipids"),
        ('-"q7 x9" «fox» --the', " q7 x9   fox  the"),
    ],
)
def test_a_query_is_plain_text(engine, query, plain) -> None:
    expected = engine.retrieve(plain, depth=5, rerank=False).legs["bm25"]
    with IndexCandidates(engine, leg="bm25") as source:
        (found,) = source.find([MiningQuery(query, ())], depth=5)
    assert [each.doc_id for each in found.candidates] == engine.doc_ids(expected.chunk_ids)
    assert [each.score for each in found.candidates] == expected.scores.tolist()
    assert len(found.candidates) == 5


def test_an_empty_query_finds_nothing(engine) -> None:
    with IndexCandidates(engine) as source:
        (found,) = source.find([MiningQuery(" ", (Positive(doc_id="d1"),))], depth=5)
    assert found.candidates == ()
    assert found.positives[0].score is None


def test_a_leg_that_is_off_is_refused(cut) -> None:
    with pytest.raises(ConfigError, match="no splade leg; choose one of fused, dense, bm25"):
        IndexCandidates(cut, leg="splade")
