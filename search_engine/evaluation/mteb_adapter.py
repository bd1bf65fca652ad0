"""Our encoders as `mteb.evaluate` takes them.

    mteb.evaluate(MtebEncoder(BiEncoder("all-MiniLM-L6-v2")), mteb.get_tasks(tasks=["SciFact"]))

mteb is not installed with this library; it is imported where its classes are needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_engine.encoders.bi_encoder import BiEncoder
from search_engine.encoders.cross_encoder import CrossEncoder
from search_engine.encoders.sparse_encoder import SparseEncoder
from search_engine.errors import ConfigError
from search_engine.evaluation.evaluators.vectors import Vectors, compare_rows, to_dense
from search_engine.types import SparseVectors


class MtebEncoder:
    """A bi-encoder or a sparse encoder in mteb's EncoderProtocol.

    Queries and documents have the checkpoint's prompts for them. Where it has a prompt by the
    name of the task or of its type, with "-query" or "-document" or without, a bi-encoder uses
    that one first, as mteb's own wrapper does.

    Args:
        encoder: what is measured.
        name: what mteb's results call it, "organization/model"; None is made of the encoder's
            name. The fingerprint is the revision, so that results of other weights are not mixed.
    """

    def __init__(self, encoder: BiEncoder | SparseEncoder, *, name: str | None = None) -> None:
        self._encoder = encoder
        self._name = name or _name_for_mteb(encoder.name)

    @property
    def mteb_model_meta(self) -> Any:
        """A `mteb.models.ModelMeta`: name, revision, dimension, length and similarity."""
        dimension = (
            self._encoder.dimension if isinstance(self._encoder, BiEncoder) else self._encoder.size
        )
        return _make_meta(
            self._encoder, self._name, dimension=dimension, similarity=self._encoder.similarity
        )

    def encode(
        self,
        inputs: Iterable[Mapping[str, Any]],
        *,
        task_metadata: Any,
        hf_split: str = "",  # noqa: ARG002
        hf_subset: str = "",  # noqa: ARG002
        prompt_type: Any = None,
        batch_size: int | None = None,  # noqa: ARG002
        show_progress_bar: bool = True,  # noqa: ARG002
    ) -> Vectors:
        """One vector per text.

        Sparse vectors are given as they are where mteb only passes them on to `similarity`, in
        retrieval, and with all their zeros elsewhere.

        Args:
            inputs: batches with the texts under "text".
            task_metadata: mteb's TaskMetadata.
            prompt_type: "query", "document" or None.

        Raises:
            ConfigError: a batch has no texts.
        """
        texts = _collect_texts(inputs)
        kind = None if prompt_type is None else str(getattr(prompt_type, "value", prompt_type))
        if isinstance(self._encoder, BiEncoder):
            prompt_name = self._find_prompt(task_metadata, kind)
            return self._encoder.encode(
                texts,
                kind="query" if kind == "query" else "document" if kind == "document" else None,
                prompt_name=prompt_name,
            )
        encode = {
            "query": self._encoder.encode_query,
            "document": self._encoder.encode_document,
        }.get(kind or "", self._encoder.encode)
        vectors = encode(texts)
        return vectors if task_metadata.type == "Retrieval" else to_dense(vectors)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> NDArray[np.float32]:
        """The similarity of each with each, float32 [n, m], as the checkpoint compares them."""
        if isinstance(embeddings1, SparseVectors) and isinstance(embeddings2, SparseVectors):
            from search_engine.encoders.sparse_vectors import compare_all

            return compare_all(embeddings1, embeddings2, similarity=self._encoder.similarity)
        from search_engine.embeddings.similarity import similarity

        return similarity(
            np.asarray(embeddings1), np.asarray(embeddings2), name=self._encoder.similarity
        )

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> NDArray[np.float32]:
        """The similarity of each with the one at its place, float32 [n]."""
        a, b = (
            each if isinstance(each, SparseVectors) else np.asarray(each)
            for each in (embeddings1, embeddings2)
        )
        return compare_rows(a, b, self._encoder.similarity)

    def _find_prompt(self, task_metadata: Any, kind: str | None) -> str | None:
        """The name of the checkpoint's prompt for a task, if it has one."""
        prompts = self._encoder.prompts if isinstance(self._encoder, BiEncoder) else {}
        for each in (task_metadata.name, task_metadata.type):
            for candidate in (f"{each}-{kind}", each):
                if candidate in prompts:
                    return str(candidate)
        return None


class MtebCrossEncoder:
    """A cross-encoder in mteb's CrossEncoderProtocol, for reranking tasks.

    Args:
        encoder: of one label.
        name: as for MtebEncoder.

    Raises:
        CheckpointError: the encoder gives several labels.
    """

    def __init__(self, encoder: CrossEncoder, *, name: str | None = None) -> None:
        encoder.check_single_label()
        self._encoder = encoder
        self._name = name or _name_for_mteb(encoder.name)

    @property
    def mteb_model_meta(self) -> Any:
        """A `mteb.models.ModelMeta`: name, revision and length."""
        return _make_meta(self._encoder, self._name, dimension=None, similarity=None)

    def predict(
        self,
        inputs1: Iterable[Mapping[str, Any]],
        inputs2: Iterable[Mapping[str, Any]],
        *,
        task_metadata: Any,  # noqa: ARG002
        hf_split: str = "",  # noqa: ARG002
        hf_subset: str = "",  # noqa: ARG002
        prompt_type: Any = None,  # noqa: ARG002
        batch_size: int | None = None,  # noqa: ARG002
        show_progress_bar: bool = True,  # noqa: ARG002
    ) -> NDArray[np.float32]:
        """The score of each (query, document), float32 [n].

        Args:
            inputs1, inputs2: batches of queries and of documents, with the texts under "text".

        Raises:
            ConfigError: a batch has no texts, or there are not as many of each.
        """
        queries, documents = _collect_texts(inputs1), _collect_texts(inputs2)
        if len(queries) != len(documents):
            raise ConfigError(
                f"{len(queries)} queries cannot be paired with {len(documents)} documents"
            )
        return self._encoder.predict(list(zip(queries, documents, strict=True)))


def _collect_texts(batches: Iterable[Mapping[str, Any]]) -> Sequence[str]:
    """All texts at once, so that the encoder can put those of a length together."""
    texts: list[str] = []
    for batch in batches:
        if "text" not in batch:
            raise ConfigError(
                f"a batch has {', '.join(batch)} and no text; these encoders read text alone, so "
                "choose tasks of text"
            )
        texts += batch["text"]
    return texts


def _name_for_mteb(name: str) -> str:
    """A name as mteb wants it, "organization/model"; for a folder, "local" and its own name."""
    if name.count("/") == 1 and not name.startswith(("/", ".")) and not Path(name).exists():
        return name
    return f"local/{Path(name).name or 'model'}"


def _make_meta(
    encoder: BiEncoder | SparseEncoder | CrossEncoder,
    name: str,
    *,
    dimension: int | None,
    similarity: str | None,
) -> Any:
    from mteb.models.model_meta import ModelMeta, ScoringFunction

    scoring = {
        "cosine": ScoringFunction.COSINE,
        "dot": ScoringFunction.DOT_PRODUCT,
        "euclidean": ScoringFunction.EUCLIDEAN,
        "manhattan": ScoringFunction.MANHATTAN,
    }
    return ModelMeta.create_empty(
        overwrites={
            "name": name,
            "revision": encoder.fingerprint,
            "max_tokens": encoder.max_tokens,
            "embed_dim": dimension,
            "similarity_fn_name": None if similarity is None else scoring[similarity],
            "framework": ["PyTorch"],
        }
    )
