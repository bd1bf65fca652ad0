"""A disk that fills while a training writes to it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import search_engine.training.run_folder as run_folder
import search_engine.training.runs as runs
from search_engine.encoders.checkpoints.layout import read_layout
from search_engine.encoders.modules.graph import load_graph
from search_engine.errors import SearchEngineError, TrainingError
from search_engine.training.trainer import EncoderTrainer
from tests.faults.workload import largest_file
from tests.training.conftest import bert, dense_encoder, few_objects_to_collect
from tests.training.runs import QUICK, Alike, assert_same_weights, run, scored_set

__all__ = ["bert", "dense_encoder", "few_objects_to_collect"]


def _whole_checkpoints(folder: Path) -> list[str]:
    found = []
    for path in sorted((folder / "checkpoints").iterdir()):
        assert load_graph(read_layout(path, task="embedding"))
        assert {"optimizer.pt", "scheduler.pt", "trainer_state.json", "rng_state.pth"} <= {
            each.name for each in path.iterdir()
        }
        found.append(path.name)
    return found


@contextmanager
def _full_from_step(step: int, size: int, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """No file grows beyond a size while the checkpoint of a step is written."""
    save = EncoderTrainer._save_checkpoint

    def limited(trainer: EncoderTrainer, *arguments: Any) -> None:
        if trainer.state.global_step < step:
            return save(trainer, *arguments)
        with largest_file(size):
            return save(trainer, *arguments)

    with patch.context() as inner:
        inner.setattr(EncoderTrainer, "_save_checkpoint", limited)
        yield


# Files by size: the optimizer's state of 100 kB, weights of 50 kB, tokenizer, states of 10 kB.
@pytest.mark.parametrize("size", [60_000, 30_000, 5_000, 500, 0])
def test_a_checkpoint_that_does_not_fit(
    size: int, dense_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        _full_from_step(8, size, monkeypatch),
        pytest.raises(TrainingError, match=r"step 8 cannot be written to .*Those before it are"),
    ):
        run(dense_encoder, scored_set(tmp_path), tmp_path / "run")
    assert _whole_checkpoints(tmp_path / "run") == ["checkpoint-4"]
    assert not (tmp_path / "run/model").exists()
    run(dense_encoder, scored_set(tmp_path), tmp_path / "run", resume=True)
    run(dense_encoder, scored_set(tmp_path), tmp_path / "whole")
    assert_same_weights(tmp_path / "run/model", tmp_path / "whole/model")


def test_a_final_model_that_does_not_fit(
    dense_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = run_folder.RunFolder.finish

    def limited(folder: Any, write: Any) -> None:
        with largest_file(20_000):
            finish(folder, write)

    with monkeypatch.context() as patch:
        patch.setattr(run_folder.RunFolder, "finish", limited)
        with pytest.raises(SearchEngineError, match="cannot be written"):
            run(dense_encoder, scored_set(tmp_path), tmp_path / "run")
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left == {"checkpoints", "log.jsonl", "run.json", "loss.png"}
    report = run(dense_encoder, scored_set(tmp_path), tmp_path / "run", resume=True)
    assert_same_weights(report.model, tmp_path / "run/checkpoints/checkpoint-12")


@pytest.mark.parametrize("what", ["describe_run", "draw_losses", "write_model_card"])
def test_what_else_cannot_be_written(
    what: str, dense_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        # What has the name of the model is whole, at any moment.
        assert not (tmp_path / "run/model").exists()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(runs, what, fail)
    with pytest.raises(TrainingError, match="No space left on device"):
        run(dense_encoder, scored_set(tmp_path), tmp_path / "run",
            settings=QUICK.model_copy(update={"max_steps": 1}))  # fmt: skip
    assert not list((tmp_path / "run").glob("model*"))


def test_an_evaluated_model_that_does_not_fit(
    dense_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = EncoderTrainer.save_model

    def limited(trainer: EncoderTrainer, folder: str, *rest: Any, **options: Any) -> None:
        if Path(folder).name == "evaluating" and trainer.state.global_step == 8:
            with largest_file(20_000):
                save(trainer, folder)
        else:
            save(trainer, folder)

    monkeypatch.setattr(EncoderTrainer, "save_model", limited)
    with pytest.raises(TrainingError, match="cannot be written"):
        run(dense_encoder, scored_set(tmp_path), tmp_path / "run", evaluators=[Alike()])
    assert _whole_checkpoints(tmp_path / "run") == ["checkpoint-4"]
