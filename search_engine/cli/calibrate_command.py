"""search-cli calibrate: the models of an index in 8 bits, fitted to its texts."""

from __future__ import annotations

import typer

from search_engine.cli.options import IndexOption, OfflineOption
from search_engine.cli.places import existing_index


def calibrate(index: IndexOption, offline: OfflineOption = False) -> None:
    """Quantize the models of an index to 8 bits, so that --dtype int8 can be used with them.

    What is quantized is fitted to texts of the index, and kept in the cache of this machine's
    user. The index stays as it is, with the vectors that it was built with.
    """
    from search_engine.calibration import calibrate_index
    from search_engine.cli.terminal import count_of

    for model, count in calibrate_index(existing_index(index), offline=offline).items():
        typer.echo(f"{model}: calibrated on {count_of(count, 'text')} of {index}")
    typer.echo(f"`search-cli query QUESTION --index {index} --dtype int8` uses it.")
