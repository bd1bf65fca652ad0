"""int8 calibrated on an index's own texts, for each of the models that the index names."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from search_engine.encoders.backends.calibration import MOST_EXAMPLES, calibrate_int8
from search_engine.errors import ConfigError
from search_engine.index.reader import IndexReader
from search_engine.ingest.text_format import format_text


def calibrate_index(folder: Path, *, offline: bool = False) -> dict[str, int]:
    """Quantize the models of an index for `dtype="int8"`, on chunks from all over the index.

    The quantized graphs are kept in the user's cache, for every index with the same models. A
    cross-encoder is calibrated on each chunk behind the title or the last heading above it.

    Args:
        offline: never ask the network for a model.

    Returns:
        how many texts each model was calibrated on, by its name.

    Raises:
        IndexNotFoundError: there is no index in the folder.
        ConfigError: the index is empty or has no model, or NNCF or OpenVINO is not installed.
        ModelNotFoundError, CheckpointError: of a model.
    """
    with IndexReader(folder) as reader:
        snapshot = reader.snapshot
        config = reader.generation.config
        count = min(MOST_EXAMPLES, snapshot.chunk_count)
        places = np.linspace(0, snapshot.chunk_count - 1, count).astype(np.int64)
        living = np.flatnonzero(snapshot.alive())
        chunks = reader.chunks(snapshot.chunk_ids(living[places]).tolist()) if count else []
    if not chunks:
        raise ConfigError(
            f"{folder} has no texts to calibrate on; add documents by `search-cli index` first."
        )
    texts = [
        format_text(config.text_format, title=chunk.title, headings=chunk.headings, text=chunk.text)
        for chunk in chunks
    ]
    calibrated = {}
    if config.dense is not None:
        calibrate_int8(config.dense.model, texts, offline=offline)
        calibrated[config.dense.model] = len(texts)
    if config.splade is not None:
        calibrate_int8(config.splade.model, texts, task="sparse", offline=offline)
        calibrated[config.splade.model] = len(texts)
    if config.rerank is not None:
        pairs = [
            ((chunk.headings or (chunk.title,))[-1] or chunk.text[:60], text)
            for chunk, text in zip(chunks, texts, strict=True)
        ]
        calibrate_int8(config.rerank.model, pairs, task="score", offline=offline)
        calibrated[config.rerank.model] = len(pairs)
    if not calibrated:
        raise ConfigError(f"{folder} has no model: BM25 alone needs no int8.")
    return calibrated
