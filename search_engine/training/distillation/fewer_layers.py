"""A student of some of its teacher's layers (DistilBERT; Sanh et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.checkpoints.finding import find_checkpoint
from search_engine.encoders.checkpoints.layout import read_layout
from search_engine.encoders.checkpoints.weights import PER_LAYER
from search_engine.encoders.modules.graph import load_graph
from search_engine.encoders.saving import save_checkpoint
from search_engine.errors import ConfigError
from search_engine.training.callbacks import LogEntry
from search_engine.training.distillation.folder import open_run, write_student
from search_engine.training.distillation.vectors import TextSource, distill_vectors
from search_engine.training.losses.loss import Loss
from search_engine.training.runs import TASKS, Evaluator, Kind, TrainingReport
from search_engine.training.settings import TrainingSettings


def distill_layers(
    teacher: BiEncoder,
    texts: Iterable[str],
    output: str | Path,
    *,
    layers: Sequence[int],
    loss: Loss | None = None,
    settings: TrainingSettings | None = None,
    evaluators: Sequence[Evaluator] = (),
    labels: str | Path | None = None,
    resume: bool = False,
    device: str | None = None,
    offline: bool = False,
    on_rows: Callable[[int], None] | None = None,
    on_log: Callable[[LogEntry], None] | None = None,
) -> TrainingReport:
    """Train some of a bi-encoder's layers to make the vectors that all of them make.

    Args:
        teacher: opened; the student begins as a part of it.
        texts: whose vectors are learnt, read once.
        output: folder of the run: `student/` as it begins, `labels/`, and `training/` as `train`
            writes it.
        layers: of the teacher, from 0 at the bottom, ascending.
        loss: of (text, vector); None is MSELoss.
        labels: folder for the vectors instead, so that several runs share them.
        on_rows: called with the number of texts that have been encoded.
        settings, evaluators, resume, device, offline, on_log: as of `train`.

    Raises:
        ConfigError: the teacher has no such layers, or cannot do with fewer; or the folder holds a
            student of others.
        TrainingError, TrainingDataError: as of `train`.
    """
    folder = open_run(output, labels=labels, resume=resume, settings=settings, device=device)
    write_student(
        folder,
        {"teacher": teacher.fingerprint, "layers": list(layers)},
        lambda place: write_fewer_layers(teacher.name, place, layers=layers, offline=offline),
        # It is the same whenever it is made.
        reuse=True,
    )
    return distill_vectors(
        str(folder.student),
        teacher,
        [TextSource("texts", ("text",), ({"text": text} for text in texts))],
        folder,
        loss=loss,
        settings=settings,
        evaluators=evaluators,
        device=device,
        offline=offline,
        on_rows=on_rows,
        on_log=on_log,
    )


def spread_layers(model: str, count: int, *, kind: Kind = "bi", offline: bool = False) -> list[int]:
    """So many layers of a model, evenly, the first and the last among them.

    Raises:
        ConfigError: it has not as many.
    """
    layout = read_layout(find_checkpoint(model, offline=offline), task=TASKS[kind])
    there = _count_layers(load_graph(layout).trunk)
    if not 1 <= count <= there:
        raise ConfigError(f"{count} layers cannot be kept of the {there} that {model} has.")
    return [round(number) for number in np.linspace(0, there - 1, count)]


def write_fewer_layers(
    model: str,
    folder: str | Path,
    *,
    layers: Sequence[int],
    kind: Kind = "bi",
    offline: bool = False,
) -> None:
    """Write the checkpoint of some of a transformer's layers, all else as it is.

    Args:
        model: name or folder of a checkpoint.
        folder: made if it does not exist; must be empty.
        layers: from 0 at the bottom, ascending.
        kind: which of the three encoders it is.

    Raises:
        ConfigError: there are no such layers, the architecture cannot do with fewer or without the
            first, or the folder is not empty.
    """
    chosen = list(layers)
    if not chosen or chosen != sorted(set(chosen)) or chosen[0] < 0:
        raise ConfigError(f"layers are {chosen}; give numbers from 0 upwards, in ascending order.")
    layout = read_layout(find_checkpoint(model, offline=offline), task=TASKS[kind])
    if layout.is_routed:
        raise ConfigError(
            f"{model} has several ways through it; layers can be taken out of one transformer only."
        )
    graph = load_graph(layout)
    whole: Any = getattr(graph.trunk, "model", None)
    count = _count_layers(graph.trunk)
    if chosen[-1] >= count:
        raise ConfigError(f"there is no layer {chosen[-1]}: {model} has {count}, the first is 0.")
    # What cannot do with fewer layers is refused here.
    cut = load_graph(replace(layout, num_layers=len(chosen))).trunk.model
    _copy_layers(whole, cut, chosen, count, model)
    for name in PER_LAYER:
        entries = getattr(whole.config, name, None)
        if isinstance(entries, list):
            setattr(cut.config, name, [entries[number] for number in chosen])
    graph.trunk.model = cut
    save_checkpoint(layout, Path(folder), trained=[(layout, graph)])


def _count_layers(trunk: nn.Module) -> int:
    config = getattr(getattr(trunk, "model", None), "config", None)
    return int(getattr(config, "num_hidden_layers", 0))


def _copy_layers(whole: Any, cut: Any, chosen: Sequence[int], count: int, model: str) -> None:
    """Give each layer of the smaller transformer the weights of the one that it stands for."""
    stacks = [
        name
        for name, layers in whole.named_modules()
        if isinstance(layers, nn.ModuleList) and len(layers) == count
        and len(cut.get_submodule(name)) == len(chosen)
    ]  # fmt: skip
    if not stacks:
        raise ConfigError(f"the layers of {model} share their weights; none can be taken out.")
    for stack in stacks:
        for position, number in enumerate(chosen):
            weights = whole.get_submodule(f"{stack}.{number}").state_dict()
            try:
                cut.get_submodule(f"{stack}.{position}").load_state_dict(weights)
            except RuntimeError as error:
                raise ConfigError(
                    f"layer {number} of {model} cannot stand at place {position}, since the layers "
                    f"differ in their weights: {error}. Keep the first layer."
                ) from error
