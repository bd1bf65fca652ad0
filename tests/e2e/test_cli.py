"""search-cli as a person uses it: real processes over a real folder and the embedded model."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CLI = Path(sys.executable).with_name("search-cli")


def _run(
    *arguments: str, cwd: Path, stdin: str = "", environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(CLI), *arguments],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "120", "HF_HUB_OFFLINE": "1"} | (environment or {}),
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with documents, good and bad, and an index of them called `mine`."""
    home = tmp_path_factory.mktemp("home")
    docs = home / "docs"
    docs.mkdir()
    (docs / "retention.md").write_text(
        "# Storage\n\nSamples live on disk.\n\n## Retention\n\nOld samples are deleted after "
        "fifteen days unless `--storage.tsdb.retention.time` says otherwise.\n"
    )
    (docs / "bread.txt").write_text("Flour, water, salt and yeast.\nBake the loaf for an hour.\n")
    (docs / "hostile.txt").write_text("[bold red]hello[/] <script>alert(1)</script> zanzibar\n")
    (docs / "people.jsonl").write_text(
        '{"_id": "ada", "title": "Ada Lovelace", "text": "Wrote the first program."}\n'
        "this is not JSON\n"
        '{"_id": "alan", "title": "Alan Turing", "text": "Defined the computing machine."}\n'
    )
    (docs / "latin.txt").write_bytes(b"first line\nsecond \xff line\n")
    (docs / "fake.pdf").write_text("this is no PDF at all\n")
    return home


@pytest.fixture(scope="module")
def indexed(home: Path) -> subprocess.CompletedProcess[str]:
    """The run that made the index `mine`."""
    return _run("index", "docs", "missing", "--index", "mine", "--json", cwd=home)


def test_bad_input_is_named_and_counted_and_the_rest_goes_in(home, indexed) -> None:
    assert indexed.returncode == 3, indexed.stderr
    report = json.loads(indexed.stdout)
    assert report["added"] == 6
    problems = {(each["path"], each["line"]) for each in report["problems"]}
    assert problems == {
        ("missing", None),
        ("docs/fake.pdf", None),
        ("docs/people.jsonl", 2),
    }
    assert "Traceback" not in indexed.stderr
    for place in ("docs/people.jsonl:2", "docs/fake.pdf", "missing"):
        assert f"problem: {place}" in indexed.stderr


def test_a_question_is_answered_with_its_place(home, indexed) -> None:
    answer = _run("query", "how long is data kept", "-i", "mine", "-k", "2", "--json", cwd=home)
    assert answer.returncode == 0, answer.stderr
    response = json.loads(answer.stdout)
    first = response["results"][0]
    assert len(response["results"]) == 2
    assert (first["rank"], first["doc_id"]) == (1, "docs/retention.md")
    assert first["source"] == "docs/retention.md"
    text = (home / "docs" / "retention.md").read_text()
    assert text[first["start"] : first["end"]] == first["text"]
    assert first["highlight"]["text"] in first["text"]
    assert set(response["timings_ms"]) == {
        *("encode", "dense", "bm25", "fuse", "highlight", "total")
    }


def test_the_line_is_where_the_passage_begins(home, indexed) -> None:
    answer = _run("query", "Alan Turing machine", "-i", "mine", "-k", "1", "--json", cwd=home)
    first = json.loads(answer.stdout)["results"][0]
    assert (first["doc_id"], first["line"]) == ("docs/people.jsonl#alan", 3)
    marked = [first["highlight"]["text"][start:end] for start, end in first["highlight"]["spans"]]
    assert marked == ["machine"]


def test_documents_are_text_and_never_markup(home, indexed) -> None:
    answer = _run("query", "zanzibar", "-i", "mine", "-k", "1", cwd=home)
    assert "[bold red]hello[/] <script>alert(1)</script> zanzibar" in answer.stdout


def test_the_prompt_answers_each_line_and_ends_with_the_input(home, indexed) -> None:
    answer = _run("query", "-i", "mine", "-k", "1", cwd=home, stdin="yeast\n\nAda Lovelace\n")
    assert answer.returncode == 0
    assert answer.stdout.index("docs/bread.txt") < answer.stdout.index("docs/people.jsonl")


def test_indexing_again_changes_nothing_and_an_edit_replaces(home, indexed) -> None:
    again = json.loads(_run("index", "docs", "-i", "mine", "--json", cwd=home).stdout)
    assert (again["added"], again["replaced"], again["unchanged"]) == (0, 0, 6)
    absolute = json.loads(
        _run("index", str(home / "docs"), "-i", "mine", "--json", cwd=home).stdout
    )
    assert (absolute["added"], absolute["unchanged"]) == (0, 6)
    bread = home / "docs" / "bread.txt"
    bread.write_text(bread.read_text() + "Let it cool on a rack.\n")
    edited = json.loads(_run("index", "docs", "-i", "mine", "--json", cwd=home).stdout)
    assert (edited["added"], edited["replaced"], edited["unchanged"]) == (0, 1, 5)
    answer = _run("query", "cool on a rack", "-i", "mine", "-k", "1", "--json", cwd=home)
    assert json.loads(answer.stdout)["results"][0]["line"] == 1


