"""The modules that a text passes through, as torch modules; graph.py chains them.

Each takes and returns the features of a batch by name, as Sentence Transformers' modules do, and
gives the same numbers. A third party's module registers under the type that modules.json writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from search_engine.encoders.layout import Layout
from search_engine.encoders.weights import load_weights
from search_engine.errors import CheckpointError

Features: TypeAlias = dict[str, Tensor]

POOLING_MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
# How older checkpoints write the modes, in the order in which several are concatenated.
LEGACY_POOLING_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


class Module(Protocol):
    """What the registry of modules holds: a class whose instances are torch modules too."""

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any], *, width: int) -> nn.Module:
        """Make the module from its folder and config; `width` is what reaches it."""

    def config(self) -> dict[str, Any]:
        """The settings, as Sentence Transformers writes them."""


class Transformer(nn.Module):
    """Token ids to token vectors, to vocabulary logits, or to a score, as the task asks."""

    _FIELDS: ClassVar[Mapping[str, tuple[str, str]]] = {
        "embedding": ("last_hidden_state", "token_embeddings"),
        "sparse": ("logits", "token_embeddings"),
        "score": ("logits", "scores"),
    }

    def __init__(self, model: nn.Module, *, layout: Layout) -> None:
        super().__init__()
        self.model = model
        self.width = int(model.config.hidden_size)  # type: ignore[union-attr, arg-type]
        self._arguments = [name for name in layout.input_names if name != "pooling_mask"]
        self._field, self._output = self._FIELDS[layout.task]

    def forward(self, features: Features) -> Features:
        outputs = self.model(**{name: features[name] for name in self._arguments})
        # Whatever follows is cheap and computed in float32.
        features[self._output] = getattr(outputs, self._field).float()
        return features


class Pooling(nn.Module):
    """Token vectors to one vector: one or several of six ways, concatenated."""

    def __init__(self, width: int, modes: tuple[str, ...], *, include_prompt: bool) -> None:
        super().__init__()
        self.width = width * len(modes)
        self._token_width = width
        self.modes = modes
        self.include_prompt = include_prompt

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any], *, width: int) -> Pooling:
        """Read the old or the new spelling of the config; no mode given means the mean."""
        stated = config.get("pooling_mode")
        if stated is None:
            stated = [mode for key, mode in LEGACY_POOLING_KEYS.items() if config.get(key)]
        modes = (stated,) if isinstance(stated, str) else tuple(stated) or ("mean",)
        if unknown := [mode for mode in modes if mode not in POOLING_MODES]:
            raise CheckpointError(
                f"{folder / 'config.json'}: unknown pooling mode {unknown[0]!r}; known are "
                f"{', '.join(POOLING_MODES)}."
            )
        return cls(width, modes, include_prompt=bool(config.get("include_prompt", True)))

    def config(self) -> dict[str, Any]:
        """In the old spelling where it can say it, since every version reads that."""
        ordered = tuple(mode for mode in LEGACY_POOLING_KEYS.values() if mode in self.modes)
        if ordered != self.modes:
            return {
                "embedding_dimension": self._token_width,
                "pooling_mode": list(self.modes),
                "include_prompt": self.include_prompt,
            }
        return {
            "word_embedding_dimension": self._token_width,
            **{key: mode in self.modes for key, mode in LEGACY_POOLING_KEYS.items()},
            "include_prompt": self.include_prompt,
        }

    def forward(self, features: Features) -> Features:
        tokens = features["token_embeddings"]
        mask = features["attention_mask" if self.include_prompt else "pooling_mask"]
        pooled = [self._pool(mode, tokens, mask) for mode in self.modes]
        features["sentence_embedding"] = torch.cat(pooled, dim=-1)
        return features

    @staticmethod
    def _pool(mode: str, tokens: Tensor, mask: Tensor) -> Tensor:
        weights = mask.unsqueeze(-1).to(tokens.dtype)
        if mode == "max":
            return tokens.masked_fill(weights == 0, float("-inf")).amax(dim=1)
        if mode in ("cls", "lasttoken"):
            positions = torch.arange(1, tokens.shape[1] + 1, device=mask.device, dtype=mask.dtype)
            # The first or the last kept position has the largest of these.
            ranked = mask * (positions if mode == "lasttoken" else positions.flip(0))
            chosen = functional.one_hot(ranked.argmax(dim=1), tokens.shape[1]).to(tokens.dtype)
            return (tokens * chosen.unsqueeze(-1)).sum(dim=1)
        if mode == "weightedmean":
            positions = torch.arange(1, tokens.shape[1] + 1, device=mask.device)
            weights = weights * positions.view(1, -1, 1).to(tokens.dtype)
        total = weights.sum(dim=1).clamp(min=1e-9)
        return (tokens * weights).sum(dim=1) / (
            total.sqrt() if mode == "mean_sqrt_len_tokens" else total
        )


class Dense(nn.Module):
    """A linear layer with an activation, and optionally the input added to the output."""

    def __init__(self, in_features: int, out_features: int, *, bias: bool, activation: nn.Module,
                 residual: bool) -> None:  # fmt: skip
        super().__init__()
        self.linear = nn.Linear(in_features, out_features, bias=bias)
        self.activation_function = activation
        self.width = out_features
        self._adds_input = residual
        if residual and in_features != out_features:
            self.residual = nn.Linear(in_features, out_features, bias=False)

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any], *, width: int) -> Dense:
        """Read config and weights; without an activation in the config it is Tanh."""
        key = config.get("module_input_name", "sentence_embedding")
        if key != "sentence_embedding" or (config.get("module_output_name") or key) != key:
            raise CheckpointError(
                f"{folder / 'config.json'}: a Dense module on {key!r} is not supported, only on "
                "the sentence embedding."
            )
        dense = cls(
            int(config.get("in_features", width)),
            int(config["out_features"]),
            bias=bool(config.get("bias", True)),
            activation=activation_named(
                config.get("activation_function"),
                default=nn.Tanh(),
                source=str(folder / "config.json"),
            ),
            residual=bool(config.get("use_residual", False)),
        )
        load_weights(dense, folder)
        return dense

    def config(self) -> dict[str, Any]:
        """With the activation as a dotted path."""
        kind = type(self.activation_function)
        settings = {
            "in_features": self.linear.in_features,
            "out_features": self.linear.out_features,
            "bias": self.linear.bias is not None,
            "activation_function": f"{kind.__module__}.{kind.__qualname__}",
        }
        return settings | ({"use_residual": True} if self._adds_input else {})

    def forward(self, features: Features) -> Features:
        vector = features["sentence_embedding"]
        projected = self.activation_function(self.linear(vector))
        if self._adds_input:
            projected = projected + (self.residual(vector) if hasattr(self, "residual") else vector)
        features["sentence_embedding"] = projected
        return features


class Normalize(nn.Module):
    """Vectors to unit length."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    @classmethod
    def load(cls, _folder: Path, _config: Mapping[str, Any], *, width: int) -> Normalize:
        """There is nothing to read."""
        return cls(width)

    def config(self) -> dict[str, Any]:
        """Nothing to say."""
        return {}

    def forward(self, features: Features) -> Features:
        vector = features["sentence_embedding"]
        features["sentence_embedding"] = functional.normalize(vector, dim=-1)
        return features


