"""The values of one metadata key over the rows of a segment.

A column has codes, uint8, uint16 or uint32 [n]: 0 where the key is missing, else 1 + the value's
place in a dictionary of all values that occur. Its sections follow one another, each ascending:

    flags    bool [f]
    whole    int64 [w]
    large    Packed [l]      integers beyond int64: two's complement, big-endian
    real     float64 [r]
    text     Packed [t]      UTF-8, whose order is that of code points

A predicate becomes ranges of codes by binary search in the dictionary, and these one comparison of
all codes.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from search_engine.filters import Among, Compare

_INT64 = range(-(2**63), 2**63)
_SURROGATE = re.compile("[\ud800-\udfff]")
# Up to here it is faster to compare the codes with each range than to look every code up.
_FEW_RANGES = 3


@dataclass(frozen=True, slots=True)
class Packed:
    """Byte strings in one array: the i-th is `blob[offsets[i]:offsets[i + 1]]`.

    Attributes:
        blob: uint8 [bytes].
        offsets: int64 [strings + 1].
    """

    blob: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, strings: Sequence[bytes]) -> Packed:
        """Pack strings in their order."""
        offsets = np.zeros(len(strings) + 1, np.int64)
        np.cumsum([len(each) for each in strings], out=offsets[1:])
        return cls(np.frombuffer(b"".join(strings), np.uint8), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, place: int) -> bytes:
        return self.blob[self.offsets[place] : self.offsets[place + 1]].tobytes()

    def take(self, places: NDArray[np.int64]) -> list[bytes]:
        """The strings at these places."""
        view = self.blob.data
        ends = self.offsets[places + 1].tolist()
        bounds = zip(self.offsets[places].tolist(), ends, strict=True)
        return [bytes(view[start:end]) for start, end in bounds]


# The sections in the order of their codes, with what makes a Python value of a stored one: Python
# compares int and float exactly, numpy rounds.
_EXACT: dict[str, Callable[[Any], Any]] = {
    "flags": bool,
    "whole": int,
    "large": lambda packed: int.from_bytes(packed, "big", signed=True),
    "real": float,
    "text": bytes,
}
# Those that are plain arrays; the others are Packed.
_ARRAYS = {"flags": np.bool_, "whole": np.int64, "real": np.float64}
# Section -> rows that have a value of that kind, and their values as they are stored.
Found: TypeAlias = Mapping[str, tuple[Any, list[Any]]]


@dataclass(frozen=True, slots=True)
class Column:
    """The values of one key.

    Attributes:
        codes: unsigned [n].
        dictionary: every section by its name, in their order.
    """

    codes: NDArray[Any]
    dictionary: dict[str, Any]

    @classmethod
    def of(cls, found: Found, count: int) -> Column:
        """A column of `count` rows with these values; the other rows have none."""
        codes = np.zeros(count, np.int64)
        dictionary = {}
        end = 1
        for name in _EXACT:
            rows, values = found.get(name, ([], []))
            dictionary[name], places = _distinct(name, values)
            codes[rows] = end + places
            end += len(dictionary[name])
        return cls(codes.astype(np.min_scalar_type(end - 1)), dictionary)

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, NDArray[Any]]) -> Column:
        """The column whose `tensors` these are."""
        dictionary = {
            name: tensors[name]
            if name in _ARRAYS
            else Packed(tensors[f"{name}.blob"], tensors[f"{name}.offsets"])
            for name in _EXACT
        }
        return cls(tensors["codes"], dictionary)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """All arrays by name, to be saved."""
        tensors = {"codes": self.codes}
        for name, section in self.dictionary.items():
            if isinstance(section, Packed):
                tensors |= {f"{name}.blob": section.blob, f"{name}.offsets": section.offsets}
            else:
                tensors[name] = section
        return tensors

    def sections(self) -> Iterator[tuple[str, int, Any]]:
        """Each section's name, the code of its first value, and the section."""
        code = 1
        for name, section in self.dictionary.items():
            yield name, code, section
            code += len(section)

    def value_count(self) -> int:
        """How many different values there are."""
        return sum(map(len, self.dictionary.values()))

    def used(
        self, is_used: NDArray[np.bool_]
    ) -> Iterator[tuple[str, NDArray[np.int64], list[Any]]]:
        """The values of some codes, section by section.

        Args:
            is_used: bool [1 + values], by code.

        Returns:
            The section's name, the codes, and what is stored under each.
        """
        for name, code, section in self.sections():
            places = np.flatnonzero(is_used[code : code + len(section)])
            packed = isinstance(section, Packed)
            yield name, code + places, section.take(places) if packed else section[places].tolist()

    def matches(self, predicate: Among | Compare) -> NDArray[np.bool_]:
        """Which rows hold a value that the predicate allows, bool [n]."""
        ranges = [
            (code + start, code + end)
            for name, code, section in self.sections()
            for start, end in _find(name, section, predicate)
            if start < end
        ]
        if len(ranges) > _FEW_RANGES:
            allowed = np.zeros(1 + self.value_count(), np.bool_)
            for start, end in ranges:
                allowed[start:end] = True
            looked_up: NDArray[np.bool_] = allowed[self.codes]
            return looked_up
        mask = np.zeros(len(self.codes), np.bool_)
        for start, end in ranges:
            if end - start == 1:
                mask |= self.codes == start
            else:
                mask |= (self.codes >= start) & (self.codes < end)
        return mask


def stored_value(value: object) -> tuple[str, object] | None:
    """The section that a value goes into and what is stored of it; None for a missing value."""
    match value:
        case bool():
            return "flags", value
        case int() if value in _INT64:
            return "whole", int(value)
        case int():
            return "large", value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)
        case float() if value == value:
            # -0.0 equals 0.0, so one of them stands for both.
            return "real", value + 0.0
        case str():
            return "text", _SURROGATE.sub("\ufffd", value).encode()
    return None


def _find(name: str, section: Any, predicate: Among | Compare) -> Iterator[tuple[int, int]]:
    """Where in a section the values stand that a predicate allows: (start, end)."""
    if isinstance(predicate, Among):
        return _equal(name, section, predicate)
    return _ordered(name, section, predicate)


def _equal(name: str, section: Any, among: Among) -> Iterator[tuple[int, int]]:
    if name == "text":
        wanted: list[Any] = sorted(text.encode() for text in among.texts)
    else:
        wanted = sorted(among.flags if name == "flags" else among.numbers)
    # Ascending, so that each search begins where the last one ended.
    place, exact = 0, _EXACT[name]
    for value in wanted:
        place = bisect_left(section, value, place, key=exact)
        if place < len(section) and exact(section[place]) == value:
            yield place, place + 1


def _ordered(name: str, section: Any, compare: Compare) -> Iterator[tuple[int, int]]:
    if name == "flags" or isinstance(compare.value, str) != (name == "text"):
        return
    bound = compare.value.encode() if isinstance(compare.value, str) else compare.value
    cut = bisect_left if compare.order in ("$lt", "$gte") else bisect_right
    place = cut(section, bound, key=_EXACT[name])
    yield (0, place) if compare.order in ("$lt", "$lte") else (place, len(section))


def _distinct(name: str, values: list[Any]) -> tuple[Any, NDArray[np.int64]]:
    """The section of some values, and the place in it of each."""
    if name in _ARRAYS:
        return np.unique(np.array(values, _ARRAYS[name]), return_inverse=True)
    distinct = sorted(set(values), key=_EXACT[name])
    place = {value: number for number, value in enumerate(distinct)}
    return Packed.of(distinct), np.array([place[value] for value in values], np.int64)
