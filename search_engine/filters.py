"""Conditions on metadata: what may be asked, and what it means for one document.

They are spelled as MongoDB, Chroma and Pinecone spell them:

    {"lang": "de", "year": {"$gte": 2020, "$lt": 2024}}        both must hold
    {"lang": {"$in": ["de", "en"]}}    {"lang": {"$ne": "de"}}    {"lang": {"$nin": ["de"]}}
    {"author": {"$exists": True}}      {"author": None}           None: it has no author
    {"$or": [{...}, {...}]}            {"$and": [...]}            {"$not": {...}}

A key that is absent, None or NaN, or holds something else than text, a number or a bool, is
missing. A bool equals only bools, text only text; int and float compare by their exact values.
<, <=, > and >= hold between two numbers or between two texts (by code point), and never for a
bool. `$ne`, `$nin` and `$not` are complements: they hold where the key is missing.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias, cast

from search_engine.errors import FilterError

Order: TypeAlias = Literal["$lt", "$lte", "$gt", "$gte"]
Scalar: TypeAlias = str | int | float | bool

MAX_DEPTH = 50
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "$lt": operator.lt,
    "$lte": operator.le,
    "$gt": operator.gt,
    "$gte": operator.ge,
}
_COMPARISONS = ("$eq", "$ne", *_ORDERS, "$in", "$nin", "$exists")
_CONNECTIVES = ("$and", "$or", "$not")
_VALUES = "text, a number, True or False"


@dataclass(frozen=True, slots=True)
class Compare:
    """The key's value stands in this order to a number or a text."""

    key: str
    order: Order
    value: str | int | float


@dataclass(frozen=True, slots=True)
class Among:
    """The key's value is one of these; kinds are kept apart because Python has True == 1."""

    key: str
    texts: frozenset[str] = frozenset()
    numbers: frozenset[int | float] = frozenset()
    flags: frozenset[bool] = frozenset()


@dataclass(frozen=True, slots=True)
class Present:
    """The key has a value."""

    key: str


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every part holds; without parts it always does."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part holds."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: Filter


Filter: TypeAlias = Compare | Among | Present | AllOf | AnyOf | Not


def parse_filter(where: Mapping[str, object]) -> Filter:
    """The checked form of a condition; the module says how conditions are written.

    An empty condition always holds, an empty `$in` never.

    Raises:
        FilterError: it is none; the message names the place and what is allowed there.
    """
    return _condition(where, "where", 1)


def matches(filter: Filter, metadata: Mapping[str, Scalar | None]) -> bool:
    """Whether a condition holds for the metadata of one document: the meaning of every filter."""
    match filter:
        case AllOf(parts):
            return all(matches(part, metadata) for part in parts)
        case AnyOf(parts):
            return any(matches(part, metadata) for part in parts)
        case Not(part):
            return not matches(part, metadata)
    value = metadata.get(filter.key)
    # NaN is the number that differs from itself.
    if not isinstance(value, Scalar) or value != value:
        return False
    match filter:
        case Among(_, texts, numbers, flags):
            if isinstance(value, bool):
                return value in flags
            return value in (texts if isinstance(value, str) else numbers)
        case Compare(_, order, bound):
            comparable = isinstance(value, str) == isinstance(bound, str)
            return comparable and not isinstance(value, bool) and _ORDERS[order](value, bound)
    return True


def keys_of(filter: Filter) -> frozenset[str]:
    """The metadata keys that a condition asks for."""
    match filter:
        case AllOf(parts) | AnyOf(parts):
            return frozenset[str]().union(*map(keys_of, parts))
        case Not(part):
            return keys_of(part)
    return frozenset((filter.key,))


