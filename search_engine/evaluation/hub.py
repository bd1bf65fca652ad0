"""A test collection on the Hugging Face hub, in the form that BEIR and MTEB publish.

The repository has the configurations `corpus` (_id, title, text) and `queries` (_id, text). The
judgments (query-id, corpus-id, score) are its configuration `default` or `qrels` (MTEB), or a
repository beside it whose name ends in `-qrels` (BEIR). A folder that is a copy of such a
repository is read in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from search_engine.errors import DatasetError
from search_engine.evaluation.retrieval_dataset import (
    RetrievalDataset,
    add_judgment,
    parse_grade,
    parse_id,
    parse_text,
    select_judged,
)
from search_engine.types import Document

# What `datasets` returns; it ships no types that mypy could read.
_Table: TypeAlias = Any
_Splits: TypeAlias = Mapping[str, _Table]

_QRELS_COLUMNS = {"query-id", "corpus-id", "score"}


def load_hub_dataset(repository: str, *, split: str, offline: bool) -> RetrievalDataset:
    """One split of a collection on the hub, in the local cache, or in a folder of that form.

    Args:
        repository: a name such as "mteb/scifact", or a folder.
        offline: use what the cache of `datasets` has, and no network.

    Raises:
        DatasetError: it cannot be found or reached, or a row of it cannot be read.
    """
    qrels_at, qrels = _read_qrels(repository, split=split, offline=offline)
    queries_at = f"{repository}, configuration queries"
    corpus_at = f"{repository}, configuration corpus"
    queries_table = _choose_split(_load(repository, "queries", offline=offline), "queries", split)
    corpus_table = _choose_split(_load(repository, "corpus", offline=offline), "corpus", split)
    queries = select_judged(
        _read_queries(queries_table, queries_at), qrels, qrels_at=qrels_at, queries_at=queries_at
    )
    return RetrievalDataset(
        name=Path(repository).resolve().name if Path(repository).is_dir() else repository,
        split=split,
        queries=queries,
        qrels=qrels,
        documents=lambda: _read_corpus(corpus_table, corpus_at),
    )


def _load(repository: str, config: str | None, *, offline: bool) -> _Splits:
    """All splits of one configuration.

    Raises:
        DatasetError: it is not there, cannot be reached, or cannot be read.
    """
    # Imported here: pandas and pyarrow come with it, and a folder in the BEIR layout needs neither.
    import datasets
    from datasets.packaged_modules.cache.cache import Cache

    place = f"{repository}, configuration {config}" if config else repository
    try:
        if offline and not Path(repository).is_dir():
            cached = Cache(
                repo_id=repository,
                dataset_name=repository.rpartition("/")[2],
                config_name=config,
                version="auto",
                hash="auto",
            )
            splits: _Splits = cached.as_dataset()
        else:
            splits = datasets.load_dataset(repository, config)
    except ConnectionError as error:
        raise DatasetError(
            f"{repository}: there is no such folder, and the hub could not be reached ({error}); "
            "give the folder of the data set, or try again with a network"
        ) from error
    except (ValueError, OSError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        advice = (
            "download it once without --offline, or give a folder"
            if offline
            else "give a folder in the BEIR layout, or a repository such as mteb/scifact"
        )
        raise DatasetError(f"{place}: cannot be loaded ({error}); {advice}") from error
    return splits


def _read_qrels(
    repository: str, *, split: str, offline: bool
) -> tuple[str, dict[str, dict[str, int]]]:
    failures: list[str] = []
    for place, config in (
        (repository, "default"),
        (repository, "qrels"),
        (f"{repository.rstrip('/')}-qrels", None),
    ):
        try:
            splits = _load(place, config, offline=offline)
        except DatasetError as error:
            if isinstance(error.__cause__, ConnectionError):
                raise  # without the hub the others would only wait for it in vain
            failures.append(str(error))
            continue
        # The default configuration of a repository may well be something else.
        if any(_QRELS_COLUMNS.issubset(table.column_names) for table in splits.values()):
            at = f"{place}, configuration {config}" if config else place
            if split not in splits:
                raise DatasetError(
                    f"{at}: there is no split {split!r}; it has: {', '.join(sorted(splits))}"
                )
            return f"{at}, split {split}", _read_judgments(splits[split], f"{at}, split {split}")
        failures.append(f"{place}, configuration {config}: no columns query-id, corpus-id, score")
    raise DatasetError(f"{repository}: no judgments were found. " + " ".join(failures))


def _choose_split(splits: _Splits, config: str, split: str) -> _Table:
    """The part of `corpus` or `queries` that belongs to a split of the judgments.

    Most repositories have one part, named after the configuration; a few have one per split.
    """
    if len(splits) == 1:
        return next(iter(splits.values()))
    for name in (split, config):
        if name in splits:
            return splits[name]
    raise DatasetError(
        f"configuration {config} has the parts {', '.join(sorted(splits))}, and neither "
        f"{split!r} nor {config!r} is among them"
    )


def _read_rows(table: _Table, at: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    for number, row in enumerate(table, start=1):
        yield f"{at}, row {number}", row


def _read_judgments(table: _Table, at: str) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = {}
    for place, row in _read_rows(table, at):
        try:
            add_judgment(
                qrels,
                parse_id(row, "query-id"),
                parse_id(row, "corpus-id"),
                parse_grade(row["score"]),
            )
        except ValueError as error:
            raise DatasetError(f"{place}: {error}") from error
    return qrels


def _read_queries(table: _Table, at: str) -> dict[str, str]:
    queries: dict[str, str] = {}
    for place, row in _read_rows(table, at):
        try:
            query_id = parse_id(row, "_id", "id")
            if query_id in queries:
                raise ValueError(f"query {query_id!r} is there a second time")
            queries[query_id] = parse_text(row, "text", required=True)
        except ValueError as error:
            raise DatasetError(f"{place}: {error}") from error
    return queries


def _read_corpus(table: _Table, at: str) -> Iterator[Document]:
    seen: set[str] = set()
    for place, row in _read_rows(table, at):
        try:
            doc_id = parse_id(row, "_id", "id")
            if doc_id in seen:
                raise ValueError(f"document {doc_id!r} is there a second time")
            title = parse_text(row, "title", required=False)
            text = parse_text(row, "text", required=True)
        except ValueError as error:
            raise DatasetError(f"{place}: {error}") from error
        seen.add(doc_id)
        yield Document(doc_id=doc_id, text=text, title=title)
    if not seen:
        raise DatasetError(f"{at}: the corpus is empty")
