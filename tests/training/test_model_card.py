"""What is written beside a trained model: the card and the pictures."""

from __future__ import annotations

import ast
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from datasets import Dataset

from search_engine.evaluation.measured import Measured
from search_engine.training import LoraSettings, TrainingSet, TrainingSettings
from search_engine.training.curves import draw_losses, draw_scores
from search_engine.training.data.training_set import open_training_set
from search_engine.training.losses.bi_encoder import MultipleNegativesRankingLoss
from search_engine.training.model_card import TrainingFacts, write_model_card
from search_engine.training.report import TrainingReport
from tests.training.runs import (
    PAIRS,
    QUICK,
    SCORED,
    Alike,
    KilledError,
    SquaredDifference,
    dying,
    run,
    scored_set,
)


class Measuring(Alike):
    """Values of single items, better after the first model."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def measure(self, encoder: Any) -> Measured:
        self.asked += 1
        values = np.linspace(0, 1, 20) ** (2 if self.asked == 1 else 1)
        items = [str(number) for number in range(20)]
        return Measured.means(items, {"cosine": values})


def _card(facts: TrainingFacts, folder: Path) -> tuple[dict[str, Any], str]:
    write_model_card(facts, folder / "README.md")
    _, header, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(header), text


def _facts(*sets: TrainingSet, **changes: Any) -> TrainingFacts:
    report = TrainingReport(Path("model"), 7, 3.2, ((5, 0.5), (7, 0.25)), (), None)
    given: dict[str, Any] = {
        "model": "sentence-transformers/all-MiniLM-L6-v2", "kind": "bi",
        "sets": [open_training_set(each) for each in sets], "settings": QUICK,
        "output": "runs/first", "report": report,
    }  # fmt: skip
    return TrainingFacts(**(given | changes))


def test_the_card_of_a_run(dense_encoder: Path, tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    evaluator = Measuring()
    report = run(dense_encoder, scored_set(tmp_path), tmp_path / "run", evaluators=[evaluator])
    # One measurement for each evaluation, and none for the comparison.
    assert evaluator.asked == len(report.scores) == 4
    text = (report.model / "README.md").read_text()
    card = ModelCard(text)
    assert card.data.library_name == "sentence-transformers"
    assert card.data.base_model is None, "a folder is no name on the hub"
    assert "loss:SquaredDifference" in card.data.tags
    (comparison,) = report.comparisons.values()
    (row,) = comparison.metrics
    a, b = np.linspace(0, 1, 20) ** 2, np.linspace(0, 1, 20)
    assert row.difference == pytest.approx(float((b - a).mean()))
    assert comparison.to_table() in text
    assert f"| alike\\_cosine | {a.mean():.4f} | {b.mean():.4f} |" in text
    for step, loss in report.losses:
        assert f"| {step} | {loss:.4f} |" in text
    for name in TrainingSettings.model_fields:
        assert f"| {name} | " in text
    assert "- format: scored_pairs (sentence1, sentence2, score)" in text
    assert "24 examples" in text
    for package in ("torch", "transformers", "accelerate"):
        assert f"{package} {__import__(package).__version__}" in text


def test_what_was_measured_by_a_process_that_died_is_measured_again(
    dense_encoder: Path, tmp_path: Path
) -> None:
    with pytest.raises(KilledError):
        run(dense_encoder, scored_set(tmp_path), tmp_path / "run", evaluators=[Measuring()],
            on_log=dying(4))  # fmt: skip
    evaluator = Measuring()
    evaluator.asked = 1
    report = run(dense_encoder, scored_set(tmp_path), tmp_path / "run", evaluators=[evaluator],
                 resume=True)  # fmt: skip
    assert len(report.comparisons) == 1
    assert not (tmp_path / "run/checkpoints/evaluating").exists()


def test_names_of_the_hub_are_in_the_header_and_folders_are_not(tmp_path: Path) -> None:
    opened = open_training_set(scored_set(tmp_path))
    from dataclasses import replace

    hub = replace(opened, origin=replace(opened.origin, source="sentence-transformers/stsb:en"))
    header, _ = _card(_facts(sets=[hub, opened]), tmp_path)
    assert header["base_model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert header["datasets"] == ["sentence-transformers/stsb"]
    assert header["library_name"] == "sentence-transformers"
    for folder in (str(tmp_path), "./models/mine", "/models/mine", "~/models/mine", "mine"):
        header, _ = _card(_facts(sets=[opened], model=folder), tmp_path)
        assert "base_model" not in header
        assert "datasets" not in header


def test_texts_are_shortened_and_are_no_markup(tmp_path: Path) -> None:
    wild = "<script>alert(1)</script> | *bold* [a](http://b) `code` \n\n# title " + "long " * 100
    rows = [{"anchor": wild, "positive": "b | c"}, {"anchor": "b", "positive": "c"}]
    _, text = _card(
        _facts(TrainingSet(Dataset.from_list(rows), MultipleNegativesRankingLoss())), tmp_path
    )
    (line,) = [line for line in text.splitlines() if line.startswith("| anchor |")]
    assert "<script>" not in text
    assert line.replace(r"\|", "").count("|") == 3
    assert r"\*bold\* \[a\](http://b) \`code\` \# title" in line
    assert "…" in line
    assert len(line) < 200
    assert "| positive | b \\| c |" in text
    assert "Dataset in memory" in text


def test_problems_are_in_it(tmp_path: Path) -> None:
    path = tmp_path / "scored.jsonl"
    scored_set(tmp_path)
    path.write_text(path.read_text() + '{"sentence1": "a", "sentence2"\n')
    facts = _facts(TrainingSet(str(path), SquaredDifference()))
    _, text = _card(facts, tmp_path)
    assert "- records that made no example: 1\n  - " in text
    assert "scored.jsonl:25" in text


def test_the_call_is_python_that_makes_the_same_settings(tmp_path: Path) -> None:
    settings = TrainingSettings(
        batch_size=8, lora=LoraSettings(rank=4, modules=("query",)), learning_rates={"a|b": 1e-3}
    )
    training_set = TrainingSet(
        Dataset.from_list(PAIRS), MultipleNegativesRankingLoss(scale=5.0), name="mine",
        columns=("anchor", "positive"), prompts={"anchor": "query: "}, sampling="no_duplicates",
    )  # fmt: skip
    _, text = _card(_facts(training_set, settings=settings), tmp_path)
    code = text.split("```python\n")[-1].split("```")[0]
    assert isinstance(ast.parse(code).body[0], ast.Expr)
    seen: dict[str, Any] = {}

    def train(model: str, sets: Any, output: str, **options: Any) -> None:
        seen.update(options, model=model, sets=sets, output=output)

    names = {"train": train, "TrainingSet": TrainingSet, "TrainingSettings": TrainingSettings,
             "LoraSettings": LoraSettings, "data": training_set.source,
             "MultipleNegativesRankingLoss": MultipleNegativesRankingLoss}  # fmt: skip
    exec(code, names)
    assert seen["settings"] == settings
    assert (seen["model"], seen["output"], seen["kind"]) == (
        "sentence-transformers/all-MiniLM-L6-v2", "runs/first", "bi",
    )  # fmt: skip
    (made,) = seen["sets"]
    assert made.loss.settings() == training_set.loss.settings()
    for name in ("source", "name", "columns", "prompts", "sampling", "split", "streaming"):
        assert getattr(made, name) == getattr(training_set, name)


def test_the_command_is_the_one_that_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["/home/me/bin/search-cli", "train", "bi", "--data", "my file"]
    )
    _, text = _card(_facts(scored_set(tmp_path)), tmp_path)
    assert "```\nsearch-cli train bi --data 'my file'\n```" in text
    assert "/home/me" not in text


def test_a_long_training_has_a_short_table_with_its_end(tmp_path: Path) -> None:
    losses = tuple((step, 1 / step) for step in range(1, 1001))
    report = TrainingReport(Path("model"), 1000, 1.0, losses, (), None)
    _, text = _card(_facts(scored_set(tmp_path), report=report), tmp_path)
    table = text.split("## Loss")[1].split("##")[0].strip().splitlines()[2:]
    assert len(table) == 40
    assert table[-1] == "| 1000 | 0.0010 |"


def _pixels(path: Path) -> np.ndarray[Any, Any]:
    """The picture in a PNG file of 8 bits a channel, [height, width, 4]."""
    from matplotlib.image import imread

    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    length, name = struct.unpack(">I4s", content[8:16])
    assert zlib.crc32(content[12 : 16 + length]) == struct.unpack(">I", content[29:33])[0]
    assert name == b"IHDR"
    return np.asarray(imread(path))


def test_the_curves(tmp_path: Path) -> None:
    falling = [(step, 1 / step) for step in range(1, 60)]
    draw_losses(falling, tmp_path / "falling.png")
    draw_losses([(step, -value) for step, value in falling], tmp_path / "rising.png")
    fall, rise = _pixels(tmp_path / "falling.png"), _pixels(tmp_path / "rising.png")
    assert fall.shape == rise.shape == (450, 800, 4)

    def heights(picture: np.ndarray[Any, Any]) -> tuple[float, float]:
        """How far down the blue line is in its left and its right third."""
        blue = (picture[..., 2] > 0.6) & (picture[..., 0] < 0.3)
        columns = [np.flatnonzero(blue[:, x]) for x in range(800)]
        found = [float(rows.mean()) for rows in columns if len(rows)]
        third = len(found) // 3
        return float(np.mean(found[: third // 8])), float(np.mean(found[-third:]))

    assert heights(fall)[0] + 100 < heights(fall)[1]
    assert heights(rise)[0] > heights(rise)[1] + 100
    scores = [(step, {"score": step / 10, "日本語 $x": 0.5, "b": 1.0}) for step in (0, 5, 10)]
    draw_scores(scores, tmp_path / "scores.png")
    assert _pixels(tmp_path / "scores.png").shape == (450, 800, 4)


def test_a_run_draws_them(dense_encoder: Path, tmp_path: Path) -> None:
    run(dense_encoder, scored_set(tmp_path), tmp_path / "run", evaluators=[Alike()])
    assert _pixels(tmp_path / "run/loss.png").shape == (450, 800, 4)
    assert _pixels(tmp_path / "run/scores.png").shape == (450, 800, 4)
    assert len(SCORED) == 24
