"""MinHash signatures: their values, that they never change, and what they estimate."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_engine.near_duplicates.shingles import jaccard, shingles_of
from search_engine.near_duplicates.signature import estimate_jaccard, signature_of

TEXT = "The quick brown fox jumps over the lazy dog near the river bank today."
MIXED = "電気自動車は静かだ and costs less to run than a diesel bus does"
# Stored signatures are compared with these bytes for ever.
DIGESTS = {
    TEXT: "0c470203ad1649457cf812d04679359a6ffa9a1b836dc2191f6ebdac7361e2f0",
    MIXED: "b4612d00a1f8920e2b89fd874ce3a854bcd545baacceb2ed4c0dbc3fa04358fe",
    "Yes.": "8312c6cb6b9815980da1c4dbdad8482fb28e883253d2fbc94a6aaf13b7279975",
}


def _minhash(text: str) -> list[int]:
    """The definition, number by number."""
    random = np.random.RandomState(1)
    odd = [2 * int(each) + 1 for each in random.randint(0, 1 << 31, 128, dtype=np.uint32)]
    added = [int(each) for each in random.randint(0, 1 << 32, 128, dtype=np.uint32)]
    least = [(1 << 32) - 1] * 128
    for shingle in shingles_of(text):
        digest = hashlib.blake2b(shingle.encode(), digest_size=4).digest()
        value = int.from_bytes(digest, "little")
        # The finalizer of MurmurHash3 for 32 bits.
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
            value = (value ^ (value >> shift)) * factor % (1 << 32)
        for place in range(128):
            least[place] = min(least[place], (odd[place] * value + added[place]) % (1 << 32))
    return least


@pytest.mark.parametrize(
    "text", [TEXT, MIXED, " ".join(str(number) for number in range(9_000))], ids=len
)
def test_values_are_those_of_the_definition(text) -> None:
    expected = b"".join(value.to_bytes(4, "little") for value in _minhash(text))
    assert signature_of(text) == expected


@pytest.mark.parametrize(("text", "digest"), DIGESTS.items(), ids=["words", "mixed", "short"])
def test_signatures_stay_what_they_are(text, digest) -> None:
    assert hashlib.sha256(signature_of(text)).hexdigest() == digest


def test_another_process_makes_the_same_signature() -> None:
    program = (
        "import hashlib, sys; from search_engine.near_duplicates.signature import signature_of; "
        "print(hashlib.sha256(signature_of(sys.argv[1])).hexdigest(), 'datasketch' in sys.modules)"
    )
    for text, loaded in ((TEXT, "True"), ("Yes.", "False")):
        output = subprocess.run(
            [sys.executable, "-c", program, text],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": "12345"},
        )
        assert output.stdout.split() == [DIGESTS[text], loaded]


def test_a_short_text_has_the_signature_of_its_copies_alone() -> None:
    whole = hashlib.shake_128(b"\nyes.").digest(512)
    assert signature_of("Yes.") == signature_of("  YES.\n") == whole
    assert estimate_jaccard(signature_of("Yes."), whole) == 1
    for other in ("Yes", "Yes..", "", TEXT):
        assert estimate_jaccard(signature_of("Yes."), signature_of(other)) == 0


def test_case_white_space_and_order_of_paragraphs_hardly_matter() -> None:
    assert signature_of(TEXT.upper().replace(" ", "\n\t")) == signature_of(TEXT)
    first, second = (
        "".join(f"{n} sheep. " for n in range(300)),
        "".join(f"{n} goats. " for n in range(300)),
    )
    assert estimate_jaccard(signature_of(first + second), signature_of(second + first)) > 0.95


def test_lone_surrogates_are_characters_like_others() -> None:
    odd = "one two three four five six seven \ud800"
    assert estimate_jaccard(signature_of(odd), signature_of(odd)) == 1
    assert signature_of("\ud800") != signature_of("\ud801")


@given(st.lists(st.booleans(), min_size=128, max_size=128))
def test_the_estimate_is_the_share_of_equal_values(equal) -> None:
    left = np.arange(128, dtype="<u4")
    # Half of the unequal values differ in their highest byte alone.
    offset = np.where(np.arange(128) % 2, 1 << 31, 1).astype("<u4")
    right = np.where(equal, left, left ^ offset).astype("<u4")
    assert estimate_jaccard(left.tobytes(), right.tobytes()) == sum(equal) / 128


@pytest.mark.parametrize("changed", [0.01, 0.05, 0.2])
def test_the_estimate_errs_as_the_binomial_distribution_says(changed) -> None:
    random = np.random.default_rng(7)
    errors, deviations = [], []
    for document in range(40):
        words = [f"{document}-{place}" for place in random.integers(0, 5_000, 1_200)]
        others = [word + "x" if random.random() < changed else word for word in words]
        left, right = " ".join(words), " ".join(others)
        exact = jaccard(shingles_of(left), shingles_of(right))
        errors.append(estimate_jaccard(signature_of(left), signature_of(right)) - exact)
        deviations.append(math.sqrt(exact * (1 - exact) / 128))
    standard = np.array(errors) / np.array(deviations)
    # Four standard errors of the mean, and of the standard deviation, of 40 normal numbers.
    assert abs(standard.mean()) < 4 / math.sqrt(40)
    assert abs(standard.std() - 1) < 4 / math.sqrt(2 * 40)
