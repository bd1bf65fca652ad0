"""A training run: from data to a folder with the model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from transformers import TrainerCallback

from search_engine.encoders.checkpoints.finding import find_checkpoint
from search_engine.encoders.checkpoints.layout import Task, read_layout
from search_engine.errors import ConfigError, TrainingDataError
from search_engine.training.checkpoints import (
    find_last_checkpoint,
    layout_with_max_tokens,
    remove_incomplete,
    write_model,
)
from search_engine.training.data.batches import Examples
from search_engine.training.data.collating import PairCollator, TextCollator
from search_engine.training.data.training_set import TrainingSet, open_training_set
from search_engine.training.settings import TrainingSettings
from search_engine.training.trainer import EncoderTrainer
from search_engine.training.training_model import TrainingModel

Kind: TypeAlias = Literal["bi", "sparse", "cross"]
TASKS: Mapping[Kind, Task] = {"bi": "embedding", "sparse": "sparse", "cross": "score"}


class Evaluator(Protocol):
    """Scores of an encoder on data that it is not trained on.

    Attributes:
        name: put before the names of its scores.
        metric: the score that decides which checkpoint is the best; higher is better.
    """

    name: str
    metric: str

    def __call__(self, encoder: Any) -> Mapping[str, float]:
        """The scores by name."""


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What a run did.

    Attributes:
        model: the folder of the trained model.
        steps: of the optimizer, those of earlier tries that it went on from included.
        seconds: wall time of this try.
        losses: (step, mean loss since the one before).
        scores: (step, scores by name), of each evaluation.
        best_step: of the checkpoint that was chosen; None without evaluators.
    """

    model: Path
    steps: int
    seconds: float
    losses: tuple[tuple[int, float], ...]
    scores: tuple[tuple[int, Mapping[str, float]], ...]
    best_step: int | None


def train(
    model: str,
    sets: Sequence[TrainingSet] | TrainingSet,
    output: str | Path,
    *,
    kind: Kind = "bi",
    settings: TrainingSettings | None = None,
    evaluators: Sequence[Evaluator] = (),
    resume: bool = False,
    device: str | None = None,
    offline: bool = False,
    on_log: Callable[[Mapping[str, float]], None] | None = None,
) -> TrainingReport:
    """Fine-tune an encoder.

        pairs = TrainingSet("pairs.jsonl", MultipleNegativesRankingLoss())
        train("all-MiniLM-L6-v2", pairs, "runs/first")
        BiEncoder("runs/first/model")

    Args:
        model: name or folder of a checkpoint.
        sets: training data, each with its loss.
        output: folder of the run: `model/` with its card, `checkpoints/`, `log.jsonl`, `loss.png`.
        kind: which of the three encoders it is.
        settings: how it goes; None is the defaults.
        evaluators: choose the best checkpoint by the mean of their deciding scores.
        resume: go on from the last whole checkpoint of the same run.
        device: "cpu", or None for the GPU where there is one.
        offline: never ask the network for model or data.
        on_log: called with each entry of the log.

    Raises:
        TrainingDataError: the data is missing, empty, or not what its loss takes.
        TrainingError: the loss is not a number, or the disk is full.
        ConfigError: the folder holds a run already, or has none to go on with.
    """
    settings = settings or TrainingSettings()
    given = [sets] if isinstance(sets, TrainingSet) else list(sets)
    if not given:
        raise TrainingDataError("there is no training set; give at least one.")
    opened = [open_training_set(each, offline=offline) for each in given]
    output = Path(output)
    checkpoints = output / "checkpoints"
    last = _prepare_folder(output, checkpoints, resume=resume)
    layout = layout_with_max_tokens(
        read_layout(find_checkpoint(model, offline=offline), task=TASKS[kind]), settings.max_tokens
    )
    training_model = TrainingModel(layout, {each.name: each.origin.loss for each in opened})
    if settings.gradient_checkpointing:
        training_model.checkpoint_gradients()
    collator = (PairCollator if kind == "cross" else TextCollator)(opened, layout)
    trainer = EncoderTrainer(
        training_model,
        Examples(opened),
        collator,
        settings=settings,
        folder=checkpoints,
        evaluate=_evaluation(kind, evaluators, device) if evaluators else None,
        device=device,
    )
    log = _Log(output / "log.jsonl", on_log)
    trainer.add_callback(log)
    result = trainer.train(resume_from_checkpoint=None if last is None else str(last))
    if trainer.is_world_process_zero():
        write_model(trainer.training_model, output / "model")
    best = trainer.state.best_global_step if evaluators else None
    return TrainingReport(
        model=output / "model",
        steps=result.global_step,
        seconds=result.metrics["train_runtime"],
        losses=tuple((int(e["step"]), e["loss"]) for e in trainer.state.log_history if "loss" in e),
        scores=tuple(
            (int(e["step"]), {k[5:]: v for k, v in e.items() if k.startswith("eval_")})
            for e in trainer.state.log_history
            if "eval_score" in e
        ),
        best_step=best,
    )


def _prepare_folder(output: Path, checkpoints: Path, *, resume: bool) -> Path | None:
    if resume:
        last = find_last_checkpoint(checkpoints)
        if last is None:
            raise ConfigError(f"{output} has no checkpoint to go on from; leave resume out.")
        remove_incomplete(checkpoints)
        return last
    if output.exists() and any(output.iterdir()):
        raise ConfigError(f"{output} is not empty; give another folder, or resume the run in it.")
    output.mkdir(parents=True, exist_ok=True)
    return None


def _evaluation(
    kind: Kind, evaluators: Sequence[Evaluator], device: str | None
) -> Callable[[Path], Mapping[str, float]]:
    def evaluate(folder: Path) -> Mapping[str, float]:
        encoder = _open(kind, folder, device)
        scores: dict[str, float] = {}
        deciding = []
        for evaluator in evaluators:
            found = evaluator(encoder)
            scores |= {f"{evaluator.name}_{name}": value for name, value in found.items()}
            deciding.append(found[evaluator.metric])
        return scores | {"score": sum(deciding) / len(deciding)}

    return evaluate


def _open(kind: Kind, folder: Path, device: str | None) -> Any:
    from search_engine.encoders.bi_encoder import BiEncoder
    from search_engine.encoders.cross_encoder import CrossEncoder
    from search_engine.encoders.sparse_encoder import SparseEncoder

    encoder: Any = {"bi": BiEncoder, "sparse": SparseEncoder, "cross": CrossEncoder}[kind]
    # Not OpenVINO, which would keep an exported graph of every model that is tried.
    return encoder(str(folder), backend="torch", device=device, offline=True)


class _Log(TrainerCallback):
    """Each entry of the log as a line of a file, as it is made."""

    def __init__(self, path: Path, on_log: Callable[[Mapping[str, float]], None] | None) -> None:
        self._path = path
        self._on_log = on_log

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        if not state.is_world_process_zero:
            return
        entry = state.log_history[-1]
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        if self._on_log is not None:
            self._on_log(entry)
