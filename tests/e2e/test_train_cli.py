"""search-cli train and distill, from the command line to the trained model, in this process."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import numpy as np
import pytest
import typer

from search_engine.cli.training_losses import make_loss
from search_engine.cli.training_report import sparkline
from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.cross_encoder import CrossEncoder
from search_engine.encoders.sparse_encoder import SparseEncoder
from search_engine.errors import ConfigError, UnknownNameError
from tests.encoders.checkpoints import WORDS, write_trunk
from tests.encoders.conftest import bert, classifier, masked_lm, private_cache

__all__ = ["bert", "classifier", "masked_lm", "private_cache"]

SHORT = ("--max-steps", "4", "--batch-size", "4", "--device", "cpu", "--offline")


@pytest.fixture
def texts() -> list[str]:
    draw = random.Random(2)
    found = {" ".join(draw.choices(WORDS, k=draw.randint(2, 9))): None for _ in range(300)}
    return list(found)[:160]


@pytest.fixture
def pairs(tmp_path: Path, texts: list[str]) -> Path:
    return write_lines(tmp_path / "pairs.jsonl", texts[:32], ("query", "positive"))


@pytest.fixture
def tuples(tmp_path: Path, texts: list[str]) -> Path:
    names = ("query", "positive", "negative_1", "negative_2")
    return write_lines(tmp_path / "tuples.jsonl", texts[:64], names)


@pytest.fixture
def judged(tmp_path: Path, texts: list[str]) -> Path:
    """A collection in the BEIR layout, of twelve documents and six queries."""
    folder = tmp_path / "judged"
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": f"d{n}", "title": "", "text": texts[n]} for n in range(12)]
    queries = [{"_id": f"q{n}", "text": texts[20 + n]} for n in range(6)]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(each) + "\n" for each in corpus))
    (folder / "queries.jsonl").write_text("".join(json.dumps(each) + "\n" for each in queries))
    judgments = "".join(f"q{n}\td{n}\t1\n" for n in range(6))
    (folder / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\n" + judgments)
    return folder


def write_lines(path: Path, texts: list[str], names: tuple[str, ...]) -> Path:
    step = len(names)
    rows = [texts[start : start + step] for start in range(0, len(texts), step)]
    path.write_text("".join(json.dumps(dict(zip(names, r, strict=True))) + "\n" for r in rows))
    return path


def train_bi(bert: Path, data: Path, output: Path) -> tuple[str, ...]:
    return (
        "train", "bi", "--model", str(bert), "--data", str(data), "--loss",
        "MultipleNegativesRankingLoss", "--output", str(output), *SHORT,
    )  # fmt: skip


def test_a_bi_encoder_is_trained(bert, pairs, tmp_path, run) -> None:
    arguments = (*train_bi(bert, pairs, tmp_path / "run"), "--learning-rate", "0.01")
    status, out, err = run(*arguments, "--loss-option", "scale=5", "--json")
    assert status == 0, err
    report = json.loads(out)
    assert report["model"] == str(tmp_path / "run" / "model")
    assert (report["steps"], report["scores"], report["best_step"]) == (4, [], None)
    assert report["problems"] == {"pairs.jsonl": 0}
    before, after = (
        BiEncoder(str(folder), backend="torch", dtype="float32").encode(["the cell"])
        for folder in (bert, report["model"])
    )
    assert np.abs(before - after).max() > 0.01
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert "MultipleNegativesRankingLoss" in card
    run_json = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run_json["settings"]["learning_rate"] == 0.01
    assert run_json["data"]["pairs.jsonl"]["loss"]["scale"] == 5
    # The same folder again is refused, and a finished run is left as it is.
    assert run(*arguments)[0] == 1
    status, out, _ = run(*arguments, "--loss-option", "scale=5", "--resume", "--json")
    assert (status, json.loads(out)["steps"]) == (0, 4)


def test_scores_before_and_after_are_shown(bert, pairs, judged, tmp_path, run) -> None:
    arguments = (*train_bi(bert, pairs, tmp_path / "run"), "--evaluate", str(judged))
    status, out, err = run(*arguments, "--save-every", "2")
    assert status == 0, err
    lines = out.splitlines()
    header = next(line for line in lines if "before" in line and "after" in line)
    assert "difference" in header
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    scores = {entry["step"]: entry for entry in log if "eval_judged_ndcg@10" in entry}
    assert sorted(scores) == [0, 2, 4]
    best = max((2, 4), key=lambda step: (scores[step]["eval_score"], -step))
    row = next(line for line in lines if "judged_ndcg@10" in line).split("\u2502")
    assert [cell.strip() for cell in row[2:4]] == [
        f"{scores[step]['eval_judged_ndcg@10']:.4f}" for step in (0, best)
    ]
    assert " to " in row[5]
    assert f"model: {tmp_path / 'run' / 'model'}" in lines
    curves = {line.removeprefix("curve: ") for line in lines if line.startswith("curve: ")}
    assert curves == {str(tmp_path / "run" / name) for name in ("loss.png", "scores.png")}
    assert all(Path(each).read_bytes().startswith(b"\x89PNG") for each in curves)
    assert any(line.startswith("loss ") and "\u2581" in line for line in lines)


def test_sparse_and_cross_encoders_are_trained(
    masked_lm, classifier, bert, tuples, judged, tmp_path, run, monkeypatch
) -> None:
    # What finds the candidates that the cross-encoder orders.
    monkeypatch.setattr("search_engine.config.DEFAULT_MODEL", str(bert))
    status, _, err = run(
        "train", "sparse", "--model", str(masked_lm), "--data", str(tuples), "--loss",
        "SpladeLoss", "--loss-option", "loss=MultipleNegativesRankingLoss", "--loss-option",
        "loss.scale=2", "--loss-option", "document_weight=1e-4", "--output",
        str(tmp_path / "sparse"), *SHORT,
    )  # fmt: skip
    assert status == 0, err
    assert (
        len(SparseEncoder(str(tmp_path / "sparse" / "model"), backend="torch").encode(["a"])) == 1
    )
    status, out, err = run(
        "train", "cross", "--model", str(classifier), "--data", str(tuples), "--loss",
        "BinaryCrossEntropyLoss", "--evaluate", str(judged), "--output",
        str(tmp_path / "cross"), *SHORT, "--json",
    )  # fmt: skip
    assert status == 0, err
    assert [entry["step"] for entry in json.loads(out)["scores"]] == [0, 4]
    encoder = CrossEncoder(str(tmp_path / "cross" / "model"), backend="torch")
    assert encoder.num_labels == 1


OWN_LOSS = """
from __future__ import annotations
from typing import ClassVar
from search_engine.training.losses.loss import Loss

