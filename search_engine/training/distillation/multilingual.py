"""More languages for a bi-encoder, by translations (Reimers & Gurevych 2020)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.checkpoints.finding import find_checkpoint
from search_engine.errors import ReadError, TrainingDataError
from search_engine.training.callbacks import LogEntry
from search_engine.training.distillation.folder import open_run
from search_engine.training.distillation.parallel_sentences import ParallelSentences
from search_engine.training.distillation.vectors import TextSource, distill_vectors
from search_engine.training.losses.loss import Loss
from search_engine.training.runs import Evaluator, TrainingReport
from search_engine.training.settings import TrainingSettings


def distill_multilingual(
    student: str,
    teacher: BiEncoder,
    files: Sequence[ParallelSentences],
    output: str | Path,
    *,
    loss: Loss | None = None,
    settings: TrainingSettings | None = None,
    evaluators: Sequence[Evaluator] = (),
    labels: str | Path | None = None,
    resume: bool = False,
    device: str | None = None,
    offline: bool = False,
    on_problem: Callable[[ReadError], None] | None = None,
    on_rows: Callable[[int], None] | None = None,
    on_log: Callable[[LogEntry], None] | None = None,
) -> TrainingReport:
    """Train a student to give a sentence and its translation the teacher's vector of the sentence.

    The sum over pairs (s, t) of (M(s) - N(s))^2 + (M(s) - N(t))^2, of teacher M and student N, is
    what MSELoss makes small (Reimers & Gurevych 2020, section 2).

    Args:
        student: name or folder of a checkpoint whose tokenizer knows the languages, with vectors
            as wide as the teacher's.
        teacher: of the sentences' language.
        files: one for each language, as a rule.
        output: folder of the run: `labels/`, and `training/` as `train` writes it.
        loss: of (text..., vector); None is MSELoss.
        labels: folder for the vectors instead, so that several runs share them.
        on_problem: told of each line that is left out.
        on_rows: called with the number of sentences that have been encoded.
        settings, evaluators, resume, device, offline, on_log: as of `train`.

    Raises:
        TrainingDataError: a file cannot be read or has no pair.
        TrainingError, ConfigError: as of `train`; also, widths that are not the same.
    """
    if not files:
        raise TrainingDataError("there is no file of translations; give at least one.")
    folder = open_run(output, labels=labels, resume=resume, settings=settings, device=device)
    find_checkpoint(student, offline=offline)
    return distill_vectors(
        student,
        teacher,
        [
            TextSource(file.name, ("sentence", "translation"), file.read(on_problem))
            for file in files
        ],
        folder,
        loss=loss,
        settings=settings,
        evaluators=evaluators,
        device=device,
        offline=offline,
        on_rows=on_rows,
        on_log=on_log,
    )
