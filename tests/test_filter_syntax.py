"""Typed conditions: what they spell, and what is said about those that spell nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_engine.errors import FilterError
from search_engine.filter_syntax import parse_where
from search_engine.filters import matches, parse_filter

NUMBER_OR_TEXT = {"$or": [{"year": 2020}, {"year": "2020"}]}


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("lang=de", {"lang": "de"}),
        ("year=2020", NUMBER_OR_TEXT),
        ("year != 2020", {"$not": NUMBER_OR_TEXT}),
        ("year='2020'", {"year": "2020"}),
        ("year>=2020", {"$or": [{"year": {"$gte": 2020}}, {"year": {"$gte": "2020"}}]}),
        ("a < b", {"a": {"$lt": "b"}}),
        ("a<='b'", {"a": {"$lte": "b"}}),
        ("a>-1.5e3", {"$or": [{"a": {"$gt": -1500.0}}, {"a": {"$gt": "-1.5e3"}}]}),
        ("draft=True", {"$or": [{"draft": True}, {"draft": "True"}]}),
        ("draft='true'", {"draft": "true"}),
        ("draft<false", {"draft": {"$lt": "false"}}),
        ("lang in (de, en)", {"lang": {"$in": ["de", "en"]}}),
        ("lang Not In(de,'e n', 3)", {"lang": {"$nin": ["de", "e n", 3, "3"]}}),
        ("author EXISTS", {"author": {"$exists": True}}),
        ("not lang=de", {"$not": {"lang": "de"}}),
        ("not(lang=de)", {"$not": {"lang": "de"}}),
        ("((lang=de))", {"lang": "de"}),
        ("a=x and b=y or c=z", {"$or": [{"$and": [{"a": "x"}, {"b": "y"}]}, {"c": "z"}]}),
        ("a=x or b=y AND c=z", {"$or": [{"a": "x"}, {"$and": [{"b": "y"}, {"c": "z"}]}]}),
        ("not a=x and b=y", {"$and": [{"$not": {"a": "x"}}, {"b": "y"}]}),
        ("(a=x or b=y)and(c=z)", {"$and": [{"$or": [{"a": "x"}, {"b": "y"}]}, {"c": "z"}]}),
        ("author=Jane Doe and b=y", {"$and": [{"author": "Jane Doe"}, {"b": "y"}]}),
        ("a=made in Germany", {"a": "made in Germany"}),
        ("a=not known", {"a": "not known"}),
        ("a=orange or b=android", {"$or": [{"a": "orange"}, {"b": "android"}]}),
        ("u=http://a.b/c-d:e@f?g&ü", {"u": "http://a.b/c-d:e@f?g&ü"}),
        ("name=O'Brien", {"name": "O'Brien"}),
        ("my.key-1=x", {"my.key-1": "x"}),
        ("'my key' = x", {"my key": "x"}),
        ('"not"=x', {"not": "x"}),
        ("''=''", {"": ""}),
        (r'a="say \"yes\", \\ C:\new"', {"a": r'say "yes", \ C:\new'}),
        ("a='x=1 and (y<2)'", {"a": "x=1 and (y<2)"}),
        ("a=inf", {"a": "inf"}),
        ("a=nan", {"a": "nan"}),
        ("a=1_000", {"a": "1_000"}),
        ("a=٣", {"a": "٣"}),
        ("a=2020-01-02", {"a": "2020-01-02"}),
        ("a=007", {"$or": [{"a": 7}, {"a": "007"}]}),
        ("a=+.5", {"$or": [{"a": 0.5}, {"a": "+.5"}]}),
        ("a=9007199254740993", {"$or": [{"a": 2**53 + 1}, {"a": "9007199254740993"}]}),
        ("a=" + "9" * 5000, {"a": "9" * 5000}),
        ("\n a\t=\n x ", {"a": "x"}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_spelling(text, where) -> None:
    found = parse_where(text)
    assert found == where
    # True == 1 in Python; the types count here.
    assert repr(found) == repr(where)


@pytest.mark.parametrize(
    ("text", "column", "problem"),
    [
        ("", 1, "the end instead of a key"),
        ("year>=", 7, "the end instead of a value"),
        ("year >= and lang=de", 9, "'a' instead of a value"),
        ("lang=de year=2020", 13, "'=' instead of `and`, `or` or the end"),
        ("(a=1", 5, "the end instead of `and`, `or` or )"),
        ("a=1)", 4, "')' instead of `and`, `or` or the end"),
        ("a=x or 'bc", 8, "is not closed"),
        ("a in", 5, "parentheses"),
        ("a in ()", 7, "a value"),
        ("a in (b", 8, "a comma or )"),
        ("a not", 6, "`in`"),
        ("a", 2, "=, !=, <, <=, >, >=, `in`, `not in` and `exists`"),
        ("in (a)", 1, "a key"),
        ('a=Jane "Doe"', 8, "instead of `and`"),
        ("$and=x", 1, "begins with \\$"),
        ("x" * 300 + "=", 302, "the end instead of a value"),
    ],
)
def test_complaints_name_the_place(text, column, problem) -> None:
    with pytest.raises(
        FilterError, match=rf"column {column}\b.*{problem.replace(')', '[)]')}"
    ) as raised:
        parse_where(text)
    lines = str(raised.value).splitlines()
    if len(lines) > 1:
        _, shown, caret, example = lines
        assert caret.lstrip() == "^"
        before_caret = shown[2 : len(caret) - 1]
        assert text[: column - 1].endswith(before_caret)
        assert before_caret or column == 1
        assert shown[len(caret) - 1 :][:1] == text[column - 1 : column]
        parse_filter(parse_where(example.partition(": ")[2]))


def test_deep_nesting_is_no_recursion_error() -> None:
    assert parse_where("(" * 5000 + "a=x" + ")" * 5000) == {"a": "x"}
    with pytest.raises(FilterError, match="deeper"):
        parse_filter(parse_where("not " * 5000 + "a=x"))


# Pieces of the grammar make valid expressions likelier than single characters do.
@given(
    st.text()
    | st.lists(
        st.sampled_from(
            [*"ab=<(),'\"\\1$ü\n", "!=", ">=", "and", "OR", "not", "in", "exists", "true"]
        )
    ).map(" ".join)
)
def test_any_text_is_a_condition_or_a_filter_error(text) -> None:
    try:
        where = parse_where(text)
    except FilterError as error:
        assert "lark" not in str(error)
        return
    try:
        parsed = parse_filter(where)
    except FilterError as error:
        assert "deeper" in str(error)
        return
    assert matches(parsed, {}) in (True, False)


KEYS = ("a", "b", "my key")
UNQUOTED = ("1", "2.0", "true", "x", "two words", "1e0", "-3")
STORED = (None, 1, 1.0, 2, -3, True, False, "1", "2.0", "true", "x", "y", "two words", "")
Holds = Callable[[dict[str, Any]], bool]


def _quoted(text: str, mark: str) -> str:
    return mark + text.replace("\\", "\\\\").replace(mark, "\\" + mark) + mark


def _readings(text: str) -> list[Any]:
    """What the word may mean, said a second time and by hand."""
    typed = {"1": 1, "1e0": 1, "2.0": 2, "-3": -3, "true": True}
    return [typed[text], text] if text in typed else [text]


def _kind(value: Any) -> str:
    return {bool: "flag", str: "text", type(None): "none"}.get(type(value), "number")


@st.composite
def _comparisons(draw: st.DrawFn) -> tuple[str, Holds]:
    key = draw(st.sampled_from(KEYS))
    spelled = (
        key
        if " " not in key and draw(st.booleans())
        else _quoted(key, draw(st.sampled_from("'\"")))
    )

    def value() -> tuple[str, list[Any]]:
        text = draw(st.sampled_from(UNQUOTED))
        if draw(st.booleans()):
            return text, _readings(text)
        text = draw(st.sampled_from([*UNQUOTED, "y and (x", "'\"\\"]))
        return _quoted(text, draw(st.sampled_from("'\""))), [text]

    def equals(metadata: dict[str, Any], readings: list[Any]) -> bool:
        stored = metadata.get(key)
        return any(_kind(stored) == _kind(each) and stored == each for each in readings)

    gap = draw(st.sampled_from(["", " "]))
    operator = draw(st.sampled_from(["=", "!=", "<", "<=", ">", ">=", "in", "not in", "exists"]))
    if operator == "exists":
        return f"{spelled} exists", lambda metadata: metadata.get(key) is not None
    if operator in ("in", "not in"):
        values = [value() for _ in range(draw(st.integers(1, 3)))]
        listed = f",{gap}".join(text for text, _ in values)
        meant = [each for _, readings in values for each in readings]
        wanted = operator == "in"
        return (
            f"{spelled} {operator} ({listed})",
            lambda metadata: equals(metadata, meant) is wanted,
        )
    text, readings = value()
    expression = f"{spelled}{gap}{operator}{gap}{text}"
    if operator in ("=", "!="):
        return expression, lambda metadata: equals(metadata, readings) is (operator == "=")
    compare: Callable[[Any, Any], bool] = {
        "<": lambda left, right: left < right,
        "<=": lambda left, right: left <= right,
        ">": lambda left, right: left > right,
        ">=": lambda left, right: left >= right,
    }[operator]
    bounds = [each for each in readings if not isinstance(each, bool)]
    return expression, lambda metadata: any(
        _kind(metadata.get(key)) == _kind(each) and compare(metadata[key], each) for each in bounds
    )


def _combined(inner: st.SearchStrategy[tuple[str, Holds]]) -> st.SearchStrategy[tuple[str, Holds]]:
    def negated(part: tuple[str, Holds]) -> tuple[str, Holds]:
        return f"not ({part[0]})", lambda metadata: not part[1](metadata)

    def both(parts: list[tuple[str, Holds]]) -> tuple[str, Holds]:
        text = " and ".join(f"({text})" for text, _ in parts)
        return text, lambda metadata: all(holds(metadata) for _, holds in parts)

    def either(parts: list[tuple[str, Holds]]) -> tuple[str, Holds]:
        # Without parentheses: whatever stands inside binds closer, or is an `or` itself.
        text = " OR ".join(text for text, _ in parts)
        return text, lambda metadata: any(holds(metadata) for _, holds in parts)

    several = st.lists(inner, min_size=2, max_size=3)
    return inner.map(negated) | several.map(both) | several.map(either)


@given(
    st.recursive(_comparisons(), _combined, max_leaves=5),
    st.lists(
        st.dictionaries(st.sampled_from(KEYS), st.sampled_from(STORED)), min_size=3, max_size=9
    ),
)
def test_an_expression_means_what_python_says(expression, rows) -> None:
    text, holds = expression
    parsed = parse_filter(parse_where(text))
    assert [matches(parsed, row) for row in rows] == [holds(row) for row in rows], text


def test_the_module_is_cheap_to_import() -> None:
    program = "import sys, search_engine.filter_syntax as _; print('lark' in sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "False"
