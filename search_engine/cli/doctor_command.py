"""search-cli doctor: verify an index, and mend what can be mended from the stored texts."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from search_engine.cli.options import (
    Backend,
    BackendOption,
    DeviceOption,
    Dtype,
    DtypeOption,
    IndexOption,
    JsonOption,
    OfflineOption,
    compute,
)
from search_engine.cli.places import existing_index


def doctor(
    index: IndexOption,
    repair: Annotated[
        bool, typer.Option("--repair", help="Make anew, from the stored texts, what is damaged.")
    ] = False,
    backend: BackendOption = Backend.AUTO,
    dtype: DtypeOption = Dtype.AUTO,
    device: DeviceOption = None,
    offline: OfflineOption = False,
    as_json: JsonOption = False,
) -> None:
    """Verify every checksum, count and reference of an index."""
    from search_engine import doctor as doctoring
    from search_engine.cli.progress import document_progress

    folder = existing_index(index)
    findings = doctoring.examine(folder)
    if repair and any(finding.repairable for finding in findings):
        options = compute(backend, dtype, device=device, offline=offline)
        with document_progress("Repairing") as progress:
            doctoring.repair(folder, compute=options, on_progress=progress)
        findings = doctoring.examine(folder)
    if as_json:
        found = [{"what": each.what, "repairable": each.repairable} for each in findings]
        typer.echo(json.dumps({"index": str(folder), "findings": found}, ensure_ascii=False))
    else:
        for finding in findings:
            typer.echo(f"problem: {finding.what}")
        if any(finding.repairable for finding in findings):
            typer.echo(f"`search-cli doctor --repair --index {index}` mends what can be mended")
        if not findings:
            typer.echo(f"{index} is sound")
    if findings:
        raise typer.Exit(1)
