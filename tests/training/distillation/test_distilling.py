"""Whole distillations of tiny models: the student comes nearer to what its teacher says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.cross_encoder import CrossEncoder
from search_engine.encoders.sparse_encoder import SparseEncoder
from search_engine.errors import ConfigError, ModelNotFoundError, ReadError, TrainingDataError
from search_engine.training.data.training_set import TrainingSet
from search_engine.training.distillation import fewer_layers, vectors
from search_engine.training.distillation.fewer_layers import distill_layers
from search_engine.training.distillation.multilingual import distill_multilingual
from search_engine.training.distillation.parallel_sentences import ParallelSentences
from search_engine.training.distillation.scores import distill_scores
from search_engine.training.distillation.teachers import CrossEncoderScores, Similarities
from search_engine.training.losses.bi_encoder.distill_kl_div import DistillKLDivLoss
from search_engine.training.losses.bi_encoder.margin_mse import MarginMSELoss
from search_engine.training.losses.bi_encoder.mse import MSELoss
from search_engine.training.losses.bi_encoder.multiple_negatives_ranking import (
    MultipleNegativesRankingLoss,
)
from search_engine.training.settings import TrainingSettings
from tests.encoders.checkpoints import write_trunk

SETTINGS = TrainingSettings(
    max_steps=30, batch_size=8, learning_rate=3e-3, warmup=0, log_every=5, save_every=30
)
TEXT_COLUMNS = ("query", "positive", "negative_1", "negative_2")


def read_rows(path: Path) -> list[list[str]]:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [[record[name] for name in TEXT_COLUMNS] for record in records]


def margins(scores: np.ndarray) -> np.ndarray:
    return scores[:, :1] - scores[:, 1:]


def dense_scores(folder: Path, rows: list[list[str]]) -> np.ndarray:
    encoder = BiEncoder(str(folder), backend="torch", dtype="float32")
    queries = encoder.encode_query([row[0] for row in rows])
    texts = [encoder.encode_document([row[n] for row in rows]) for n in range(1, len(rows[0]))]
    return np.stack([(queries * each).sum(axis=1) for each in texts], axis=1)


def sparse_scores(folder: Path, rows: list[list[str]]) -> np.ndarray:
    encoder = SparseEncoder(str(folder), backend="torch", dtype="float32")
    queries = encoder.encode_query([row[0] for row in rows])
    texts = [encoder.encode_document([row[n] for row in rows]) for n in range(1, len(rows[0]))]
    return np.stack([encoder.compare_pairs(queries, each) for each in texts], axis=1)


def error(student: np.ndarray, teacher: np.ndarray) -> float:
    return float(((margins(student) - margins(teacher)) ** 2).mean())


@pytest.fixture(scope="session")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trunk(tmp_path_factory.mktemp("student") / "trunk", layers=1, seed=11)


def test_a_cross_encoder_into_a_bi_encoder(
    classifier: Path, student: Path, rows: Path, tmp_path: Path
) -> None:
    encoder = CrossEncoder(str(classifier), backend="torch", dtype="float32")
    counts: list[int] = []
    entries: list[Any] = []
    report = distill_scores(
        str(student),
        CrossEncoderScores(encoder),
        TrainingSet(str(rows), MarginMSELoss()),
        tmp_path / "run",
        settings=SETTINGS,
        device="cpu",
        offline=True,
        on_rows=counts.append,
        on_log=entries.append,
    )
    assert report.model == tmp_path / "run" / "training" / "model"
    assert sum(counts) == 40
    assert report.losses[-1][1] < report.losses[0][1]
    assert any("learning_rate" in entry for entry in entries)
    texts = read_rows(rows)
    truth = np.stack(
        [encoder.predict([(query, text) for text in others]) for query, *others in texts]
    )
    before = error(dense_scores(student, texts), truth)
    after = error(dense_scores(report.model, texts), truth)
    assert after < before / 2


def test_the_loss_sees_the_scores_of_the_teacher(
    classifier: Path, student: Path, rows: Path, tmp_path: Path
) -> None:
    seen: list[tuple[list[str], list[float]]] = []

    class Looking(MarginMSELoss):
        def forward(self, batch: Any) -> Any:
            for number, scores in enumerate(batch.labels.tolist()):
                seen.append(([column[number] for column in batch.texts], scores))
            return super().forward(batch)

    encoder = CrossEncoder(str(classifier), backend="torch", dtype="float32")
    settings = TrainingSettings(epochs=1, batch_size=8, learning_rate=1e-5)
    distill_scores(
        str(student),
        CrossEncoderScores(encoder),
        TrainingSet(str(rows), Looking()),
        tmp_path / "run",
        settings=settings,
        device="cpu",
        offline=True,
    )
    assert sorted(texts for texts, _ in seen) == sorted(read_rows(rows))
    for (query, *texts), scores in seen:
        np.testing.assert_allclose(
            scores, encoder.predict([(query, text) for text in texts]), atol=1e-6
        )


@pytest.mark.parametrize("loss", [MarginMSELoss(), DistillKLDivLoss()])
def test_a_bi_encoder_into_a_sparse_encoder(
    teacher: Path, masked_lm: Path, rows: Path, tmp_path: Path, loss: Any
) -> None:
    dense = BiEncoder(str(teacher), backend="torch", dtype="float32")
    report = distill_scores(
        str(masked_lm),
        Similarities(dense),
        TrainingSet(str(rows), loss),
        tmp_path / "run",
        kind="sparse",
        settings=SETTINGS,
        device="cpu",
        offline=True,
    )
    texts = read_rows(rows)
    truth = dense_scores(teacher, texts)
    before, after = (sparse_scores(folder, texts) for folder in (masked_lm, report.model))
    if isinstance(loss, MarginMSELoss):
        assert error(after, truth) < error(before, truth) / 2
    else:
        assert divergence(after, truth) < divergence(before, truth) / 2


def divergence(student: np.ndarray, teacher: np.ndarray) -> float:
    def softmax(scores: np.ndarray) -> np.ndarray:
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    p, q = softmax(teacher), softmax(student)
    return float((p * np.log(p / np.maximum(q, 1e-30))).sum(axis=1).mean())


def test_translations_get_the_vectors_of_the_teacher(
    teacher: Path, student: Path, texts: list[str], tmp_path: Path
) -> None:
    lines = [f"{text}\t{text[::-1]}" for text in texts[:40]]
    lines.insert(3, "without a translation")
    (tmp_path / "pairs.tsv").write_text("\n".join(lines) + "\n")
    problems: list[ReadError] = []
    dense = BiEncoder(str(teacher), backend="torch", dtype="float32")
    report = distill_multilingual(
        str(student),
        dense,
        [ParallelSentences(tmp_path / "pairs.tsv")],
        tmp_path / "run",
        settings=SETTINGS,
        device="cpu",
        offline=True,
        on_problem=problems.append,
    )
    assert [problem.line for problem in problems] == [4]
    truth = dense.encode(texts[:40])
    distances = []
    for folder in (student, report.model):
        encoder = BiEncoder(str(folder), backend="torch", dtype="float32")
        sides = [encoder.encode(texts[:40]), encoder.encode([t[::-1] for t in texts[:40]])]
        distances.append([float(((side - truth) ** 2).mean()) for side in sides])
    assert all(after < before / 3 for before, after in zip(*distances, strict=True))


def test_fewer_layers_learn_the_vectors_of_all(
    teacher: Path, texts: list[str], tmp_path: Path
) -> None:
    dense = BiEncoder(str(teacher), backend="torch", dtype="float32")
    report = distill_layers(
        dense,
        texts[:80],
        tmp_path / "run",
        layers=[0, 3],
        settings=SETTINGS,
        device="cpu",
        offline=True,
    )
    truth = dense.encode(texts[:80])
    distances = []
    for folder in (tmp_path / "run" / "student", report.model):
        encoder = BiEncoder(str(folder), backend="torch", dtype="float32")
        distances.append(float(((encoder.encode(texts[:80]) - truth) ** 2).mean()))
    assert distances[1] < distances[0] / 2


def test_a_run_goes_on_after_each_kind_of_interruption(
    teacher: Path, texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dense = BiEncoder(str(teacher), backend="torch", dtype="float32")
    settings = SETTINGS.model_copy(update={"max_steps": 6, "save_every": 3})
    asked: list[int] = []
    label = vectors.Vectors.label

    def counted(self: Any, rows: Any) -> Any:
        asked.append(len(rows))
        return label(self, rows)

    monkeypatch.setattr(vectors.Vectors, "label", counted)

    def run(output: str, *, resume: bool = False, on_log: Any = None, on_rows: Any = None) -> Any:
        return distill_layers(
            dense, texts[:16], tmp_path / output, layers=[1, 2], settings=settings,
            device="cpu", offline=True, resume=resume, on_log=on_log, on_rows=on_rows,
        )  # fmt: skip

    def interrupt(_: Any) -> None:
        raise KeyboardInterrupt

    whole = run("whole")
    assert asked == [16]
    with pytest.raises(KeyboardInterrupt):
        run("parts", on_rows=interrupt)
    assert asked == [16, 16]

    def interrupt_late(entry: Any) -> None:
        if entry["step"] >= 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("parts", on_log=interrupt_late)
    with pytest.raises(ConfigError, match="not empty"):
        run("parts")
    parts = run("parts", resume=True)
    # The teacher was not asked again.
    assert asked == [16, 16]
    assert parts.steps == whole.steps == 6
    found, expected = (
        BiEncoder(str(report.model), backend="torch", dtype="float32").encode(texts)
        for report in (parts, whole)
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_what_cannot_work_is_told_before_the_teacher_is_asked(
    teacher: Path, student: Path, classifier: Path, rows: Path, tmp_path: Path
) -> None:
    class Silent:
        fingerprint = "silent"

        def label(self, rows: Any) -> Any:
            raise AssertionError("the teacher was asked")

    def run(name: str, source: Path, loss: Any, output: str = "run") -> None:
        distill_scores(
            name, Silent(), TrainingSet(str(source), loss), tmp_path / output, offline=True
        )

    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"query": "a", "positive": "b"}\n')
    with pytest.raises(TrainingDataError, match="MultipleNegativesRankingLoss does not learn"):
        run(str(student), rows, MultipleNegativesRankingLoss())
    with pytest.raises(TrainingDataError, match=r"pairs\.jsonl: .*wants \(anchor, positive, neg"):
        run(str(student), pairs, MarginMSELoss())
    with pytest.raises(ModelNotFoundError, match="missing"):
        run("missing", rows, MarginMSELoss())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(ConfigError, match=r"holds other files, such as letter\.txt"):
        run(str(student), rows, MarginMSELoss(), "mine")
    dense = BiEncoder(str(teacher), backend="torch", dtype="float32")
    (tmp_path / "t.tsv").write_text("a\tb\n")
    with pytest.raises(TrainingDataError, match="MarginMSELoss does not learn from vectors"):
        distill_multilingual(
            str(student), dense, [ParallelSentences(tmp_path / "t.tsv")], tmp_path / "run",
            loss=MarginMSELoss(),
        )  # fmt: skip
    with pytest.raises(TrainingDataError, match="no file of translations"):
        distill_multilingual(str(student), dense, [], tmp_path / "run")
    with pytest.raises(ConfigError, match="holds no run to go on with"):
        distill_layers(dense, ["a"], tmp_path / "none", layers=[0], resume=True)


def test_widths_have_to_agree(teacher: Path, bert: Path, tmp_path: Path) -> None:
    from search_engine.training.distillation.projection import write_projected

    draws = np.random.default_rng(0)
    texts = [" ".join(draws.choice(["cell", "of", "the", "a", "made"], 5)) for _ in range(60)]
    write_projected(str(teacher), texts, tmp_path / "small", dimension=4)
    dense = BiEncoder(str(tmp_path / "small"), backend="torch", dtype="float32")
    (tmp_path / "t.tsv").write_text("a\tb\n")
    with pytest.raises(ConfigError, match=r"have 16 dimensions, and those of .* 4;"):
        distill_multilingual(
            str(bert), dense, [ParallelSentences(tmp_path / "t.tsv")], tmp_path / "run",
            loss=MSELoss(), device="cpu", offline=True,
        )  # fmt: skip


def test_records_that_make_no_example_are_told(
    classifier: Path, student: Path, rows: Path, tmp_path: Path
) -> None:
    with rows.open("a") as file:
        file.write(
            '{"query": "the cell", "positive": null, "negative_1": "a", "negative_2": "b"}\n'
        )
    problems: list[ReadError] = []
    encoder = CrossEncoder(str(classifier), backend="torch", dtype="float32")
    distill_scores(
        str(student), CrossEncoderScores(encoder), TrainingSet(str(rows), MarginMSELoss()),
        tmp_path / "run", settings=SETTINGS.model_copy(update={"max_steps": 1}),
        device="cpu", offline=True, on_problem=problems.append,
    )  # fmt: skip
    assert [problem.path for problem in problems] == [str(rows)]


def test_why_no_record_makes_an_example_is_told_before_the_error(
    student: Path, rows: Path, tmp_path: Path
) -> None:
    class Failing:
        fingerprint = "failing"

        def label(self, rows: Any) -> Any:
            raise TrainingDataError("no label")

    with rows.open("a") as file:
        file.write("no json\n")
    problems: list[ReadError] = []
    with pytest.raises(TrainingDataError, match="no label"):
        distill_scores(
            str(student), Failing(), TrainingSet(str(rows), MarginMSELoss()), tmp_path / "run",
            device="cpu", offline=True, on_problem=problems.append,
        )  # fmt: skip
    assert [problem.line for problem in problems] == [41]


def test_settings_and_places_are_refused_before_the_teacher_is_asked(
    student: Path, rows: Path, tmp_path: Path
) -> None:
    class Silent:
        fingerprint = "silent"

        def label(self, rows: Any) -> Any:
            raise AssertionError("the teacher was asked")

    def run(output: Path, **options: Any) -> None:
        distill_scores(
            str(student), Silent(), TrainingSet(str(rows), MarginMSELoss()), output, device="cpu",
            offline=True, **options,
        )  # fmt: skip

    with pytest.raises(ConfigError, match="float16 needs a GPU"):
        run(tmp_path / "run", settings=SETTINGS.model_copy(update={"precision": "float16"}))
    for options in (
        {"output": rows}, {"output": rows / "run"}, {"output": tmp_path / "run", "labels": rows},
        {"output": tmp_path / "run", "labels": rows / "labels"},
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=r"rows\.jsonl is no folder; give a folder"):
            run(**options)
    assert not (tmp_path / "run").exists()


def test_a_student_that_is_there_is_never_replaced(
    teacher: Path, bert: Path, texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dense = BiEncoder(str(teacher), backend="torch", dtype="float32")
    settings = SETTINGS.model_copy(update={"max_steps": 4, "save_every": 2})

    def run(
        layers: list[int], encoder: BiEncoder = dense, *, resume: bool = False, on_rows: Any = None
    ) -> Any:
        return distill_layers(
            encoder, texts[:16], tmp_path / "run", layers=layers, settings=settings, device="cpu",
            offline=True, resume=resume, on_rows=on_rows,
        )  # fmt: skip

    def interrupt(_: Any) -> None:
        raise KeyboardInterrupt

    write = fewer_layers.write_fewer_layers

    def write_half(model: str, folder: Path, **options: Any) -> None:
        write(model, folder, **options)
        raise KeyboardInterrupt

    student = tmp_path / "run" / "student"
    with monkeypatch.context() as patched:
        patched.setattr(fewer_layers, "write_fewer_layers", write_half)
        with pytest.raises(KeyboardInterrupt):
            run([0, 1])
    assert not student.exists()
    # As a process that is killed leaves it.
    (tmp_path / "run" / "student.tmp").mkdir(parents=True)
    (tmp_path / "run" / "student.tmp" / "half").touch()
    with pytest.raises(KeyboardInterrupt):
        run([0, 2], on_rows=interrupt)
    weights = (student / "model.safetensors").read_bytes()
    assert not (student / "half").exists()
    for resume in (False, True):
        with pytest.raises(ConfigError, match=r"layers was \[0, 2\], and is \[1, 2\]\. Give"):
            run([1, 2], resume=resume)
        other = BiEncoder(str(bert), backend="torch", dtype="float32")
        with pytest.raises(ConfigError, match="teacher was"):
            run([0, 2], other, resume=resume)
    assert (student / "model.safetensors").read_bytes() == weights
    assert run([0, 2], resume=True).steps == 4
    with pytest.raises(ConfigError, match=r"layers was \[0, 2\]"):
        run([0, 3], resume=True)
    (tmp_path / "run" / "student.json").unlink()
    with pytest.raises(ConfigError, match="what it was made of cannot be read"):
        run([0, 2], resume=True)


@pytest.mark.slow
def test_of_two_processes_one_writes_the_student_and_asks_the_teacher(
    teacher: Path, texts: list[str], tmp_path: Path
) -> None:
    root = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}

    def launch(name: str, layers: list[int]) -> list[Any]:
        path = tmp_path / f"{name}.json"
        path.write_text(
            json.dumps(
                {"teacher": str(teacher), "texts": texts[:16], "layers": layers,
                 "output": str(tmp_path / "run")}
            )
        )  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2",
             "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0",
             "-m", "tests.training.distillation.distributed_run", str(path)],
            capture_output=True, text=True, env=environment, cwd=root, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return [json.loads(path.with_suffix(f".{rank}").read_text()) for rank in range(2)]

    first, second = launch("first", [0, 2])
    assert first == {"done": ["wrote", "labelled"], "steps": 2}
    assert second == {"done": [], "steps": 2}
    first, second = launch("again", [0, 3])
    # Both are told what the first has found.
    assert first == second
    assert first["done"] == []
    assert "is not empty" in first["error"]
