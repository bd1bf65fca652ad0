"""Test collections by folder or by name."""

from __future__ import annotations

import re
from pathlib import Path

from search_engine.errors import DatasetError
from search_engine.evaluation.beir import has_beir_qrels, load_beir_folder
from search_engine.evaluation.hub import load_hub_dataset
from search_engine.evaluation.retrieval_dataset import RetrievalDataset

__all__ = ["RetrievalDataset", "load_dataset"]

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_CARD_WITH_CONFIGURATIONS = re.compile(r"\A---\n.*?^configs:", re.DOTALL | re.MULTILINE)


def load_dataset(
    source: str | Path, *, split: str = "test", offline: bool = False
) -> RetrievalDataset:
    """One split of a test collection, from a folder or from the hub.

    Args:
        source: a folder in the BEIR layout (corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv, plain
            or .gz); a copy of a hub repository; or the name of one, such as "mteb/scifact".
        split: which judgments; queries that they do not judge are left out.
        offline: use no network; a name is then looked up in the local cache alone.

    Raises:
        DatasetError: the collection is missing or malformed; says where and what to do. The
            corpus is read when `documents()` is called, and raises there.
    """
    folder = Path(source)
    if folder.is_dir():
        if not has_beir_qrels(folder) and _is_hub_copy(folder):
            # Absolute, since `datasets` would take a relative path for a name on the hub.
            return load_hub_dataset(str(folder.absolute()), split=split, offline=offline)
        return load_beir_folder(folder, split=split)
    if isinstance(source, str) and _HUB_NAME.fullmatch(source):
        return load_hub_dataset(source, split=split, offline=offline)
    raise DatasetError(
        f"{source}: there is no such folder; give a folder in the BEIR layout or the name of a "
        "hub data set such as mteb/scifact"
    )


def _is_hub_copy(folder: Path) -> bool:
    card = folder / "README.md"
    return card.is_file() and bool(
        _CARD_WITH_CONFIGURATIONS.search(card.read_text(encoding="utf-8", errors="replace"))
    )
