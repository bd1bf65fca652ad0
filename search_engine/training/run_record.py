"""What makes a training run the same run, so that another is not taken for it when resuming."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from search_engine.encoders.checkpoints.fingerprint import fingerprint_of
from search_engine.encoders.checkpoints.layout import Layout
from search_engine.encoders.tokenizers.opening import open_tokenizer
from search_engine.training.data.training_set import OpenedSet
from search_engine.training.evaluating import Evaluator, Kind
from search_engine.training.losses.loss import Loss
from search_engine.training.processes import count_processes
from search_engine.training.settings import TrainingSettings

# Settings that change nothing about the trained model.
_FREE = ("workers", "keep_checkpoints")
# Examples that are read together.
_ROWS = 1000


def describe_run(
    layout: Layout,
    sets: Sequence[OpenedSet],
    *,
    kind: Kind,
    settings: TrainingSettings,
    evaluators: Sequence[Evaluator],
) -> dict[str, Any]:
    """A run as JSON holds it: two runs of the same description end with the same model.

    Args:
        layout: of the checkpoint that training begins with.
    """
    described = {
        "kind": kind,
        "model": fingerprint_of(layout, max_tokens=open_tokenizer(layout).max_tokens),
        "settings": settings.model_dump(mode="json", exclude=set(_FREE)),
        # What is written as a list counts in its order, as these two do.
        "sets": [each.name for each in sets],
        "learning_rates": [list(each) for each in settings.learning_rates.items()],
        "data": {each.name: _describe_set(each) for each in sets},
        "evaluators": {each.name: each.metric for each in evaluators},
        "processes": count_processes(),
    }
    return json.loads(json.dumps(described, default=str))  # type: ignore[no-any-return]


def find_differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What is not the same in two descriptions, in words."""
    found = []
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += [f"{key}.{difference}" for difference in find_differences(old, new)]
        elif old != new:
            found.append(f"{key} was {_shorten(old)} and is {_shorten(new)}")
    return found


def _describe_set(opened: OpenedSet) -> dict[str, Any]:
    origin = opened.origin
    return {
        "content": _sum_rows(opened),
        "columns": list(opened.columns.texts),
        "label": opened.columns.label,
        "format": opened.columns.format,
        "prompts": dict(origin.prompts),
        "sampling": origin.sampling,
        "loss": describe_loss(origin.loss),
    }


def describe_loss(loss: Loss) -> dict[str, Any]:
    """A loss by its name and options, the shapes of its parameters, and what it has been given."""
    shapes = {name: list(value.shape) for name, value in loss.named_parameters()}
    kind = type(loss).__name__
    values = {
        name: sha256(value.detach().cpu().numpy().tobytes()).hexdigest()
        for name, value in loss.named_buffers()
    }
    parts = {"parameters": shapes, "buffers": values}
    return {"name": kind, **loss.settings(), **{name: part for name, part in parts.items() if part}}


def _sum_rows(opened: OpenedSet) -> str:
    """SHA-256, in hex, over all examples; of a stream, which is never read twice, over its name."""
    total = sha256()
    if opened.streams:
        total.update(f"{opened.origin.source} {opened.origin.split} {opened.size}".encode())
        return total.hexdigest()
    for rows in opened.rows.iter(batch_size=_ROWS):
        total.update(json.dumps(rows, sort_keys=True, default=str).encode())
    return total.hexdigest()


def _shorten(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
