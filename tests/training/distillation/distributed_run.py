"""One distillation as a process of its own, for torchrun."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.errors import SearchEngineError
from search_engine.training.distillation import fewer_layers, vectors
from search_engine.training.settings import TrainingSettings


def main() -> None:
    """Make a student of fewer layers, and write beside the task what this process did."""
    torch.set_num_threads(1)
    path = Path(sys.argv[1])
    asked = json.loads(path.read_text(encoding="utf-8"))
    done: list[str] = []
    write, label = fewer_layers.write_fewer_layers, vectors.Vectors.label

    def write_noted(*arguments: Any, **options: Any) -> None:
        done.append("wrote")
        write(*arguments, **options)

    def label_noted(self: Any, rows: Any) -> Any:
        done.append("labelled")
        return label(self, rows)

    fewer_layers.write_fewer_layers = write_noted
    vectors.Vectors.label = label_noted  # type: ignore[method-assign]
    teacher = BiEncoder(asked["teacher"], backend="torch", dtype="float32", device="cpu")
    said: dict[str, Any] = {"done": done}
    try:
        report = fewer_layers.distill_layers(
            teacher, asked["texts"], asked["output"], layers=asked["layers"],
            settings=TrainingSettings(max_steps=2, batch_size=4, log_every=1), device="cpu",
            offline=True,
        )  # fmt: skip
        said["steps"] = report.steps
    except SearchEngineError as error:
        said["error"] = f"{type(error).__name__}: {error}"
    path.with_suffix(f".{distributed.get_rank()}").write_text(json.dumps(said), encoding="utf-8")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
