"""MinHash signatures of texts: 512 bytes that tell how much two texts share."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from search_engine.near_duplicates.shingles import shingles_of

if TYPE_CHECKING:
    from datasketch import MinHash

PERMUTATIONS = 128
VALUE = np.dtype("<u4")
SIGNATURE_BYTES = PERMUTATIONS * VALUE.itemsize
# Signatures are stored: whatever is changed here, stored ones can no longer be compared.
_SEED = 1
_SCHEME = "affine32"
# Shingles that are permuted at once, so that memory does not grow with the text.
_BATCH = 4_096


def signature_of(text: str) -> bytes:
    """The MinHash signature of a text's shingles: 128 values of 32 bits, least byte first.

    Broder 1997, by datasketch's scheme "affine32" (MurmurHash3's finalizer, then a * h + b modulo
    2^32 with odd a) over 32 bits of BLAKE2b. The same text gives the same bytes in every process
    and on every machine. A text that is one shingle gives bytes that no other text shares.
    """
    shingles = shingles_of(text)
    if len(shingles) == 1:
        (whole,) = shingles
        return hashlib.shake_128(_encode(whole)).digest(SIGNATURE_BYTES)
    sketch = _empty_sketch().copy()
    encoded = [_encode(shingle) for shingle in shingles]
    for start in range(0, len(encoded), _BATCH):
        sketch.update_batch(encoded[start : start + _BATCH])
    return np.asarray(sketch.hashvalues, VALUE).tobytes()


def estimate_jaccard(left: bytes, right: bytes) -> float:
    """The share of equal values: the Jaccard similarity J, give or take sqrt(J * (1 - J) / 128)."""
    equal = np.frombuffer(left, VALUE) == np.frombuffer(right, VALUE)
    return float(np.count_nonzero(equal)) / PERMUTATIONS


@cache
def _empty_sketch() -> MinHash:
    from datasketch import MinHash

    return MinHash(num_perm=PERMUTATIONS, seed=_SEED, hashfunc=_hash, scheme=_SCHEME)


def _hash(shingle: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(shingle, digest_size=4).digest(), "little")


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
