"""The language of a text, and the code of a language that somebody named."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_engine.ingest.language import _NO_PROSE, detect_language, normalize_language

GERMAN = "Die Konfiguration wird beim Start gelesen und danach nicht mehr geändert."
ENGLISH = (
    "The configuration is read when the program starts, and what is changed later has no effect "
    "until it is started again, so that everybody who uses it sees the same values.\n"
)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (ENGLISH, "en"),
        (GERMAN, "de"),
        ("La configuration est lue au démarrage du programme.", "fr"),
        ("起動時に設定ファイルが読み込まれます。", "ja"),
        ("启动时会读取配置文件,之后不再更改。", "zh"),
        ("ไฟล์การกำหนดค่าจะถูกอ่านเมื่อเริ่มต้น", "th"),
        ("설정 파일은 시작할 때 읽습니다.", "ko"),
        ("Konfigurasjonen leses når programmet starter og endres ikke etterpå.", "no"),
        (
            "Konfigurasjonen vert lesen når programmet startar, og ho vert ikkje endra seinare.",
            "no",
        ),
        ("", None),
        (" \n\t", None),
        ("OK", None),
        ("404 200 17.5 %", None),
        ("x = f(y)", None),
    ],
)
def test_the_language_of_a_text(text, language) -> None:
    assert detect_language(text) == language


@pytest.mark.parametrize(
    "other",
    [
        f"---\ndescription: {ENGLISH}---\n",
        f"```text\n{ENGLISH * 3}```\n",
        f"~~~\n{ENGLISH * 3}~~~\n",
        "`the value of this option is what was given when the program was started` " * 3,
        "<p class='what is shown to all the users of the program when it was started'>" * 3,
        "https://example.com/what-is-the-value-of-this-option-when-the-program-was-started " * 9,
        "view-source+https://example.com/what-is-the-value-of-this-option-of-the-program " * 9,
        "what.is.the.value.of.this.option@when.the.program.was.started.example.com " * 9,
        "@what.is.the.value.of.this.option@when.the.program.was.started.example.com " * 9,
        "<b>what.is.the.value.of.this.option@when.the.program.was.started.example.com</b> " * 9,
    ],
)
def test_only_prose_counts(other) -> None:
    assert detect_language(f"{other}{GERMAN}") == "de"


def test_an_address_ends_no_sentence_without_spaces() -> None:
    address = "https://example.com/what-is-the-value-of-this-option-when-the-program-was-started "
    assert detect_language(f"启动时会读取配置文件{address}之后不再更改{address}") == "zh"


@pytest.mark.parametrize(
    "address",
    ["what.is@example.com", "@what@example.com", "<b>what@example.com", "`x`what@example"],
)
def test_an_address_is_taken_out_whole(address) -> None:
    assert _NO_PROSE.sub(" ", f"this {address} is").split() == ["this", "is"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "repeated", ["中国人民大学图书馆", "A1b/", "<", "a.", "1_", "a@", "`", "://"]
)
def test_a_text_without_spaces_is_gone_through_once(repeated) -> None:
    """From each of its characters anew, it would take an hour."""
    text = repeated * (1_000_000 // len(repeated))
    assert set(_NO_PROSE.sub(" ", text)) <= {" ", *repeated}


def test_only_the_beginning_is_looked_at() -> None:
    assert detect_language(f"{GERMAN * 40}{ENGLISH * 400}") == "de"
    assert detect_language(f"{'```' + ENGLISH * 200}\n```\n{GERMAN}") == "en"


@given(text=st.text(max_size=200))
def test_any_text_gives_a_code_that_is_known_or_none(text) -> None:
    language = detect_language(text)
    assert language is None or normalize_language(language) == language


def test_sentences_are_told_apart(shared_data) -> None:
    """Of 200 sentences of Tatoeba and of NTREX in each of 16 languages; most are short."""
    outcomes: Counter[str] = Counter()
    for name in ("tatoeba", "ntrex"):
        for path in sorted((shared_data / "multilingual" / name).glob("*.tsv.gz")):
            language = path.name.removesuffix(".tsv.gz")
            for line in gzip.decompress(path.read_bytes()).decode().splitlines()[:200]:
                found = detect_language(line.split("\t")[1])
                outcomes["right" if found == language else "wrong" if found else "unknown"] += 1
    assert outcomes.total() == 6400
    assert outcomes["wrong"] <= 10
    assert outcomes["right"] >= 6100


def test_code_is_english_or_unknown(shared_data) -> None:
    path = shared_data / "retrieval" / "cosqa" / "corpus.jsonl.gz"
    functions = gzip.decompress(path.read_bytes()).decode().splitlines()[:800]
    found = Counter(detect_language(json.loads(line)["text"]) for line in functions)
    assert set(found) == {"en", None}
    assert found["en"] > 600


@pytest.mark.parametrize(
    ("value", "language"),
    [
        ("de", "de"),
        ("de-DE", "de"),
        ("DE_at", "de"),
        ("de_AT.UTF-8", "de"),
        ("de_DE@euro", "de"),
        ("deu", "de"),
        ("ger", "de"),
        (" German ", "de"),
        ("Deutsch", "de"),
        ("zh-Hans-CN", "zh"),
        ("cmn", "zh"),
        ("es-419", "es"),
        ("sl-rozaj", "sl"),
        ("nb", "no"),
        ("nn-NO", "no"),
        ("iw", "he"),
        ("português", "pt"),
        (unicodedata.normalize("NFD", "português"), "pt"),
        ("हिंदी", "hi"),
        ("klingon", None),
        ("xx", None),
        ("de-", None),
        ("de DE", None),
        ("d", None),
        ("python", None),
        ("c-sharp", None),
        ("", None),
        (None, None),
        (False, None),
        (49, None),
    ],
)
def test_what_names_a_language(value, language) -> None:
    assert normalize_language(value) == language


def test_no_name_stands_for_two_languages() -> None:
    from search_engine.ingest.language import _LANGUAGES

    for code, names in _LANGUAGES.items():
        for name in (code, *names.split(", ")):
            assert normalize_language(name) == code


def test_the_model_is_loaded_when_it_is_needed() -> None:
    script = (
        "import sys; from search_engine.ingest.language import normalize_language; "
        "normalize_language('de'); print('py3langid' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
