"""Which generation answers: beginning one, promoting it, going back to the one before.

    building -> live <-> previous -> retired

One generation is live. The one before it is kept, so that going back is one update; it learns of
no document that comes meanwhile. What is retired is removed once no reader sees it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import sqlite_utils

from search_engine.errors import GenerationBehindError, GenerationError
from search_engine.index.generations.generation import (
    Generation,
    GenerationState,
    change_settings,
    check_dense_kind,
    generation_in_state,
    insert_generation,
    live_generation,
    stored_generations,
)
from search_engine.index.segments.removal import remove_unseen
from search_engine.index.store.database import (
    Database,
    check_writable,
    sqlite_errors,
    write_transaction,
)
from search_engine.index.store.lock import write_lock
from search_engine.index.store.schema import read_config, write_config
from search_engine.index.store.stored import documents_lacking
from search_engine.index.writer import LOCK_TIMEOUT_SECONDS


def begin_generation(folder: Path, wanted: Generation) -> Generation:
    """A generation to build beside the live one; one that was begun with the same vectors goes on.

    Where there is one whose vectors are the same, live or not, it takes over the other settings,
    those by which questions are asked. Another one that was being built is given up.

    Args:
        wanted: its id is of no meaning.

    Raises:
        GenerationError: the live generation has just these settings.
        ConfigError: the dense kind cannot serve the model's similarity or the precision.
    """
    check_dense_kind(wanted)
    with _changing(folder) as (db, commit):
        for known, state in stored_generations(db, str(folder)):
            if known.fingerprint != wanted.fingerprint:
                continue
            if known.config != wanted.config:
                change_settings(db, known.generation_id, wanted.config)
                write_config(db, "commit", str(commit))
            elif state == "live":
                raise GenerationError(
                    f"the live generation of {folder} has these models and settings already"
                )
            return replace(known, config=wanted.config)
        _retire(db, "building")
        new = replace(wanted, generation_id=int(read_config(db, "next_generation_id")))
        write_config(db, "next_generation_id", str(new.generation_id + 1))
        insert_generation(db, new, state="building")
    return new


def promote_generation(folder: Path, generation_id: int) -> None:
    """Let a generation answer from now on; the live one becomes the one to go back to.

    Raises:
        GenerationBehindError: it lacks documents.
        GenerationError: there is no such generation, or it is live already.
    """
    with _changing(folder) as (db, commit):
        state = _state(db, folder, generation_id)
        if state == "live":
            raise GenerationError(f"generation {generation_id} of {folder} is live already")
        lacking = len(documents_lacking(db, generation_id))
        if lacking:
            raise GenerationBehindError(
                f"generation {generation_id} of {folder} lacks {lacking} documents; let it catch "
                "up before it is promoted"
            )
        if state == "building":
            _retire(db, "previous")
        _swap(db, generation_id)
        write_config(db, "commit", str(commit))
    _remove(folder)


def roll_back(folder: Path) -> int:
    """Let the generation before the live one answer again, and return how many documents it lacks.

    Raises:
        GenerationError: none is kept, or the one that is kept came after the live one.
    """
    with _changing(folder) as (db, commit):
        previous = generation_in_state(db, "previous", str(folder))
        live = live_generation(db, str(folder))
        if previous is not None and previous.generation_id > live.generation_id:
            raise GenerationError(
                f"{folder} was rolled back already; `search-cli promote` lets generation "
                f"{previous.name} answer again"
            )
        if previous is None:
            raise GenerationError(
                f"{folder} keeps no generation to go back to; one is kept after a promotion"
            )
        _swap(db, previous.generation_id)
        write_config(db, "commit", str(commit))
        return len(documents_lacking(db, previous.generation_id))


def give_up_generation(folder: Path, generation_id: int) -> None:
    """Remove a generation that is not live.

    Raises:
        GenerationError: it is live, or there is none of that id.
    """
    with _changing(folder) as (db, commit):
        state = _state(db, folder, generation_id)
        if state == "live":
            raise GenerationError(
                f"generation {generation_id} of {folder} is live; promote another one first"
            )
        db.execute(
            "UPDATE generations SET state = 'retired' WHERE generation_id = ?", [generation_id]
        )
        _end_segments(db, commit)
        write_config(db, "commit", str(commit))
    _remove(folder)


def _state(db: sqlite_utils.Database, folder: Path, generation_id: int) -> GenerationState:
    for known, state in stored_generations(db, str(folder)):
        if known.generation_id == generation_id:
            return state
    raise GenerationError(f"{folder} has no generation {generation_id}")


def _retire(db: sqlite_utils.Database, state: str) -> None:
    cursor = db.execute("UPDATE generations SET state = 'retired' WHERE state = ?", [state])
    if cursor.rowcount:
        commit = int(read_config(db, "commit")) + 1
        _end_segments(db, commit)
        write_config(db, "commit", str(commit))


def _end_segments(db: sqlite_utils.Database, commit: int) -> None:
    # Their chunks do not die one by one: that would be a transaction as large as the index.
    db.execute(
        "UPDATE segments SET died = ? WHERE died IS NULL AND generation_id IN "
        "(SELECT generation_id FROM generations WHERE state = 'retired')",
        [commit],
    )


def _swap(db: sqlite_utils.Database, generation_id: int) -> None:
    db.execute("UPDATE generations SET state = 'previous' WHERE state = 'live'")
    db.execute("UPDATE generations SET state = 'live' WHERE generation_id = ?", [generation_id])


@contextmanager
def _changing(folder: Path) -> Iterator[tuple[sqlite_utils.Database, int]]:
    """A transaction under the write lock, and the number of the commit that it may make."""
    check_writable(folder)
    database = Database(folder, writable=True)
    try:
        with (
            write_lock(folder, timeout=LOCK_TIMEOUT_SECONDS),
            sqlite_errors(folder),
            write_transaction(database.here),
        ):
            yield database.here, int(read_config(database.here, "commit")) + 1
    finally:
        database.close()


def _remove(folder: Path) -> None:
    database = Database(folder, writable=True)
    try:
        remove_unseen(folder, database, lock_timeout=LOCK_TIMEOUT_SECONDS)
    finally:
        database.close()
