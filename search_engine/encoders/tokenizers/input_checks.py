"""What callers hand to an encoder is checked to be texts, before anything is made of it."""

from __future__ import annotations

from collections.abc import Mapping

from search_engine.errors import ConfigError

_SHOWN = 60


def check_texts(texts: object) -> None:
    """Make sure that these are texts, or pairs of texts, in a list.

    Raises:
        ConfigError: they are not; the message says what was given instead, at which position,
            and what to do.
    """
    for position, text in enumerate(_listed(texts, what="texts")):
        if isinstance(text, str):
            continue
        if isinstance(text, tuple):
            _check_pair(text, position)
        elif isinstance(text, list):
            raise ConfigError(
                f"text {position} is a list, {_shown(text)}; give each text as one str: join its "
                "words, or flatten a list of lists."
            )
        else:
            raise ConfigError(f"text {position} is {_described(text)}.")


def check_pairs(pairs: object) -> None:
    """Make sure that these are pairs of texts, in a list.

    Raises:
        ConfigError: they are not; the message says what was given instead, at which position,
            and what to do.
    """
    for position, pair in enumerate(_listed(pairs, what="pairs")):
        _check_pair(pair, position)


def _listed(given: object, *, what: str) -> list[object]:
    if isinstance(given, str):
        raise ConfigError(
            f"{what} must be in a list, and one text was given, {_shown(given)}, whose letters "
            "would be taken one by one; put it into a list."
        )
    # Lists and tuples, and what else has a length and positions: arrays and columns of tables.
    indexable = hasattr(given, "__len__") and hasattr(given, "__getitem__")
    if not indexable or isinstance(given, bytes | bytearray | Mapping):
        raise ConfigError(
            f"{what} must be in a list, not {type(given).__name__} {_shown(given)}; "
            "make a list of them."
        )
    return list(given)  # type: ignore[call-overload, no-any-return]


def _check_pair(pair: object, position: int) -> None:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise ConfigError(
            f"pair {position} is not two texts but {type(pair).__name__} {_shown(pair)}; give "
            "(query, text) for each."
        )
    for name, text in zip(("first", "second"), pair, strict=True):
        if not isinstance(text, str):
            raise ConfigError(f"the {name} text of pair {position} is {_described(text)}.")


def _described(text: object) -> str:
    if text is None:
        return "None; leave it out, or give an empty text"
    if isinstance(text, bytes | bytearray):
        return f"bytes, {_shown(text)}; decode them to a str first"
    return f"{type(text).__name__} {_shown(text)}; make a str of it"


def _shown(given: object) -> str:
    shown = repr(given)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