class SpladePooling(nn.Module):
    """Vocabulary logits of each token to one weight per term (SPLADE; Formal et al. 2021).

    weight(term) = max over tokens of log(1 + relu(logit)); older checkpoints sum, and some take
    the logarithm twice.
    """

    def __init__(self, width: int, *, strategy: str, logarithms: int) -> None:
        super().__init__()
        self.width = width
        self._strategy = strategy
        self._logarithms = logarithms

    @classmethod
    def load(cls, folder: Path, config: Mapping[str, Any], *, width: int) -> SpladePooling:
        """Read the pooling strategy ("max" or "sum") and the activation."""
        strategy = config.get("pooling_strategy", "max")
        activation = config.get("activation_function", "relu")
        if strategy not in ("max", "sum") or activation not in ("relu", "log1p_relu"):
            raise CheckpointError(
                f"{folder / 'config.json'}: SPLADE pooling by {strategy!r} of {activation!r} is "
                "not supported; it is max or sum, of relu or log1p_relu."
            )
        return cls(width, strategy=strategy, logarithms=1 if activation == "relu" else 2)

    def config(self) -> dict[str, Any]:
        """Strategy and activation."""
        activation = "relu" if self._logarithms == 1 else "log1p_relu"
        return {"pooling_strategy": self._strategy, "activation_function": activation}

    def forward(self, features: Features) -> Features:
        logits = features["token_embeddings"] * features["attention_mask"].unsqueeze(-1)
        if self._strategy == "max":
            # Everything below is monotonic, so the maximum can come first, on far fewer numbers.
            pooled = self._saturate(logits.amax(dim=1))
        else:
            pooled = self._saturate(logits).sum(dim=1)
        features["sentence_embedding"] = pooled
        return features

    def _saturate(self, logits: Tensor) -> Tensor:
        saturated = logits.relu()
        for _ in range(self._logarithms):
            saturated = saturated.log1p()
        return saturated


def activation_named(dotted: str | None, *, default: nn.Module, source: str) -> nn.Module:
    """An activation of torch.nn by its dotted path, such as "torch.nn.modules.activation.Tanh".

    Args:
        source: the file that names it, for the message.

    Raises:
        CheckpointError: the path is not of torch.nn (code elsewhere is never run), or is a
            module that cannot be made without settings.
    """
    if dotted is None:
        return default
    known = "write one such as 'torch.nn.modules.activation.Sigmoid'."
    is_torch = isinstance(dotted, str) and dotted.startswith("torch.")
    kind = getattr(nn, dotted.rpartition(".")[2], None) if is_torch else None
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise CheckpointError(
            f"{source}: activation {dotted!r} is not one of torch.nn, and is not run; {known}"
        )
    try:
        return kind()
    except TypeError as error:
        raise CheckpointError(
            f"{source}: activation {dotted!r} cannot be made without settings ({error}); {known}"
        ) from error
