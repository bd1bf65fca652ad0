"""Text recognition: what tesseract is asked, and what becomes of its answers."""

from __future__ import annotations

import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen import canvas

from search_engine.errors import ReadError
from search_engine.ingest.formats import ocr
from search_engine.ingest.readers import ocr_readers
from search_engine.types import Document

_WORDS = ("The lighthouse keeper", "climbed the stairs", "with a lantern")

needs_tesseract = pytest.mark.skipif(
    shutil.which("tesseract") is None, reason="the program tesseract is not installed"
)


def draw_image(lines: tuple[str, ...]) -> Image.Image:
    image = Image.new("L", (1240, 600), 255)
    pen = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        pen.text((80, 60 + 100 * number), line, font=ImageFont.load_default(60), fill=0)
    return image


def draw_pdf(path: Path, pages: list[str | Image.Image]) -> None:
    drawing = canvas.Canvas(str(path))
    for page in pages:
        if isinstance(page, str):
            drawing.drawString(72, 700, page)
        else:
            drawing.drawImage(ImageReader(page), 40, 400, 500, 242)
        drawing.showPage()
    drawing.save()


def read(name: str, path: Path) -> list[Document | ReadError]:
    contents: list[Document | ReadError] = []
    for reading in ocr_readers.get(name)(path):
        assert isinstance(reading.content, Document | ReadError)
        contents.append(reading.content)
    return contents


