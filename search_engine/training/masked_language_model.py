"""Pre-training of a masked-language-model head, which makes a sparse encoder of any transformer."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from search_engine.encoders.checkpoints.finding import find_checkpoint
from search_engine.encoders.checkpoints.fingerprint import fingerprint_of
from search_engine.encoders.checkpoints.layout import Layout, read_layout
from search_engine.encoders.saving import save_checkpoint
from search_engine.encoders.tokenizers.opening import InputTokenizer, open_tokenizer
from search_engine.encoders.tokenizers.tokenizer_files import read_tokenizer_settings
from search_engine.errors import CheckpointError, ConfigError, TrainingDataError
from search_engine.training.arguments import check_device, check_precision
from search_engine.training.callbacks import LogEntry, LogFileCallback
from search_engine.training.checkpoints import checkpoint_of, layout_with_max_tokens
from search_engine.training.data.loading_batches import BatchLoader
from search_engine.training.failures import check_packages, training_failures
from search_engine.training.language_model_head import (
    read_layout_of_any_kind,
    to_sparse_layout,
    write_with_new_head,
)
from search_engine.training.masking import (
    ALL_EPOCHS,
    UNMASKED,
    MaskedBatch,
    Masking,
    MaskingCollator,
    ShuffledTexts,
    TokenizedTexts,
)
from search_engine.training.processes import (
    ask_first,
    count_processes,
    is_sharded,
    join_processes,
)
from search_engine.training.report import TrainingReport, report_of
from search_engine.training.run_folder import RunFolder
from search_engine.training.settings import TrainingSettings
from search_engine.training.trainer import EncoderTrainer
from search_engine.training.training_model import TrainingModel


def pretrain_masked_language_model(
    model: str,
    texts: Iterable[str] | str | Path,
    output: str | Path,
    *,
    settings: TrainingSettings | None = None,
    masked_share: float = 0.15,
    held_out: float = 0.05,
    resume: bool = False,
    device: str | None = None,
    offline: bool = False,
    on_log: Callable[[LogEntry], None] | None = None,
) -> TrainingReport:
    """Train a transformer to guess words that are taken out of texts (Devlin et al. 2019).

        pretrain_masked_language_model("all-MiniLM-L6-v2", "corpus.txt", "runs/head")
        SparseEncoder("runs/head/model")

    A checkpoint without a masked-language-model head gets a new one, whose last layer is the table
    of the word embeddings where the architecture ties the two. Of a checkpoint that sends queries
    and documents different ways, the transformer of the documents is trained and written.

    Args:
        model: name or folder of a checkpoint, of any of the three encoders.
        texts: a file with one in each line, or texts; kept in memory as token ids. Longer ones than
            the checkpoint reads are cut.
        output: folder of the run: `model/`, `checkpoints/`, `log.jsonl`; and `untrained/`, with the
            new head.
        settings: how it goes; None is the defaults with a learning rate of 1e-4.
        masked_share: share of the tokens that are to be guessed, others in each epoch.
        held_out: share of the texts that are not trained on, but choose the best checkpoint.
        resume: go on from the last whole checkpoint of the same run, as it would have gone.
        device: "cpu", or None for the GPU where there is one.
        offline: never ask the network for the model.
        on_log: called with each entry of the log.

    Returns:
        With the scores "loss", in nats per masked token of held-out texts, and "accuracy", the
        share of those that are guessed; the problems are texts with nothing in them, left out.

    Raises:
        TrainingDataError: there is no text, or the file cannot be read.
        TrainingError: the loss is not a number, or the disk is full.
        CheckpointError: the architecture has no such head, or the tokenizer no mask token.
        ConfigError: the folder holds a run already, or another one than is to be gone on with; a
            share is not one; the settings do not fit model or machine.
    """
    begun = time.monotonic()
    settings = settings or TrainingSettings(learning_rate=1e-4)
    check_packages()
    _check_options(settings, masked_share, held_out)
    check_device(device)
    check_precision(settings, device)
    join_processes(device)
    folder = RunFolder(Path(output))
    ask_first(lambda: folder.check(resume=resume))
    layout = layout_with_max_tokens(
        to_sparse_layout(read_layout_of_any_kind(find_checkpoint(model, offline=offline))),
        settings.max_tokens,
    )
    tokenizer = open_tokenizer(layout)
    mask_id = _find_mask_id(layout, tokenizer)
    name = str(texts) if isinstance(texts, str | Path) else "texts"
    tokenized = TokenizedTexts(_read_lines(texts), tokenizer)
    trained, unseen = _split(tokenized, held_out, seed=settings.seed, name=name)
    description = {
        "kind": "masked language model",
        "model": fingerprint_of(layout, max_tokens=tokenizer.max_tokens),
        "settings": settings.model_dump(mode="json", exclude={"workers", "keep_checkpoints"}),
        "masked_share": masked_share,
        "held_out": held_out,
        "texts": tokenized.fingerprint,
        "processes": count_processes(),
    }
    with training_failures(output):
        last, with_head = ask_first(
            lambda: _enter(folder, layout, description, seed=settings.seed, resume=resume)
        )
        if with_head is not None:
            layout = read_layout(with_head, task="sparse")
        language_model = LanguageTrainingModel(layout)
        if settings.gradient_checkpointing:
            language_model.checkpoint_gradients()
        masking = Masking(tokenizer.whole, mask_id=mask_id, share=masked_share, seed=settings.seed)
        collator = MaskingCollator(
            masking, name=name, input_names=layout.input_names, pad_id=tokenizer.pad_id
        )
        size = settings.batch_size
        batches = [unseen[start : start + size] for start in range(0, len(unseen), size)]

        def evaluate(_folder: Path) -> Mapping[str, float]:
            places = ([(ALL_EPOCHS, int(row)) for row in rows] for rows in batches)
            found = language_model.measure_all(
                collator(tokenized.__getitems__(each))["batch"] for each in places
            )
            return found | {"score": -found["loss"]}

        trainer = _LanguageModelTrainer(
            language_model,
            tokenized,  # type: ignore[arg-type]
            collator,  # type: ignore[arg-type]
            settings=settings,
            folder=folder.checkpoints,
            evaluate=evaluate if batches else None,
            device=device,
        )
        trainer.rows = trained
        trainer.add_callback(LogFileCallback(folder.log, on_log))
        state = trainer.run(last)
        report = replace(
            report_of(state, folder.model, (), evaluated=bool(batches)),
            seconds=time.monotonic() - begun,
            problems={name: tokenized.blank},
        )
        ask_first(lambda: _finish(report, folder))
        return report


class LanguageTrainingModel(TrainingModel):
    """A transformer with its masked-language-model head: a masked batch in, the loss out."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout, {})

    def forward(self, batch: MaskedBatch) -> Tensor:  # type: ignore[override]
        """The mean cross-entropy of the masked tokens, float32 scalar; 0 where none is masked."""
        loss, _, count = self.measure(batch)
        return loss / max(1, count)

    def measure(self, batch: MaskedBatch) -> tuple[Tensor, int, int]:
        """The summed cross-entropy of the masked tokens, how many are guessed right, and of how
        many."""
        features = {name: array.to(self.device) for name, array in batch.inputs.items()}
        labels = batch.labels.to(self.device)
        graph: Any = self.graphs["any"]
        features = graph.trunk(features)
        masked = labels != UNMASKED
        logits = features["token_embeddings"][masked]
        if "decoder_weight" in features:
            # The last layer is by far the largest, and needed for few tokens.
            weight, bias = features["decoder_weight"], features.get("decoder_bias")
            logits = functional.linear(logits, weight, bias)
        wanted = labels[masked]
        loss = functional.cross_entropy(logits.float(), wanted, reduction="sum")
        return loss, int((logits.argmax(dim=-1) == wanted).sum()), len(wanted)

    @torch.no_grad()
    def measure_all(self, batches: Iterable[MaskedBatch]) -> dict[str, float]:
        """Mean "loss" and "accuracy" of all masked tokens, without dropout."""
        training = self.training
        self.eval()
        found = [self.measure(batch) for batch in batches]
        self.train(training)
        count = max(1, sum(each[2] for each in found))
        return {
            "loss": sum(float(each[0]) for each in found) / count,
            "accuracy": sum(each[1] for each in found) / count,
        }


