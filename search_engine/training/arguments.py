"""Our settings as those of transformers' Trainer."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import TrainingArguments

from search_engine.errors import ConfigError
from search_engine.training.processes import PATIENCE
from search_engine.training.settings import TrainingSettings


def check_device(device: str | None) -> None:
    """See that the device is one that training can be told to take.

    Raises:
        ConfigError: it is another.
    """
    if device not in (None, "cpu", "cuda"):
        raise ConfigError(
            f"device is {device!r}, and training takes cpu, or cuda, or none for the GPU where "
            "there is one; CUDA_VISIBLE_DEVICES chooses among several."
        )
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("the device 'cuda' cannot be used here: torch finds no GPU.")


def check_precision(settings: TrainingSettings, device: str | None) -> None:
    """See that the device computes in the precision that the settings ask for.

    Raises:
        ConfigError: float16 without a GPU, or bfloat16 on one that has none.
    """
    on_gpu = device != "cpu" and torch.cuda.is_available()
    if settings.precision == "float16" and not on_gpu:
        raise ConfigError("precision float16 needs a GPU; use bfloat16 or float32.")
    if settings.precision == "bfloat16" and on_gpu and not torch.cuda.is_bf16_supported():
        raise ConfigError("this GPU has no bfloat16; use float16 or float32.")


def trainer_arguments(
    settings: TrainingSettings,
    folder: Path,
    *,
    evaluated: bool,
    device: str | None,
    unused: bool,
) -> TrainingArguments:
    """The arguments of transformers' Trainer.

    Args:
        folder: for checkpoints.
        evaluated: whether there are evaluators.
        device: "cpu" to leave the GPU alone.
        unused: whether a batch may leave trained parameters out.
    """
    by = "epoch" if settings.save_every is None else "steps"
    arguments = TrainingArguments(
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
        # With 1, the last would be removed in the end, which tells that the training is over.
        save_total_limit=max(settings.keep_checkpoints, 1 + evaluated),
        load_best_model_at_end=evaluated,
        metric_for_best_model="score" if evaluated else None,
        greater_is_better=True if evaluated else None,
        seed=settings.seed,
        use_cpu=device == "cpu" or not torch.accelerator.is_available(),
        ddp_find_unused_parameters=unused,
        ddp_timeout=PATIENCE,
        log_level="passive",
        log_level_replica="passive",
        remove_unused_columns=False,
        report_to="none",
        disable_tqdm=True,
    )
    # With several GPUs and one process, nn.DataParallel would tear batches apart.
    arguments._n_gpu = min(1, arguments.n_gpu)
    return arguments
