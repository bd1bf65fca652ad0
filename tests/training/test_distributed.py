"""Real processes that train together."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.encoders.checkpoints import edit_json
from tests.training.distributed_run import run_asked
from tests.training.runs import (
    PAIRS,
    SCORED,
    Alike,
    assert_same_weights,
    read_log,
    weights_of,
    write_rows,
)

_ROOT = Path(__file__).resolve().parents[2]
_SETTINGS: dict[str, Any] = {
    "batch_size": 4, "epochs": 1, "learning_rate": 1e-2, "save_every": 2, "log_every": 1,
    "warmup": 0.0,
}  # fmt: skip


@pytest.fixture
def still(dense_encoder: Path, tmp_path: Path) -> Path:
    """The encoder without dropout, which differs from process to process."""
    folder = tmp_path / "still"
    shutil.copytree(dense_encoder, folder)
    none = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    edit_json(folder / "config.json", none)
    return folder


def _launch(
    processes: int, place: Path, asked: Mapping[str, Any], extra: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """What each process reported."""
    path = place / f"{Path(asked['output']).name}.json"
    path.write_text(json.dumps(asked))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(processes),
               "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(_ROOT), **(extra or {})}
    done = subprocess.run(
        [*command, "-m", "tests.training.distributed_run", str(path)],
        capture_output=True, text=True, env=environment, cwd=_ROOT, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(path.with_suffix(f".{rank}").read_text()) for rank in range(processes)]


def _assert_close(one: Path, other: Path, before: Path) -> None:
    first, second, start = weights_of(one), weights_of(other), weights_of(before)
    assert first.keys() == second.keys()
    moved = 0
    for name, weight in first.items():
        # The softmax of attention takes no notice of this bias: its gradient is rounding.
        if "key.bias" not in name:
            torch.testing.assert_close(weight, second[name], atol=3e-4, rtol=1e-3)
            moved += bool((weight - start[name]).abs().max() > 1e-2)
    assert moved > 20


def _compare(loss: str, rows: list[dict[str, Any]], still: Path, tmp_path: Path,
             extra: Mapping[str, str] | None = None) -> None:  # fmt: skip
    data = write_rows(tmp_path / "data.jsonl", rows)
    common = {"model": str(still), "sets": [[data, loss]], "evaluated": True}
    one = {**common, "output": str(tmp_path / "one"), "settings": {**_SETTINGS, "batch_size": 8}}
    two = {**common, "output": str(tmp_path / "two"), "settings": _SETTINGS}
    alone = run_asked(one, [Alike()])
    first, second = _launch(2, tmp_path, two, extra)
    _assert_close(tmp_path / "one/model", tmp_path / "two/model", still)
    assert first == second, "all processes report the same"
    assert first["steps"] == alone["steps"] == 3
    assert [loss for _, loss in first["losses"]] == pytest.approx(
        [loss for _, loss in alone["losses"]], rel=1e-3
    )
    # Before, in the middle and in the end, and by the first process only.
    assert (tmp_path / "two.asked").read_text() == "0\n" * 3
    steps = [entry["step"] for entry in read_log(tmp_path / "two") if "loss" in entry]
    assert steps == [1, 2, 3]
    assert "2 processes" in (tmp_path / "two/model/README.md").read_text()


def test_two_processes_are_one_with_twice_the_batch(still: Path, tmp_path: Path) -> None:
    _compare("mean", SCORED, still, tmp_path)


@pytest.mark.slow
def test_two_processes_share_their_negatives(still: Path, tmp_path: Path) -> None:
    _compare("gathered", PAIRS, still, tmp_path)


@pytest.mark.slow
def test_two_processes_resume_to_the_same_weights(dense_encoder: Path, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "data.jsonl", SCORED)
    pairs = write_rows(tmp_path / "pairs.jsonl", PAIRS)
    common = {
        "model": str(dense_encoder),
        "sets": [[data, "learned"], [pairs, "gathered"]],
        "settings": {**_SETTINGS, "lora": {"rank": 2}},
    }
    _launch(2, tmp_path, {**common, "output": str(tmp_path / "whole")})
    _launch(2, tmp_path, {**common, "output": str(tmp_path / "died")})
    # As if they had died after the second of their checkpoints was begun.
    shutil.rmtree(tmp_path / "died/model")
    last = tmp_path / "died/checkpoints/checkpoint-6"
    (last / "trainer_state.json").unlink()
    resumed = _launch(2, tmp_path, {**common, "output": str(tmp_path / "died"), "resume": True})
    assert resumed[0]["steps"] == 6
    assert_same_weights(tmp_path / "whole/model", tmp_path / "died/model")
    assert read_log(tmp_path / "whole") == read_log(tmp_path / "died")
    # Another number of processes would make other batches.
    refused = run_asked({**common, "output": str(tmp_path / "died"), "resume": True}, [])
    assert "processes was 2 and is 1" in refused["error"]
    # And an error in the first process is one in all.
    both = _launch(2, tmp_path, {**common, "output": str(tmp_path / "whole")})
    assert both[0] == both[1]
    assert "ConfigError" in both[0]["error"]


@pytest.mark.slow
def test_sharded_weights_are_trained_written_whole_and_resumed(still: Path, tmp_path: Path) -> None:
    # The first version of torch's sharding does not run without GPUs.
    sharded = {
        "ACCELERATE_USE_FSDP": "true",
        "FSDP_VERSION": "2",
        "FSDP_RESHARD_AFTER_FORWARD": "true",
        "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
        "FSDP_TRANSFORMER_CLS_TO_WRAP": "BertLayer",
        "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT",
    }
    _compare("mean", SCORED, still, tmp_path, sharded)
    asked = json.loads((tmp_path / "two.json").read_text())
    shutil.copytree(tmp_path / "two", tmp_path / "whole")
    # As if it had died while it wrote the last checkpoint.
    shutil.rmtree(tmp_path / "two/model")
    (tmp_path / "two/checkpoints/checkpoint-3/trainer_state.json").unlink()
    first, _ = _launch(2, tmp_path, {**asked, "resume": True}, sharded)
    assert first["steps"] == 3
    assert_same_weights(tmp_path / "whole/model", tmp_path / "two/model")
    assert read_log(tmp_path / "whole") == read_log(tmp_path / "two")
