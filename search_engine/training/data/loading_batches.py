"""The loader of a run: batches of its training sets, tokenized."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch.utils.data import DataLoader

from search_engine.errors import ConfigError, TrainingDataError
from search_engine.training.data.batches import BatchPlan, Examples
from search_engine.training.data.streams import ExampleStream
from search_engine.training.data.training_set import OpenedSet
from search_engine.training.settings import TrainingSettings


class BatchLoader(DataLoader[Any]):
    """Batches of this process; it passes on the epoch to whatever plans them."""

    def set_epoch(self, epoch: int) -> None:
        """Plan another epoch from now on; a stream goes through its epochs by itself."""
        plan: Any = self.batch_sampler
        if hasattr(plan, "set_epoch"):
            plan.set_epoch(epoch)


def make_loader(
    sets: Sequence[OpenedSet],
    settings: TrainingSettings,
    *,
    collator: Callable[[list[Any]], Any],
    rank: int = 0,
    processes: int = 1,
) -> BatchLoader:
    """The batches of one process.

    It has a length, the batches of an epoch, unless a set streams: then it has no end, and the
    batches that a resumed run has seen are skipped by reading them.

    Raises:
        ConfigError: the settings do not go with the sets.
        TrainingDataError: a set has too few examples.
    """
    check_loading(sets, settings)
    if any(each.streams for each in sets):
        stream = ExampleStream(
            sets, batch_size=settings.batch_size, mixing=settings.mixing, seed=settings.seed,
            rank=rank, processes=processes,
        )  # fmt: skip
        # The stream makes the batches, so the loader is to make none.
        return BatchLoader(
            stream, batch_size=None, collate_fn=collator, num_workers=settings.workers
        )
    plan = BatchPlan(
        sets, batch_size=settings.batch_size, mixing=settings.mixing, seed=settings.seed,
        rank=rank, processes=processes,
    )  # fmt: skip
    return BatchLoader(
        Examples(sets), batch_sampler=plan, collate_fn=collator, num_workers=settings.workers
    )


def check_loading(sets: Sequence[OpenedSet], settings: TrainingSettings) -> None:
    """Refuse what could only fail, or teach nothing, once training goes on.

    Raises:
        ConfigError: a set streams, and there is no `max_steps`; or batches of one example go to a
            loss that takes its negatives from the batch.
        TrainingDataError: a set has one example, and its loss takes its negatives from the batch.
    """
    for opened in sets:
        if opened.streams and settings.max_steps is None:
            raise ConfigError(
                f"{opened.name} streams, and nobody knows how many steps an epoch of it has; set "
                "max_steps."
            )
        # Only pairs have no negatives of their own.
        if opened.columns.format != "pairs":
            continue
        loss = type(opened.origin.loss).__name__
        if settings.batch_size == 1:
            raise ConfigError(
                f"{opened.name}: {loss} takes the negatives of a pair from its batch; batch_size "
                "is 1, and must be at least 2."
            )
        if opened.size == 1:
            raise TrainingDataError(
                f"{opened.name}: there is one example in it, and {loss} takes its negatives from "
                "the other examples; give more."
            )
