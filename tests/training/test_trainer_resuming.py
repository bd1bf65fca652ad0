"""A training that died goes on, and ends as if it had not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from search_engine.errors import ConfigError
from search_engine.training import LoraSettings, TrainingSet, TrainingSettings
from search_engine.training.data.training_set import TrainingSet as Set
from search_engine.training.losses.bi_encoder import MultipleNegativesRankingLoss
from tests.training.runs import (
    PAIRS,
    QUICK,
    SCORED,
    Alike,
    KilledError,
    LearnedScale,
    Scripted,
    SquaredDifference,
    assert_same_weights,
    dying,
    read_log,
    run,
    scored_set,
    weights_of,
    write_rows,
)


def _two_sets(folder: Path) -> list[TrainingSet]:
    pairs = write_rows(folder / "pairs.jsonl", PAIRS)
    return [Set(pairs, MultipleNegativesRankingLoss()), scored_set(folder, LearnedScale())]


_CASES: dict[str, dict[str, Any]] = {
    "within an epoch": {},
    "with evaluators": {"evaluators": [Alike(-1)]},
    "at ends of epochs": {"settings": QUICK.model_copy(update={"save_every": None, "epochs": 3})},
    "accumulating": {"settings": QUICK.model_copy(update={"accumulation": 2, "save_every": 2})},
    "LoRA": {"settings": QUICK.model_copy(update={"lora": LoraSettings(rank=2, dropout=0.2)})},
    "steps that end within an epoch": {
        "settings": QUICK.model_copy(update={"max_steps": 17, "save_every": 5})
    },
    "in turn": {"settings": QUICK.model_copy(update={"mixing": "round_robin", "save_every": 5})},
}


# Enough of them by default that each thing a checkpoint holds is needed once.
_QUICK = ("within an epoch", "accumulating", "LoRA", "steps that end within an epoch")


@pytest.mark.parametrize(
    "case", [case if case in _QUICK else pytest.param(case, marks=pytest.mark.slow)
             for case in _CASES],
)  # fmt: skip
def test_a_training_that_died_ends_with_the_same_weights_and_log(
    case: str, dense_encoder: Path, tmp_path: Path
) -> None:
    whole = run(dense_encoder, _two_sets(tmp_path), tmp_path / "whole", **_CASES[case])
    entries = len(read_log(tmp_path / "whole"))
    assert entries > 5
    for number, deaths in enumerate([(entries // 2, 2), (entries + 1,)]):
        died = tmp_path / f"died-{number}"
        for life, death in enumerate(deaths):
            with pytest.raises(KilledError):
                run(dense_encoder, _two_sets(tmp_path), died, on_log=dying(death),
                    resume=life > 0, **_CASES[case])  # fmt: skip
        resumed = run(dense_encoder, _two_sets(tmp_path), died, resume=True, **_CASES[case])
        assert_same_weights(whole.model, resumed.model)
        assert read_log(died) == read_log(tmp_path / "whole")
        assert (resumed.losses, resumed.scores) == (whole.losses, whole.scores)
        assert (resumed.steps, resumed.best_step) == (whole.steps, whole.best_step)


def test_what_is_trained_is_random_and_kept_by_the_checkpoints(
    dense_encoder: Path, tmp_path: Path
) -> None:
    # Without dropout and learned parameters the test above would prove little.
    run(dense_encoder, _two_sets(tmp_path), tmp_path / "a")
    run(dense_encoder, _two_sets(tmp_path), tmp_path / "b",
        settings=QUICK.model_copy(update={"seed": 1}))  # fmt: skip
    first, second = weights_of(tmp_path / "a/model"), weights_of(tmp_path / "b/model")
    assert sum(not torch.equal(first[name], second[name]) for name in first) > 20
    scales = [
        load_file(path)["losses.1.scale"].item()
        for path in sorted((tmp_path / "a/checkpoints").glob("*/training.safetensors"))
    ]
    assert len(set(scales)) == 2
    assert 0.5 not in scales


def test_the_order_is_another_in_each_epoch(dense_encoder: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, ...]] = []

    class Watched(SquaredDifference):
        def forward(self, batch: Any) -> Any:
            seen.append(tuple(batch.texts[0]))
            return super().forward(batch)

    run(dense_encoder, scored_set(tmp_path, Watched()), tmp_path / "run")
    epochs = seen[:6], seen[6:]
    assert [len(epoch) for epoch in epochs] == [6, 6]
    assert epochs[0] != epochs[1]
    assert sorted(sum(epochs[0], ())) == sorted(sum(epochs[1], ()))


def test_the_patience_is_counted_over_deaths(dense_encoder: Path, tmp_path: Path) -> None:
    settings = QUICK.model_copy(update={"patience": 2, "save_every": 1, "log_every": 100})
    scores = (0.1, 0.5, 0.6, 0.3, 0.6, 0.9, 0.9)
    sets = scored_set(tmp_path)
    with pytest.raises(KilledError):
        # Entries: the score before, then loss and score of each step.
        run(dense_encoder, sets, tmp_path / "run", settings=settings,
            evaluators=[Scripted(*scores)], on_log=dying(8))  # fmt: skip
    report = run(dense_encoder, sets, tmp_path / "run", settings=settings,
                 evaluators=[Scripted(*scores[4:])], resume=True)  # fmt: skip
    assert (report.steps, report.best_step) == (4, 2)
    assert [each["score"] for _, each in report.scores] == list(scores[:5])


def test_a_training_that_stopped_early_and_died_does_not_go_on(
    dense_encoder: Path, tmp_path: Path
) -> None:
    settings = QUICK.model_copy(update={"patience": 1, "save_every": 1, "log_every": 100})
    sets = scored_set(tmp_path)
    with pytest.raises(KilledError):
        run(dense_encoder, sets, tmp_path / "run", settings=settings,
            evaluators=[Scripted(0, 2, 1, 9)], on_log=dying(6))  # fmt: skip
    assert not (tmp_path / "run/model").exists()
    report = run(dense_encoder, sets, tmp_path / "run", settings=settings,
                 evaluators=[Scripted()], resume=True)  # fmt: skip
    assert (report.steps, report.best_step) == (2, 1)
    assert_same_weights(report.model, tmp_path / "run/checkpoints/checkpoint-1")


def test_a_finished_run_is_left_as_it_is(dense_encoder: Path, tmp_path: Path) -> None:
    first = run(dense_encoder, scored_set(tmp_path), tmp_path / "run")
    (first.model / "note.txt").write_text("mine")
    again = run(dense_encoder, scored_set(tmp_path), tmp_path / "run", resume=True)
    assert (again.losses, again.steps) == (first.losses, first.steps)
    assert (first.model / "note.txt").read_text() == "mine"


def test_a_run_that_died_before_its_first_checkpoint_begins_anew(
    dense_encoder: Path, tmp_path: Path
) -> None:
    with pytest.raises(KilledError):
        run(dense_encoder, scored_set(tmp_path), tmp_path / "died", on_log=dying(1))
    assert not list((tmp_path / "died").glob("checkpoints/*"))
    run(dense_encoder, scored_set(tmp_path), tmp_path / "died", resume=True)
    run(dense_encoder, scored_set(tmp_path), tmp_path / "whole")
    assert_same_weights(tmp_path / "died/model", tmp_path / "whole/model")
    assert read_log(tmp_path / "died") == read_log(tmp_path / "whole")


def test_what_died_while_it_saved_is_taken_away(dense_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        run(dense_encoder, scored_set(tmp_path), tmp_path / "died", on_log=dying(3))
    checkpoints = tmp_path / "died/checkpoints"
    assert (checkpoints / "checkpoint-4").is_dir()
    # As far as a checkpoint had come: weights, or all but a state that is cut off.
    for step, state in ((8, None), (9, '{"epoch": 1.5, "glo')):
        (checkpoints / f"checkpoint-{step}").mkdir()
        (checkpoints / f"checkpoint-{step}/model.safetensors").write_bytes(b"half")
        if state is not None:
            (checkpoints / f"checkpoint-{step}/trainer_state.json").write_text(state)
    (checkpoints / "evaluating").mkdir()
    (checkpoints / "evaluating/config.json").write_text("{")
    run(dense_encoder, scored_set(tmp_path), tmp_path / "died", resume=True)
    run(dense_encoder, scored_set(tmp_path), tmp_path / "whole")
    assert_same_weights(tmp_path / "died/model", tmp_path / "whole/model")
    assert sorted(path.name for path in checkpoints.iterdir()) == ["checkpoint-12", "checkpoint-8"]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({"settings": QUICK.model_copy(update={"learning_rate": 1e-4})},
         "settings.learning_rate was 0.01 and is 0.0001"),
        ({"settings": QUICK.model_copy(update={"lora": LoraSettings()})}, "settings.lora was null"),
        ({"loss": LearnedScale()}, "data.scored.jsonl.loss.name was"),
        ({"rows": [*SCORED[:-1], {**SCORED[-1], "score": 0.123}]}, "data.scored.jsonl.content was"),
        ({"model": "bert"}, "model was"),
        ({"evaluators": [Alike()]}, "evaluators.alike was null and is"),
    ],
)  # fmt: skip
def test_another_run_is_refused_and_what_differs_is_said(
    what: dict[str, Any], said: str, dense_encoder: Path, bert: Path, tmp_path: Path
) -> None:
    with pytest.raises(KilledError):
        run(dense_encoder, scored_set(tmp_path), tmp_path / "run", on_log=dying(3))
    before = weights_of(tmp_path / "run")
    sets = scored_set(tmp_path, what.pop("loss", None), what.pop("rows", None))
    model = bert if what.pop("model", None) else dense_encoder
    with pytest.raises(ConfigError, match="another one") as error:
        run(model, sets, tmp_path / "run", resume=True, **what)
    assert said in str(error.value)
    others = [each for each in str(error.value).split("; ")[1:] if "loss" not in each]
    assert others == []
    assert weights_of(tmp_path / "run").keys() == before.keys()


def test_what_changes_nothing_may_be_another(dense_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        run(dense_encoder, scored_set(tmp_path), tmp_path / "run", on_log=dying(3))
    free = QUICK.model_copy(update={"keep_checkpoints": 5})
    run(dense_encoder, scored_set(tmp_path), tmp_path / "run", resume=True, settings=free)
    assert len(list((tmp_path / "run/checkpoints").iterdir())) == 3


def test_what_is_no_run_is_not_resumed_and_what_is_one_not_begun(
    dense_encoder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="holds no run"):
        run(dense_encoder, scored_set(tmp_path), tmp_path / "new", resume=True)
    assert not (tmp_path / "new").exists()
    run(dense_encoder, scored_set(tmp_path), tmp_path / "run",
        settings=TrainingSettings(max_steps=1))  # fmt: skip
    before = weights_of(tmp_path / "run")
    with pytest.raises(ConfigError, match="is not empty"):
        run(dense_encoder, scored_set(tmp_path), tmp_path / "run")
    assert weights_of(tmp_path / "run").keys() == before.keys()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file; give a folder"):
        run(dense_encoder, scored_set(tmp_path), tmp_path / "file")
    record = tmp_path / "run/run.json"
    record.write_text(json.dumps(json.loads(record.read_text()))[:50])
    with pytest.raises(ConfigError, match="damaged"):
        run(dense_encoder, scored_set(tmp_path), tmp_path / "run", resume=True)
