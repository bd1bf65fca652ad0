"""The loop: transformers' Trainer with our batches, losses, evaluators and checkpoints."""

from __future__ import annotations

import copy
import shutil
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, distributed, nn
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerState

from search_engine.encoders.checkpoints.weights import quiet_transformers
from search_engine.errors import TrainingError
from search_engine.training.arguments import trainer_arguments
from search_engine.training.callbacks import PatienceCallback, WholeLogCallback, is_exhausted
from search_engine.training.checkpoints import (
    EVALUATED,
    STATE,
    checkpoint_of,
    read_checkpoint,
    write_checkpoint,
)
from search_engine.training.data.batches import Examples
from search_engine.training.data.collating import TextCollator, TrainingBatch
from search_engine.training.data.loading_batches import make_loader
from search_engine.training.data.pair_collating import PairCollator
from search_engine.training.parameter_groups import check_learning_rates, group_parameters
from search_engine.training.processes import ask_first
from search_engine.training.settings import TrainingSettings
from search_engine.training.training_model import TrainingModel

# Scores by name of the model in a folder; "score" is the one that decides.
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

    Raises:
        ConfigError: a learning rate is of parameters that there are none of.
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
        self._evaluator = evaluate
        # Set and rows of the batches since the last step.
        self._places: list[tuple[str, tuple[int, ...]]] = []
        check_learning_rates(settings, model)
        arguments = trainer_arguments(
            settings, folder, evaluated=evaluate is not None, device=device,
            unused=_has_unused_parameters(model),
        )  # fmt: skip
        super().__init__(
            model=model,
            args=arguments,
            data_collator=collator,
            train_dataset=examples,
            eval_dataset=examples if evaluate is not None else None,
        )
        self.remove_callback(PrinterCallback)
        self.add_callback(WholeLogCallback)
        if evaluate is not None:
            self.add_callback(_ScoresBefore(self))
            if settings.patience is not None:
                self.add_callback(PatienceCallback(settings.patience))
        # Sharded weights are gathered into it for being written.
        self._whole: TrainingModel | None = None
        if self.is_fsdp_enabled and self.args.should_save:
            self._whole = copy.deepcopy(model, {id(model.layout): model.layout})

    @property
    def training_model(self) -> TrainingModel:
        """The model without what distributed training wraps it in."""
        model: TrainingModel = self.accelerator.unwrap_model(self.model)
        return model

    def run(self, last: Path | None) -> TrainerState:
        """Train to the end.

        Args:
            last: the checkpoint to go on from; None begins.

        Returns:
            The state at the end, with the log of all tries.

        Raises:
            TrainingError: the loss is not a number, or a checkpoint cannot be written.
        """
        if last is not None:
            state: TrainerState = TrainerState.load_from_json(str(last / STATE))
            if state.global_step >= state.max_steps or is_exhausted(
                state.log_history, self._settings.patience
            ):
                return state
            if self.is_fsdp_enabled:
                # Weights are read before they are sharded.
                read_checkpoint(self.training_model, last)
        watched = signal.getsignal(signal.SIGCHLD)
        try:
            self.train(resume_from_checkpoint=None if last is None else str(last))
        finally:
            # torch leaves its own in place, which the death of any later process would call.
            if self._settings.workers and threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGCHLD, watched)
        return self.state

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Batches of this process, each of one set."""
        return make_loader(
            self._examples.sets,
            self._settings,
            collator=self.data_collator,
            rank=self.args.process_index,
            processes=self.args.world_size,
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
        batch: TrainingBatch = inputs["batch"]
        self._places.append((batch.set_name, batch.rows))
        self.training_model.progress = self.state.global_step / max(1, self.state.max_steps)
        loss: Tensor = model(**inputs)
        if not torch.isfinite(loss):
            raise self._not_a_number(f"the loss of step {self.state.global_step + 1}", loss.item(),
                                     self._places[-1:])  # fmt: skip
        return (loss, None) if return_outputs else loss

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        """The length of the gradient, which is looked at before the step is made."""
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)  # type: ignore[no-untyped-call]
        # In float16 some gradients are too large until the scale has come down.
        finite = self.args.fp16 or bool(torch.isfinite(torch.as_tensor(norm)).all())
        if not finite:
            raise self._not_a_number(
                f"the gradient of step {self.state.global_step + 1}", float(norm), self._places
            )
        self._places = []
        return norm

    def _not_a_number(
        self, what: str, value: float, places: list[tuple[str, tuple[int, ...]]]
    ) -> TrainingError:
        examples = "; ".join(f"{', '.join(map(str, rows))} of {name}" for name, rows in places)
        return TrainingError(
            f"{what} is {value}, of the examples {examples} (counted from 0). Look at them, or "
            "take a lower learning rate or another precision. Nothing was overwritten."
        )

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:  # noqa: ARG002
        """The scores of the model as it is, by the evaluators."""
        score = self._evaluator
        folder = self._folder / EVALUATED
        metrics: dict[str, float] = {}
        if score is not None:
            if self.is_world_process_zero():
                shutil.rmtree(folder, ignore_errors=True)
            try:
                self.save_model(str(folder))
                found = ask_first(lambda: score(folder))
            finally:
                if self.is_world_process_zero():
                    shutil.rmtree(folder, ignore_errors=True)
            metrics = {f"eval_{name}": value for name, value in found.items()}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log, with what the losses were made of."""
        if "loss" in logs:
            logs = logs | self._mean_components()
        super().log(logs, start_time)

    def _mean_components(self) -> dict[str, float]:
        """Over all processes, which may have seen different losses."""
        components = self.training_model.components
        every: list[Any] = [components]
        if self.args.world_size > 1:
            every = [None] * self.args.world_size
            distributed.all_gather_object(every, components)
        values: dict[str, list[float]] = {}
        for each in every:
            for name, found in each.items():
                values.setdefault(name, []).extend(found)
        components.clear()
        return {name: sum(found) / len(found) for name, found in values.items()}

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """The optimizer, with a learning rate of its own for parameters that the settings name."""
        opt_model: Any = model or self.model
        if self.optimizer is None:
            decayed = set(self.get_decay_parameter_names(opt_model))
            groups = group_parameters(opt_model.named_parameters(), self._settings, decayed=decayed)
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, opt_model)
            self.optimizer = kind(groups, **options)
        return self.optimizer

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write the model, gathered from all processes where it is sharded."""
        weights = self.accelerator.get_state_dict(self.model) if self.is_fsdp_enabled else None
        self._save(output_dir, weights)
        # The model is the first in its folder, to which all others add their random states.
        self._wait_for_all()

    def _save(
        self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None
    ) -> None:
        if not self.args.should_save:
            return
        model = self.training_model
        if self._whole is not None and state_dict is not None:
            self._whole.load_state_dict(state_dict)
            model = self._whole
        write_checkpoint(model, self._folder if output_dir is None else Path(output_dir))

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)
        # The state that makes a checkpoint whole is written by the first when all have this.
        self._wait_for_all()

    def _wait_for_all(self) -> None:
        if self.args.world_size > 1:
            distributed.barrier()

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        try:
            with quiet_transformers():
                super()._save_checkpoint(model, trial)
        # What a full disk raises is torch's, safetensors' or Python's own.
        except (OSError, RuntimeError, SafetensorError) as error:
            folder = checkpoint_of(self._folder, self.state.global_step)
            shutil.rmtree(folder, ignore_errors=True)
            raise TrainingError(
                f"the checkpoint of step {self.state.global_step} cannot be written to {folder}: "
                f"{error}. Those before it are whole; make room and resume."
            ) from error

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: nn.Module | None = None
    ) -> None:
        # Of a sharded model, `run` has read them.
        if model is None:
            read_checkpoint(self.training_model, Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        if not self.is_fsdp_enabled and self.state.best_global_step:
            folder = checkpoint_of(self._folder, self.state.best_global_step)
            read_checkpoint(self.training_model, folder)


class _ScoresBefore(TrainerCallback):
    """Evaluates the model that training begins with, so that one that gets worse is noticed."""

    def __init__(self, trainer: EncoderTrainer) -> None:
        self._trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
        if state.global_step == 0:
            self._trainer.evaluate()


def _has_unused_parameters(model: TrainingModel) -> bool:
    """Whether a batch may leave trained parameters out, which distributed training has to know."""
    own = any(parameter.requires_grad for parameter in model.losses.parameters())
    return len(model.graphs) > 1 or (len(model.losses) > 1 and own)
