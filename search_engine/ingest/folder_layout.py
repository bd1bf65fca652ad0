"""Folders whose files belong together: data sets, and indexes of ours."""

from __future__ import annotations

from collections.abc import Collection

_BEIR_CORPORA = ("corpus.jsonl", "corpus.jsonl.gz")
_BEIR_QUESTIONS = frozenset({"queries.jsonl", "queries.jsonl.gz", *_BEIR_CORPORA})
# What `datasets` writes beside the Arrow files of a data set that is saved to disk.
_DATASET_FILES = frozenset({"dataset_info.json", "state.json"})
_DATASET_SPLITS = "dataset_dict.json"
# What the folder of an index of ours has in it.
_INDEX = frozenset({"index.db", "segments"})


class FolderLayout:
    """What the names in a folder say about how its files belong together.

    Args:
        names: of everything in the folder.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._is_index = set(names) >= _INDEX
        self._corpus = next((name for name in _BEIR_CORPORA if name in names), None)
        self._is_dataset = set(names) >= _DATASET_FILES

    def leaves_out(self, name: str, *, folder: bool) -> bool:
        """Whether an entry is part of a data set, or of an index, and not a document of it."""
        if self._is_index:
            return True
        if self._corpus is not None:
            return name == "qrels" if folder else name != self._corpus and name in _BEIR_QUESTIONS
        if folder:
            return False
        return name == _DATASET_SPLITS or (self._is_dataset and name in _DATASET_FILES)

    def skips(self, name: str) -> bool:
        """Whether a file lies beside the corpus of a data set, and is no part of it."""
        return self._corpus is not None and name != self._corpus
