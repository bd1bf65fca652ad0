"""The data that figures are measured on: the manifest, the handbook, the identifier questions."""

from __future__ import annotations

import ast
import csv
import gzip
import hashlib
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pathspec
import pypdfium2
import pytest

from search_engine.evaluation.datasets import RetrievalDataset, load_dataset

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data"
HANDBOOK = DATA / "handbook"
BENCHMARKS = ROOT / "benchmarks"
DATASETS: list[dict[str, Any]] = json.loads((DATA / "manifest.json").read_text("utf-8"))["datasets"]
FIELDS = {
    "name", "path", "what", "counts", "licence", "attribution", "sources",
    "train_shipped_models", "how_to_get", "sha256",
}  # fmt: skip
PATHS = [dataset["path"] for dataset in DATASETS]


@pytest.mark.parametrize("dataset", DATASETS, ids=PATHS)
def test_a_data_set_says_all_that_must_be_known_of_it(dataset: dict[str, Any]) -> None:
    assert set(dataset) == FIELDS
    for field in ("name", "path", "what", "licence", "attribution", "how_to_get"):
        assert dataset[field].strip() == dataset[field] != ""
    assert dataset["counts"] and all(number > 0 for number in dataset["counts"].values())
    for source in dataset["sources"]:
        assert re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", source["repository"])
        assert re.fullmatch(r"[0-9a-f]{12}", source["commit"])
    assert dataset["sources"]
    training = dataset["train_shipped_models"]
    assert set(training) == {"allowed", "why"}
    assert isinstance(training["allowed"], bool) and training["why"]
    for path, digest in dataset["sha256"].items():
        assert path == dataset["path"] or path.startswith(f"{dataset['path']}/")
        assert re.fullmatch(r"[0-9a-f]{64}", digest)
    assert dataset["sha256"]


def test_paths_are_named_once() -> None:
    assert len(set(PATHS)) == len(PATHS)


@pytest.mark.parametrize("dataset", DATASETS, ids=PATHS)
def test_files_are_those_of_the_manifest(shared_data: Path, dataset: dict[str, Any]) -> None:
    place = shared_data / dataset["path"]
    files = [path for path in place.rglob("*") if path.is_file()] if place.is_dir() else [place]
    found = {
        path.relative_to(shared_data).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }
    assert found == dataset["sha256"]


@pytest.mark.parametrize("dataset", DATASETS, ids=PATHS)
def test_counts_are_those_of_the_files(shared_data: Path, dataset: dict[str, Any]) -> None:
    path: str = dataset["path"]
    assert _count(shared_data, path, dataset["counts"]).items() <= dataset["counts"].items()


def _count(shared_data: Path, path: str, counts: dict[str, int]) -> dict[str, int]:
    """What can be counted without knowing the set: lines, judgments, files of each kind."""
    kind = path.partition("/")[0]
    place = shared_data / path
    if kind == "retrieval":
        found = {"documents": _lines(place / "corpus.jsonl.gz")}
        for qrels in place.glob("qrels/*.tsv"):
            rows = qrels.read_text("utf-8").splitlines()[1:]
            found[f"{qrels.stem} judgments"] = len(rows)
            found[f"{qrels.stem} queries"] = len({row.partition("\t")[0] for row in rows})
        assert found == counts
    elif kind in {"pairs", "pairs-labelled"}:
        found = {"pairs": _lines(place)}
    elif kind == "sentences":
        found = {"lines": _lines(place)}
    elif kind == "queries":
        found = {"rows": _lines(place) - 1}
    elif kind == "folders":
        files = [file for file in place.rglob("*") if file.is_file()]
        by_kind = Counter(file.suffix.removeprefix(".") for file in files)
        found = {"files": len(files), **by_kind}
        found = {name: number for name, number in found.items() if name in counts}
    elif kind == "published":
        figures = json.loads((place / "mteb.json").read_text("utf-8"))
        found = {
            "tasks": len(figures),
            "models": len({model for models in figures.values() for model in models}),
            "results": sum(len(models) for models in figures.values()),
        }
    else:
        found = {"languages": len({file.name.partition(".")[0] for file in place.iterdir()})}
    assert found
    return found


def _lines(path: Path) -> int:
    with gzip.open(path, "rb") as file:
        return sum(1 for _ in file)


