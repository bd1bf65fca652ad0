"""search-cli mine: hard negatives for training, from an index or from a list of texts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search_engine.cli.options import (
    Backend,
    BackendOption,
    DeviceOption,
    Dtype,
    DtypeOption,
    JsonOption,
    OfflineOption,
    compute,
)
from search_engine.cli.places import existing_index

if TYPE_CHECKING:
    from search_engine.config import Compute
    from search_engine.errors import ReadError
    from search_engine.evaluation.retrieval_dataset import RetrievalDataset
    from search_engine.training.mining.candidates import CandidateSource
    from search_engine.training.mining.queries import MiningQuery
    from search_engine.training.mining.report import MiningReport
    from search_engine.training.mining.settings import MiningSettings

_SOME_NOT_READ = 3


class MiningLeg(StrEnum):
    """What finds candidates."""

    FUSED = "fused"
    DENSE = "dense"
    BM25 = "bm25"
    SPLADE = "splade"


class Sampling(StrEnum):
    """Which of the candidates that pass are taken."""

    TOP = "top"
    RANDOM = "random"


class ExampleFormat(StrEnum):
    """What a line of the output is."""

    TUPLES = "tuples"
    TRIPLETS = "triplets"
    PAIRS = "pairs"
    LISTS = "lists"


def mine(
    pairs: Annotated[
        str,
        typer.Argument(
            help='JSON Lines with "query" and "positive" or "doc_id", plain or .gz; or a folder in '
            "the BEIR layout."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="JSON Lines to write.")],
    index: Annotated[
        str | None,
        typer.Option(
            "--index",
            "-i",
            help="Take candidates from this index: a name or a path. Without one they are the "
            "positives of the file, or the corpus of the folder.",
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Which qrels of a folder.")] = "train",
    leg: Annotated[
        MiningLeg, typer.Option(help="What finds candidates in the index.")
    ] = MiningLeg.FUSED,
    negatives: Annotated[int, typer.Option(min=1, help="Negatives of a query.")] = 5,
    min_rank: Annotated[
        int, typer.Option(min=0, help="Pass over so many of the best that pass the conditions.")
    ] = 0,
    max_rank: Annotated[
        int, typer.Option(min=1, help="Look at so many candidates besides the positives.")
    ] = 100,
    min_score: Annotated[float | None, typer.Option(help="The lowest score of a negative.")] = None,
    max_score: Annotated[
        float | None, typer.Option(help="The highest score of a negative.")
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(min=0, help="A negative scores at least so much below the positive."),
    ] = None,
    relative_margin: Annotated[
        float | None,
        typer.Option(min=0, help="The same as a share of the positive's score: 0.05 is 5 %."),
    ] = None,
    sampling: Annotated[
        Sampling, typer.Option(help="Take the best that pass, or draw among them.")
    ] = Sampling.TOP,
    seed: Annotated[int, typer.Option(min=0, help="Of the draw.")] = 0,
    near_duplicate: Annotated[
        float,
        typer.Option(
            min=0.01, max=1.0, help="The Jaccard similarity from which a text repeats a positive."
        ),
    ] = 0.8,
    format_: Annotated[
        ExampleFormat, typer.Option("--format", help="What a line is.")
    ] = ExampleFormat.TUPLES,
    scores: Annotated[
        bool, typer.Option("--scores", help="Write scores: those of --rescore, if given.")
    ] = False,
    rescore: Annotated[
        str | None,
        typer.Option(help="Drop what this cross-encoder puts above a positive; use its scores."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Bi-encoder where no index is given, a name or a folder.")
    ] = None,
    backend: BackendOption = Backend.AUTO,
    dtype: DtypeOption = Dtype.AUTO,
    device: DeviceOption = None,
    offline: OfflineOption = False,
    as_json: JsonOption = False,
) -> None:
    """Find texts that retrieval takes for answers and that are none, for training.

    Known positives of a query, their near-duplicates and the query's own text are left out.
    """
    if index is not None and model is not None:
        raise typer.BadParameter("an index has encoders of its own; leave --model out")
    if index is None and leg is not MiningLeg.FUSED:
        raise typer.BadParameter("--leg is one of an index; give --index NAME")
    from pydantic import ValidationError

    from search_engine.cli.terminal import printable
    from search_engine.evaluation.datasets import load_dataset
    from search_engine.training.mining.examples import check_output, unfinished_file
    from search_engine.training.mining.queries import judged_queries, read_pairs
    from search_engine.training.mining.settings import MiningSettings

    given = Path(pairs).resolve()
    for place in (output.resolve(), unfinished_file(output)):
        if place == given or (given.is_dir() and given in place.parents):
            raise typer.BadParameter(
                f"the output {place} would replace the pairs, or a file among them; give another "
                "--output"
            )
    try:
        settings = MiningSettings(
            negatives=negatives,
            max_rank=max_rank,
            min_rank=min_rank,
            min_score=min_score,
            max_score=max_score,
            margin=margin,
            relative_margin=relative_margin,
            sampling=sampling.value,
            seed=seed,
            near_duplicate=near_duplicate,
        )
    except ValidationError as error:
        wrong = error.errors()[0]
        raise typer.BadParameter(str(wrong["msg"]).removeprefix("Value error, ")) from error
    folder = None if index is None else existing_index(index)
    check_output(output)
    problems: list[ReadError] = []

    def tell(problem: ReadError) -> None:
        # At once, for it may be why all fails.
        typer.echo(f"problem: {printable(str(problem))}", err=True)
        problems.append(problem)

    dataset = None
    if Path(pairs).is_file():
        queries = read_pairs(Path(pairs), on_problem=tell)
    else:
        dataset = load_dataset(pairs, split=split, offline=offline)
        queries = judged_queries(dataset)
    options = compute(backend, dtype, device=device, offline=offline)
    with _open_source(folder, leg, queries, dataset, model=model, options=options) as source:
        report = _write(
            queries, source, settings, output, format_, with_scores=scores, rescore=rescore,
            options=options,
        )  # fmt: skip
    if not report.examples:
        typer.echo(f"nothing was mined, and {output} is left as it was", err=True)
    _print(report, problems, as_json=as_json)


@contextmanager
def _open_source(
    folder: Path | None,
    leg: MiningLeg,
    queries: list[MiningQuery],
    dataset: RetrievalDataset | None,
    *,
    model: str | None,
    options: Compute,
) -> Iterator[CandidateSource]:
    """The index, or the texts that are there without one."""
    if folder is not None:
        from search_engine.search import SearchEngine
        from search_engine.training.mining.index_candidates import IndexCandidates

        with (
            SearchEngine.open(folder, compute=options) as engine,
            IndexCandidates(engine, leg=leg.value) as source,
        ):
            yield source
        return
    from search_engine.config import DEFAULT_MODEL
    from search_engine.encoders.bi_encoder import BiEncoder
    from search_engine.training.mining.candidates import TextCandidates

    encoder = BiEncoder(model or DEFAULT_MODEL, **options.model_dump())
    if dataset is not None:
        yield TextCandidates(dataset.documents(), encoder)
    else:
        texts = (each.text for query in queries for each in query.positives)
        yield TextCandidates([text for text in texts if text is not None], encoder)


def _write(
    queries: list[MiningQuery],
    source: CandidateSource,
    settings: MiningSettings,
    output: Path,
    format_: ExampleFormat,
    *,
    with_scores: bool,
    rescore: str | None,
    options: Compute,
) -> MiningReport:
    from rich.progress import TaskID

    from search_engine.cli.progress import counting_progress
    from search_engine.encoders.cross_encoder import CrossEncoder
    from search_engine.training.mining.examples import make_examples, write_examples
    from search_engine.training.mining.mining import mine_negatives
    from search_engine.training.mining.report import MiningReport

    rescorer = None if rescore is None else CrossEncoder(rescore, **options.model_dump())
    if rescorer is not None:
        rescorer.check_single_label()
    report = MiningReport()
    with counting_progress("Mining", len(queries), unit="queries") as progress:
        mined = mine_negatives(queries, source, settings=settings, rescorer=rescorer, report=report)
        examples = (
            example
            for each in mined
            for example in make_examples(
                each, format_.value, negatives=settings.negatives, with_scores=with_scores
            )
        )
        for _ in write_examples(output, examples):
            report.examples += 1
            progress.update(TaskID(0), completed=report.queries)
        progress.update(TaskID(0), completed=report.queries)
    return report


def _print(report: MiningReport, problems: list[ReadError], *, as_json: bool) -> None:
    """Say what was mined, and end with status 3 where some pairs were not read.

    Args:
        problems: of those pairs, printed before.
    """
    from search_engine.cli.terminal import count_of
    from search_engine.errors import TrainingDataError

    if report.missing_positives and report.without_positive == report.queries:
        raise TrainingDataError(
            f"none of {count_of(report.missing_positives, 'positive')} is a document of the corpus "
            "that was searched; the ids have to be those of the index (`search-cli list` shows "
            "them)"
        )
    if as_json:
        typer.echo(json.dumps(report.to_json()))
    else:
        typer.echo(report.to_table())
    if problems:
        raise typer.Exit(_SOME_NOT_READ)
