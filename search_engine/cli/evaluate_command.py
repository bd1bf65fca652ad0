"""search-cli evaluate: retrieval quality of each stage on a judged data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search_engine.cli.options import (
    Backend,
    BackendOption,
    Chunking,
    ChunkingOption,
    DeviceOption,
    Dtype,
    DtypeOption,
    JsonOption,
    OfflineOption,
    compute,
)
from search_engine.cli.places import indexes_root

if TYPE_CHECKING:
    from search_engine.evaluation.evaluator import EvaluationReport
    from search_engine.evaluation.retrieval_dataset import RetrievalDataset
    from search_engine.search import SearchEngine


def evaluate(
    directory: Annotated[
        str, typer.Argument(help="A folder in the BEIR layout, or a hub data set in that form.")
    ],
    split: Annotated[str, typer.Option(help="Which qrels.")] = "test",
    chunking: ChunkingOption = Chunking.DEFAULT,
    model: Annotated[str | None, typer.Option(help="Bi-encoder, a name or a folder.")] = None,
    splade: Annotated[str | None, typer.Option(help="Also search by this SPLADE model.")] = None,
    reranker: Annotated[str | None, typer.Option(help="Rerank by this cross-encoder.")] = None,
    run_file: Annotated[
        Path | None,
        typer.Option(help="Write a TREC run for each stage: PATH with the stage in its name."),
    ] = None,
    backend: BackendOption = Backend.AUTO,
    dtype: DtypeOption = Dtype.AUTO,
    device: DeviceOption = None,
    offline: OfflineOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure nDCG@10, MRR@10 and Recall@100 of each stage on a judged data set.

    The corpus is indexed under indexes/evaluate-NAME-CHUNKING and kept for the next time.
    """
    from search_engine.cli.progress import counting_progress
    from search_engine.cli.settings import asked_settings, open_or_create
    from search_engine.evaluation.datasets import load_dataset
    from search_engine.evaluation.evaluator import evaluate as evaluate_engine

    dataset = load_dataset(directory, split=split, offline=offline)
    if run_file is not None:
        run_file.parent.mkdir(parents=True, exist_ok=True)
    settings = asked_settings(model=model, splade=splade, reranker=reranker, chunking=chunking)
    # A hub data set has a slash in its name, and so may a model.
    parts = [dataset.name, chunking.value, *filter(None, (model, splade, reranker))]
    folder = indexes_root() / "-".join(["evaluate", *(part.replace("/", "-") for part in parts)])
    options = compute(backend, dtype, device=device, offline=offline)
    with open_or_create(folder, settings, options) as engine:
        _index_corpus(engine, dataset)
        with counting_progress("Asking", len(dataset.queries), unit="queries") as progress:
            report = evaluate_engine(
                engine, dataset, on_query=lambda: progress.advance(progress.task_ids[0])
            )
    if as_json:
        typer.echo(json.dumps(report.to_json()))
    else:
        _print_report(report)
    if run_file is not None:
        _write_runs(run_file, report)


def _index_corpus(engine: SearchEngine, dataset: RetrievalDataset) -> None:
    """Make the index hold the corpus and nothing else."""
    from search_engine.cli.progress import indexing_progress

    total = sum(1 for _ in dataset.documents())
    gone = {document.doc_id for document in engine.documents()}
    with (
        indexing_progress(f"Indexing {dataset.name}") as progress,
        engine.writer(on_progress=progress.encoded) as writer,
    ):
        for position, document in enumerate(dataset.documents(), 1):
            progress.read(position / total)
            writer.add(document)
            gone.discard(document.doc_id)
        for doc_id in gone:
            writer.delete(doc_id)


def _write_runs(path: Path, report: EvaluationReport) -> None:
    from search_engine.evaluation.run_file import write_run

    for stage, run in report.runs.items():
        write_run(path.with_name(f"{path.stem}.{stage}{path.suffix}"), run, tag=stage)


def _print_report(report: EvaluationReport) -> None:
    from rich.console import Console
    from rich.table import Table

    metrics = list(next(iter(report.stages.values())).metrics)
    table = Table(title=f"{report.dataset} {report.split}, {report.queries} queries")
    table.add_column("stage")
    for metric in metrics:
        table.add_column(f"{metric} (95 % interval)", justify="right")
    for name, stage in report.stages.items():
        cells = [
            "{:.4f} ({:.3f} to {:.3f})".format(stage.metrics[metric], *stage.intervals[metric])
            for metric in metrics
        ]
        table.add_row(name, *cells)
    console = Console(highlight=False)
    console.print(table)
    stages = " · ".join(f"{stage} {ms:.1f}" for stage, ms in report.timings_ms.items())
    console.print(f"median ms a query: {stages}", style="dim")
