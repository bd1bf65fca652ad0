"""One training as a process of its own, for torchrun."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import DistributedType, PartialState
from torch import distributed

from search_engine.errors import SearchEngineError
from search_engine.training import LoraSettings, TrainingSet, TrainingSettings
from search_engine.training.losses.bi_encoder import MultipleNegativesRankingLoss
from search_engine.training.processes import is_sharded
from tests.training.runs import Alike, LearnedScale, SquaredDifference, run

_LOSSES: Mapping[str, Any] = {
    "mean": SquaredDifference,
    "learned": LearnedScale,
    "gathered": lambda: MultipleNegativesRankingLoss(gather=True),
}


class Counted(Alike):
    """Writes down in which process it was asked."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def __call__(self, encoder: object) -> Mapping[str, float]:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{distributed.get_rank()}\n")
        return super().__call__(encoder)


def run_asked(asked: Mapping[str, Any], evaluators: Sequence[Any]) -> dict[str, Any]:
    """Train as is asked, and say what came out."""
    sets = [TrainingSet(source, _LOSSES[loss]()) for source, loss in asked["sets"]]
    given = dict(asked["settings"])
    if "lora" in given:
        given["lora"] = LoraSettings(**given["lora"])
    try:
        report = run(Path(asked["model"]), sets, Path(asked["output"]),
                     settings=TrainingSettings(**given), evaluators=evaluators,
                     resume=asked.get("resume", False))  # fmt: skip
    except SearchEngineError as error:
        return {"error": f"{type(error).__name__}: {error}"}
    # As JSON holds it.
    said = {"steps": report.steps, "losses": report.losses, "scores": report.scores}
    return json.loads(json.dumps(said))  # type: ignore[no-any-return]


def _shard_on_the_cpu() -> None:
    """Let accelerate shard a model without GPUs, which torch can do, and it does not try."""
    initialize = PartialState.__init__

    def changed(self: PartialState, *arguments: Any, **options: Any) -> None:
        initialize(self, *arguments, **options)
        if self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.MULTI_GPU

    PartialState.__init__ = changed


def main() -> None:
    """Train as the file of the first argument says, and write beside it what came out."""
    torch.set_num_threads(1)
    if is_sharded():
        _shard_on_the_cpu()
    path = Path(sys.argv[1])
    asked = json.loads(path.read_text(encoding="utf-8"))
    evaluated = asked.get("evaluated", False)
    said = run_asked(asked, [Counted(path.with_suffix(".asked"))] if evaluated else [])
    path.with_suffix(f".{distributed.get_rank()}").write_text(json.dumps(said), encoding="utf-8")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
