"""Plain text files: every encoding, damaged ones, and what is no text."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_engine.ingest.formats.plain import find_encoding, name_binary, read_text
from tests.ingest.reading import read_bytes, read_one, read_problem


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_plain_text_in_every_encoding_with_a_mark(tmp_path: Path, encoding: str) -> None:
    text = "Café 😀\r\nsecond line\n"
    document = read_one(tmp_path, "notes.txt", text.encode(encoding))
    assert document.text == text
    assert (document.doc_id, document.title, document.markup) == ("r/notes.txt", "notes", "plain")
    assert (document.first_line, document.single_line) == (1, False)


def test_plain_text_big_endian(tmp_path: Path) -> None:
    data = b"\xfe\xff" + "naïve".encode("utf-16-be")
    assert read_one(tmp_path, "a.log", data).text == "naïve"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize(
    "text",
    [
        "Plain ASCII\r\n",
        "ASCII but for 一",
        "Über 😀 naïve\n",
        "日本語のテキスト。\n二行目 abc\n",
        "Ещё одна строка.\n",
    ],
)
def test_unicode_without_a_mark(tmp_path: Path, encoding: str, text: str) -> None:
    data = text.encode(encoding)
    assert read_one(tmp_path, "a.txt", data).text == text
    assert (find_encoding(data), name_binary(data)) == (encoding, None)


def test_unicode_without_a_mark_is_found_by_the_beginning(tmp_path: Path) -> None:
    text = "a😀b\n" * 20_000  # 64 KiB end within a surrogate pair somewhere in the middle
    assert find_encoding(text.encode("utf-16-le")[:65536]) == "utf-16-le"
    assert read_one(tmp_path, "a.txt", text.encode("utf-16-le")).text == text


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "Der Bär läuft über die Straße, „schnell“.\n"),
        ("cp1252", "El niño comió piña mañana según él. ¿Qué?\n"),
        ("cp850", "Der Bär läuft über die große Straße, müde und böse.\n"),
        ("mac_roman", "L\u2019été dernier, nous étions très heureux à la forêt.\n"),
        ("cp1250", "Příliš žluťoučký kůň úpěl ďábelské ódy.\n"),
        ("iso8859_2", "Zażółć gęślą jaźń, pchnąć w tę łódź jeża.\n"),
        ("cp1250", "Árvíztűrő tükörfúrógép, hűvös őszi erdő.\n"),
        ("cp1251", "Съешь же ещё этих мягких французских булок.\n"),
        ("koi8_r", "Съешь же ещё этих мягких французских булок.\n"),
        ("koi8_r", "мягкие булки и чай, лучше летом, чем зимой.\n"),
        ("cp866", "Съешь же ещё этих мягких французских булок.\n"),
        ("iso8859_5", "Съешь же ещё этих мягких французских булок.\n"),
        ("koi8_u", "Привіт, це український текст про їжака.\n"),
        ("iso8859_7", "Γρήγορη καφέ αλεπού, και σκύλος που τρέχει.\n"),
        ("cp1254", "Güneşli günde çocuğun şemsiyesi düştü, ağaç gölgesi.\n"),
        ("cp1255", "שלום עולם, זה טקסט בעברית.\n"),
        ("cp1256", "مرحبا بالعالم، هذا نص عربي قصير.\n"),
        ("cp874", "สวัสดีชาวโลก นี่คือข้อความภาษาไทย\n"),
        ("cp1257", "Įlinkdama fechtuotojo špaga sublykčiojo pragręžė apvalų arbūzą.\n"),
        ("cp932", "これは日本語の文章です。ファイル名は test.txt です。\n"),
        ("euc_jp", "これは日本語の文章です。ファイル名は test.txt です。\n"),
        ("iso2022_jp", "これは日本語の文章です。\n"),
        ("gb18030", "这是一个中文文件。用来测试编码。\n"),
        ("big5", "這是繁體中文的文件。請檢查編碼是否正確。\n"),
        ("euc_kr", "안녕하세요. 이것은 한국어 문장입니다.\n"),
    ],
)
def test_legacy_encodings(tmp_path: Path, encoding: str, text: str) -> None:
    assert read_one(tmp_path, "a.txt", text.encode(encoding)).text == text


def test_legacy_encoding_far_into_a_file(tmp_path: Path) -> None:
    text = "An ASCII line.\n" * 20_000 + "Съешь же ещё этих мягких французских булок.\n"
    assert read_one(tmp_path, "a.txt", text.encode("cp1251")).text == text


def test_legacy_encoding_without_line_ends(tmp_path: Path) -> None:
    text = "word " * 20_000 + "Съешь же ещё этих мягких французских булок. " * 2_000
    assert read_one(tmp_path, "a.txt", text.encode("koi8_r")).text == text


def test_japanese_escapes_that_are_none(tmp_path: Path) -> None:
    text = "\x1b$B\x01 is what ISO-2022-JP begins with\n"
    assert read_one(tmp_path, "a.txt", text.encode()).text == text


def test_some_bad_bytes_are_replaced_and_named(tmp_path: Path) -> None:
    data = "é è\nü\ufffd".encode() + b"\xe9 x\n\xff y\n"
    (document,), (problem,) = read_bytes(tmp_path, "a.txt", data)
    assert document.text == "é è\nü\ufffd\ufffd x\n\ufffd y\n"
    assert (problem.line, problem.reason) == (
        2,
        "is UTF-8 but for 2 places here and below, indexed as \ufffd; save the file again as UTF-8",
    )


def test_a_file_that_says_utf8_is_never_legacy(tmp_path: Path) -> None:
    (document,), (problem,) = read_bytes(tmp_path, "a.txt", b"\xef\xbb\xbfone\nth\xe9ree\n")
    assert (document.text, problem.line) == ("one\nth\ufffdree\n", 2)
    assert "but for one place here, indexed" in problem.reason


def test_legacy_encoding_with_a_bad_byte(tmp_path: Path) -> None:
    data = "これは日本語の文章です。\n".encode("cp932") * 20 + b"\x81\xff\n"
    (document,), (problem,) = read_bytes(tmp_path, "a.txt", data)
    assert document.text.startswith("これは日本語の文章です。\n" * 20 + "\ufffd")
    assert (problem.line, problem.reason.split(",")[0]) == (21, "is CP932 but for one place here")


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=300))
@settings(max_examples=200)
def test_utf8_is_always_read_as_it_is(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("utf8") / "a.txt"
    path.write_bytes(text.encode())
    decoded = read_text(path)
    expected = text.removeprefix("\ufeff")
    assert (decoded.text, decoded.problem) == (expected, None)


@pytest.mark.parametrize(
    ("data", "reason", "line"),
    [
        (
            b"one\ntwo\nth\x81\x8d\x90ree\n",
            "byte 0x81 is not UTF-8; convert the file to UTF-8",
            3,
        ),
        (
            "one\ntwo".encode("utf-16")[:-1],
            "breaks off or is damaged as UTF-16; save the file again as UTF-8",
            2,
        ),
        (
            b"abc\x00\x01",
            "is not text but binary data (it has zero bytes); give it its own extension",
            None,
        ),
        (
            b"".join(number.to_bytes(4, "little") for number in range(2_000)),
            "is not text but binary data (it has zero bytes); give it its own extension",
            None,
        ),
        (
            b"\x01\x02ABC\x03\x04DEF" * 100,
            "is not text but binary data (it has control characters); give it its own extension",
            None,
        ),
        (
            b"\x89PNG\r\n\x1a\n\x00\x00",
            "is not text but a PNG image; give it its own extension",
            None,
        ),
        (b"%PDF-1.4\n", "is not text but a PDF file; give it its own extension", None),
    ],
)
@pytest.mark.parametrize("name", ["a.txt", "a.md"])
def test_not_text(tmp_path: Path, name: str, data: bytes, reason: str, line: int | None) -> None:
    assert read_problem(tmp_path, name, data) == (reason, line)


def test_random_bytes_are_no_text(tmp_path: Path) -> None:
    data = random.Random(7).randbytes(100_000).replace(b"\x00", b"")
    reason, _ = read_problem(tmp_path, "a.txt", data)
    assert reason.endswith("is not UTF-8; convert the file to UTF-8")


def test_colours_of_a_terminal_are_text(tmp_path: Path) -> None:
    text = "\x1b[31mred\x1b[0m\x07\n" * 10
    assert read_one(tmp_path, "a.log", text.encode()).text == text
