"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from shutil import which
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

if TYPE_CHECKING:
    from search_engine.config import Compute
    from search_engine.ingest.settings import RootSettings


def _require_name(value: str) -> str:
    if not value.strip():
        raise typer.BadParameter("it must name an index or be a path")
    return value


IndexOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--index",
        "-i",
        help="An index: a name under indexes/, or a path.",
        callback=_require_name,
    ),
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
OfflineOption: TypeAlias = Annotated[
    bool, typer.Option("--offline", help="Never ask the network for a model.")
]


class Backend(StrEnum):
    """What runs the encoders."""

    AUTO = "auto"
    TORCH = "torch"
    OPENVINO = "openvino"
    ONNX = "onnx"


class Dtype(StrEnum):
    """What the encoders compute in."""

    AUTO = "auto"
    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    INT8 = "int8"


class Kind(StrEnum):
    """How dense vectors are indexed."""

    FLAT = "flat"
    HNSW = "hnsw"
    HNSWLIB = "hnswlib"


class Precision(StrEnum):
    """How dense vectors are stored."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    INT8 = "int8"


class Chunking(StrEnum):
    """How documents are cut."""

    DEFAULT = "default"
    NONE = "none"


BackendOption: TypeAlias = Annotated[
    Backend,
    typer.Option(help="What runs the encoders; auto is OpenVINO where it is installed."),
]
DtypeOption: TypeAlias = Annotated[
    Dtype,
    typer.Option(
        help="What they compute in; auto is bfloat16 where the processor has it, int8 wants "
        "`search-cli calibrate` first."
    ),
]
KindOption: TypeAlias = Annotated[
    Kind | None,
    typer.Option(
        help="Compare every dense vector (flat), or search a graph (new indexes only).",
    ),
]
PrecisionOption: TypeAlias = Annotated[
    Precision | None, typer.Option(help="How dense vectors are stored (new indexes only).")
]
ModelOption: TypeAlias = Annotated[
    str | None, typer.Option(help="Bi-encoder, a name or a folder (new indexes only).")
]
SpladeOption: TypeAlias = Annotated[
    str | None, typer.Option(help="Also index by this SPLADE model (new indexes only).")
]
RerankerOption: TypeAlias = Annotated[
    str | None, typer.Option(help="Rerank by this cross-encoder (new indexes only).")
]
NewChunkingOption: TypeAlias = Annotated[
    Chunking | None, typer.Option(help="Cut documents, or leave them whole (new indexes only).")
]
FieldsOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        help="What a field of JSONL, CSV or Parquet records is: text=body, title=subject+kind, "
        "id=key. Remembered for the folder."
    ),
]
HiddenOption: TypeAlias = Annotated[
    bool | None, typer.Option(help="Take hidden files too. Remembered for the folder.")
]
OcrOption: TypeAlias = Annotated[
    bool | None,
    typer.Option(
        help="Recognise text in scanned PDF files and images, by tesseract. Remembered for the "
        "folder."
    ),
]
WhereOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        help="Only documents whose metadata meets a condition: language=de, year>=2020, "
        "'language in (de, en)', 'not draft=true'. May be given several times; all must hold.",
    ),
]
DeviceOption: TypeAlias = Annotated[
    str | None, typer.Option(help="A torch device such as cuda; the processor by default.")
]
ChunkingOption: TypeAlias = Annotated[
    Chunking, typer.Option(help="Cut documents where they may be cut, or leave them whole.")
]


def changed_reading(
    fields: list[str] | None, *, hidden: bool | None, ocr: bool | None
) -> Callable[[RootSettings], RootSettings]:
    """What the options make of the settings that a folder's files are read with.

    Raises:
        BadParameter: a field is not given as it must be, or tesseract is not installed.
    """
    from search_engine.errors import ConfigError
    from search_engine.ingest.records import parse_mapping

    try:
        mapping = parse_mapping(fields) if fields else None
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error
    if ocr and which("tesseract") is None:
        raise typer.BadParameter(
            "--ocr needs the program tesseract: install it (tesseract-ocr in Debian and Ubuntu)"
        )
    return lambda before: before.changed(fields=mapping, hidden=hidden, ocr=ocr)


def conditions(where: list[str] | None) -> dict[str, object] | None:
    """The conditions that were typed, as one.

    Raises:
        FilterError: one of them cannot be read.
    """
    if not where:
        return None
    from search_engine.filter_syntax import parse_where

    return {"$and": [parse_where(each) for each in where]}


def compute(backend: Backend, dtype: Dtype, *, device: str | None, offline: bool) -> Compute:
    """The options as settings."""
    from search_engine.config import Compute

    return Compute(backend=backend.value, dtype=dtype.value, device=device, offline=offline)
