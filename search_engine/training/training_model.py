"""An encoder and its losses as one torch module: a batch in, the loss out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from search_engine.encoders.batching import TokenizedText, pad_batch, plan_batches
from search_engine.encoders.checkpoints.layout import Layout
from search_engine.encoders.checkpoints.module_specs import Input
from search_engine.encoders.modules.graph import Graph, load_graph
from search_engine.encoders.tokenizers.opening import open_tokenizer
from search_engine.errors import ConfigError
from search_engine.training.data.collating import TrainingBatch
from search_engine.training.losses.inputs import ScoreBatch, VectorBatch
from search_engine.training.losses.loss import Loss

# Texts of about the same length share a forward pass of so many tokens, padding included.
TOKEN_BUDGET = 2048


class TrainingModel(nn.Module):
    """The modules of a checkpoint and the losses that train them.

    Args:
        layout: of the checkpoint.
        losses: by the names of the training sets.
        token_budget: most tokens that are computed together; None is all texts at once, as sharded
            training asks for, where every process has to call the modules as often.

    Attributes:
        layout: as given.
        graphs: the modules by the way that texts take, "any" where there is one way only.
        losses: in the order of the training sets.
        progress: which share of the training is done, from 0 to 1.
        components: what the last losses were made of, by name, until it is emptied.

    Raises:
        ConfigError: a loss cannot train a cross-encoder of so many labels.
    """

    def __init__(
        self,
        layout: Layout,
        losses: Mapping[str, Loss],
        *,
        token_budget: int | None = TOKEN_BUDGET,
    ) -> None:
        super().__init__()
        self.layout = replace(layout, output="logits") if layout.task == "score" else layout
        shared: dict[int, nn.Module] = {}
        ways: tuple[Input, ...] = ("query", "document") if layout.is_routed else (None,)
        self.graphs = nn.ModuleDict(
            {way or "any": load_graph(self._way(way), loaded=shared) for way in ways}
        )
        self.losses = nn.ModuleList(losses.values())
        self.progress = 0.0
        self.components: dict[str, list[float]] = {}
        self._loss_numbers = {name: number for number, name in enumerate(losses)}
        self._pad_ids = {way: open_tokenizer(self._way(way)).pad_id for way in ways}
        self._token_budget = token_budget
        self._freeze_unread()
        self._check_labels()

    def _way(self, kind: Input) -> Layout:
        return self.layout.along(kind)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    def trained(self) -> list[tuple[Layout, Graph]]:
        """The modules with the way through the layout that they are of, for being saved."""
        return [
            (self._way(None if name == "any" else name), graph)  # type: ignore[arg-type, misc]
            for name, graph in self.graphs.items()
        ]

    def checkpoint_gradients(self) -> None:
        """Compute the activations of each layer again for the gradient, and keep none.

        Raises:
            ConfigError: the model has no layers that can do so.
        """
        transformers = self.transformers()
        if not all(transformer.supports_gradient_checkpointing for transformer in transformers):
            raise ConfigError(
                f"{self.layout.folder} cannot compute activations twice; leave "
                "gradient_checkpointing out."
            )
        for transformer in transformers:
            # Newer versions of transformers warn of the older name, and older ones have no other.
            name = "activation_checkpointing_enable"
            enable = getattr(transformer, name, None) or transformer.gradient_checkpointing_enable
            enable({"use_reentrant": False})

    def transformers(self) -> list[Any]:
        """The models of transformers among the modules, each once."""
        found: dict[int, Any] = {}
        for graph in self.graphs.values():
            if (model := getattr(graph.trunk, "model", None)) is not None:
                found[id(model)] = model
        return list(found.values())

    def _freeze_unread(self) -> None:
        """Leave out what feeds no vector, which distributed training would wait for."""
        if self.layout.task == "score":
            return
        for transformer in self.transformers():
            if getattr(transformer, "pooler", None) is not None:
                transformer.pooler.requires_grad_(False)

    def _check_labels(self) -> None:
        if self.layout.task == "score":
            graph: Any = next(iter(self.graphs.values()))
            labels = graph.heads[-1].width if graph.heads else graph.trunk.labels
            for loss in self.losses:
                loss.check_labels(labels)  # type: ignore[operator]

    def forward(self, batch: TrainingBatch) -> Tensor:
        """The loss of a batch, float32 scalar."""
        loss: Loss = self.losses[self._loss_numbers[batch.set_name]]  # type: ignore[assignment]
        labels = None if batch.labels is None else batch.labels.to(self.device)
        outputs = self._encode(batch, mini_batch_size=loss.mini_batch_size)
        made: VectorBatch | ScoreBatch
        if self.layout.task == "score":
            made = ScoreBatch(outputs[0], batch.documents, labels, self.progress)
        else:
            texts = tuple(column.texts for column in batch.columns)
            made = VectorBatch(tuple(outputs), labels, texts, self.progress)
        # Differences of similarities are too fine for the half precision of the transformer.
        with torch.autocast(self.device.type, enabled=False):
            value = loss(made)
        if isinstance(value, Tensor):
            return value
        for name, part in value.items():
            self.components.setdefault(name, []).append(float(part.detach()))
        return torch.stack(list(value.values())).sum()

    def _encode(self, batch: TrainingBatch, *, mini_batch_size: int | None) -> list[Tensor]:
        """What the encoder makes of each column, [b, width]; columns share forward passes."""
        ways = np.concatenate(
            [[self._way_of(column.kind)] * len(column.tokens) for column in batch.columns]
        )
        texts = [text for column in batch.columns for text in column.tokens]
        outputs, places = [], []
        for way, graph in self.graphs.items():
            chosen = np.flatnonzero(ways == way)
            mine = [texts[position] for position in chosen]
            for positions, output in self._run(graph, mine, way, mini_batch_size):
                outputs.append(output)
                places.append(chosen[positions])
        # Back into the order of the texts, and apart again by columns.
        order = torch.from_numpy(np.argsort(np.concatenate(places))).to(self.device)
        ordered = torch.cat(outputs).float()[order]
        return list(torch.split(ordered, [len(column.tokens) for column in batch.columns]))

    def _way_of(self, kind: Input) -> str:
        if "any" in self.graphs:
            return "any"
        if kind is not None:
            return kind
        modules = self._way(None).modules
        return next((way for way in ("query", "document") if self._way(way).modules == modules),
                    "document")  # fmt: skip

    def _run(
        self,
        graph: nn.Module,
        texts: Sequence[TokenizedText],
        way: str,
        mini_batch_size: int | None,
    ) -> Iterator[tuple[NDArray[np.intp], Tensor]]:
        """Outputs [b, width] of the texts at some positions, all of them in turn."""
        pad_id = self._pad_ids[None if way == "any" else way]  # type: ignore[index]
        run: Callable[..., Tensor] = graph
        again = mini_batch_size is not None and torch.is_grad_enabled()
        for positions in self._plan(texts, mini_batch_size):
            batch = pad_batch(texts, positions, input_names=graph.input_names, pad_id=pad_id)  # type: ignore[arg-type]
            inputs = [
                torch.from_numpy(batch.inputs[name]).to(self.device)
                for name in graph.input_names  # type: ignore[union-attr]
            ]
            output = checkpoint(run, *inputs, use_reentrant=False) if again else run(*inputs)
            yield positions, output

    def _plan(
        self, texts: Sequence[TokenizedText], mini_batch_size: int | None
    ) -> Iterator[NDArray[np.intp]]:
        lengths = [len(text.ids) for text in texts]
        if mini_batch_size is None and self._token_budget is not None:
            yield from plan_batches(lengths, token_budget=self._token_budget)
            return
        order = np.argsort(-np.asarray(lengths, dtype=np.intp), kind="stable")
        size = mini_batch_size or max(1, len(order))
        for start in range(0, len(order), size):
            yield order[start : start + size]
