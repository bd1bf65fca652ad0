"""Looking after an index with search-cli, from the command line to the files, in this process."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from search_engine.cli import main
from tests.encoders.checkpoints import write_trunk
from tests.index.rows import folders, query

Run = Callable[..., "Ended"]
# Encoders that are tiny and random; which document comes first is up to BM25.
COMPUTE = ("--backend", "torch", "--dtype", "float32", "--offline")
RECORDS = [
    {"_id": "eiger", "text": "The Eiger was climbed in 1858.", "lang": "de", "year": 1858},
    {"_id": "tides", "text": "The moon makes the tides.", "lang": "en", "year": 1687},
    {"_id": "bread", "text": "Flour, water and salt.", "lang": "en", "year": 2001},
    {"_id": "draft", "text": "The moon is no cheese.", "lang": "de", "year": 2020, "draft": True},
]


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs search-cli as its entry point does."""

    def run_it(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["search-cli", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Ended(int(ended.value.code or 0), captured.out, captured.err)

    return run_it


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with documents, two models, and an index `mine` of four records."""
    home = tmp_path_factory.mktemp("prepared")
    (home / "records.jsonl").write_text("\n".join(map(json.dumps, RECORDS)))
    for seed in (1, 2):
        write_trunk(home / f"model-{seed}", seed=seed)
    arguments = ("index", "records.jsonl", "-i", "mine", "--model", "model-1", *COMPUTE)
    with pytest.MonkeyPatch.context() as patched, pytest.raises(SystemExit) as ended:
        patched.chdir(home)
        patched.setattr(sys, "argv", ["search-cli", *arguments])
        main()
    assert ended.value.code == 0
    return home


@pytest.fixture
def home(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of one test."""
    home = shutil.copytree(prepared, tmp_path / "home")
    monkeypatch.chdir(home)
    return home


def _found(run: Run, *arguments: str, index: str = "mine") -> set[str]:
    answer = run("query", "moon eiger flour", "-i", index, "--json", *COMPUTE, *arguments)
    assert answer.status == 0, answer.err
    return {result["doc_id"].partition("#")[2] for result in answer.json["results"]}


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ([], {"eiger", "tides", "bread", "draft"}),
        (["lang=de"], {"eiger", "draft"}),
        (["lang=de", "year<1900"], {"eiger"}),
        (["lang=de and not draft=true"], {"eiger"}),
        (["lang=en or draft=true"], {"tides", "bread", "draft"}),
        (["year in (1687, 2001)"], {"tides", "bread"}),
        (["year not in (1687, 2001)", "draft exists"], {"draft"}),
        (["year>=1858", "year<=2001"], {"eiger", "bread"}),
        (["lang=fr"], set()),
    ],
    ids=str,
)
def test_only_documents_that_meet_every_condition_are_found(home, run, where, expected) -> None:
    assert _found(run, *(f"--where={each}" for each in where)) == expected


def test_conditions_that_ask_for_nothing_known_or_cannot_be_read_are_told(home, run) -> None:
    answer = run("query", "moon", "-i", "mine", "--where", "shape=round", *COMPUTE)
    assert answer.status == 0
    names = "draft, extension, lang, language, path, title, year"
    assert f"No document has metadata named 'shape'; it has {names}." in " ".join(
        answer.out.split()
    )
    for wrong, told in (("lang", "="), ("year>", "a value"), ("(lang=de", ")")):
        answer = run("query", "moon", "-i", "mine", "--where", wrong, *COMPUTE)
        assert answer.status == 2
        assert answer.out == ""
        assert "the filter cannot be read" in answer.err and told in answer.err


def test_compact_makes_one_segment_and_answers_stay(home, run) -> None:
    extra = home / "extra.txt"
    for number in range(3):
        extra.write_text(f"The moon, said {number} times.")
        assert run("index", "extra.txt", "-i", "mine", *COMPUTE).status == 0
    folder = home / "indexes" / "mine"
    asked = ("query", "moon", "-i", "mine", "--json", *COMPUTE)
    before = run(*asked).json["results"]
    assert len(folders(folder)) > 1
    answer = run("compact", "-i", "mine")
    assert answer.status == 0
    assert answer.out.startswith("mine: ") and "MB now" in answer.out
    assert len(folders(folder)) == 1
    assert run(*asked).json["results"] == before


def test_doctor_finds_damage_and_mends_it(home, run) -> None:
    before = run("query", "moon", "-i", "mine", "--json", *COMPUTE).json["results"]
    sound = run("doctor", "-i", "mine")
    assert (sound.status, sound.out) == (0, "mine is sound\n")
    (segment,) = (home / "indexes" / "mine" / "segments").iterdir()
    path = segment / "dense.faiss"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    asked = run("query", "moon", "-i", "mine", *COMPUTE)
    assert asked.status == 1
    assert "dense.faiss changed" in asked.err and "doctor --repair" in asked.err

    told = run("doctor", "-i", "mine")
    assert told.status == 1
    assert f"problem: segment {segment.name}" in told.out
    assert "`search-cli doctor --repair --index mine` mends" in told.out
    report = run("doctor", "-i", "mine", "--json")
    assert report.status == 1
    assert [each["repairable"] for each in report.json["findings"]] == [True, True]
    assert "dense.faiss" in report.json["findings"][0]["what"]

    mended = run("doctor", "-i", "mine", "--repair", "--json", *COMPUTE)
    assert mended.status == 0, mended.err
    assert mended.json["findings"] == []
    after = run("query", "moon", "-i", "mine", "--json", *COMPUTE).json["results"]
    assert [each["doc_id"] for each in after] == [each["doc_id"] for each in before]
    assert [each["score"] for each in after] == pytest.approx(
        [each["score"] for each in before], abs=1e-5
    )
    assert run("doctor", "-i", "nime").status == 1


