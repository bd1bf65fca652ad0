"""Vectors of fewer dimensions, by the principal components of a teacher's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from search_engine.embeddings.similarity import similarity
from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.checkpoints.finding import find_checkpoint
from search_engine.encoders.checkpoints.layout import read_layout
from search_engine.encoders.checkpoints.module_specs import ModuleSpec
from search_engine.encoders.modules.dense import Dense
from search_engine.encoders.modules.graph import load_graph
from search_engine.encoders.modules.normalize import Normalize
from search_engine.encoders.saving import save_checkpoint
from search_engine.errors import ConfigError, TrainingDataError
from search_engine.training.distillation.teachers import Vectors, whole_width

_BLOCK_TEXTS = 4096
# Each so many-th text is measured on and not fitted to, until there are enough.
_HELD_OUT_EVERY = 10
_HELD_OUT = 1000
_NEAREST = 10


@dataclass(frozen=True, slots=True)
class Projection:
    """What a projection keeps.

    Attributes:
        dimension: of the new vectors.
        texts: that the components were computed from.
        variance: share of theirs that the components hold, from 0 to 1.
        held_out: texts that they were not computed from, which the other two are measured on.
        correlation: Pearson's, of the cosines of all pairs of them before and after; None where
            they are fewer than three texts, or all pairs are alike.
        nearest_kept: which share of the ten nearest of each are still among its ten nearest.
    """

    dimension: int
    texts: int
    variance: float
    held_out: int
    correlation: float | None
    nearest_kept: float


def write_projected(
    model: str,
    texts: Iterable[str],
    folder: str | Path,
    *,
    dimension: int,
    device: str | None = None,
    offline: bool = False,
    on_texts: Callable[[int], None] | None = None,
) -> Projection:
    """Write a bi-encoder whose vectors are projected to the first principal components.

    A linear layer without bias follows the modules of the checkpoint, and where they end with
    Normalize, another one does. Its rows are the eigenvectors of the covariance of the vectors of
    the texts; the mean is not subtracted from what is projected, so that cosines stay near what
    they were.

    Args:
        model: name or folder of a checkpoint.
        texts: read once; ten for each dimension are few.
        folder: made if it does not exist; must be empty.
        dimension: of the new vectors, less than those of the model.
        on_texts: called with the number of texts that have been encoded.

    Raises:
        ConfigError: the model has no more dimensions than asked for, or the folder is not empty.
        TrainingDataError: there are too few texts.
    """
    encoder = BiEncoder(model, dtype="float32", device=device, offline=offline)
    width = whole_width(encoder)
    if not 1 <= dimension < width:
        raise ConfigError(
            f"dimension is {dimension}; the vectors of {model} have {width}, give fewer."
        )
    moments = _Moments(width)
    held_out: list[NDArray[np.float32]] = []
    seen = 0
    for vectors in _encode(texts, Vectors(encoder)):
        numbers = seen + np.arange(len(vectors))
        out = (numbers % _HELD_OUT_EVERY == _HELD_OUT_EVERY - 1) & (
            numbers // _HELD_OUT_EVERY < _HELD_OUT
        )
        held_out.append(vectors[out])
        moments.add(vectors[~out])
        seen += len(vectors)
        if on_texts is not None:
            on_texts(len(vectors))
    measured = np.concatenate(held_out) if held_out else np.empty((0, width), np.float32)
    if moments.count <= dimension or len(measured) < 2:
        raise TrainingDataError(
            f"{seen} texts are too few for {dimension} dimensions; give at least "
            f"{max(dimension * 10, 2 * _HELD_OUT_EVERY)}."
        )
    components, variance = moments.principal(dimension)
    _write(model, Path(folder), components, offline=offline)
    correlation, nearest = _compare(measured, measured @ components.T)
    return Projection(dimension, moments.count, variance, len(measured), correlation, nearest)


class _Moments:
    """Sums of vectors that their covariance is computed from, whatever their number."""

    def __init__(self, width: int) -> None:
        self.count = 0
        self._sum = np.zeros(width)
        self._squares = np.zeros((width, width))

    def add(self, vectors: NDArray[np.float32]) -> None:
        exact = vectors.astype(np.float64)
        self.count += len(exact)
        self._sum += exact.sum(axis=0)
        self._squares += exact.T @ exact

    def principal(self, dimension: int) -> tuple[NDArray[np.float32], float]:
        """The first components, float32 [dimension, width], and the share of variance they hold."""
        mean = self._sum / self.count
        values, vectors = np.linalg.eigh(self._squares / self.count - np.outer(mean, mean))
        # Ascending; each is as good with its sign turned, so that one has to be agreed on.
        components = vectors[:, ::-1][:, :dimension].T
        largest = np.abs(components).argmax(axis=1)
        signs = np.sign(components[np.arange(dimension), largest])
        values = np.maximum(values[::-1], 0)
        share = float(values[:dimension].sum() / values.sum()) if values.sum() else 1.0
        return (components * signs[:, None]).astype(np.float32), share


def _encode(texts: Iterable[str], teacher: Vectors) -> Iterator[NDArray[np.float32]]:
    iterator = iter(texts)
    while block := list(islice(iterator, _BLOCK_TEXTS)):
        yield teacher.label([(text,) for text in block])


def _write(model: str, folder: Path, components: NDArray[np.float32], *, offline: bool) -> None:
    layout = read_layout(find_checkpoint(model, offline=offline), task="embedding")
    dimension, width = components.shape
    dense = Dense(width, dimension, bias=False, activation=nn.Identity(), residual=False)
    with torch.no_grad():
        dense.linear.weight.copy_(torch.from_numpy(components))
    added: list[tuple[ModuleSpec, nn.Module]] = [(ModuleSpec("Dense", Path(), {}), dense)]
    if layout.modules[-1].type == "Normalize":
        added.append((ModuleSpec("Normalize", Path(), {}), Normalize(dimension)))
    specs = tuple(spec for spec, _ in added)
    shared: dict[int, nn.Module] = {}
    trained: list[tuple[Any, Any]] = []
    for way in layout.every_way():
        graph = load_graph(way, loaded=shared)
        graph.heads.extend(module for _, module in added)
        trained.append((replace(way, modules=way.modules + specs), graph))
    # The components are those of whole vectors.
    whole = replace(layout, tree=layout.tree + specs, truncate_dim=None)
    save_checkpoint(whole, folder, trained=trained)


def _compare(before: NDArray[np.float32], after: NDArray[np.float32]) -> tuple[float | None, float]:
    """How far the cosines of all pairs agree, and the nearest of each."""
    cosines = [similarity(vectors, vectors) for vectors in (before, after)]
    pairs = np.triu_indices(len(before), k=1)
    one, other = (each[pairs] for each in cosines)
    correlation = None
    # Two texts are one pair, and nothing correlates with what does not vary.
    if min(np.ptp(one), np.ptp(other)) > 0:
        correlation = float(np.corrcoef(one, other)[0, 1])
    near = min(_NEAREST, len(before) - 1)
    nearest = []
    for each in cosines:
        np.fill_diagonal(each, -np.inf)
        nearest.append(np.argsort(-each, axis=1, kind="stable")[:, :near])
    kept = [len(set(left) & set(right)) / near for left, right in zip(*nearest, strict=True)]
    return correlation, float(np.mean(kept))
