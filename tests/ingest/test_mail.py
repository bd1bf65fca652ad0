"""E-mail: bodies, headers, alternatives, attachments."""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_engine.errors import ReadError
from search_engine.ingest.formats import mail
from search_engine.ingest.formats.mail import read_eml
from search_engine.types import Document
from tests.ingest.reading import read_one, read_problem

_HEAD = b"From: a@example.org\nMIME-Version: 1.0\n"
_DATE = b"Sat Jan  3 01:05:34 1996"


def _message(subject: str = "The keys", text: str = "They are with Ann.\n") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Jörg Maß <joerg@example.org>"
    message["To"] = "ann@example.org, bob@example.org"
    message["Subject"] = subject
    message["Date"] = "Tue, 01 Jul 2003 10:52:37 +0200"
    message["Message-ID"] = "<one@example.org>"
    message.set_content(text)
    return message


def test_message(tmp_path: Path) -> None:
    document = read_one(tmp_path, "a.eml", _message("Größe 😀").as_bytes())
    assert document.text == "They are with Ann."
    assert (document.doc_id, document.title, document.markup) == ("r/a.eml", "Größe 😀", "plain")
    assert dict(document.metadata) == {
        "author": "Jörg Maß <joerg@example.org>",
        "to": "ann@example.org, bob@example.org",
        "date": "2003-07-01T08:52:37+00:00",
    }


@pytest.mark.parametrize("encoding", ["7bit", "8bit", "quoted-printable", "base64"])
def test_transfer_encodings(tmp_path: Path, encoding: str) -> None:
    text = "plain = ascii\n\nsecond" if encoding == "7bit" else "Grüße = 日本\n\nsecond"
    message = EmailMessage()
    message["From"] = "a@example.org"
    message.set_content(text, cte=encoding)
    assert read_one(tmp_path, "a.eml", message.as_bytes()).text == text


@pytest.mark.parametrize(
    ("charset", "body", "text"),
    [
        ("iso-8859-1", "Größe".encode("latin-1"), "Größe"),
        ("gb18030", "你好".encode("gb18030"), "你好"),
        ("us-ascii", "Größe".encode(), "Größe"),
        ("x-unknown", "Größe".encode(), "Größe"),
        ("utf-8", "“Größe”".encode("cp1252"), "“Größe”"),
        ("utf-8", b"\x81 is in no charset", "\ufffd is in no charset"),
        ("rot13", b"nothing is run", "nothing is run"),
    ],
)
def test_charsets_that_are_wrong(tmp_path: Path, charset: str, body: bytes, text: str) -> None:
    header = f"Content-Type: text/plain; charset={charset}\n".encode()
    header += b"Content-Transfer-Encoding: 8bit\n\n"
    assert read_one(tmp_path, "a.eml", _HEAD + header + body).text == text


@pytest.mark.parametrize(
    ("raw", "subject"),
    [
        (b"=?utf-8?q?Gr=C3=BC=C3=9Fe?= =?utf-8?q?_an_alle?=", "Grüße an alle"),
        # A character that is cut in two by the end of an encoded word.
        (b"=?utf-8?b?R3LD?=\n =?utf-8?b?vMOfZQ==?=", "Grüße"),
        (b"=?iso-2022-jp?b?GyRCRnxLXBsoQg==?=", "日本"),
        (b"=?x-unknown?q?caf=C3=A9?=", "café"),
        ("Grüße".encode(), "Grüße"),
        ("Grüße".encode("cp1252"), "Grüße"),
        (b"folded\n\tover lines", "folded over lines"),
        (b"=?utf-8?b?a?=", "=?utf-8?b?a?="),
    ],
)
def test_subjects(tmp_path: Path, raw: bytes, subject: str) -> None:
    assert read_one(tmp_path, "a.eml", _HEAD + b"Subject: " + raw + b"\n\ntext\n").title == subject


def test_without_subject_the_title_is_the_file_name(tmp_path: Path) -> None:
    assert read_one(tmp_path, "call.eml", _HEAD + b"\ntext").title == "call"


def test_without_body_the_text_is_the_subject(tmp_path: Path) -> None:
    document = read_one(tmp_path, "a.eml", _HEAD + b"Subject: Call me\n\n\n")
    assert (document.title, document.text) == ("Call me", "Call me")


@pytest.mark.parametrize(
    ("header", "date"),
    [
        ("Tue, 1 Jul 2003 10:52:37 -0000", "2003-07-01T10:52:37+00:00"),
        ("1 Jul 2003 23:52:37 -0700 (PDT)", "2003-07-02T06:52:37+00:00"),
        ("yesterday", None),
        ("Tue, 99 Jul 2003 10:52:37 +0200", None),
        ("Fri, 31 Dec 9999 23:59:59 -0700", None),
    ],
)
def test_dates(tmp_path: Path, header: str, date: str | None) -> None:
    data = _HEAD + f"Date: {header}\n\ntext".encode()
    assert read_one(tmp_path, "a.eml", data).metadata.get("date") == date