def test_info_list_and_delete(home, indexed) -> None:
    facts = json.loads(_run("info", "-i", "mine", "--json", cwd=home).stdout)
    assert (facts["documents"], facts["dimension"]) == (6, 384)
    assert "mine\t6 documents" in _run("list", cwd=home).stdout
    assert (
        "docs/people.jsonl#ada\tAda Lovelace\t1 chunks"
        in _run("list", "-i", "mine", cwd=home).stdout
    )
    deleted = _run("delete", "docs/hostile.txt", "no-such", "-i", "mine", cwd=home)
    assert deleted.returncode == 1
    assert "no document has the id no-such" in deleted.stderr
    answer = _run("query", "zanzibar", "-i", "mine", "--json", cwd=home)
    found = [result["doc_id"] for result in json.loads(answer.stdout)["results"]]
    assert "docs/hostile.txt" not in found and len(found) == 5


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["query", "x", "-i", "mnie"], 1, "did you mean 'mine'?"),
        (["query", "x", "-i", "zzz"], 1, "search-cli index PATH --index zzz"),
        (["query", "x", "-i", "mine", "-k", "0"], 2, "greater than or equal to 1"),
        (["query", "x"], 2, "--index"),
        (["index", "docs", "-i", "mine", "--chunking", "none"], 1, "choose another name"),
        (["index", "docs", "-i", "new", "--model", "nope", "--offline"], 1, "nope"),
        (["evaluate", "docs"], 1, "docs"),
        (["frobnicate"], 2, "frobnicate"),
    ],
)
def test_mistakes_are_told_without_a_traceback(home, indexed, arguments, status, message) -> None:
    answer = _run(*arguments, cwd=home)
    assert answer.returncode == status, answer.stderr
    assert message in answer.stderr
    assert "Traceback" not in answer.stderr


def test_an_empty_folder_is_told(home) -> None:
    (home / "empty").mkdir()
    answer = _run("index", "empty", "-i", "of-nothing", cwd=home)
    assert answer.returncode == 3
    assert "problem: empty" in answer.stderr


def test_an_empty_question_finds_nothing(home, indexed) -> None:
    answer = _run("query", "  ", "-i", "mine", "--json", cwd=home)
    assert (answer.returncode, json.loads(answer.stdout)["results"]) == (0, [])


def test_evaluate_reports_each_stage_and_writes_runs(home) -> None:
    collection = home / "collection"
    (collection / "qrels").mkdir(parents=True)
    corpus = {"d1": "The cat sat on the mat.", "d2": "Stocks fell on Monday.", "d3": "Bake bread."}
    with gzip.open(collection / "corpus.jsonl.gz", "wt") as file:
        for doc_id, text in corpus.items():
            file.write(json.dumps({"_id": doc_id, "title": "", "text": text}) + "\n")
    (collection / "queries.jsonl").write_text(
        '{"_id": "q1", "text": "share prices dropped"}\n{"_id": "q2", "text": "making bread"}\n'
    )
    (collection / "qrels" / "dev.tsv").write_text(
        "query-id\tcorpus-id\tscore\nq1\td2\t1\nq2\td3\t1\n"
    )
    answer = _run(
        *("evaluate", "collection", "--split", "dev", "--chunking", "none", "--json"),
        *("--run-file", "runs.trec"),
        cwd=home,
    )
    assert answer.returncode == 0, answer.stderr
    report = json.loads(answer.stdout)
    assert (report["dataset"], report["split"], report["queries"]) == ("collection", "dev", 2)
    # By meaning both answers come first; by words only the second shares any with its query.
    assert report["stages"]["dense"]["ndcg@10"] == 1.0
    assert report["stages"]["bm25"]["recall@100"] == 0.5
    assert report["stages"]["fused"]["mrr@10"] == 1.0
    run = (home / "runs.dense.trec").read_text().splitlines()
    assert run[0].split()[:4] == ["q1", "Q0", "d2", "1"]


def test_a_name_outside_the_root_is_a_path_and_the_root_can_be_set(home, tmp_path) -> None:
    environment = {"SEARCH_ENGINE_INDEXES": str(tmp_path)}
    assert _run("list", cwd=home, environment=environment).stdout.startswith("There are no")


def test_no_sentence_transformers_is_needed(home, indexed, tmp_path) -> None:
    """A question in an environment where importing sentence_transformers fails."""
    blocker = tmp_path / "sentence_transformers"
    blocker.mkdir()
    (blocker / "__init__.py").write_text("raise ImportError('blocked')")
    answer = _run(
        *("query", "yeast", "-i", "mine", "--json"),
        cwd=home,
        environment={"PYTHONPATH": str(tmp_path)},
    )
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["results"][0]["doc_id"] == "docs/bread.txt"


def test_an_interrupted_run_says_so_and_leaves_a_sound_index(tmp_path) -> None:
    lines = (json.dumps({"_id": str(n), "text": f"text {n} " * 150}) for n in range(3_000))
    (tmp_path / "many.jsonl").write_text("\n".join(lines))
    process = subprocess.Popen(
        [str(CLI), "index", "many.jsonl", "-i", "many"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    # The index is made once the model is loaded; what follows is reading and encoding.
    deadline = time.monotonic() + 60
    while not (tmp_path / "indexes" / "many" / "index.db").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "goes on from there" in stderr and "Traceback" not in stderr
    facts = json.loads(_run("info", "-i", "many", "--json", cwd=tmp_path).stdout)
    assert facts["documents"] < 3_000