class _LanguageModelTrainer(EncoderTrainer):
    """The loop over masked texts, masked anew in each epoch.

    Attributes:
        rows: numbers of the texts that it trains on.
    """

    rows: NDArray[np.int64]

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Batches of this process."""
        plan = ShuffledTexts(
            self.rows,
            batch_size=self._settings.batch_size,
            seed=self._settings.seed,
            rank=self.args.process_index,
            processes=self.args.world_size,
        )
        return BatchLoader(
            self._examples,
            batch_sampler=plan,
            collate_fn=self.data_collator,
            num_workers=self._settings.workers,
        )


def _check_options(settings: TrainingSettings, masked_share: float, held_out: float) -> None:
    if not 0 < masked_share < 1:
        raise ConfigError(f"masked_share is {masked_share}, and must be between 0 and 1.")
    if not 0 <= held_out < 1:
        raise ConfigError(f"held_out is {held_out}, and must be 0 or more and below 1.")
    if settings.lora is not None:
        raise ConfigError("a new head is trained whole; leave lora out.")
    if settings.patience is not None and not held_out:
        raise ConfigError("patience needs held-out texts to wait for; leave it out.")
    if is_sharded():
        raise ConfigError(
            "a head that shares the table of the embeddings cannot be sharded (FSDP)."
        )


def _enter(
    folder: RunFolder, layout: Layout, description: Mapping[str, Any], *, seed: int, resume: bool
) -> tuple[Path | None, Path | None]:
    """The checkpoint to go on from, None to begin; the model with a new head, None without one."""
    last = None
    if resume:
        last = folder.go_on(description)
    else:
        folder.begin(description)
    untrained = folder.checkpoints.parent / "untrained"
    # Of the same seed it is the same head, and what a killed run has left may not be whole.
    shutil.rmtree(untrained, ignore_errors=True)
    return last, untrained if write_with_new_head(layout, untrained, seed=seed) else None


def _finish(report: TrainingReport, folder: RunFolder) -> None:
    """Write the model of the best step; one that is there is left as it is."""
    if folder.model.exists():
        return
    checkpoint = checkpoint_of(folder.checkpoints, report.best_step or report.steps)
    folder.finish(lambda model: save_checkpoint(read_layout(checkpoint, task="sparse"), model))


def _find_mask_id(layout: Layout, tokenizer: InputTokenizer) -> int:
    token = read_tokenizer_settings(layout).get("mask_token")
    token = token.get("content") if isinstance(token, dict) else token
    found = tokenizer.whole.token_to_id(token) if token else None
    if found is None:
        raise CheckpointError(
            f"{layout.trunk.folder / 'tokenizer_config.json'}: there is no 'mask_token', which "
            "masked language modelling needs; take another model."
        )
    return int(found)


def _read_lines(texts: Iterable[str] | str | Path) -> Iterator[str]:
    if not isinstance(texts, str | Path):
        yield from texts
        return
    try:
        with Path(texts).open(encoding="utf-8") as file:
            for line in file:
                yield line.rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingDataError(f"{texts} cannot be read as lines of UTF-8: {error}.") from error


def _split(
    texts: TokenizedTexts, held_out: float, *, seed: int, name: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the texts that are trained on, and of those that are not."""
    count = max(1, round(held_out * len(texts))) if held_out else 0
    if len(texts) <= count:
        raise TrainingDataError(
            f"{name}: of {len(texts)} texts that are not blank, {count} would be held out, and "
            "none left to train on; give more."
        )
    order = np.random.default_rng(seed).permutation(len(texts))
    return np.sort(order[count:]), np.sort(order[:count])