def test_html_only(tmp_path: Path) -> None:
    message = EmailMessage()
    message["Subject"] = "S"
    message.set_content(
        "<html><head><title>x</title><style>p{}</style></head><body><h1>Sale</h1>"
        '<p>Half <b>price</b> <a href="https://example.org/track">here</a>, snake_case.</p>'
        "<ul><li>tea</li><li>milk</li></ul><script>run()</script>"
        '<img src="https://example.org/pixel" alt="A cup"></body></html>',
        subtype="html",
    )
    document = read_one(tmp_path, "a.eml", message.as_bytes())
    assert document.markup == "markdown"
    assert document.text == "# Sale\n\nHalf **price** here, snake_case.\n\n* tea\n* milk\n\nA cup"


def test_plain_alternative_goes_first_unless_it_is_empty(tmp_path: Path) -> None:
    message = _message(text="the plain text")
    message.add_alternative("<p>the HTML</p>", subtype="html")
    assert read_one(tmp_path, "a.eml", message.as_bytes()).text == "the plain text"
    message = _message(text="\n \n")
    message.add_alternative("<p>the HTML</p>", subtype="html")
    document = read_one(tmp_path, "b.eml", message.as_bytes())
    assert (document.text, document.markup) == ("the HTML", "markdown")


def test_nested_parts_attachments_and_an_attached_message(tmp_path: Path) -> None:
    message = _message(text="above")
    message.add_alternative("<p>above, as HTML</p>", subtype="html")
    message.add_attachment(b"%PDF-", maintype="application", subtype="pdf", filename="Größe.pdf")
    message.add_attachment("secret text", filename="notes.txt")
    message.add_attachment(b"x", maintype="application", subtype="pgp-signature", filename="s.asc")
    message.add_attachment(_message("Inner subject", "inner text"))
    assert read_one(tmp_path, "a.eml", message.as_bytes()).text == (
        "above\n\nSubject: Inner subject\nFrom: Jörg Maß <joerg@example.org>\n\ninner text\n\n"
        "Attachments: Größe.pdf, notes.txt"
    )


def test_parts_below_one_another(tmp_path: Path) -> None:
    data = (
        b'Content-Type: multipart/mixed; boundary="b"\n\n--b\nContent-Type: text/plain\n\nfirst\n'
        b"--b\nContent-Type: image/png\n\n\x89\n--b\nContent-Type: text/html\n\n<p>second</p>\n"
        b"--b--\n"
    )
    document = read_one(tmp_path, "a.eml", _HEAD + data)
    assert (document.text, document.markup) == ("first\n\nsecond", "plain")


def test_layout_tables_are_taken_apart_and_others_kept(tmp_path: Path) -> None:
    message = EmailMessage()
    message["Subject"] = "S"
    message.set_content(
        "<table><tr><td><table><tr><td><p>One</p></td><td><p>Two</p></td></tr></table></td></tr>"
        "<tr><td><table><tr><th>Qty</th><th>Price</th></tr><tr><td>2</td><td>3 EUR</td></tr>"
        "</table></td></tr></table>",
        subtype="html",
    )
    text = read_one(tmp_path, "a.eml", message.as_bytes()).text
    assert text == "One\n\nTwo\n\n| Qty | Price |\n| --- | --- |\n| 2 | 3 EUR |"


def test_html_too_deep_for_markdown_keeps_its_text(tmp_path: Path) -> None:
    body = b"<div>" * 3000 + b"<p>deep</p>" + b"</div>" * 3000
    data = _HEAD + b"Content-Type: text/html\n\n" + body
    assert read_one(tmp_path, "a.eml", data).text == "deep"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (
            b"just some text\nin two lines\n",
            "is not an e-mail message but other text: it has no header",
        ),
        (
            b"PK\x03\x04\x00\x00",
            "is not an e-mail message but a ZIP archive or an office document",
        ),
        (_HEAD + b"\n \n", "has no text: neither its subject nor its body says anything"),
        (
            _HEAD + b"Content-Type: application/pkcs7-mime; name=smime.p7m\n\nMIIB\n",
            "is encrypted; save it decrypted",
        ),
        (
            _HEAD + b'Content-Type: multipart/encrypted; boundary="b"\n\n--b\n\nx\n--b--\n',
            "is encrypted; save it decrypted",
        ),
    ],
)
def test_no_message(tmp_path: Path, data: bytes, reason: str) -> None:
    assert read_problem(tmp_path, "a.eml", data) == (reason, None)


def test_a_message_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "_MAX_MESSAGE", 200)
    reason, _ = read_problem(tmp_path, "a.eml", _HEAD + b"\n" + b"x" * 200)
    assert reason == "is larger than 128 MiB; save it without its attachments"


_PIECES = st.sampled_from(
    [b"\n", b" ", b"\x00", b"\xff", b'"', b"<", b"(", b";", b"=?utf-8?q?", b"?=", b"*0*=", b"--b"]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 9), _PIECES), max_size=6))
def test_broken_messages_never_raise_anything_else(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[int, int, bytes]]
) -> None:
    message = _message()
    message.add_alternative("<p>html</p>", subtype="html")
    data = bytearray(message.as_bytes())
    for start, length, piece in edits:
        data[start : start + length] = piece
    path = tmp_path_factory.mktemp("mail") / "a.eml"
    path.write_bytes(data)
    try:
        (reading,) = read_eml(path)
    except ReadError:
        return
    assert isinstance(reading.content, Document)
    assert reading.content.text.strip()
