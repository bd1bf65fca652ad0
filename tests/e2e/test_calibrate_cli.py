"""search-cli calibrate: int8 fitted to the texts of an index, for the models that it names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from search_engine.config import BM25Config, Config
from search_engine.encoders.backends import calibration
from search_engine.search import SearchEngine
from tests.e2e.conftest import Run
from tests.encoders.checkpoints import write_trunk


@pytest.fixture(autouse=True)
def private_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_the_models_of_an_index(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bert = str(write_trunk(tmp_path / "bert"))
    reranker = str(write_trunk(tmp_path / "reranker", head="SequenceClassification"))
    for number in range(5):
        (tmp_path / f"{number}.md").write_text(f"# Part {number}\n\nthe cell membrane {number}\n")
    index = str(tmp_path / "index")
    models = ("--model", bert, "--reranker", reranker)
    files = [str(tmp_path / f"{number}.md") for number in range(5)]
    status, _, said = run("index", *files, "--index", index, *models, "--dtype", "int8")
    assert status == 1
    assert "search-cli calibrate --index NAME" in said
    assert run("index", *files, "--index", index, *models, "--dtype", "float32")[0] == 0
    seen: dict[str, list[object]] = {}
    whole = calibration.calibration_inputs

    def watch(layout: object, tokenizer: object, texts: list[object], **given: object) -> object:
        seen[layout.task] = list(texts)
        return whole(layout, tokenizer, texts, **given)

    monkeypatch.setattr(calibration, "calibration_inputs", watch)
    status, out, _ = run("calibrate", "--index", index)
    assert status == 0
    assert f"{bert}: calibrated on 5 texts of {index}" in out
    assert f"{reranker}: calibrated on 5 texts of {index}" in out
    texts = [f"Part {number}\n# Part {number}\n\nthe cell membrane {number}" for number in range(5)]
    assert seen["embedding"] == texts
    assert seen["score"] == [(f"Part {number}", text) for number, text in enumerate(texts)]
    asked = ("query", "cell membrane 3", "--index", index, "--json")
    status, out, _ = run(*asked, "--dtype", "int8")
    assert status == 0
    assert len(json.loads(out)["results"]) == 5


def test_an_index_without_texts_or_models(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "words"
    config = Config(dense=None, bm25=BM25Config())
    SearchEngine.create(folder, config=config).close()
    status, _, said = run("calibrate", "--index", str(folder))
    assert (status, "has no texts to calibrate on" in said) == (1, True)
    (tmp_path / "a.md").write_text("# A\n\ntext\n")
    assert run("index", str(tmp_path / "a.md"), "--index", str(folder))[0] == 0
    status, _, said = run("calibrate", "--index", str(folder))
    assert (status, "has no model" in said) == (1, True)
