"""What runs in a process of an EncoderPool: a bi-encoder is opened, and encodes chunk by chunk."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_engine.encoders.backends.selection import BackendName, DtypeName
from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.checkpoints.module_specs import Input
from search_engine.errors import ModelError, SearchEngineError


@dataclass(frozen=True, slots=True)
class Opening:
    """What a process opens the model with, as of BiEncoder."""

    model: str
    device: str
    backend: BackendName
    dtype: DtypeName
    offline: bool
    num_layers: int | None
    truncate_dim: int | None
    prompts: Mapping[str, str] | None
    default_prompt_name: str | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Texts that a process encodes together, and how, as of `BiEncoder.encode`."""

    texts: Sequence[str]
    kind: Input
    prompt_name: str | None
    prompt: str | None
    normalize: bool
    truncate_dim: int | None


@dataclass(frozen=True, slots=True)
class Reply:
    """What a process answers when the model is opened, and to each chunk.

    Attributes:
        vectors: float32 [n, dimension]; of no texts when the model is opened.
        truncated_texts, truncated_tokens: as of BiEncoder, so far.
    """

    vectors: NDArray[np.float32]
    truncated_texts: int
    truncated_tokens: int


def serve(connection: Any, opening: Opening) -> None:
    """Open the model and encode chunks until the connection is closed.

    Each chunk is answered by a Reply, or by the error that it came to.
    """
    # Ctrl-C is for the process that asks.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            encoder = _open(opening)
        except Exception as error:
            connection.send(_as_ours(error, opening.device))
            return
        connection.send(Reply(np.empty((0, encoder.dimension), np.float32), 0, 0))
        while True:
            chunk: Chunk = connection.recv()
            try:
                vectors = encoder.encode(
                    chunk.texts,
                    kind=chunk.kind,
                    prompt_name=chunk.prompt_name,
                    prompt=chunk.prompt,
                    normalize=chunk.normalize,
                    truncate_dim=chunk.truncate_dim,
                )
            except Exception as error:
                connection.send(_as_ours(error, opening.device))
            else:
                connection.send(Reply(vectors, encoder.truncated_texts, encoder.truncated_tokens))


def _open(opening: Opening) -> BiEncoder:
    return BiEncoder(
        opening.model,
        backend=opening.backend,
        dtype=opening.dtype,
        device=opening.device,
        offline=opening.offline,
        num_layers=opening.num_layers,
        truncate_dim=opening.truncate_dim,
        prompts=opening.prompts,
        default_prompt_name=opening.default_prompt_name,
    )


def _as_ours(error: Exception, device: str) -> SearchEngineError:
    """An error that the other process can raise: of our own, which say what to do, or made one."""
    if isinstance(error, SearchEngineError):
        return error
    return ModelError(f"encoding on {device} failed: {type(error).__name__}: {error}")
