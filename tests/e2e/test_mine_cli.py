"""search-cli mine, from pairs and judgments to lines of training data, in this process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from search_engine.config import BM25Config, ChunkingConfig, Compute, Config
from search_engine.search import SearchEngine
from search_engine.types import Document
from tests.encoders.checkpoints import write_trunk

# Every text shares "cell" with the query; more of them come first.
CORPUS = {
    "best": "cell cell cell membrane",
    "answer": "cell cell membrane lipids",
    "third": "cell fox of numbers",
    "fourth": "cell and the quick brown fox",
    "none": "nothing of it",
}


def write_lines(path: Path, records: list[dict]) -> Path:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
    return path


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An index of words alone."""
    config = Config(dense=None, bm25=BM25Config(), chunking=ChunkingConfig(strategy="none"))
    folder = tmp_path / "index"
    with (
        SearchEngine.create(folder, config=config, compute=Compute(offline=True)) as engine,
        engine.writer() as writer,
    ):
        for doc_id, text in CORPUS.items():
            writer.add(Document(doc_id, text, title=f"On {doc_id}"))
    return folder


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    write_lines(
        folder / "corpus.jsonl",
        [{"_id": key, "title": "", "text": text} for key, text in CORPUS.items()],
    )
    write_lines(folder / "queries.jsonl", [{"_id": "1", "text": "cell membrane"}])
    (folder / "qrels" / "train.tsv").write_text(
        "query-id\tcorpus-id\tscore\n1\tanswer\t1\n1\tbest\t1\n1\tthird\t0\n"
    )
    return folder


def test_negatives_of_an_index_are_written(folder, tmp_path, run) -> None:
    pairs = write_lines(tmp_path / "pairs.jsonl", [{"query": "cell", "doc_id": "answer"}])
    output = tmp_path / "out.jsonl"
    arguments = ("mine", str(pairs), "--index", str(folder), "-o", str(output), "--offline")
    status, out, _ = run(*arguments, "--negatives", "2")
    assert status == 0
    assert read_lines(output) == [
        {
            "query": "cell",
            "positive": "On answer\ncell cell membrane lipids",
            "negative_1": "On best\ncell cell cell membrane",
            "negative_2": "On third\ncell fox of numbers",
        }
    ]
    table = [line.rsplit(maxsplit=1) for line in out.splitlines()]
    assert ["examples written", "1"] in table
    assert ["  known positive of the query", "1"] in table
    assert ["  passed, and not needed", "1"] in table
    options = ("--negatives", "2", "--leg", "bm25", "--margin", "0", "--format", "lists")
    status, out, _ = run(*arguments, *options, "--scores", "--json")
    (row,) = read_lines(output)
    assert [text.split("\n")[0] for text in row["documents"]] == [
        "On answer",
        "On third",
        "On fourth",
    ]
    assert row["scores"] == sorted(row["scores"], reverse=True)
    report = json.loads(out)
    assert report["skipped"]["margin"] == 1
    assert (report["queries"], report["examples"], report["negatives"]) == (1, 1, 2)


def test_judged_documents_are_no_negatives(folder, beir, tmp_path, run) -> None:
    output = tmp_path / "out.jsonl"
    arguments = ("mine", str(beir), "-i", str(folder), "-o", str(output), "--offline")
    assert run(*arguments, "--format", "triplets")[0] == 0
    rows = read_lines(output)
    assert {(row["positive"].split("\n")[0], row["negative"].split("\n")[0]) for row in rows} == {
        (positive, negative)
        for positive in ("On answer", "On best")
        for negative in ("On third", "On fourth")
    }


def test_texts_without_an_index_are_mined(beir, tmp_path, run) -> None:
    model = str(write_trunk(tmp_path / "model"))
    scoring = str(write_trunk(tmp_path / "scoring", head="SequenceClassification"))
    output = tmp_path / "out.jsonl"
    common = (
        "-o", str(output), "--model", model, "--offline", "--backend", "torch", "--json",
        "--negatives", "2",
    )  # fmt: skip
    status, out, _ = run("mine", str(beir), *common, "--format", "pairs")
    assert status == 0
    texts = {row["text"]: row["label"] for row in read_lines(output)}
    assert {text for text, label in texts.items() if label} == {CORPUS["answer"], CORPUS["best"]}
    assert sum(not label for label in texts.values()) == 2
    pairs = write_lines(
        tmp_path / "pairs.jsonl",
        [{"query": f"query {key}", "positive": text} for key, text in CORPUS.items()],
    )
    options = ("--sampling", "random", "--seed", "3", "--rescore", scoring, "--scores")
    status, out, _ = run("mine", str(pairs), *common, *options)
    assert status == 0
    from search_engine.encoders.cross_encoder import CrossEncoder

    encoder = CrossEncoder(scoring, backend="torch", dtype="float32")
    rows = read_lines(output)
    assert len(rows) == json.loads(out)["examples"] > 0
    for row in rows:
        texts = [row["positive"], row["negative_1"], row["negative_2"]]
        expected = encoder.predict([(row["query"], text) for text in texts])
        # The machine's own precision may be bfloat16.
        assert row["scores"] == pytest.approx(expected.tolist(), abs=0.02)
        assert row["scores"][0] >= row["scores"][1] >= row["scores"][2]


