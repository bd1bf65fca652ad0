"""A folder, an index of BM25 alone, and what the index should hold of the folder."""

from __future__ import annotations

from pathlib import Path

from search_engine.config import Compute, Config
from search_engine.ingest.files import find_files
from search_engine.ingest.reading import read_files
from search_engine.search import SearchEngine
from search_engine.sync.run import SyncReport, sync

OFFLINE = Compute(offline=True)


class Followed:
    """A folder `docs` and an index that is to follow it."""

    def __init__(self, folder: Path, *, config: Config | None = None) -> None:
        self.docs = folder / "docs"
        self.docs.mkdir()
        self.index = folder / "index"
        SearchEngine.create(
            self.index, config=config or Config(dense=None), compute=OFFLINE
        ).close()

    def write(self, relative: str, text: str) -> Path:
        path = self.docs / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def sync(self, *paths: Path, **options: bool) -> SyncReport:
        with SearchEngine.open(self.index, compute=OFFLINE) as engine:
            return sync(engine, paths or (self.docs,), **options)

    def stored(self) -> set[str]:
        """The ids of the documents that the index holds."""
        with SearchEngine.open(self.index, compute=OFFLINE) as engine:
            return {document.doc_id for document in engine.documents()}

    def texts(self) -> dict[str, str]:
        """Every document's first chunk as a search for a word of it finds it, by id."""
        with SearchEngine.open(self.index, compute=OFFLINE) as engine:
            found = engine.search("word", k=1_000).results
            return {result.doc_id: result.text for result in found}

    def expected(self) -> dict[str, str]:
        """What a new index of the folder would hold: texts by id."""
        found = find_files([self.docs])
        records = read_files(found.files, {self.docs.resolve(): "docs"})
        return {
            record.document.doc_id: record.document.text
            for record in records
            if record.document is not None
        }


def snapshot_of(report: SyncReport) -> tuple[int, int, int, int]:
    """What a run did: documents added, replaced, deleted, and texts encoded."""
    counts = report.counts
    return counts.added, counts.replaced, counts.deleted, counts.encoded