@pytest.fixture
def fake_tesseract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A program that says which options it got and what came in, in place of tesseract.

    It stands alone on the path; the file `answer` beside it is what it does with an image.
    """
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "tesseract"
    shell = shutil.which("sh")
    program.write_text(
        f"#!{shell}\n"
        'if [ "$1" = --list-langs ]; then\n'
        "  printf 'List of available languages (3):\\ndeu\\neng\\nosd\\n'\n"
        f"else . {folder}/answer; fi\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (folder / "answer").write_text('while read -r line; do break; done; echo "$* | $line"')
    monkeypatch.setenv("PATH", str(folder))
    ocr._find_languages.cache_clear()
    yield folder
    ocr._find_languages.cache_clear()


def test_what_tesseract_is_asked(tmp_path: Path, fake_tesseract: Path) -> None:
    draw_pdf(tmp_path / "a.pdf", ["text of its own", draw_image(_WORDS)])
    (document,) = read(".pdf", tmp_path / "a.pdf")
    assert isinstance(document, Document)
    # A4 of 595 x 842 points at 300 dots an inch, as a grey image.
    asked = "stdin stdout -l deu+eng --psm 1 --dpi 300 | P5 2481 3508 255"
    assert document.text == f"text of its own\n\n{asked}"
    assert document.pages == (0, 17)


def test_tesseract_that_fails(tmp_path: Path, fake_tesseract: Path) -> None:
    (fake_tesseract / "answer").write_text("echo out of paper >&2; exit 1")
    draw_pdf(tmp_path / "a.pdf", ["one", draw_image(_WORDS), "three"])
    problem, document = read(".pdf", tmp_path / "a.pdf")
    assert isinstance(problem, ReadError)
    assert problem.reason == "page 2 cannot be read (tesseract: out of paper)"
    assert isinstance(document, Document)
    assert (document.text, document.pages) == ("one\n\n\n\nthree", (0, 5, 7))
    draw_image(_WORDS).save(tmp_path / "a.png")
    with pytest.raises(ReadError, match=r"cannot be read as an image \(tesseract: out of paper\)"):
        read(".png", tmp_path / "a.png")


def test_tesseract_that_hangs(
    tmp_path: Path, fake_tesseract: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fake_tesseract / "answer").write_text("while :; do :; done")
    monkeypatch.setattr(ocr, "_SECONDS_PER_PAGE", 1)
    draw_pdf(tmp_path / "a.pdf", ["one", draw_image(_WORDS)])
    problem, document = read(".pdf", tmp_path / "a.pdf")
    assert isinstance(problem, ReadError)
    assert problem.reason == "page 2 cannot be read (recognising it took longer than 1 s)"
    assert isinstance(document, Document)


def test_without_tesseract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    missing = "text recognition needs the program tesseract"
    draw_pdf(tmp_path / "a.pdf", ["one", draw_image(_WORDS), draw_image(_WORDS)])
    problem, document = read(".pdf", tmp_path / "a.pdf")
    assert isinstance(problem, ReadError)
    assert problem.reason.startswith(missing)
    assert isinstance(document, Document)
    assert document.text.strip() == "one"
    draw_pdf(tmp_path / "b.pdf", [draw_image(_WORDS), draw_image(_WORDS)])
    (problem,) = read(".pdf", tmp_path / "b.pdf")
    assert isinstance(problem, ReadError)
    assert problem.reason.startswith(missing)
    draw_image(_WORDS).save(tmp_path / "a.jpg")
    with pytest.raises(ReadError, match=missing):
        read(".jpg", tmp_path / "a.jpg")


@pytest.mark.parametrize(
    "beginning",
    [
        *(
            b"",
            b"\n",
            b"BM\n",
            b"\x89PNG\n",
            b"RIFF/../../x.png\n",
            b"RIFFxxxxWAVE\n",
            b"\xff\xd8\n",
        ),
        *(b"II*\n", b"MM*\n", b"GIF89a\n", b"P5\n", b"BM34567890ab\n(\x00\x00", b"PNG\r\n\x1a\n"),
        *(b" \x89PNG\r\n\x1a\n", b"\n\xff\xd8\xff", b"xBM34567890ab(\x00\x00\x00"),
    ],
)
def test_a_list_of_files_is_no_image(
    tmp_path: Path, fake_tesseract: Path, beginning: bytes
) -> None:
    """Tesseract would read every file that a text names."""
    path = tmp_path / "a.png"
    path.write_bytes(beginning + b"/etc/hostname\nhttp://127.0.0.1:9/image.png\n")
    with pytest.raises(ReadError, match="is not an image, whatever its name says"):
        read(".png", path)


@needs_tesseract
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP"])
def test_an_image_that_goes_on_as_a_list_of_files_is_none(tmp_path: Path, kind: str) -> None:
    draw_image(_WORDS).save(tmp_path / "secret.png")
    draw_image(_WORDS).save(tmp_path / "a", kind)
    beginning = (tmp_path / "a").read_bytes()[:18]
    path = tmp_path / "a.png"
    path.write_bytes(beginning + f"\n{tmp_path}/secret.png\n".encode())
    with pytest.raises(ReadError, match=r"\(tesseract: |has no text that could be recognised"):
        read(".png", path)


def test_tesseract_runs_in_an_empty_folder(
    tmp_path: Path, fake_tesseract: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    # A program that is found by a relative path is found from there too.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "bin")
    (fake_tesseract / "answer").write_text("pwd; echo .* *; echo > left")
    draw_image(_WORDS).save(tmp_path / "a.png")
    (document,) = read(".png", tmp_path / "a.png")
    assert isinstance(document, Document)
    folder, content = document.text.splitlines()
    assert Path(folder).parent == tmp_path / "temp"
    assert content == ". .. *"
    assert list((tmp_path / "temp").iterdir()) == []


def test_a_sheet_of_any_size_has_a_bounded_number_of_pixels(
    tmp_path: Path, fake_tesseract: Path
) -> None:
    drawing = canvas.Canvas(str(tmp_path / "a.pdf"), pagesize=(14_400, 7_200))
    drawing.drawImage(ImageReader(draw_image(_WORDS)), 0, 0, 14_400, 7_200)
    drawing.save()
    (document,) = read(".pdf", tmp_path / "a.pdf")
    assert isinstance(document, Document)
    width, height = map(int, document.text.split("P5 ")[1].split()[:2])
    assert width * height == pytest.approx(50_000_000, rel=0.001)


@needs_tesseract
@pytest.mark.parametrize("extension", [".png", ".jpg", ".bmp", ".webp"])
def test_image(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"a{extension}"
    draw_image(_WORDS).save(path)
    (document,) = read(extension, path)
    assert isinstance(document, Document)
    assert " ".join(document.text.split()) == " ".join(_WORDS)
    assert document.pages == (0,)


@needs_tesseract
def test_tiff_of_several_pages(tmp_path: Path) -> None:
    pages = [draw_image((line,)) for line in _WORDS]
    pages.insert(1, Image.new("L", (600, 400), 255))
    pages[0].save(tmp_path / "a.tiff", save_all=True, append_images=pages[1:])
    (document,) = read(".tiff", tmp_path / "a.tiff")
    assert isinstance(document, Document)
    assert document.text == f"{_WORDS[0]}\n\n\n\n{_WORDS[1]}\n\n{_WORDS[2]}"
    assert document.pages == (0, 23, 25, 45)


@needs_tesseract
def test_scanned_pdf(tmp_path: Path) -> None:
    draw_pdf(tmp_path / "a.pdf", ["text of its own", draw_image(_WORDS)])
    (document,) = read(".pdf", tmp_path / "a.pdf")
    assert isinstance(document, Document)
    assert document.text[: document.pages[1]].strip() == "text of its own"
    assert document.text[document.pages[1] :].split() == " ".join(_WORDS).split()


@needs_tesseract
def test_nothing_that_could_be_recognised(tmp_path: Path) -> None:
    blank = Image.new("L", (600, 400), 255)
    draw_pdf(tmp_path / "a.pdf", [blank])
    with pytest.raises(ReadError, match="has no text on any page, and none was recognised"):
        read(".pdf", tmp_path / "a.pdf")
    blank.save(tmp_path / "a.png")
    with pytest.raises(ReadError, match="has no text that could be recognised"):
        read(".png", tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with pytest.raises(ReadError, match=r"cannot be read as an image \(tesseract: "):
        read(".png", tmp_path / "b.png")