class MyLoss(Loss):
    formats: ClassVar = ("pairs",)

    def __init__(self, *, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, batch):
        a, b = batch.vectors
        return self.factor * ((a - b) ** 2).mean()

class NoLoss:
    pass
"""


def test_a_loss_in_a_file_of_ones_own(bert, pairs, tmp_path, run) -> None:
    file = tmp_path / "mylosses.py"
    file.write_text(OWN_LOSS)
    status, out, err = run(
        "train", "bi", "--model", str(bert), "--data", str(pairs), "--loss", f"{file}:MyLoss",
        "--loss-option", "factor=3", "--output", str(tmp_path / "run"), *SHORT,
        "--learning-rate", "0.01", "--json",
    )  # fmt: skip
    assert status == 0, err
    assert json.loads(out)["steps"] == 4
    described = json.loads((tmp_path / "run" / "run.json").read_text())["data"]["pairs.jsonl"]
    assert described["loss"] == {"name": "MyLoss", "factor": 3}
    # The mean squared distance of (query, positive) is what was made small.
    rows = [json.loads(line) for line in pairs.read_text().splitlines()]
    distances = []
    for folder in (bert, tmp_path / "run" / "model"):
        encoder = BiEncoder(str(folder), backend="torch", dtype="float32")
        a, b = (encoder.encode([row[name] for row in rows]) for name in ("query", "positive"))
        distances.append(((a - b) ** 2).mean())
    assert distances[1] < distances[0]


def test_files_that_hold_no_loss(tmp_path) -> None:
    file = tmp_path / "mylosses.py"
    file.write_text(OWN_LOSS)
    (tmp_path / "broken.py").write_text("def broken(:\n")
    for name, reason in (
        (f"{tmp_path / 'missing.py'}:MyLoss", "there is no such file"),
        (f"{tmp_path / 'broken.py'}:MyLoss", "cannot be loaded: SyntaxError"),
        (f"{file}:NoLoss", "'NoLoss' is no loss"),
        (f"{file}:Absent", "'Absent' is no loss"),
    ):
        with pytest.raises(ConfigError, match=reason):
            make_loss(name, [], kind="bi")


def test_options_of_losses() -> None:
    loss = make_loss(
        "MultipleNegativesRankingLoss",
        ["scale=7.5", "directions=query_to_doc,doc_to_query", "gather=true", "hardness=None"],
        kind="bi",
        matryoshka="16,8",
    )
    assert loss.dimensions == (16, 8)
    assert loss.loss.scale == 7.5
    assert loss.loss.directions == ("query_to_doc", "doc_to_query")
    assert (loss.loss.gather, loss.loss.hardness) == (True, None)
    nested = make_loss("SpladeLoss", ["loss=MarginMSELoss", "document_weight=3e-5"], kind="sparse")
    assert (type(nested.loss).__name__, nested.document_weight) == ("MarginMSELoss", 3e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["scale"], "not of the form"),
        (["sale=3"], "no option 'sale'; its options are: scale"),
        (["inner.scale=3"], "inner.scale: there is no such option"),
        (["loss.scale=3"], "needs loss=NAME"),
        (["scale=many"], "cannot be made with scale='many': scale is 'many', and must be a number"),
    ],
)
def test_wrong_options_of_losses(options, message) -> None:
    with pytest.raises(typer.BadParameter, match=message):
        make_loss("MultipleNegativesRankingLoss", options, kind="bi")


def test_losses_that_are_not_there_or_lack_an_option() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'MultipleNegativesRankingLoss'"):
        make_loss("MultipleNegativeRankingLoss", [], kind="bi")
    with pytest.raises(typer.BadParameter, match="SpladeLoss needs --loss-option loss="):
        make_loss("SpladeLoss", ["document_weight=1"], kind="sparse")


def test_wrong_usage(bert, pairs, tmp_path, run) -> None:
    arguments = train_bi(bert, pairs, tmp_path / "run")
    for more in (
        ("--loss", "MultipleNegativesRankingLoss"),
        ("--prompt", "query"),
        ("--patience", "2"),
        ("--epochs", "0"),
        ("--learning-rate", "-1"),
        ("--batch-size", "0"),
        ("--precision", "int8"),
        ("--loss-option", "none=1"),
    ):
        assert run(*arguments, *more)[0] == 2, more
    assert run("train", "both", *arguments[2:])[0] == 2
    assert run("train", "sparse", *arguments[2:], "--matryoshka", "8")[0] == 2
    assert not (tmp_path / "run").exists()


def test_data_that_does_not_fit(bert, pairs, tmp_path, run) -> None:
    status, _, err = run(*train_bi(bert, tmp_path / "missing.jsonl", tmp_path / "run"))
    assert status == 1
    assert err.startswith("error: ")
    assert "missing.jsonl" in err
    status, _, err = run(*train_bi(bert, pairs, tmp_path / "run"), "--columns", "query,answer")
    assert status == 1
    assert "'answer'" in err


def test_records_that_are_not_read_are_told_by_the_status(bert, pairs, tmp_path, run) -> None:
    with pairs.open("a") as file:
        file.write('{"query": "the cell", "positive": null}\n')
    status, out, err = run(*train_bi(bert, pairs, tmp_path / "run"), "--json")
    assert status == 3, err
    assert json.loads(out)["problems"] == {"pairs.jsonl": 1}


def test_prompts_come_before_the_texts_of_a_column(bert, pairs, tmp_path, run) -> None:
    arguments = train_bi(bert, pairs, tmp_path / "run")
    status, _, err = run(*arguments, "--prompt", "query=search query: ", "--json")
    assert status == 0, err
    described = json.loads((tmp_path / "run" / "run.json").read_text())["data"]["pairs.jsonl"]
    assert described["prompts"] == {"query": "search query: "}


def test_distillation_of_scores(bert, masked_lm, classifier, tuples, tmp_path, run) -> None:
    for command, teacher, student, encoder in (
        ("cross-to-bi", classifier, bert, BiEncoder),
        ("cross-to-sparse", classifier, masked_lm, SparseEncoder),
        ("dense-to-sparse", bert, masked_lm, SparseEncoder),
    ):
        output = tmp_path / command
        arguments = (
            "distill", command, "--teacher", str(teacher), "--model", str(student), "--data",
            str(tuples), "--output", str(output), *SHORT,
        )  # fmt: skip
        status, out, err = run(*arguments, "--json")
        assert status == 0, err
        report = json.loads(out)
        assert report["model"] == str(output / "training" / "model")
        assert encoder(report["model"], backend="torch").name == report["model"]
        assert list((output / "labels").glob("*.arrow"))
        described = json.loads((output / "training" / "run.json").read_text())["data"]
        loss = described["tuples.jsonl"]["loss"]
        if encoder is BiEncoder:
            assert loss["name"] == "MarginMSELoss"
        else:
            assert (loss["name"], loss["document_weight"]) == ("SpladeLoss", 0.008)


def test_distillation_by_translations(bert, texts, tmp_path, run) -> None:
    student = write_trunk(tmp_path / "student", layers=1, seed=4)
    lines = [f"{text}\t{text[::-1]}" for text in texts[:20]]
    (tmp_path / "pairs.tsv").write_text("\n".join([*lines, "alone"]) + "\n")
    for side, name in ((texts[:8], "one.txt"), (texts[8:16], "other.txt")):
        (tmp_path / name).write_text("\n".join(side) + "\n")
    status, out, err = run(
        "distill", "multilingual", "--teacher", str(bert), "--model", str(student),
        "--data", str(tmp_path / "pairs.tsv"), "--data",
        f"{tmp_path / 'one.txt'},{tmp_path / 'other.txt'}",
        "--output", str(tmp_path / "run"), *SHORT, "--json",
    )  # fmt: skip
    assert status == 3, err
    assert f"problem: {tmp_path / 'pairs.tsv'}:21: a sentence" in err
    assert json.loads(out)["steps"] == 4
    described = json.loads((tmp_path / "run" / "training" / "run.json").read_text())["data"]
    assert sorted(described) == ["other.txt", "pairs.tsv"]


def test_distillation_into_fewer_layers(bert, texts, tmp_path, run) -> None:
    (tmp_path / "texts.txt").write_text("\n".join(texts[:20]) + "\n\n")
    arguments = (
        "distill", "layers", "--teacher", str(bert), "--texts", str(tmp_path / "texts.txt"),
        "--output", str(tmp_path / "run"), *SHORT,
    )  # fmt: skip
    assert run(*arguments, "--keep", "some")[0] == 2
    assert run(*arguments, "--keep", "0,2")[0] == 1
    status, out, err = run(*arguments, "--keep", "1", "--json")
    assert status == 0, err
    report = json.loads(out)
    assert report["layers"] == [0]
    config = json.loads((Path(report["model"]) / "config.json").read_text())
    assert config["num_hidden_layers"] == 1


def test_distillation_into_fewer_dimensions(bert, texts, tuples, tmp_path, run) -> None:
    (tmp_path / "texts.txt").write_text("\n".join(texts) + "\n")
    arguments = (
        "distill", "dimension", "--teacher", str(bert), "--texts", str(tmp_path / "texts.txt"),
        "--dimension", "6", *SHORT,
    )  # fmt: skip
    status, out, err = run(*arguments, "--output", str(tmp_path / "only"))
    assert status == 0, err
    assert "6 dimensions hold" in out
    assert out.splitlines()[-1] == f"model: {tmp_path / 'only' / 'student'}"
    assert BiEncoder(str(tmp_path / "only" / "student"), backend="torch").dimension == 6
    status, out, err = run(
        *arguments, "--output", str(tmp_path / "more"), "--data", str(tuples), "--loss",
        "DistillKLDivLoss", "--loss-option", "temperature=0.5", "--json",
    )  # fmt: skip
    assert status == 0, err
    report = json.loads(out)
    assert report["projection"]["dimension"] == 6
    assert 0 < report["projection"]["nearest_kept"] <= 1
    assert BiEncoder(report["model"], backend="torch").dimension == 6
    status, _, err = run(*arguments, "--texts", str(tmp_path), "-o", str(tmp_path / "no"))
    assert status == 1
    assert "cannot be read" in err
    (tmp_path / "cut.txt.gz").write_bytes(gzip.compress("\n".join(texts).encode())[:-20])
    wrong = ("--texts", str(tmp_path / "cut.txt.gz"), "-o", str(tmp_path / "cut"))
    status, _, err = run(*arguments, *wrong)
    assert status == 1
    assert "cut.txt.gz: cannot be read" in err


def test_a_student_of_fewer_dimensions_is_kept(bert, texts, tuples, tmp_path, run) -> None:
    (tmp_path / "texts.txt").write_text("\n".join(texts) + "\n")
    student = tmp_path / "run" / "student"

    def distill(dimension: int, *options: str) -> tuple[int, str, str]:
        return run(
            "distill", "dimension", "--teacher", str(bert), "--texts",
            str(tmp_path / "texts.txt"), "--dimension", str(dimension), "--output",
            str(tmp_path / "run"), *SHORT, *options,
        )  # fmt: skip

    data = ("--data", str(tuples))
    status, _, err = distill(6, "--resume")
    assert status == 2
    assert "give its --data" in " ".join(err.replace("\u2502", " ").split())
    assert distill(6)[0] == 0
    before = {path: path.read_bytes() for path in student.rglob("*") if path.is_file()}
    for wrong, words in (
        ((6,), "is there already; give another folder, or resume"),
        ((6, *data), "is there already; give another folder, or resume"),
        ((5, *data, "--resume"), "dimension was 6, and is 5"),
        ((6, "--precision", "float16", "--data", str(tmp_path / "none")), "float16 needs a GPU"),
    ):
        status, _, err = distill(*wrong)
        assert status == 1
        assert words in err
    assert {path: path.read_bytes() for path in student.rglob("*") if path.is_file()} == before
    status, _, err = distill(6, *data, "--resume")
    assert status == 0, err
    assert {path: path.read_bytes() for path in student.rglob("*") if path.is_file()} == before
    assert (tmp_path / "run" / "training" / "model").is_dir()


def test_a_curve_in_one_line() -> None:
    assert sparkline([7, 6, 5, 4, 3, 2, 1, 0]) == "\u2588\u2587\u2586\u2585\u2584\u2583\u2582\u2581"
    assert sparkline([1, 1]) == "\u2581\u2581"
    many = sparkline([float(number) for number in range(600)])
    assert (len(many), many[0], many[-1]) == (60, "\u2581", "\u2588")
    assert many == "".join(sorted(many))
