"""A causal language model that is asked for the logits of a few tokens."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from search_engine.encoders.checkpoints.layout import Layout
from search_engine.encoders.modules.logit_score import read_answers
from search_engine.encoders.modules.module import Features
from search_engine.errors import CheckpointError


class CausalLanguageModel(nn.Module):
    """Token ids to the logits of a LogitScore module's answers, at each token.

    Only their rows of the language-model head are computed, so that no array is as wide as the
    vocabulary.

    Attributes:
        model: as it was loaded, with the whole head.
        width: of the token vectors.
    """

    def __init__(self, model: nn.Module, *, layout: Layout) -> None:
        super().__init__()
        self.model = model
        self.width = int(model.config.hidden_size)  # type: ignore[union-attr, arg-type]
        self._arguments = [name for name in layout.input_names if name != "pooling_mask"]
        score = next(module for module in layout.modules if module.type == "LogitScore")
        self._answers = read_answers(score.folder, score.config)
        tokens = int(model.config.vocab_size)  # type: ignore[union-attr, arg-type]
        if unknown := [answer for answer in self._answers if not 0 <= answer < tokens]:
            raise CheckpointError(
                f"{score.folder / 'config.json'}: the model has {tokens} tokens, and none of the "
                f"id {unknown[0]}; correct true_token_id and false_token_id."
            )
        self._answering = _with_rows(model, self._answers)

    def forward(self, features: Features) -> Features:
        inputs = {name: features[name] for name in self._arguments}
        if self._answering is None:
            logits = self.model(**inputs, use_cache=False).logits[..., list(self._answers)]
        else:
            logits = self._answering(**inputs, use_cache=False).logits
        features["answer_logits"] = logits.float()
        return features


class _Rows(nn.Module):
    """Some rows of a linear head, computed in float32."""

    def __init__(self, head: nn.Linear, rows: tuple[int, ...]) -> None:
        super().__init__()
        self.head = head
        self._rows = list(rows)

    def forward(self, hidden: Tensor) -> Tensor:
        bias = None if self.head.bias is None else self.head.bias[self._rows].float()
        return functional.linear(hidden.float(), self.head.weight[self._rows].float(), bias)


def _with_rows(model: nn.Module, rows: tuple[int, ...]) -> Any:
    """The model with those rows of its head, sharing everything else; None if it has no such head.

    What an architecture does to logits behind the head, such as a cap, is still done.
    """
    head = model.get_output_embeddings()  # type: ignore[operator]
    names = [name for name, module in model.named_children() if module is head]
    if not names or type(head) is not nn.Linear:
        return None
    answering = copy.copy(model)
    # The copy shares the dictionary of children until it has its own.
    answering._modules = dict(model._modules)
    answering._modules[names[0]] = _Rows(head, rows)
    return answering