def test_lines_that_are_no_pairs_are_told(folder, tmp_path, run) -> None:
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"query": "cell", "doc_id": "answer"}\nno\x1b json\n')
    output = tmp_path / "out.jsonl"
    status, _, err = run(
        "mine", str(pairs), "-i", str(folder), "-o", str(output), "--negatives", "1", "--offline"
    )
    assert status == 3
    assert f"problem: {pairs}:2: is not JSON" in err
    assert "\x1b" not in "".join(line for line in err.splitlines() if "problem" in line)
    assert len(read_lines(output)) == 1


def test_wrong_usage_and_what_cannot_be_mined(folder, tmp_path, run) -> None:
    pairs = write_lines(tmp_path / "pairs.jsonl", [{"query": "cell", "doc_id": "unknown"}])
    index = ("-i", str(folder), "--offline")
    output = ("-o", str(tmp_path / "out.jsonl"))
    for wrong in (
        ("mine", str(pairs), *index),
        ("mine", str(pairs), *index, "-o", str(pairs)),
        ("mine", str(pairs), *index, *output, "--model", "some"),
        ("mine", str(pairs), *output, "--leg", "bm25"),
        ("mine", str(pairs), *index, *output, "--negatives", "10", "--max-rank", "9"),
        ("mine", str(pairs), *index, *output, "--margin", "-1"),
    ):
        assert run(*wrong)[0] == 2
    assert read_lines(pairs) == [{"query": "cell", "doc_id": "unknown"}]
    for arguments, words in (
        ((str(pairs), *index), "none of 1 positive is a document of the corpus"),
        ((str(pairs), *index, "--leg", "dense"), "has no dense leg; choose one of fused, bm25"),
        ((str(tmp_path / "absent"), *index), "there is no such folder"),
        ((str(pairs), "-i", str(tmp_path / "nowhere")), "there is no index at"),
    ):
        status, _, err = run("mine", *arguments, *output)
        assert status == 1
        assert words in err


def test_no_file_that_is_there_is_lost(folder, beir, tmp_path, run) -> None:
    pairs = write_lines(tmp_path / "pairs.jsonl", [{"query": "cell", "doc_id": "answer"}])
    index = ("-i", str(folder), "--offline")
    corpus = (beir / "corpus.jsonl").read_bytes()
    for output in (beir / "corpus.jsonl", beir / "qrels" / "new.jsonl", tmp_path / "link.jsonl"):
        if output.name == "link.jsonl":
            output.symlink_to(beir / "corpus.jsonl")
        status, _, err = run("mine", str(beir), *index, "-o", str(output))
        assert status == 2
        assert "would replace" in " ".join(err.split())
    assert (beir / "corpus.jsonl").read_bytes() == corpus
    unfinished = pairs.rename(tmp_path / "out.jsonl.tmp")
    assert run("mine", str(unfinished), *index, "-o", str(tmp_path / "out.jsonl"))[0] == 2
    pairs = unfinished.rename(tmp_path / "pairs.jsonl")

    output = tmp_path / "out.jsonl"
    output.write_text("mined before\n")
    status, _, err = run("mine", str(pairs), *index, "-o", str(output), "--max-score", "-1")
    assert status == 0
    assert f"nothing was mined, and {output} is left as it was" in err
    assert output.read_text() == "mined before\n"


def test_where_nothing_can_be_written_no_model_is_loaded(tmp_path, run) -> None:
    pairs = write_lines(tmp_path / "pairs.jsonl", [{"query": "cell", "positive": "answer"}])
    for output, words in ((tmp_path / "no" / "out.jsonl", "there is no folder"),
                          (tmp_path, "is a folder")):  # fmt: skip
        arguments = ("mine", str(pairs), "-o", str(output), "--model", "no-such", "--offline")
        status, _, err = run(*arguments)
        assert status == 1
        assert words in err


def test_why_there_is_no_pair_is_told(tmp_path, run) -> None:
    pairs = write_lines(tmp_path / "pairs.jsonl", [{"query": "cell", "positive": "a", "label": 1}])
    status, _, err = run("mine", str(pairs), "-o", str(tmp_path / "out.jsonl"), "--offline")
    assert status == 1
    assert "The first problem:" in err
    assert err.count("has a 'label'") == 2