def _condition(where: object, place: str, depth: int) -> Filter:
    if depth > MAX_DEPTH:
        raise FilterError(f"where is nested deeper than {MAX_DEPTH} conditions; write it flatter")
    if not isinstance(where, Mapping):
        raise FilterError(f'{place} must be a condition such as {{"lang": "de"}}, {_not(where)}')
    parts: list[Filter] = []
    for key, wanted in where.items():
        if not isinstance(key, str):
            raise FilterError(f"a key of {place} must be text, {_not(key)}")
        inner = f"{place}[{key!r}]"
        if key == "$not":
            parts.append(Not(_condition(wanted, inner, depth + 1)))
        elif key in _CONNECTIVES:
            parts.append(_connected(key, wanted, inner, depth))
        elif key.startswith("$"):
            raise FilterError(_unknown(key, place, _CONNECTIVES))
        elif isinstance(wanted, Mapping):
            if not wanted:
                raise FilterError(f"{inner} is empty; write one of {', '.join(_COMPARISONS)}")
            parts += [_comparison(key, name, value, inner) for name, value in wanted.items()]
        else:
            parts.append(_equal(key, wanted, inner))
    return _all_of(parts)


def _connected(name: str, wanted: object, place: str, depth: int) -> Filter:
    if not isinstance(wanted, list | tuple):
        raise FilterError(f"{place} must be a list of conditions, {_not(wanted)}")
    if not wanted:
        raise FilterError(f"{place} is empty; list at least one condition")
    parts = [_condition(part, f"{place}[{n}]", depth + 1) for n, part in enumerate(wanted)]
    return _all_of(parts) if name == "$and" else AnyOf(tuple(parts))


def _all_of(parts: list[Filter]) -> Filter:
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


def _comparison(key: str, name: object, value: object, place: str) -> Filter:
    inner = f"{place}[{name!r}]" if isinstance(name, str) else place
    match name:
        case "$eq":
            return _equal(key, value, inner)
        case "$ne":
            return Not(_equal(key, value, inner))
        case "$in" | "$nin":
            if not isinstance(value, list | tuple | set | frozenset):
                raise FilterError(f"{inner} must be a list of values, {_not(value)}")
            among = _among(key, [_scalar(each, inner) for each in value])
            return among if name == "$in" else Not(among)
        case "$exists":
            if not isinstance(value, bool):
                raise FilterError(f"{inner} must be True or False, {_not(value)}")
            return Present(key) if value else Not(Present(key))
    if not isinstance(name, str) or name not in _ORDERS:
        raise FilterError(_unknown(name, place, _COMPARISONS))
    bound = _scalar(value, inner)
    if isinstance(bound, bool):
        raise FilterError(f"{inner} must be text or a number, since True and False have no order")
    return Compare(key, cast(Order, name), bound)


def _equal(key: str, value: object, place: str) -> Filter:
    return Not(Present(key)) if value is None else _among(key, [_scalar(value, place)])


def _among(key: str, values: Iterable[Scalar]) -> Among:
    texts: set[str] = set()
    numbers: set[int | float] = set()
    flags: set[bool] = set()
    for value in values:
        if isinstance(value, bool):
            flags.add(value)
        elif isinstance(value, str):
            texts.add(value)
        else:
            numbers.add(value)
    return Among(key, frozenset(texts), frozenset(numbers), frozenset(flags))


def _scalar(value: object, place: str) -> Scalar:
    if isinstance(value, list | tuple | set | frozenset):
        raise FilterError(
            f"{place} must be one value ({_VALUES}), {_not(value)}; to ask for one of several, "
            'write {"$in": [...]}'
        )
    if value is None:
        raise FilterError(
            f"{place} must be {_VALUES}, not None; to ask for documents without the key, write "
            '{"$exists": False}'
        )
    if not isinstance(value, Scalar):
        raise FilterError(f"{place} must be {_VALUES}, {_not(value)}")
    if value != value:
        raise FilterError(f"{place} is NaN, which equals nothing; ask for another number")
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise FilterError(
                f"{place} is no Unicode text (a lone surrogate at character {error.start}); "
                "remove that character"
            ) from error
    return value


def _unknown(name: object, place: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(str(name), known, n=1) if isinstance(name, str) else []
    hint = f"; did you mean {near[0]}?" if near else "."
    shown = repr(name) if isinstance(name, str) else f"of type {type(name).__name__}"
    return f"{place} has an unknown operator {shown}{hint} Allowed here: {', '.join(known)}"


def _not(value: object) -> str:
    return f"not {'None' if value is None else 'a value of type ' + type(value).__name__}"