def test_what_benchmarks_read_is_in_the_manifest(shared_data: Path) -> None:
    there = {
        place.name
        for kind in shared_data.iterdir()
        if kind.is_dir() and kind.name != "published"
        for place in kind.iterdir()
    }
    named = {
        node.value.rpartition("/")[2]
        for script in BENCHMARKS.glob("*.py")
        for node in ast.walk(ast.parse(script.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    read = named & there
    assert {"scifact", "questions-1m.txt.gz", "docs-fastapi"} <= read
    assert read <= {path.rpartition("/")[2] for path in PATHS}


def test_data_is_small() -> None:
    sizes = {path: path.stat().st_size for path in DATA.rglob("*") if path.is_file()}
    assert sum(sizes.values()) < 1_000_000
    assert sum(size for path, size in sizes.items() if HANDBOOK in path.parents) < 300_000


def _is_left_out(relative: str) -> bool:
    rules = (HANDBOOK / ".gitignore").read_text("utf-8").splitlines()
    return pathspec.GitIgnoreSpec.from_lines(rules).match_file(relative)


@pytest.fixture(scope="module")
def handbook(tmp_path_factory: pytest.TempPathFactory) -> RetrievalDataset:
    """The handbook's questions as the product reads them; its documents are not read."""
    folder = tmp_path_factory.mktemp("beir") / "handbook"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").touch()
    (folder / "queries.jsonl").write_bytes((DATA / "handbook-queries.jsonl").read_bytes())
    (folder / "qrels" / "test.tsv").write_bytes((DATA / "handbook-qrels.tsv").read_bytes())
    return load_dataset(folder, split="test")


def test_the_handbook_has_40_judged_questions(handbook: RetrievalDataset) -> None:
    languages = Counter(query_id.partition("-")[0] for query_id in handbook.queries)
    assert languages == {"en": 24, "de": 3, "fr": 3, "es": 3, "ru": 2, "ja": 3, "th": 2}
    asked = (DATA / "handbook-queries.jsonl").read_text("utf-8").splitlines()
    assert len(asked) == len(handbook.queries) == len(set(handbook.queries.values())) == 40


def test_the_handbook_has_the_documents_that_its_questions_name(handbook: RetrievalDataset) -> None:
    for doc_id in {doc_id for judged in handbook.qrels.values() for doc_id in judged}:
        root, _, place = doc_id.partition("/")
        relative, _, record = place.partition("#")
        path = HANDBOOK / relative
        assert root == "handbook" and path.is_file(), doc_id
        assert path.stat().st_size > 0 and not _is_left_out(relative), doc_id
        assert (path.suffix in {".csv", ".tsv", ".jsonl"}) == bool(record), doc_id
        if record:
            assert record in _record_ids(path), doc_id


def _record_ids(path: Path) -> set[str]:
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".jsonl":
            return {json.loads(line)["id"] for line in file}
        rows = csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",", strict=True)
        return {row["id"] for row in rows}


def test_what_is_odd_about_the_handbook() -> None:
    assert (HANDBOOK / "archive" / "empty.txt").read_bytes() == b""
    broken = HANDBOOK / "archive" / "annual-report-2019.pdf"
    assert broken.read_bytes().startswith(b"%PDF-1.4")
    with pytest.raises(pypdfium2.PdfiumError):
        pypdfium2.PdfDocument(broken)
    files = [path for path in HANDBOOK.rglob("*") if path.is_file()]
    left_out = {path.relative_to(HANDBOOK).as_posix() for path in files}
    assert {path for path in left_out if _is_left_out(path)} == {"drafts/night-tram.md"}


def test_the_handbook_has_a_page_in_two_versions() -> None:
    new, old = (
        _shingles((HANDBOOK / "visit" / name).read_text("utf-8"))
        for name in ("opening-hours.md", "opening-hours-2025.md")
    )
    assert 0.8 < len(new & old) / len(new | old) < 1


def _shingles(text: str) -> set[tuple[str, ...]]:
    """Runs of three words (Broder 1997)."""
    words = re.findall(r"\w+", text.lower())
    return set(zip(words, words[1:], words[2:], strict=False))


def _identifier_questions(split: str) -> list[dict[str, str]]:
    path = BENCHMARKS / f"identifiers-{split}.tsv"
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE, strict=True))


def _identifiers(query: str) -> set[str]:
    """The words of a question that are no words of English: joined, of mixed case, or numbers."""
    words = set(re.split(r"[\s=]+", query))
    return {word for word in words if re.search(r"[_\d]|\w-\w|--\w|[a-z][A-Z]", word)}


def test_identifiers_are_asked_in_one_split_only() -> None:
    dev, test = (
        [_identifiers(question["query"]) for question in _identifier_questions(split)]
        for split in ("dev", "test")
    )
    assert (len(dev), len(test)) == (30, 50)
    assert all(dev) and all(test)
    assert not set().union(*dev) & set().union(*test)
    corpora = Counter(question["corpus"] for question in _identifier_questions("test"))
    assert corpora == {"fastapi": 17, "prometheus": 17, "cosqa": 16}


@pytest.mark.parametrize("split", ["dev", "test"])
def test_identifiers_stand_in_the_documents_that_answer(shared_data: Path, split: str) -> None:
    functions = {
        record["_id"]: record["text"]
        for record in _read_corpus(shared_data / "retrieval" / "cosqa")
    }
    for question in _identifier_questions(split):
        relevant = question["relevant"].split()
        assert len(set(relevant)) == len(relevant) > 0
        asked = _identifiers(question["query"])
        for doc_id in relevant:
            if question["corpus"] == "cosqa":
                text = functions[doc_id.removeprefix("cosqa/corpus.jsonl.gz#")]
                assert any(f"def {name}(" in text for name in asked), doc_id
            else:
                assert doc_id.startswith(f"docs-{question['corpus']}/")
                text = (shared_data / "folders" / doc_id).read_text("utf-8")
                assert any(name in text for name in asked), (question["query"], doc_id)


def _read_corpus(folder: Path) -> list[dict[str, str]]:
    with gzip.open(folder / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def test_parallel_pages_that_hold_an_identifier_are_all_right(shared_data: Path) -> None:
    for split in ("dev", "test"):
        for question in _identifier_questions(split):
            if question["corpus"] != "fastapi":
                continue
            asked = _identifiers(question["query"])
            relevant = set(question["relevant"].split())
            for doc_id in relevant:
                for language in ("en", "de", "ja"):
                    other = re.sub(r"(?<=docs-fastapi/docs/)\w\w(?=/)", language, doc_id)
                    path = shared_data / "folders" / other
                    if path.is_file() and any(name in path.read_text("utf-8") for name in asked):
                        assert other in relevant, question["query"]
