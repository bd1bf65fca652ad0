"""search-cli sync: make an index agree with files and folders, once or for as long as it runs."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from pathlib import Path
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
from search_engine.cli.settings import Asked, asked_settings, open_or_create

if TYPE_CHECKING:
    from search_engine.config import Compute
    from search_engine.search import SearchEngine
    from search_engine.sync.comparison import Change, Comparison
    from search_engine.sync.run import SyncReport


def sync(
    paths: Annotated[list[str], typer.Argument(help="Files and folders to follow.")],
    index: IndexOption,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on following them until Ctrl-C.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Delete also where it is more than a fifth of a folder."),
    ] = False,
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
    """Make an index agree with files and folders: what is new goes in, what is gone comes out."""
    asked = asked_settings(
        model=model,
        kind=kind,
        precision=precision,
        splade=splade,
        reranker=reranker,
        chunking=chunking,
    )
    if watch and dry_run:
        raise typer.BadParameter("--watch and --dry-run contradict each other")
    options = compute(backend, dtype, device=device, offline=offline)
    change = changed_reading(fields, hidden=hidden, ocr=ocr)
    if dry_run:
        _foretell(index, paths, change, prune=prune, as_json=as_json)
        return
    with _Follower(index, asked, options, prune=prune) as follower:
        if not watch:
            follower.sync(paths, change, as_json=as_json)
            return
        follower.watch(paths, change, as_json=as_json)


class _Follower:
    """An index that is brought into step with folders; opened once there is something to do."""

    def __init__(self, name: str, asked: Asked, options: Compute, *, prune: bool) -> None:
        self._name = name
        self._folder = index_folder(name)
        self._asked = asked
        self._options = options
        self._prune = prune
        self._engine: SearchEngine | None = None
        self._open = ExitStack()

    def __enter__(self) -> _Follower:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def sync(self, paths: list[str], change: Change, *, as_json: bool) -> None:
        """Bring the index into step, and say what was done."""
        from search_engine.cli.intake_report import report_intake
        from search_engine.sync.comparison import compare

        started = time.perf_counter()
        report = self._apply(compare(self._folder, paths, change))
        report_intake(self._name, report, time.perf_counter() - started, as_json=as_json)

    def watch(self, paths: list[str], change: Change, *, as_json: bool) -> None:
        """Bring the index into step each time that something changed, until Ctrl-C."""
        from search_engine.cli.progress import console
        from search_engine.sync.comparison import compare
        from search_engine.sync.watch import wait_for_changes

        missing = [path for path in paths if not Path(path).exists()]
        if missing:
            raise typer.BadParameter(f"{missing[0]} does not exist; check the spelling")
        self._sync_watching(paths, change, as_json=as_json)
        console.print("Watching; Ctrl-C ends.")
        last = None
        for _ in wait_for_changes(paths, index=self._folder):
            comparison = compare(self._folder, paths, change)
            # What stays as it is (documents that are not to be deleted) is said once.
            if not comparison.in_step and comparison.plan != last:
                self._sync_watching(paths, change, as_json=as_json)
            last = comparison.plan

    def _sync_watching(self, paths: list[str], change: Change, *, as_json: bool) -> None:
        from search_engine.cli.intake_report import SOME_NOT_READ
        from search_engine.cli.progress import console
        from search_engine.cli.terminal import printable_line
        from search_engine.errors import SearchEngineError

        try:
            self.sync(paths, change, as_json=as_json)
        except typer.Exit as ending:
            # What cannot be read is named, and followed all the same.
            if ending.exit_code != SOME_NOT_READ:
                raise
        except (SearchEngineError, OSError) as error:
            # A lock that was held too long or a full disk may be over at the next change.
            console.print(f"error: {printable_line(str(error))}", markup=False, soft_wrap=True)

    def _apply(self, comparison: Comparison) -> SyncReport:
        from search_engine.sync.run import bring_into_step, report_unchanged

        exists = (self._folder / "index.db").exists()
        if comparison.in_step or not (exists or comparison.found.files):
            return report_unchanged(comparison)
        if self._engine is None:
            self._engine = self._open.enter_context(
                open_or_create(self._folder, self._asked, self._options)
            )
        from search_engine.cli.intake_progress import intake_progress

        to_read = comparison.plan.to_read
        with intake_progress(self._engine, to_read) as (writer, on_record):
            return bring_into_step(writer, comparison, prune=self._prune, on_record=on_record)


def _foretell(name: str, paths: list[str], change: Change, *, prune: bool, as_json: bool) -> None:
    """Say what a run would do; nothing is written."""
    from search_engine.cli.terminal import printable_line
    from search_engine.sync.comparison import compare
    from search_engine.sync.run import foretell_deletions

    comparison = compare(index_folder(name), paths, change)
    plan = comparison.plan
    kept = foretell_deletions(comparison, prune=prune)
    if as_json:
        report = {
            "index": name,
            "new": [file.given for file in plan.new],
            "changed": [file.given for _, file in plan.changed],
            "renamed": [
                {"from": before.file_id, "to": file.given} for before, file in plan.renamed
            ],
            "gone": [file.file_id for file in plan.gone],
            "left_out": [file.file_id for file in plan.left_out],
            "unchanged": len(plan.unchanged),
            "not_deleted": [
                {"root": str(each.root), "documents": each.documents, "reason": each.reason}
                for each in kept
            ],
            "problems": [
                {"path": each.path, "line": each.line, "reason": each.reason}
                for each in comparison.found.problems
            ],
        }
        typer.echo(json.dumps(report, ensure_ascii=False))
        return
    for what, given in (
        *(("new", file.given) for file in plan.new),
        *(("changed", file.given) for _, file in plan.changed),
        *(("renamed", f"{before.file_id} -> {file.given}") for before, file in plan.renamed),
        *(("gone", file.file_id) for file in plan.gone),
        *(("left out now", file.file_id) for file in plan.left_out),
        *(("problem", str(each)) for each in comparison.found.problems),
        *(("not deleted", f"{each.root}: {each.reason}") for each in kept),
    ):
        typer.echo(f"{what}: {printable_line(given)}")
    typer.echo(
        f"{name}: {len(plan.new)} new, {len(plan.changed)} changed, {len(plan.renamed)} renamed, "
        f"{len(plan.gone)} gone, {len(plan.unchanged)} unchanged files; nothing was written"
    )
