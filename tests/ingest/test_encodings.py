"""Legacy encodings of real prose, against what the prose is."""

from __future__ import annotations

import gzip
import unicodedata
from pathlib import Path

import pytest

from search_engine.ingest.formats.encodings import find_unmarked_encoding, guess_legacy_encoding

_CEDILLAS = str.maketrans("șțȘȚ", "şţŞŢ")
_VIETNAMESE_BASES = "\u0302\u0306\u031b"


def take_documents(shared_data: Path, language: str) -> list[str]:
    """The first 20 stretches of whole sentences of 2,000 characters or a little more."""
    with gzip.open(shared_data / f"multilingual/ntrex/{language}.tsv.gz", "rt") as file:
        documents, lines = [], ""
        for row in file:
            lines += row.split("\t")[1]
            if len(lines) >= 2_000:
                documents.append(unicodedata.normalize("NFC", lines))
                lines = ""
    return documents[:20]


def split_vietnamese(text: str) -> str:
    """Tones as marks of their own, as windows-1258 has them."""
    pieces = []
    for character in text:
        marks = unicodedata.normalize("NFD", character)
        base = "".join(mark for mark in marks[1:] if mark in _VIETNAMESE_BASES)
        tones = "".join(mark for mark in marks[1:] if mark not in _VIETNAMESE_BASES)
        pieces.append(unicodedata.normalize("NFC", marks[0] + base) + tones)
    return "".join(pieces)


@pytest.mark.parametrize(
    ("language", "encoding", "least"),
    [
        ("de", "cp1252", 20),
        ("de", "mac_roman", 20),
        ("fr", "cp1252", 20),
        ("fr", "iso8859_15", 20),
        ("es", "cp1252", 20),
        ("it", "cp1252", 20),
        ("nl", "cp1252", 20),
        ("pt", "cp1252", 20),
        ("el", "iso8859_7", 20),
        ("ru", "cp1251", 20),
        ("ru", "koi8_r", 20),
        ("ru", "iso8859_5", 20),
        ("ru", "cp866", 20),
        ("tr", "cp1254", 20),
        ("ro", "cp1250", 20),
        ("vi", "cp1258", 20),
        ("ar", "cp1256", 20),
        ("th", "cp874", 20),
        ("ja", "cp932", 20),
        ("ja", "euc_jp", 20),
        ("zh", "gb18030", 20),
    ],
)
def test_prose(shared_data: Path, language: str, encoding: str, least: int) -> None:
    right = 0
    documents = take_documents(shared_data, language)
    for document in documents:
        if language == "ro":
            document = document.translate(_CEDILLAS)
        elif language == "vi":
            document = split_vietnamese(document)
        data = document.encode(encoding, errors="ignore")
        guessed = guess_legacy_encoding(data)
        right += guessed is not None and data.decode(guessed) == data.decode(encoding)
    assert (len(documents), right) == (20, least)


def test_ascii_is_in_no_legacy_encoding() -> None:
    assert guess_legacy_encoding(b"nothing beyond ASCII") is None


def test_numbers_are_not_text() -> None:
    numbers = b"".join(number.to_bytes(2, "little") for number in range(3_000))
    assert find_unmarked_encoding(numbers) is None
    assert find_unmarked_encoding(b"") is None
    assert find_unmarked_encoding(b"no zero bytes here..") is None
