"""What filters mean, case by case, and what is refused."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_engine.errors import FilterError
from search_engine.filters import MAX_DEPTH, Not, keys_of, matches, parse_filter

BIG = 2**53 + 1
HUGE = 10**400
DOCUMENT = {
    "lang": "de",
    "year": 2020,
    "score": 0.5,
    "draft": False,
    "author": None,
    "broken": math.nan,
    "big": BIG,
    "huge": HUGE,
    "endless": math.inf,
    "zero": -0.0,
    "": "empty",
    "tags": ["a", "b"],
}


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, True),
        ({"lang": "de"}, True),
        ({"lang": "en"}, False),
        ({"lang": "DE"}, False),
        ({"lang": {"$eq": "de"}}, True),
        ({"lang": {"$ne": "de"}}, False),
        ({"lang": {"$ne": "en"}}, True),
        ({"lang": {"$in": ["en", "de"]}}, True),
        ({"lang": {"$in": {"en"}}}, False),
        ({"lang": {"$in": []}}, False),
        ({"lang": {"$nin": []}}, True),
        ({"lang": {"$nin": ("de",)}}, False),
        ({"lang": "de", "year": 2020}, True),
        ({"lang": "de", "year": 2021}, False),
        ({"year": {"$gte": 2020, "$lt": 2024}}, True),
        ({"year": {"$gt": 2020, "$lt": 2024}}, False),
        ({"year": {"$lte": 2020.0}}, True),
        ({"year": 2020.0}, True),
        ({"year": "2020"}, False),
        ({"year": {"$lt": "3"}}, False),
        ({"lang": {"$gte": 0}}, False),
        ({"lang": {"$lt": "e"}}, True),
        ({"lang": {"$gt": "Z"}}, True),
        ({"lang": {"$lt": "\u00e4"}}, True),
        # A missing key fails every comparison and satisfies every complement.
        ({"author": "x"}, False),
        ({"author": {"$ne": "x"}}, True),
        ({"author": {"$nin": ["x"]}}, True),
        ({"$not": {"author": {"$lt": 3}}}, True),
        ({"author": None}, True),
        ({"author": {"$eq": None}}, True),
        ({"author": {"$ne": None}}, False),
        ({"author": {"$exists": True}}, False),
        ({"author": {"$exists": False}}, True),
        ({"absent": None}, True),
        ({"lang": None}, False),
        ({"lang": {"$exists": True}}, True),
        ({"broken": None}, True),
        ({"broken": {"$gte": 0}}, False),
        ({"tags": None}, True),
        ({"tags": {"$ne": "a"}}, True),
        # Bools are no numbers.
        ({"draft": False}, True),
        ({"draft": 0}, False),
        ({"draft": {"$lte": 1}}, False),
        ({"draft": {"$in": [0, 1, "False"]}}, False),
        ({"zero": False}, False),
        ({"zero": 0}, True),
        ({"zero": {"$lt": 0}}, False),
        # Exact where a float is not.
        ({"big": float(2**53)}, False),
        ({"big": {"$gt": float(2**53)}}, True),
        ({"big": BIG}, True),
        ({"huge": {"$gt": 1.7e308}}, True),
        ({"huge": {"$lt": math.inf}}, True),
        ({"endless": {"$gt": HUGE}}, True),
        ({"endless": math.inf}, True),
        ({"": "empty"}, True),
        ({"$and": [{"lang": "de"}, {"year": 2021}]}, False),
        ({"$or": [{"lang": "en"}, {"year": 2020}]}, True),
        ({"$or": [{"lang": "en"}], "year": 2020}, False),
        ({"$not": {"lang": "de", "year": 2021}}, True),
    ],
    ids=str,
)
def test_meaning(where, expected) -> None:
    assert matches(parse_filter(where), DOCUMENT) is expected


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ([], "where must be a condition"),
        ({1: "a"}, "a key of where must be text, not a value of type int"),
        ({"lang": ["de"]}, r"where\['lang'\] must be one value .*\$in"),
        ({"lang": {"$gt": ["de"]}}, r"where\['lang'\]\['\$gt'\] must be one value"),
        ({"lang": {"$in": "de"}}, r"\['\$in'\] must be a list"),
        ({"lang": {"$in": [["de"]]}}, r"\['\$in'\] must be one value"),
        ({"lang": {"$in": [None]}}, r"\$exists"),
        ({"lang": {"$gt": None}}, r"\$exists"),
        ({"lang": {"$gt": True}}, "have no order"),
        ({"lang": {"$exists": 1}}, "True or False"),
        ({"lang": {"$gte ": 1}}, r"did you mean \$gte\? .*\$eq, \$ne, \$lt, .*\$exists"),
        ({"lang": {"de": 1}}, r"unknown operator 'de'\. "),
        ({"lang": {3: 1}}, "unknown operator of type int"),
        ({"lang": {}}, "is empty"),
        ({"$nand": [{}]}, r"did you mean \$and\? .*\$and, \$or, \$not"),
        ({"$and": {"a": 1}}, r"where\['\$and'\] must be a list of conditions"),
        ({"$or": []}, "is empty"),
        ({"$or": [{}, 3]}, r"where\['\$or'\]\[1\] must be a condition"),
        ({"$not": [{}]}, r"where\['\$not'\] must be a condition"),
        ({"x": math.nan}, "NaN"),
        ({"x": {"$in": [1, math.nan]}}, "NaN"),
        ({"x": 1j}, "not a value of type complex"),
        ({"x": b"de"}, "not a value of type bytes"),
        ({"x": "a\udc80"}, "surrogate at character 1"),
    ],
    ids=ascii,
)
def test_what_is_refused(where, message) -> None:
    with pytest.raises(FilterError, match=message):
        parse_filter(where)


def test_huge_numbers_are_refused_without_spelling_them_out() -> None:
    with pytest.raises(FilterError, match="of type int"):
        parse_filter({"lang": {10**5000: 1}})


@pytest.mark.parametrize("wrap", [lambda w: {"$not": w}, lambda w: {"$and": [w, {}]}])
def test_nesting_is_limited(wrap) -> None:
    where = {"a": 1}
    for _ in range(MAX_DEPTH - 1):
        where = wrap(where)
    assert keys_of(parse_filter(where)) == {"a"}
    with pytest.raises(FilterError, match="deeper than 50"):
        parse_filter(wrap(where))
    endless: dict[str, object] = {}
    endless["$not"] = endless
    with pytest.raises(FilterError, match="deeper than 50"):
        parse_filter(endless)


def test_equal_filters_are_one_in_a_cache_and_different_ones_are_not() -> None:
    assert hash(parse_filter({"a": {"$in": [1, 2]}})) == hash(parse_filter({"a": {"$in": (2, 1)}}))
    assert parse_filter({"a": {"$in": [1, 2]}}) == parse_filter({"a": {"$in": {2, 1}}})
    distinct = [1, True, "1", "True", 0, False, None]
    assert len({parse_filter({"a": value}) for value in distinct}) == len(distinct)


def test_a_filter_does_not_follow_later_changes_of_what_it_was_made_from() -> None:
    values = ["de"]
    parsed = parse_filter({"lang": {"$in": values}})
    values.append("en")
    assert not matches(parsed, {"lang": "en"})


def test_keys_of() -> None:
    where = {"a": 1, "$or": [{"b": None}, {"$not": {"c": {"$lt": 3}}}], "d": {"$nin": []}}
    assert keys_of(parse_filter(where)) == {"a", "b", "c", "d"}
    assert keys_of(parse_filter({})) == frozenset()


VALUES = st.one_of(
    st.text("ab1", max_size=2), st.integers(-2, 2), st.sampled_from([0.0, 0.5, 1.0]), st.booleans()
)


@given(VALUES, st.none() | VALUES)
def test_orders_agree_with_each_other_and_with_equality(asked, value) -> None:
    metadata = {"key": value}

    def holds(name: str) -> bool:
        return matches(parse_filter({"key": {name: asked}}), metadata)

    assert holds("$ne") is not holds("$eq")
    assert holds("$eq") is (
        value == asked and isinstance(value, bool) is isinstance(asked, bool) and value is not None
    )
    if isinstance(asked, bool):
        return
    comparable = isinstance(value, str) is isinstance(asked, str) and not (
        isinstance(value, bool) or value is None
    )
    # Of <, = and > exactly one holds where values can be compared, none elsewhere.
    assert holds("$lt") + holds("$eq") + holds("$gt") == comparable
    assert holds("$lte") is (holds("$lt") or holds("$eq"))
    assert holds("$gte") is (holds("$gt") or holds("$eq"))
    assert holds("$lt") is (comparable and value < asked)


@given(st.recursive(st.none() | VALUES, lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from(["a", "$and", "$or", "$not", "$in", "$eq", "$gt", "$exists", "$x"]), inner
), max_leaves=8))  # fmt: skip
def test_anything_is_a_filter_or_a_filter_error(where) -> None:
    try:
        parsed = parse_filter(where)
    except FilterError:
        return
    assert matches(Not(parsed), DOCUMENT) is not matches(parsed, DOCUMENT)
