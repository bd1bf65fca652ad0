"""Conditions on metadata as a person types them, turned into the form of `filters`.

    lang=de    year>=2020    lang != de    lang in (de, en)    lang not in (de, en)
    author exists    not lang=de    a=1 and (b=2 or title="two words, one comma")

`not` binds closest, then `and`, then `or`; keywords may be in capitals. A value without quotes may
be several words and ends at a keyword `and` or `or`, a comma, a parenthesis or the end; it cannot
hold =, < and >, so that a forgotten `and` is noticed. In quotes, a backslash stands before a quote
or a backslash that is meant itself.

What is typed has no type. A value without quotes that reads as a number asks for that number or
that text, `true` and `false` for the bool or that text; what stands in quotes is text.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from search_engine.errors import FilterError

if TYPE_CHECKING:
    from lark import Lark, Token
    from lark.exceptions import UnexpectedInput

Where: TypeAlias = dict[str, object]

_EXAMPLE = 'lang=de and (year>=2020 or author in ("Jane Doe", Li)) and not draft=true'
# BREAK ends a keyword; keys and the words of values are no keyword that could stand in their place.
_GRAMMAR = r"""
?start: either
?either: both (_OR both)*
?both: single (_AND single)*
?single: _NOT single                    -> negation
    | "(" either ")"
    | key OPERATOR value                -> comparison
    | key _IN values                    -> among
    | key _NOT _IN values               -> not_among
    | key _EXISTS                       -> present
values: "(" value ("," value)* ")"
key: KEY | QUOTED
value: VALUE | QUOTED

_AND: /and(?=BREAK)/i
_OR: /or(?=BREAK)/i
_NOT: /not(?=BREAK)/i
_IN: /in(?=BREAK)/i
_EXISTS: /exists(?=BREAK)/i
OPERATOR: /!=|<=|>=|=|<|>/
QUOTED: /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/s
KEY: /(?!(?i:and|or|not|in|exists)(?=BREAK))[^\s(),=<>!"'][^\s(),=<>!]*/
VALUE: /WORD(?:\s+WORD)*/
%ignore /\s+/
"""
_WORD = r"""(?!(?i:and|or)(?=BREAK))[^\s(),=<>"'][^\s(),=<>]*"""
_BREAK = r"""[\s(),"']|\Z"""
_ORDERS = {"<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}
_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_ESCAPED = re.compile(r"""\\(["'\\])""")
# How much of a long text an error shows on each side of the place.
_SHOWN = 60


def parse_where(text: str) -> Where:
    """The condition that a text spells, in the form that `filters.parse_filter` takes.

    Raises:
        FilterError: it cannot be read; the message shows the place and an example.
    """
    from lark.exceptions import UnexpectedInput

    try:
        return cast(Where, _parser().parse(text))
    except UnexpectedInput as error:
        raise FilterError(_complaint(text, error)) from error


@cache
def _parser() -> Lark:
    from lark import Lark

    # Conditions are made while parsing: a walk over the finished tree would recurse as deep as
    # somebody cares to nest. Lark asks only for methods that are named like its rules.
    grammar = _GRAMMAR.replace("WORD", _WORD).replace("BREAK", _BREAK)
    return Lark(
        grammar, parser="lalr", transformer=cast(Any, _Conditions()), maybe_placeholders=False
    )


class _Conditions:
    """What each rule of the grammar means, given the meanings of its parts."""

    def either(self, parts: list[Where]) -> Where:
        return {"$or": parts}

    def both(self, parts: list[Where]) -> Where:
        return {"$and": parts}

    def negation(self, parts: list[Where]) -> Where:
        return {"$not": parts[0]}

    def comparison(self, parts: list[Any]) -> Where:
        key, operator, readings = parts
        if operator not in ("=", "!="):
            # True and False have no order.
            bounds = [reading for reading in readings if not isinstance(reading, bool)]
            return _any_of([{key: {_ORDERS[operator]: bound}} for bound in bounds])
        equal = _any_of([{key: reading} for reading in readings])
        return equal if operator == "=" else {"$not": equal}

    def among(self, parts: list[Any]) -> Where:
        key, values = parts
        return {key: {"$in": values}}

    def not_among(self, parts: list[Any]) -> Where:
        key, values = parts
        return {key: {"$nin": values}}

    def present(self, parts: list[str]) -> Where:
        return {parts[0]: {"$exists": True}}

    def values(self, parts: list[list[object]]) -> list[object]:
        return [reading for readings in parts for reading in readings]

    def key(self, parts: list[Token]) -> str:
        key = _unquoted(parts[0])
        if key.startswith("$"):
            raise FilterError(
                f"the key {key!r} at column {parts[0].column} begins with $, as operators do; "
                "filters cannot ask for such a key"
            )
        return key

    def value(self, parts: list[Token]) -> list[object]:
        text = _unquoted(parts[0])
        return [text] if parts[0].type == "QUOTED" else [*_typed(text), text]


def _any_of(parts: list[Where]) -> Where:
    return parts[0] if len(parts) == 1 else {"$or": cast(object, parts)}


def _unquoted(token: Token) -> str:
    return _ESCAPED.sub(r"\1", token[1:-1]) if token.type == "QUOTED" else str(token)


def _typed(text: str) -> list[object]:
    """What a text may mean besides itself."""
    if text.lower() in ("true", "false"):
        return [text.lower() == "true"]
    if _INTEGER.fullmatch(text):
        try:
            return [int(text)]
        except ValueError:
            # Python reads no number of more than 4,300 digits.
            return []
    return [float(text)] if _NUMBER.fullmatch(text) else []


def _complaint(text: str, error: UnexpectedInput) -> str:
    from lark.exceptions import UnexpectedCharacters, UnexpectedToken

    expected: set[str] = set()
    at_end = False
    if isinstance(error, UnexpectedToken):
        expected = error.accepts or error.expected
        at_end = error.token.type == "$END"
    elif isinstance(error, UnexpectedCharacters):
        expected = error.allowed or set()
    place = len(text) if at_end else (error.pos_in_stream or 0)
    if isinstance(error, UnexpectedCharacters) and text[place] in "\"'":
        problem = f"the quote at column {place + 1} is not closed"
    else:
        found = "the end" if at_end else repr(text[place])
        problem = f"at column {place + 1} there is {found} instead of {_wanted(expected)}"
    start, end = max(0, place - _SHOWN), place + _SHOWN
    # One character for each, so that the caret stands where it should.
    shown = "".join(each if each.isprintable() else " " for each in text[start:end])
    return (
        f"the filter cannot be read: {problem}\n  {shown}\n  {' ' * (place - start)}^\n"
        f"A filter looks like this: {_EXAMPLE}"
    )


def _wanted(expected: set[str]) -> str:
    if "VALUE" in expected:
        return "a value"
    if "KEY" in expected:
        return "a key, `not` or ("
    if "OPERATOR" in expected:
        return "one of =, !=, <, <=, >, >=, `in`, `not in` and `exists`"
    if "COMMA" in expected:
        return "a comma or )"
    if "LPAR" in expected:
        return "a list of values in parentheses"
    if "RPAR" in expected:
        return "`and`, `or` or )"
    return (
        "`in`"
        if expected == {"_IN"}
        else "`and`, `or` or the end (a value with =, < or > needs quotes)"
    )
