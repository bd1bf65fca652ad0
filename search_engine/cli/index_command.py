"""search-cli index: create or update an index from files and folders."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from search_engine.cli.options import (
    Backend,
    BackendOption,
    DeviceOption,
    Dtype,
    DtypeOption,
    FieldsOption,
    HiddenOption,
    IndexOption,
    JsonOption,
    KindOption,
    ModelOption,
    NewChunkingOption,
    OcrOption,
    OfflineOption,
    PrecisionOption,
    RerankerOption,
    SpladeOption,
    changed_reading,
    compute,
)
from search_engine.cli.places import index_folder
from search_engine.cli.settings import asked_settings, open_or_create

if TYPE_CHECKING:
    from search_engine.search import SearchEngine
    from search_engine.sync.comparison import Comparison
    from search_engine.sync.run import SyncReport


def index(
    paths: Annotated[list[str], typer.Argument(help="Files and folders to index.")],
    index: IndexOption,
    model: ModelOption = None,
    kind: KindOption = None,
    precision: PrecisionOption = None,
    splade: SpladeOption = None,
    reranker: RerankerOption = None,
    chunking: NewChunkingOption = None,
    fields: FieldsOption = None,
    hidden: HiddenOption = None,
    ocr: OcrOption = None,
    backend: BackendOption = Backend.AUTO,
    dtype: DtypeOption = Dtype.AUTO,
    device: DeviceOption = None,
    offline: OfflineOption = False,
    as_json: JsonOption = False,
) -> None:
    """Create or update an index from files and folders; reads all of them, deletes nothing."""
    from search_engine.cli.intake_report import report_intake
    from search_engine.sync.comparison import compare
    from search_engine.sync.run import SyncReport

    started = time.perf_counter()
    asked = asked_settings(
        model=model,
        kind=kind,
        precision=precision,
        splade=splade,
        reranker=reranker,
        chunking=chunking,
    )
    options = compute(backend, dtype, device=device, offline=offline)
    folder = index_folder(index)
    comparison = compare(folder, paths, changed_reading(fields, hidden=hidden, ocr=ocr))
    report = SyncReport(comparison, problems=list(comparison.found.problems))
    if comparison.found.files:
        with open_or_create(folder, asked, options) as engine:
            _read(engine, comparison, report)
    report_intake(index, report, time.perf_counter() - started, as_json=as_json)


def _read(engine: SearchEngine, comparison: Comparison, report: SyncReport) -> None:
    from search_engine.cli.intake_progress import intake_progress
    from search_engine.sync.intake import read_into, store_roots

    files = comparison.found.files
    with intake_progress(engine, files) as (writer, on_record):
        roots = store_roots(writer, comparison.settings)
        read = read_into(writer, files, roots, found=files, on_record=on_record)
    report.indexed, report.unread, report.counts = read.indexed, read.unread, writer.counts
    report.problems += read.problems
