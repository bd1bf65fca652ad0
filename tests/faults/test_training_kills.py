"""Trainings whose process is killed at any moment: they go on, and end as if they had not been."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from search_engine.training import LoraSettings, TrainingSet
from search_engine.training.losses.bi_encoder import MultipleNegativesRankingLoss
from tests.faults.workload import memory_folder
from tests.training.conftest import bert, dense_encoder
from tests.training.runs import (
    PAIRS,
    QUICK,
    Alike,
    LearnedScale,
    assert_same_weights,
    read_log,
    run,
    scored_set,
    write_rows,
)

__all__ = ["bert", "dense_encoder"]
_log = logging.getLogger(__name__)
# What a training imports on its way, which would take most of its time.
_PRELOADED = (
    "datasets",
    "matplotlib.backends.backend_agg",
    "peft",
    "search_engine.encoders.bi_encoder",
    "transformers.models.bert.modeling_bert",
)
_SETTINGS = QUICK.model_copy(
    update={"save_every": 2, "accumulation": 2, "epochs": 3, "lora": LoraSettings(rank=2)}
)


def _train(model: Path, output: Path, resume: bool) -> None:
    pairs = write_rows(output.parent / "pairs.jsonl", PAIRS)
    sets = [TrainingSet(pairs, MultipleNegativesRankingLoss()),
            scored_set(output.parent, LearnedScale())]  # fmt: skip
    run(model, sets, output, settings=_SETTINGS, evaluators=[Alike()], resume=resume)


def _doing(run_folder: Path) -> str:
    """What a process that was just killed was doing, as far as its folder tells."""
    checkpoints = run_folder / "checkpoints"
    if (run_folder / "model.unfinished").exists():
        return "finishing"
    if (checkpoints / "evaluating").exists():
        return "evaluating"
    if any(not (each / "trainer_state.json").exists() for each in checkpoints.glob("check*")):
        return "saving"
    return "training" if (run_folder / "log.jsonl").exists() else "opening"


@pytest.mark.parametrize("kills", [3, pytest.param(40, marks=pytest.mark.slow)])
def test_what_is_killed_at_any_moment_ends_with_the_same_weights(
    kills: int, dense_encoder: Path
) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *_PRELOADED])
    with memory_folder() as place:
        whole = place / "whole" / "run"
        whole.parent.mkdir()
        begun = time.monotonic()
        process = context.Process(target=_train, args=(dense_encoder, whole, False))
        process.start()
        process.join()
        assert process.exitcode == 0
        seconds = time.monotonic() - begun
        random = np.random.default_rng(kills)
        doing: Counter[str] = Counter()
        lives = 0
        while doing.total() < kills:
            lives += 1
            output = place / f"life{lives}" / "run"
            output.parent.mkdir()
            while True:
                resume = (output / "run.json").exists()
                process = context.Process(target=_train, args=(dense_encoder, output, resume))
                process.start()
                if doing.total() < kills:
                    # Every other one while a checkpoint is written, which takes little time.
                    aim = doing.total() % 2 == 1
                    until = time.monotonic() + seconds * random.random()
                    while process.is_alive() and time.monotonic() < until:
                        time.sleep(0.001)
                    while aim and process.is_alive() and _doing(output) != "saving":
                        time.sleep(0.0005)
                    if process.is_alive():
                        os.kill(process.pid or 0, signal.SIGKILL)
                process.join()
                if process.exitcode == 0:
                    break
                assert process.exitcode == -signal.SIGKILL
                doing[_doing(output)] += 1
            assert_same_weights(whole / "model", output / "model")
            assert read_log(output) == read_log(whole)
    _log.info("%d trainings, killed while %s", lives, dict(doing))
    assert doing["saving"]
