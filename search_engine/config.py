"""The settings of an index: frozen, checked when they are made, saved with the index.

A setting stands here when it changes what is stored or how an index answers. How fast the
machine computes it (backend, dtype, batch size) is not a property of the index and is given to
the encoders instead.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

Leg: TypeAlias = Literal["dense", "bm25", "splade"]
Precision: TypeAlias = Literal["float32", "float16", "int8"]
DEFAULT_MODEL = "all-MiniLM-L6-v2"


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ChunkingConfig(_Settings):
    """How documents are cut.

    Attributes:
        strategy: "default" cuts at the largest semantic unit that fits; "none" keeps each
            document whole, and the encoder cuts it at its own maximum length.
        max_tokens: most tokens of the dense encoder in a chunk, title and headings not counted.
    """

    strategy: Literal["default", "none"] = "default"
    max_tokens: int = Field(default=200, ge=16, le=8192)


class DenseConfig(_Settings):
    """The dense leg.

    Attributes:
        model: name or folder of a bi-encoder.
        kind: how its vectors are indexed, a name of the dense kinds' registry.
        precision: how each value of a vector is stored.
        m: links of a vector in a graph; twice as many in its lowest layer.
        ef_construction: candidates looked at for the links of a vector.
        ef_search: candidates looked at for a query; more find more, and take longer.
    """

    model: str = DEFAULT_MODEL
    kind: str = "flat"
    precision: Precision = "float32"
    m: int = Field(default=32, ge=2, le=128)
    ef_construction: int = Field(default=200, ge=1)
    ef_search: int = Field(default=128, ge=1)


class BM25Config(_Settings):
    """The BM25 leg (Robertson and Zaragoza 2009).

    The defaults are the customary ones of Anserini; on the sets that fusion was chosen on, the best
    of 19 others is 0.5 points of nDCG@10 better in the mean and loses on one of the three.

    Attributes:
        k1: term frequency saturation.
        b: length normalization.
        language: "auto" takes stemmer and stop words from the language of each document; a
            Snowball stemmer's name, such as "english", takes those for all.
    """

    k1: float = Field(default=0.9, ge=0)
    b: float = Field(default=0.4, ge=0, le=1)
    language: str = "auto"


class SpladeConfig(_Settings):
    """The learned sparse leg.

    Attributes:
        model: name or folder of a checkpoint with a masked-language-model head.
    """

    model: str


class FusionConfig(_Settings):
    """How the legs become one list.

    The defaults are the best of 35 on SciFact train, CoSQA dev and MedQuAD dev pooled
    (benchmarks/tune_fusion.py, benchmarks/results/fusion.json).

    Attributes:
        method: reciprocal rank fusion or the weighted sum of min-max normalized scores.
        weights: by leg; a leg that is not named weighs 1.
        identifier_weights: the same for a question that has an identifier in it, such as an option
            or a function's name. Of 900 made on documentation and code, 849 have the one document
            that holds the identifier first, and 603 with the other weights
            (benchmarks/tune_identifiers.py).
        rank_constant: of reciprocal rank fusion.
        depth: candidates that each leg gives.
    """

    method: Literal["rrf", "minmax"] = "minmax"
    weights: dict[Leg, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(
        default={"bm25": 0.6}
    )
    identifier_weights: dict[Leg, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(
        default={"bm25": 3.0}
    )
    rank_constant: int = Field(default=60, ge=0)
    depth: int = Field(default=100, ge=1)


class RerankConfig(_Settings):
    """The reranking stage.

    Attributes:
        model: name or folder of a cross-encoder.
        depth: how many of the fused candidates it reads.
    """

    model: str
    depth: int = Field(default=30, ge=1)


class Compute(_Settings):
    """How encoders are run on this machine; not a property of an index, and not saved with it.

    Attributes:
        backend: what runs the encoders; "auto" is OpenVINO where it is installed, then ONNX
            Runtime, else torch.
        dtype: what they compute in; "auto" is bfloat16 where the processor has it. With OpenVINO,
            "int8" needs a graph that was calibrated before.
        device: a torch device such as "cuda"; None is the processor.
        offline: never ask the network for a model.
    """

    backend: Literal["auto", "torch", "openvino", "onnx"] = "auto"
    dtype: Literal["auto", "float32", "float16", "bfloat16", "int8"] = "auto"
    device: str | None = None
    offline: bool = False


class Config(_Settings):
    """All settings of an index. A leg or a stage that is None is off."""

    chunking: ChunkingConfig = ChunkingConfig()
    text_format: str = "title-headings-text/1"
    dense: DenseConfig | None = DenseConfig()
    bm25: BM25Config | None = BM25Config()
    splade: SpladeConfig | None = None
    fusion: FusionConfig = FusionConfig()
    rerank: RerankConfig | None = None

    @model_validator(mode="after")
    def _has_a_leg(self) -> Config:
        if self.dense is None and self.bm25 is None and self.splade is None:
            raise ValueError("at least one of dense, bm25 and splade must be on")
        return self
