"""Which fusion, and which k1 and b of BM25, rank best on train and dev queries: the defaults.

    python benchmarks/tune_fusion.py [--data DIR]

Each leg is asked once for each query, at the default depth; every fusion is then computed from
those hits. The pooled figure is the mean of the collections' nDCG@10, so that each weighs the same
whatever its number of queries. Indexes are those of quality.py. No test split is read.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from environment import describe_environment
from numpy.typing import NDArray
from quality import METRIC, REPOSITORY, open_index, report_progress

from search_engine.config import BM25Config, FusionConfig
from search_engine.errors import SearchEngineError
from search_engine.evaluation.datasets import RetrievalDataset, load_dataset
from search_engine.evaluation.metrics import score_run
from search_engine.evaluation.significance import paired_randomization_test
from search_engine.fusion import fuse
from search_engine.index.analysis import Analyzer
from search_engine.index.reader import IndexReader
from search_engine.types import Hits

SPLITS = {"scifact": "train", "cosqa": "dev", "medquad": "dev"}
RANK_CONSTANTS = (10, 20, 40, 60, 100)
RRF_WEIGHTS = (0.3, 0.5, 0.7, 1.0, 1.5)
MINMAX_WEIGHTS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.2, 1.5)
K1 = (0.6, 0.9, 1.2, 1.5)
B = (0.3, 0.4, 0.6, 0.75, 0.9)
OUTPUT = REPOSITORY / "benchmarks" / "results" / "fusion.json"

Values = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Collected:
    """What the legs found for the queries of one collection.

    Attributes:
        legs: query id -> leg -> hits, BM25 with its default k1 and b.
        bm25: (k1, b) -> query id -> hits.
        documents: the document of each chunk that any leg found.
    """

    dataset: RetrievalDataset
    legs: Mapping[str, Mapping[str, Hits]]
    bm25: Mapping[tuple[float, float], Mapping[str, Hits]]
    documents: Mapping[int, str]

    def score(self, rankings: Mapping[str, Hits]) -> NDArray[np.float64]:
        """nDCG@10 of each query; a document stands where its best chunk stands."""
        run = {
            query_id: list(dict.fromkeys(self.documents[each] for each in hits.chunk_ids.tolist()))
            for query_id, hits in rankings.items()
        }
        return score_run(self.dataset.qrels, run)[METRIC]


def main() -> int:
    arguments = parse_arguments()
    print(describe_environment(), end="\n\n", flush=True)
    try:
        collections = {
            name: collect(load_dataset(arguments.data / name, split=split))
            for name, split in SPLITS.items()
        }
    except SearchEngineError as error:
        sys.exit(f"tune_fusion.py: {error}")
    fusions = {describe_fusion(each): each for each in fusion_grid()}
    fused = {
        name: {
            dataset: score_fusion(collected, fusion, None)
            for dataset, collected in collections.items()
        }
        for name, fusion in fusions.items()
    }
    default = describe_fusion(FusionConfig())
    best = max(fused, key=lambda name: pool(fused[name]))
    legs: dict[str, Values] = {
        f"{leg} alone": {
            dataset: collected.score({query: hits[leg] for query, hits in collected.legs.items()})
            for dataset, collected in collections.items()
        }
        for leg in ("dense", "bm25")
    }
    print(format_table("fusion", {**fused, **legs}, default), end="\n\n")
    print(compare(f"best, {best}", fused[best], f"default, {default}", fused[default]), end="\n\n")

    settings = list(product(K1, B))
    alone: dict[str, Values] = {}
    with_best: dict[str, Values] = {}
    for k1, b in settings:
        name = describe_bm25(k1, b)
        alone[name] = {
            dataset: each.score(each.bm25[k1, b]) for dataset, each in collections.items()
        }
        with_best[name] = {
            dataset: score_fusion(each, fusions[best], (k1, b))
            for dataset, each in collections.items()
        }
    default_bm25 = describe_bm25(BM25Config().k1, BM25Config().b)
    print(format_table("BM25 alone", alone, default_bm25), end="\n\n")
    print(format_table(f"BM25 in {best}", with_best, default_bm25))
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(
        json.dumps(
            {
                "command": shlex.join(["python", *sys.orig_argv[1:]]),
                "metric": METRIC,
                "splits": SPLITS,
                "fusion": to_json({**fused, **legs}),
                "bm25": to_json(alone),
                "bm25_fused": {"fusion": best, "scores": to_json(with_best)},
            },
            indent=1,
        )
        + "\n",
        encoding="utf-8",
    )
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--data", type=Path, default=REPOSITORY.parent / "shared" / "data" / "retrieval",
        metavar="DIR", help="where their folders are (default: ../shared/data/retrieval)",
    )  # fmt: skip
    return parser.parse_args()


def collect(dataset: RetrievalDataset) -> Collected:
    """Ask each leg every query, and BM25 with every k1 and b."""
    with open_index(dataset, "default") as engine:
        depth = FusionConfig().depth
        legs = {
            query_id: engine.retrieve(query, depth=depth, rerank=False).legs
            for query_id, query in dataset.queries.items()
        }
        bm25 = ask_bm25(dataset, depth)
        found = [hits for by_leg in legs.values() for hits in by_leg.values()]
        found += [hits for by_query in bm25.values() for hits in by_query.values()]
        chunk_ids = np.unique(np.concatenate([hits.chunk_ids for hits in found]))
        documents = dict(zip(chunk_ids.tolist(), engine.doc_ids(chunk_ids), strict=True))
    report_progress(f"{dataset.name}: {len(legs)} queries asked")
    return Collected(dataset, legs, bm25, documents)


def ask_bm25(dataset: RetrievalDataset, depth: int) -> dict[tuple[float, float], dict[str, Hits]]:
    """The same leg with other settings, which the index need not be built again for."""
    hits: dict[tuple[float, float], dict[str, Hits]] = {each: {} for each in product(K1, B)}
    analyzer = Analyzer(BM25Config().language)
    folder = REPOSITORY / "indexes" / f"bench-{dataset.name}-default"
    with IndexReader(folder) as reader:
        for query_id, query in dataset.queries.items():
            counts = analyzer.query_terms(query, {"en"})
            ids = reader.term_ids(list(counts))
            frequencies = {term_id: counts[term] for term, term_id in ids.items()}
            for (k1, b), found in hits.items():
                settings = BM25Config(k1=k1, b=b)
                found[query_id] = reader.snapshot.search_bm25(frequencies, depth, settings)
    return hits


def fusion_grid() -> list[FusionConfig]:
    return [
        *(
            FusionConfig(method="rrf", rank_constant=constant, weights={"bm25": weight})
            for constant, weight in product(RANK_CONSTANTS, RRF_WEIGHTS)
        ),
        *(FusionConfig(method="minmax", weights={"bm25": weight}) for weight in MINMAX_WEIGHTS),
    ]


def describe_fusion(fusion: FusionConfig) -> str:
    constant = f", rank_constant {fusion.rank_constant}" if fusion.method == "rrf" else ""
    return f"{fusion.method}{constant}, bm25 {fusion.weights.get('bm25', 1.0):g}"


def describe_bm25(k1: float, b: float) -> str:
    return f"k1 {k1:g}, b {b:g}"


def score_fusion(
    collected: Collected, fusion: FusionConfig, bm25: tuple[float, float] | None
) -> NDArray[np.float64]:
    """nDCG@10 of each query; `bm25` is the k1 and b of the leg, None the default ones."""
    other = collected.bm25[bm25] if bm25 else None
    return collected.score(
        {
            query_id: fuse({**legs, "bm25": other[query_id]} if other else legs, fusion)
            for query_id, legs in collected.legs.items()
        }
    )


def pool(values: Values) -> float:
    return float(np.mean([each.mean() for each in values.values()]))


def format_table(title: str, rows: Mapping[str, Values], default: str) -> str:
    """Best first; the default is marked."""
    lines = [
        f"| {title} | pooled {METRIC} | {' | '.join(SPLITS)} |",
        "|---" * (len(SPLITS) + 2) + "|",
    ]
    for name in sorted(rows, key=lambda name: -pool(rows[name])):
        cells = " | ".join(f"{rows[name][dataset].mean():.4f}" for dataset in SPLITS)
        mark = " (default)" if name == default else ""
        lines.append(f"| {name}{mark} | {pool(rows[name]):.4f} | {cells} |")
    return "\n".join(lines)


def compare(name: str, values: Values, other: str, others: Values) -> str:
    """The difference of two settings on each collection, and whether it is more than chance."""
    parts = [
        f"{dataset} {values[dataset].mean() - others[dataset].mean():+.4f} "
        f"(p = {paired_randomization_test(values[dataset], others[dataset]):.4f})"
        for dataset in SPLITS
    ]
    return f"{name}, against {other}: {', '.join(parts)}"


def to_json(rows: Mapping[str, Values]) -> dict[str, Any]:
    def rounded(values: Sequence[float]) -> float:
        return round(float(np.mean(values)), 4)

    return {
        name: {
            "pooled": round(pool(values), 4),
            **{dataset: rounded(each.tolist()) for dataset, each in values.items()},
        }
        for name, values in rows.items()
    }


if __name__ == "__main__":
    sys.exit(main())
