"""Names that stand for classes and functions, loaded when they are first asked for.

Ours are listed where each registry is made, as `"package.module:attribute"`. Third parties add
theirs by an entry point in the registry's group, under the name that users will write:

    [project.entry-points."search_engine.readers"]
    ".tex" = "my_package.latex:read_latex"
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar, cast

from search_engine.errors import UnknownNameError

T = TypeVar("T")


class Registry(Generic[T]):
    """What a name stands for, imported on use.

    Args:
        what: what an entry is, in words for an error message ("reader").
        group: the entry point group that third parties register under.
        builtin: our own entries, name -> "package.module:attribute".
    """

    def __init__(self, what: str, *, group: str, builtin: Mapping[str, str]) -> None:
        self._what = what
        self._group = group
        self._builtin = dict(builtin)

    @cached_property
    def _targets(self) -> dict[str, str]:
        third_party = {entry.name: entry.value for entry in entry_points(group=self._group)}
        return third_party | self._builtin

    def __contains__(self, name: str) -> bool:
        return name in self._targets

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._targets)

    def name_of(self, entry: Any) -> str | None:
        """The name that stands for a class or function; None where none does."""
        target = f"{entry.__module__}:{entry.__qualname__}"
        return next((name for name, value in self._targets.items() if value == target), None)

    def get(self, name: str) -> T:
        """What the name stands for.

        Raises:
            UnknownNameError: no such name; the message lists those there are.
        """
        if name not in self._targets:
            near = get_close_matches(name, self._targets, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            known = ", ".join(self.names())
            raise UnknownNameError(f"no {self._what} is named {name!r}{hint} Known: {known}.")
        module, _, attribute = self._targets[name].partition(":")
        return cast(T, getattr(import_module(module), attribute))
