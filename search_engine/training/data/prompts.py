"""The prompts that an encoder is trained with become its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from search_engine.encoders.checkpoints.layout import Layout
from search_engine.training.data.collating import ASYMMETRIC
from search_engine.training.data.training_set import OpenedSet


def with_prompts_of(layout: Layout, sets: Sequence[OpenedSet]) -> Layout:
    """The layout whose prompts of queries and documents are those that training sets give.

    Where the sets give several for one of the two, or where the texts of a set are neither, the
    checkpoint's own stay.
    """
    given: dict[str, set[str]] = {"query": set(), "document": set()}
    for opened in sets:
        if opened.columns.format not in ASYMMETRIC:
            continue
        for place, name in enumerate(opened.columns.texts):
            if name in opened.origin.prompts:
                given["document" if place else "query"].add(opened.origin.prompts[name])
    prompts = {kind: next(iter(found)) for kind, found in given.items() if len(found) == 1}
    if layout.task == "score" and "query" in prompts:
        # A pair has one prompt, which is found by name.
        return replace(layout, prompts={**layout.prompts, **prompts}, default_prompt_name="query")
    return replace(layout, prompts={**layout.prompts, **prompts})