def test_a_backup_is_restored(home, run) -> None:
    before = _found(run)
    saved = run("backup", "saved", "-i", "mine")
    assert (saved.status, saved.out.split()[0]) == (0, "mine")
    again = run("backup", "saved", "-i", "mine")
    assert again.status == 1
    assert f"error: there already is something at {home / 'saved'}" in again.err
    assert run("restore", "saved", "-i", "mine").status == 1
    shutil.rmtree(home / "indexes" / "mine")
    restored = run("restore", "saved", "-i", "mine")
    assert (restored.status, restored.out) == (0, "mine was restored from saved\n")
    assert _found(run) == before
    missing = run("restore", "nowhere", "-i", "new")
    assert missing.status == 1
    assert "there is no backup at nowhere" in missing.err


def test_a_generation_is_built_promoted_and_gone_back_from(home, run) -> None:
    asked = ("query", "moon eiger", "-i", "mine", "--json", *COMPUTE)
    first = run(*asked).json
    built = run("rebuild", "-i", "mine", "--model", "model-2", "--chunking", "none", *COMPUTE)
    assert built.status == 0, built.err
    assert "`search-cli promote --index mine`" in built.out
    assert run(*asked).json["generation"] == first["generation"]
    assert run("promote", "-i", "mine", *COMPUTE).status == 0
    second = run(*asked).json
    assert second["generation"] != first["generation"]
    (scores, before) = (
        {each["doc_id"]: each["scores"]["dense"] for each in answer["results"]}
        for answer in (second, first)
    )
    assert scores != pytest.approx(before, abs=1e-3), "another model"
    assert run("info", "-i", "mine").status == 0

    (home / "late.txt").write_text("The moon came late.")
    assert run("index", "late.txt", "-i", "mine", *COMPUTE).status == 0
    back = run("rollback", "-i", "mine", *COMPUTE)
    assert back.status == 0
    assert f"generation {first['generation']} is live again" in back.out
    assert "1 documents came since it was; they are added to it now" in back.out
    third = run(*asked).json
    assert third["generation"] == first["generation"]
    assert "home/late.txt" in {each["doc_id"] for each in third["results"]}
    assert run("doctor", "-i", "mine").status == 0
    # A generation in between is given up by none of this; forward once more.
    assert run("promote", "-i", "mine", *COMPUTE).status == 0
    assert run(*asked).json["generation"] == second["generation"]


def test_generations_that_cannot_be_had_are_told(home, run) -> None:
    for command in ("promote", "rollback"):
        ended = run(command, "-i", "mine", *COMPUTE)
        assert ended.status == 1
        assert "generation" in ended.err
    same = run("rebuild", "-i", "mine", *COMPUTE)
    assert same.status == 1
    assert "has these models and settings already" in same.err
    unable = run("rebuild", "-i", "mine", "--kind", "hnswlib", "--precision", "int8", *COMPUTE)
    assert unable.status == 1
    assert "keeps its own vectors in float32" in unable.err
    assert run("rebuild", "-i", "mine", "--kind", "unheard-of", *COMPUTE).status == 2
    assert query(home / "indexes" / "mine", "SELECT state FROM generations") == [("live",)]


def test_kind_and_precision_are_those_of_a_new_index_or_of_a_rebuilt_one(home, run) -> None:
    settings = ("--kind", "hnsw", "--precision", "float16")
    made = run("index", "records.jsonl", "-i", "g", "--model", "model-1", *settings, *COMPUTE)
    assert made.status == 0, made.err
    assert _dense(home, "g", "live") == {"kind": "hnsw", "precision": "float16"}
    assert _found(run, index="g") == _found(run)
    refused = run("index", "records.jsonl", "-i", "mine", *settings, *COMPUTE)
    assert refused.status == 1
    assert "was made with dense kind = flat, not hnsw" in refused.err
    assert "`search-cli rebuild --index" in refused.err
    same = run("index", "records.jsonl", "-i", "g", *settings, *COMPUTE)
    assert same.status == 0, same.err

    assert run("rebuild", "-i", "mine", *settings, *COMPUTE).status == 0
    assert _dense(home, "mine", "building") == {"kind": "hnsw", "precision": "float16"}
    assert _dense(home, "mine", "live") == {"kind": "flat", "precision": "float32"}
    assert run("promote", "-i", "mine", *COMPUTE).status == 0
    assert _dense(home, "mine", "live") == {"kind": "hnsw", "precision": "float16"}
    assert _found(run) == {"eiger", "tides", "bread", "draft"}


def _dense(home: Path, name: str, state: str) -> dict[str, str]:
    rows = query(
        home / "indexes" / name,
        f"SELECT config FROM generations WHERE state = '{state}'",  # noqa: S608
    )
    dense = json.loads(rows[0][0])["dense"]
    return {key: dense[key] for key in ("kind", "precision")}
