"""The loop: transformers' Trainer with our batches, losses, evaluators and checkpoints."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainingArguments

from search_engine.errors import TrainingError
from search_engine.training.checkpoints import read_checkpoint, write_checkpoint
from search_engine.training.data.batches import BatchPlan, Examples
from search_engine.training.data.collating import PairCollator, TextCollator, TrainingBatch
from search_engine.training.settings import TrainingSettings
from search_engine.training.training_model import TrainingModel

# Scores by name; "score" is the one that decides.
Evaluate = Callable[[Path], Mapping[str, float]]


class EncoderTrainer(Trainer):
    """Trains a `TrainingModel`.

    Args:
        model: the encoder with its losses.
        examples: all training examples.
        collator: examples to batches.
        settings: how it goes.
        folder: for checkpoints.
        evaluate: scores of the model that is written to a folder; None without evaluators.
        device: "cpu" to leave the GPU alone.
    """

    def __init__(
        self,
        model: TrainingModel,
        examples: Examples,
        collator: TextCollator | PairCollator,
        *,
        settings: TrainingSettings,
        folder: Path,
        evaluate: Evaluate | None,
        device: str | None,
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._examples = examples
        self._scores = evaluate
        super().__init__(
            model=model,
            args=_arguments(settings, folder, evaluated=evaluate is not None, device=device,
                            unused=_has_unused_parameters(model)),
            data_collator=collator,
            train_dataset=examples,
            eval_dataset=examples if evaluate is not None else None,
        )  # fmt: skip
        self.remove_callback(PrinterCallback)
        # A loss is the mean over its batch, which the loop then divides by the accumulated batches.
        self.model_accepts_loss_kwargs = False
        if settings.patience is not None and evaluate is not None:
            self.add_callback(EarlyStoppingCallback(settings.patience))

    @property
    def training_model(self) -> TrainingModel:
        """The model without what distributed training wraps it in."""
        model: TrainingModel = self.accelerator.unwrap_model(self.model)
        return model

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Batches of this process, each of one set."""
        plan = BatchPlan(
            self._examples.sets,
            batch_size=self._settings.batch_size,
            mixing=self._settings.mixing,
            seed=self._settings.seed,
            rank=self.args.process_index,
            processes=self.args.world_size,
        )
        return DataLoader(
            self._examples,
            batch_sampler=plan,
            collate_fn=self.data_collator,
            num_workers=self._settings.workers,
        )

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,  # noqa: ARG002
    ) -> Any:
        """The loss of a batch.

        Raises:
            TrainingError: it is not a number; the message says of which examples.
        """
        self.training_model.progress = self.state.global_step / max(1, self.state.max_steps)
        loss: Tensor = model(**inputs)
        if not torch.isfinite(loss):
            batch: TrainingBatch = inputs["batch"]
            raise TrainingError(
                f"the loss of step {self.state.global_step + 1} is {loss.item()}, of the examples "
                f"{', '.join(map(str, batch.rows))} of {batch.set_name} (counted from 0). Look at "
                "them, or take a lower learning rate or another precision. Nothing was overwritten."
            )
        return (loss, None) if return_outputs else loss

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:  # noqa: ARG002
        """The scores of the model as it is, by the evaluators."""
        scores: list[Any] = [None]
        if self._scores is not None and self.is_world_process_zero():
            folder = self._folder / "evaluating"
            shutil.rmtree(folder, ignore_errors=True)
            try:
                self._save(str(folder))
                scores = [dict(self._scores(folder))]
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        if self.args.world_size > 1:
            torch.distributed.broadcast_object_list(scores, src=0)
        metrics = {f"eval_{name}": value for name, value in (scores[0] or {}).items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log, with what the losses were made of."""
        model = self.training_model
        if "loss" in logs and model.components:
            logs = logs | {name: sum(v) / len(v) for name, v in model.components.items()}
            model.components.clear()
        super().log(logs, start_time)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """The optimizer, with a learning rate of its own for parameters that the settings name."""
        opt_model: Any = model or self.model
        if self.optimizer is None:
            decayed = set(self.get_decay_parameter_names(opt_model))
            groups: dict[tuple[float, float], list[nn.Parameter]] = {}
            for name, parameter in opt_model.named_parameters():
                if parameter.requires_grad:
                    decay = self.args.weight_decay if name in decayed else 0.0
                    groups.setdefault((self._learning_rate_of(name), decay), []).append(parameter)
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, opt_model)
            self.optimizer = kind(
                [{"params": parameters, "lr": rate, "weight_decay": decay}
                 for (rate, decay), parameters in groups.items()],
                **options,
            )  # fmt: skip
        return self.optimizer

    def _learning_rate_of(self, name: str) -> float:
        for pattern, rate in self._settings.learning_rates.items():
            if re.search(pattern, name):
                return rate
        return self._settings.learning_rate

    def _save(
        self,
        output_dir: str | None = None,
        state_dict: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> None:
        if self.args.should_save:
            write_checkpoint(
                self.training_model, self._folder if output_dir is None else Path(output_dir)
            )

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        try:
            super()._save_checkpoint(model, trial)
        # What a full disk raises is torch's, safetensors' or Python's own.
        except (OSError, RuntimeError) as error:
            folder = self._folder / f"checkpoint-{self.state.global_step}"
            shutil.rmtree(folder, ignore_errors=True)
            raise TrainingError(
                f"the checkpoint of step {self.state.global_step} cannot be written to {folder}: "
                f"{error}. Those before it are whole; make room and resume."
            ) from error

    def _load_from_checkpoint(
        self,
        resume_from_checkpoint: str,
        model: nn.Module | None = None,  # noqa: ARG002
    ) -> None:
        read_checkpoint(self.training_model, Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        read_checkpoint(self.training_model, Path(str(self.state.best_model_checkpoint)))


def _has_unused_parameters(model: TrainingModel) -> bool:
    """Whether a batch may leave trained parameters out, which distributed training has to know."""
    return len(model.losses) > 1 and any(True for _ in model.losses.parameters())


def _arguments(
    settings: TrainingSettings, folder: Path, *, evaluated: bool, device: str | None, unused: bool
) -> TrainingArguments:
    by = "epoch" if settings.save_every is None else "steps"
    return TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=settings.batch_size,
        num_train_epochs=settings.epochs,
        max_steps=settings.max_steps or -1,
        gradient_accumulation_steps=settings.accumulation,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warmup_steps=settings.warmup,
        lr_scheduler_type=settings.schedule,
        max_grad_norm=settings.max_grad_norm,
        bf16=settings.precision == "bfloat16",
        fp16=settings.precision == "float16",
        logging_steps=settings.log_every,
        logging_nan_inf_filter=False,
        save_strategy=by,
        save_steps=settings.save_every or 500,
        eval_strategy=by if evaluated else "no",
        eval_steps=settings.save_every,
        save_total_limit=settings.keep_checkpoints,
        load_best_model_at_end=evaluated,
        metric_for_best_model="score" if evaluated else None,
        greater_is_better=True if evaluated else None,
        seed=settings.seed,
        use_cpu=device == "cpu",
        ddp_find_unused_parameters=unused,
        remove_unused_columns=False,
        report_to="none",
        disable_tqdm=True,
    )
