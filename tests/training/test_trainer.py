"""The loop: gradients, learning rates, evaluating, choosing the best, stopping."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from search_engine import BiEncoder
from search_engine.encoders.checkpoints.layout import read_layout
from search_engine.errors import ConfigError, TrainingError
from search_engine.training import TrainingSet, TrainingSettings
from search_engine.training.data.collating import TextCollator, TrainingBatch
from search_engine.training.data.training_set import open_training_set
from search_engine.training.losses.bi_encoder import MultipleNegativesRankingLoss
from search_engine.training.losses.loss import Loss
from search_engine.training.training_model import TrainingModel
from tests.encoders.checkpoints import edit_json
from tests.training.runs import (
    PAIRS,
    QUICK,
    SCORED,
    Alike,
    LearnedScale,
    PoisonedLoss,
    Scripted,
    SquaredDifference,
    assert_same_weights,
    read_log,
    run,
    scored_set,
    weights_of,
    write_rows,
)

# Without dropout, so that batches can be put together otherwise.
_STEADY = QUICK.model_copy(update={"schedule": "constant_with_warmup", "warmup": 0.0})


def _batch(model: Path, training_set: TrainingSet) -> tuple[TrainingModel, TrainingBatch]:
    opened = open_training_set(training_set)
    layout = read_layout(model, task="embedding")
    examples = [(0, row, example) for row, example in enumerate(opened.rows)]
    batch = TextCollator([opened], layout)(examples)["batch"]
    return TrainingModel(layout, {opened.name: training_set.loss}), batch


def _gradients(model: TrainingModel, batch: TrainingBatch) -> dict[str, Tensor]:
    model(batch).backward()
    return {
        name: parameter.grad for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }  # fmt: skip


@pytest.fixture
def still(dense_encoder: Path, tmp_path: Path) -> Path:
    """The encoder without dropout."""
    folder = tmp_path / "still"
    shutil.copytree(dense_encoder, folder)
    none = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    edit_json(folder / "config.json", none)
    return folder


def test_accumulated_batches_are_one_large_batch(still: Path, tmp_path: Path) -> None:
    small = _STEADY.model_copy(update={"batch_size": 3, "accumulation": 4})
    large = _STEADY.model_copy(update={"batch_size": 12})
    for name, settings in (("small", small), ("large", large)):
        run(still, scored_set(tmp_path), tmp_path / name, settings=settings)
    first, second = weights_of(tmp_path / "small/model"), weights_of(tmp_path / "large/model")
    before = weights_of(still)
    moved = 0
    for name, weight in first.items():
        if "key.bias" in name:
            continue  # The softmax of attention takes no notice of it: its gradient is rounding.
        torch.testing.assert_close(weight, second[name], atol=2e-4, rtol=1e-3)
        moved += bool((weight - before[name]).abs().max() > 5e-3)
    assert moved > 20
    assert [entry["loss"] for entry in read_log(tmp_path / "small") if "loss" in entry] == (
        pytest.approx([e["loss"] for e in read_log(tmp_path / "large") if "loss" in e], rel=1e-4)
    )


def test_checkpointed_gradients_are_the_same(dense_encoder: Path, tmp_path: Path) -> None:
    training_set = scored_set(tmp_path)
    model, batch = _batch(dense_encoder, training_set)
    twice, _ = _batch(dense_encoder, training_set)
    twice.checkpoint_gradients()
    layers: list[str] = []
    for layer in twice.transformers()[0].encoder.layer:
        layer.attention.register_forward_hook(lambda *call: layers.append("run"))
    found = []
    for each in (model, twice):
        each.train()
        # Dropout is on, and has to be the same when a layer is computed again.
        torch.manual_seed(0)
        found.append(_gradients(each, batch))
    assert len(layers) == 4, "two layers, each computed twice"
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name], atol=1e-6, rtol=1e-5)


def test_bfloat16_is_for_the_transformer_and_not_for_the_loss(
    dense_encoder: Path, tmp_path: Path
) -> None:
    seen: list[tuple[torch.dtype, bool, float]] = []

    class Watched(SquaredDifference):
        def forward(self, batch: Any) -> Tensor:
            a, b = (vectors.detach() for vectors in batch.vectors)
            product, exact = a @ b.T, (a.double() @ b.double().T).float()
            seen.append((product.dtype, batch.vectors[0].requires_grad,
                         float((product - exact).abs().max() / exact.abs().max())))  # fmt: skip
            return super().forward(batch)

    half = QUICK.model_copy(update={"precision": "bfloat16", "max_steps": 3})
    run(dense_encoder, scored_set(tmp_path, Watched()), tmp_path / "half", settings=half)
    assert len(seen) == 3
    for dtype, trained, error in seen:
        assert (dtype, trained) == (torch.float32, True)
        assert error < 1e-6
    # And the transformer does compute in it: its vectors are not those of float32.
    run(dense_encoder, scored_set(tmp_path), tmp_path / "whole",
        settings=QUICK.model_copy(update={"max_steps": 3}))  # fmt: skip
    first = [entry["loss"] for entry in read_log(tmp_path / "half") if "loss" in entry]
    second = [entry["loss"] for entry in read_log(tmp_path / "whole") if "loss" in entry]
    assert first != second
    assert first == pytest.approx(second, rel=0.05)
    assert {w.dtype for w in weights_of(tmp_path / "half/model").values()} == {torch.float32}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_float16_needs_a_gpu(dense_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="float16 needs a GPU"):
        run(dense_encoder, scored_set(tmp_path), tmp_path / "run",
            settings=TrainingSettings(precision="float16"))  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_parameters_that_are_named_have_a_learning_rate_of_their_own(
    still: Path, tmp_path: Path
) -> None:
    rates = {"attention": 0.0, r"^losses\.": 0.5, "embeddings|pooler": 1e-4}
    settings = _STEADY.model_copy(
        update={"learning_rates": rates, "max_steps": 1, "learning_rate": 1e-3, "max_grad_norm": 0}
    )
    loss = LearnedScale()
    run(still, scored_set(tmp_path, loss), tmp_path / "run", settings=settings)
    before, after = weights_of(still), weights_of(tmp_path / "run/model")
    # The first step of Adam moves each weight by its learning rate, where the gradient is not tiny.
    steps = {name: float((after[name] - before[name]).abs().max()) for name in before}
    assert loss.scale.item() == pytest.approx(0.0, abs=1e-4)
    assert sum("attention" in name for name in steps) == 20
    for name, step in steps.items():
        if "pooler" in name:
            assert step == 0, "it feeds no vector"
        elif "attention" in name:
            assert step == 0
        elif "embeddings" in name:
            assert step == pytest.approx(1e-4, rel=0.02), name
        else:
            assert step == pytest.approx(1e-3, rel=0.02), name


def test_a_learning_rate_of_no_parameter_is_refused(dense_encoder: Path, tmp_path: Path) -> None:
    settings = QUICK.model_copy(update={"learning_rates": {"encoder": 1e-3, "^nothing$": 1e-3}})
    with pytest.raises(ConfigError, match=r"'\^nothing\$' is found in the name of no") as error:
        run(dense_encoder, scored_set(tmp_path), tmp_path / "run", settings=settings)
    assert "graphs.any." in str(error.value)
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match="no regular expression"):
        TrainingSettings(learning_rates={"(": 1.0})


def test_the_final_model_is_the_best_and_the_start_is_scored(
    dense_encoder: Path, tmp_path: Path
) -> None:
    settings = QUICK.model_copy(update={"keep_checkpoints": 1, "save_every": 2})
    scores = (0.9, 0.2, 0.7, 0.6, 0.7, 0.1, 0.3)
    report = run(dense_encoder, scored_set(tmp_path), tmp_path / "run", settings=settings,
                 evaluators=[Scripted(*scores)])  # fmt: skip
    assert report.best_step == 4, "the first of two that are alike"
    assert [step for step, _ in report.scores] == [0, 2, 4, 6, 8, 10, 12]
    assert [each["scripted_value"] for _, each in report.scores] == list(scores)
    assert report.scores_before["score"] == 0.9
    assert report.scores_after["score"] == 0.7
    kept = sorted(path.name for path in (tmp_path / "run/checkpoints").iterdir())
    assert kept == ["checkpoint-12", "checkpoint-4"], "the best, and the last for going on"
    assert_same_weights(report.model, tmp_path / "run/checkpoints/checkpoint-4")
    assert "got worse" in (report.model / "README.md").read_text()


def test_several_evaluators_decide_by_the_mean(dense_encoder: Path, tmp_path: Path) -> None:
    first, second = Scripted(0.0, 0.2, 0.9), Scripted(1.0, 0.8, 0.3)
    second.name = "other"
    settings = QUICK.model_copy(update={"max_steps": 2, "save_every": 1})
    report = run(dense_encoder, scored_set(tmp_path), tmp_path / "run", settings=settings,
                 evaluators=[first, second])  # fmt: skip
    assert [each["score"] for _, each in report.scores] == pytest.approx([0.5, 0.5, 0.6])
    assert report.best_step == 2
    with pytest.raises(ConfigError, match="need names that differ"):
        run(dense_encoder, scored_set(tmp_path), tmp_path / "b", evaluators=[Alike(), Alike()])


def test_an_evaluator_sees_the_model_as_it_is_written(dense_encoder: Path, tmp_path: Path) -> None:
    report = run(dense_encoder, scored_set(tmp_path), tmp_path / "run", evaluators=[Alike()])
    for folder, scores in ((dense_encoder, report.scores_before),
                           (report.model, report.scores_after)):  # fmt: skip
        encoder = BiEncoder(str(folder), backend="torch", device="cpu", offline=True)
        assert scores["alike_cosine"] == pytest.approx(Alike()(encoder)["cosine"], abs=1e-6)
    assert report.scores_before != report.scores_after
    assert not (tmp_path / "run/checkpoints/evaluating").exists()


def test_an_evaluator_that_lacks_its_own_score_is_refused(
    dense_encoder: Path, tmp_path: Path
) -> None:
    evaluator = Alike()
    evaluator.metric = "ndcg"
    with pytest.raises(ConfigError, match=r"alike decides by 'ndcg'.*cosine, constant"):
        run(dense_encoder, scored_set(tmp_path), tmp_path / "run", evaluators=[evaluator])


def test_it_stops_early(dense_encoder: Path, tmp_path: Path) -> None:
    settings = QUICK.model_copy(update={"save_every": 1, "patience": 2})
    report = run(dense_encoder, scored_set(tmp_path), tmp_path / "run", settings=settings,
                 evaluators=[Scripted(0.9, 0.3, 0.4, 0.4, 0.2, 1.0)])  # fmt: skip
    assert (report.steps, report.best_step) == (4, 2)


@pytest.mark.parametrize("gradient", [False, True])
def test_what_is_not_a_number_stops_it_with_the_rows(
    gradient: bool, dense_encoder: Path, tmp_path: Path
) -> None:
    settings = QUICK.model_copy(update={"accumulation": 2, "save_every": 1, "epochs": 2})
    seen: list[tuple[str, ...]] = []

    class Watched(PoisonedLoss):
        def forward(self, batch: Any) -> Tensor:
            seen.append(tuple(batch.texts[0]))
            return super().forward(batch)

    loss = Watched(6 if gradient else 7, gradient=gradient)
    with pytest.raises(TrainingError) as error:
        run(dense_encoder, scored_set(tmp_path, loss), tmp_path / "run", settings=settings)
    blamed = [text for batch in (seen[-2:] if gradient else seen[-1:]) for text in batch]
    rows = [int(text.split()[1]) for text in blamed]
    assert len(seen) == 8
    for row in rows:
        assert f" {row}," in str(error.value).replace(";", ",").replace(" of", ", of")
    assert "step 4 is nan" in str(error.value)
    assert "of scored.jsonl" in str(error.value)
    assert "gradient of" in str(error.value) if gradient else "loss of" in str(error.value)
    # Nothing of the step is anywhere: the last checkpoint is of the one before, and is whole.
    kept = sorted(path.name for path in (tmp_path / "run/checkpoints").iterdir())
    assert kept == ["checkpoint-2", "checkpoint-3"]
    assert all(w.isfinite().all() for w in weights_of(tmp_path / "run").values())
    assert not (tmp_path / "run/model").exists()


def test_the_parts_of_a_loss_are_logged(dense_encoder: Path, tmp_path: Path) -> None:
    run(dense_encoder, scored_set(tmp_path, LearnedScale()), tmp_path / "run")
    entries = [entry for entry in read_log(tmp_path / "run") if "loss" in entry]
    assert len(entries) == 6
    for entry in entries:
        assert entry["loss"] == pytest.approx(entry["error"] + entry["size"], rel=1e-5)


def test_a_batch_of_one_pair_and_a_loss_that_falls(dense_encoder: Path, tmp_path: Path) -> None:
    pairs = write_rows(tmp_path / "pairs.jsonl", PAIRS[:9])
    settings = QUICK.model_copy(update={"epochs": 8})
    training_set = TrainingSet(pairs, MultipleNegativesRankingLoss())
    report = run(dense_encoder, training_set, tmp_path / "run", settings=settings)
    assert report.losses[-1][1] < report.losses[0][1] / 2


def test_max_tokens_is_what_the_model_reads_and_says(dense_encoder: Path, tmp_path: Path) -> None:
    rows = [{**row, "sentence1": "cell " * 40} for row in SCORED]
    widths: list[int] = []

    class Watched(SquaredDifference):
        def forward(self, batch: Any) -> Tensor:
            widths.append(len(batch.texts[0][0].split()))
            return super().forward(batch)

    settings = QUICK.model_copy(update={"max_tokens": 8, "max_steps": 1})
    report = run(dense_encoder, scored_set(tmp_path, Watched(), rows), tmp_path / "run",
                 settings=settings)  # fmt: skip
    encoder = BiEncoder(str(report.model), backend="torch", device="cpu", offline=True)
    assert encoder.max_tokens == 8
    with pytest.raises(ConfigError, match="reads 50 at most"):
        run(dense_encoder, scored_set(tmp_path), tmp_path / "b",
            settings=QUICK.model_copy(update={"max_tokens": 51}))  # fmt: skip


def test_a_loss_of_ones_own_trains_and_is_in_the_card(dense_encoder: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from search_engine.training.losses.loss import Loss\n"
        "class MyLoss(Loss):\n"
        "    formats = ('scored_pairs',)\n"
        "    def __init__(self, power=4):\n"
        "        super().__init__()\n"
        "        self.power = power\n"
        "    def forward(self, batch):\n"
        "        a, b = batch.vectors\n"
        "        return ((a - b).abs().sum(dim=1) ** self.power).mean() * 1e-6\n"
    )
    spec = importlib.util.spec_from_file_location("mine", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    loss: Loss = module.MyLoss(2)
    report = run(dense_encoder, scored_set(tmp_path, loss), tmp_path / "run")
    assert report.losses[-1][1] < report.losses[0][1]
    assert "MyLoss(power=2)" in (report.model / "README.md").read_text()


def test_entries_are_given_as_they_are_logged(dense_encoder: Path, tmp_path: Path) -> None:
    given: list[Any] = []
    run(dense_encoder, scored_set(tmp_path), tmp_path / "run", on_log=given.append,
        evaluators=[Alike()])  # fmt: skip
    assert [entry for entry in given if "train_runtime" not in entry] == read_log(tmp_path / "run")
    assert {"loss", "learning_rate", "step"} <= given[1].keys()
