"""A training run: from data to a folder with the model."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from search_engine.encoders.checkpoints.finding import find_checkpoint
from search_engine.encoders.checkpoints.layout import Layout, read_layout
from search_engine.encoders.saving import save_checkpoint
from search_engine.errors import CheckpointError, ConfigError, TrainingDataError
from search_engine.training.arguments import check_device, check_precision
from search_engine.training.callbacks import LogEntry, LogFileCallback
from search_engine.training.checkpoints import checkpoint_of, layout_with_max_tokens
from search_engine.training.classification_head import (
    count_labels,
    lacks_classifier,
    write_with_new_classifier,
)
from search_engine.training.curves import draw_losses, draw_scores
from search_engine.training.data.batches import Examples
from search_engine.training.data.collating import TextCollator
from search_engine.training.data.loading_batches import check_loading
from search_engine.training.data.pair_collating import PairCollator
from search_engine.training.data.prompts import with_prompts_of
from search_engine.training.data.training_set import OpenedSet, TrainingSet, open_training_sets
from search_engine.training.evaluating import TASKS, Evaluation, Evaluator, Kind
from search_engine.training.failures import check_packages, training_failures
from search_engine.training.lora import add_adapters
from search_engine.training.model_card import TrainingFacts, write_model_card
from search_engine.training.parameter_groups import check_learning_rates
from search_engine.training.processes import (
    ask_first,
    is_sharded,
    join_processes,
)
from search_engine.training.report import TrainingReport, report_of
from search_engine.training.run_folder import RunFolder
from search_engine.training.run_record import describe_run
from search_engine.training.settings import TrainingSettings
from search_engine.training.trainer import EncoderTrainer
from search_engine.training.training_model import TOKEN_BUDGET, TrainingModel

__all__ = ["TASKS", "Evaluator", "Kind", "TrainingReport", "train"]


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
    on_log: Callable[[LogEntry], None] | None = None,
) -> TrainingReport:
    """Fine-tune an encoder.

        pairs = TrainingSet("pairs.jsonl", MultipleNegativesRankingLoss())
        train("all-MiniLM-L6-v2", pairs, "runs/first")
        BiEncoder("runs/first/model")

    A process that was launched with others, by torchrun or accelerate, trains together with them.

    Args:
        model: name or folder of a checkpoint. A transformer without a classification head is given
            a new one to become a cross-encoder.
        sets: training data, each with its loss.
        output: folder of the run: `model/` with its card, `checkpoints/`, `log.jsonl`, `loss.png`,
            `scores.png`.
        kind: which of the three encoders it is.
        settings: how it goes; None is the defaults.
        evaluators: choose the best checkpoint by the mean of their deciding scores.
        resume: go on from the last whole checkpoint of the same run, or from its beginning where
            it has none; a run that is finished is left as it is.
        device: "cpu", or None for the GPU where there is one.
        offline: never ask the network for model or data.
        on_log: called with each entry of the log.

    Raises:
        TrainingDataError: the data is missing, empty, or not what its loss takes.
        TrainingError: the loss is not a number, the memory is too small, or the disk is full.
        ConfigError: the folder holds a run already, or another one than is to be gone on with; the
            settings do not fit model or machine; a package is missing.
    """
    begun = time.monotonic()
    settings = settings or TrainingSettings()
    check_packages()
    check_device(device)
    check_precision(settings, device)
    if settings.patience is not None and not evaluators:
        raise ConfigError("patience needs scores to wait for; give evaluators, or leave it out.")
    given = [sets] if isinstance(sets, TrainingSet) else list(sets)
    if not given:
        raise TrainingDataError("there is no training set; give at least one.")
    join_processes(device)
    folder = RunFolder(Path(output))
    ask_first(lambda: folder.check(resume=resume))
    opened = open_training_sets(given, offline=offline, seed=settings.seed)
    check_loading(opened, settings)
    layout = _read(find_checkpoint(model, offline=offline), kind)
    if kind == "cross" and lacks_classifier(layout):
        layout = _with_new_head(layout, opened, folder, settings)
    layout = layout_with_max_tokens(with_prompts_of(layout, opened), settings.max_tokens)
    evaluation = Evaluation(kind, evaluators, device=device) if evaluators else None
    # Before anything is written, so that what does not fit leaves nothing behind.
    training_model = _make_model(layout, opened, settings)
    with training_failures(output):
        last = ask_first(
            lambda: _enter(
                folder, training_model, opened, kind, settings, evaluators, resume=resume
            )
        )
        if last is None:
            folder.read_losses(training_model.losses)
        trainer = _make_trainer(training_model, opened, folder, settings, evaluation, device)
        trainer.add_callback(LogFileCallback(folder.log, on_log))
        state = trainer.run(last)
        report = replace(
            report_of(state, folder.model, opened, evaluated=bool(evaluators)),
            seconds=time.monotonic() - begun,
        )
        facts = partial(TrainingFacts, model, kind, opened, settings, str(output))
        return ask_first(lambda: _finish(report, folder, layout, evaluation, facts))


def _read(checkpoint: Path, kind: Kind) -> Layout:
    try:
        return read_layout(checkpoint, task=TASKS[kind])
    except CheckpointError as error:
        if kind != "sparse":
            raise
        raise CheckpointError(
            f"{error} To make a sparse encoder of it, give it a head first: "
            "search_engine.training.pretrain_masked_language_model."
        ) from error


def _with_new_head(
    layout: Layout, opened: Sequence[OpenedSet], folder: RunFolder, settings: TrainingSettings
) -> Layout:
    """The layout of the same transformer with a classification head, which is kept in the run."""

    def write() -> None:
        with folder.fresh_start() as start:
            labels = count_labels(opened)
            write_with_new_classifier(layout, start, labels=labels, seed=settings.seed)

    ask_first(write)
    return read_layout(folder.start, task="score")


def _enter(
    folder: RunFolder,
    model: TrainingModel,
    opened: Sequence[OpenedSet],
    kind: Kind,
    settings: TrainingSettings,
    evaluators: Sequence[Evaluator],
    *,
    resume: bool,
) -> Path | None:
    """The checkpoint to go on from; None begins."""
    description = describe_run(
        model.layout, opened, kind=kind, settings=settings, evaluators=evaluators
    )
    if resume:
        return folder.go_on(description)
    folder.begin(description, losses=model.losses)
    return None


def _make_model(
    layout: Layout, opened: Sequence[OpenedSet], settings: TrainingSettings
) -> TrainingModel:
    model = TrainingModel(
        layout,
        {each.name: each.origin.loss for each in opened},
        token_budget=None if is_sharded() else TOKEN_BUDGET,
    )
    if settings.lora is not None:
        add_adapters(model, settings.lora, seed=settings.seed)
    if settings.gradient_checkpointing:
        model.checkpoint_gradients()
    check_learning_rates(settings, model)
    return model


def _make_trainer(
    model: TrainingModel,
    opened: Sequence[OpenedSet],
    folder: RunFolder,
    settings: TrainingSettings,
    evaluation: Evaluation | None,
    device: str | None,
) -> EncoderTrainer:
    def evaluate(path: Path) -> Mapping[str, float]:
        step = trainer.state.global_step
        return {} if evaluation is None else evaluation.score(path, step=step)

    trainer = EncoderTrainer(
        model,
        Examples(opened),
        (PairCollator if model.layout.task == "score" else TextCollator)(opened, model.layout),
        settings=settings,
        folder=folder.checkpoints,
        evaluate=None if evaluation is None else evaluate,
        device=device,
    )
    return trainer


def _finish(
    report: TrainingReport,
    folder: RunFolder,
    layout: Layout,
    evaluation: Evaluation | None,
    facts: Callable[[TrainingReport], TrainingFacts],
) -> TrainingReport:
    """Write the model with its card, and the pictures; a model that is there is left as it is."""
    if folder.model.exists():
        return report
    checkpoint = checkpoint_of(folder.checkpoints, report.best_step or report.steps)
    if evaluation is not None:
        with folder.scratch() as before:
            save_checkpoint(layout, before)
            step = report.best_step or report.steps
            report = replace(report, comparisons=evaluation.compare(before, checkpoint, step=step))
    draw_losses(report.losses, folder.loss_curve)
    if report.scores:
        draw_scores(report.scores, folder.score_curve)

    def write(model: Path) -> None:
        save_checkpoint(read_layout(checkpoint, task=layout.task), model)
        write_model_card(facts(report), model / "README.md")

    folder.finish(write)
    return report
