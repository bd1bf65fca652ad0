"""The transformer with its masked-language-model head: token ids to what vocabulary logits need."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from search_engine.encoders.checkpoints.layout import Layout
from search_engine.encoders.modules.module import Features


class MaskedLanguageModel(nn.Module):
    """Token ids to vocabulary logits, or to what the head's last layer would make them of.

    Where the SPLADE pooling follows, the head's last layer, the decoder, is left to it, since the
    logits of a batch are far larger than all else: vectors of the size of the transformer's go
    on, and with them the decoder's weight and bias. Heads whose last step is anything but a
    linear layer give their logits.

    Attributes:
        model: the transformer and its head, complete for being saved.
        width: terms in the vocabulary.
    """

    def __init__(self, model: nn.Module, *, layout: Layout) -> None:
        super().__init__()
        self.model = model
        self._arguments = [name for name in layout.input_names if name != "pooling_mask"]
        self.width = int(model.config.vocab_size)  # type: ignore[union-attr, arg-type]
        self._decoder: str | None = None
        pooled = len(layout.modules) > 1 and layout.modules[1].type == "SpladePooling"
        if pooled and (name := _find_decoder(model, self._arguments)) is not None:
            deferred = DeferredDecoder(model.get_submodule(name))
            model.set_submodule(name, deferred)
            self._decoder = name
            self.width = len(deferred.weight)

    def forward(self, features: Features) -> Features:
        logits = self.model(**{name: features[name] for name in self._arguments}).logits
        if self._decoder is None:
            features["token_embeddings"] = logits.float()
            return features
        # What the decoder was given, since it passes that on.
        features["token_embeddings"] = logits
        decoder = cast(DeferredDecoder, self.model.get_submodule(self._decoder))
        features["decoder_weight"] = decoder.weight
        if decoder.bias is not None:
            features["decoder_bias"] = decoder.bias
        return features


class DeferredDecoder(nn.Module):
    """A linear layer that passes its input on, and keeps weight and bias for a later module.

    Under the names that they had, so that a model with it is saved complete.
    """

    def __init__(self, linear: nn.Module) -> None:
        super().__init__()
        self.weight: nn.Parameter = linear.weight  # type: ignore[assignment]
        self.bias: nn.Parameter | None = linear.bias  # type: ignore[assignment]

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden


def _find_decoder(model: nn.Module, arguments: list[str]) -> str | None:
    """The name of the linear layer whose output is the logits, unchanged; None without one."""
    decoder: nn.Module = model.get_output_embeddings()  # type: ignore[operator]
    if type(decoder) is not nn.Linear:
        return None
    outputs: list[Tensor] = []
    hook = decoder.register_forward_hook(lambda *call: outputs.append(call[-1]))
    inputs = {
        name: torch.full((1, 2), name != "token_type_ids", dtype=torch.int64) for name in arguments
    }
    try:
        # Some heads add to what the layer gives, or use its weight without calling it.
        logits = model(**inputs).logits
    finally:
        hook.remove()
    if len(outputs) != 1 or outputs[0] is not logits:
        return None
    names: dict[int, str] = {id(module): name for name, module in model.named_modules()}
    return names[id(decoder)]
