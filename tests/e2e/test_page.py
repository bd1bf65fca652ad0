"""The page in a real browser, over an index of its own, started as `search-cli ui` starts it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from search_engine.config import Config
from search_engine.search import SearchEngine
from search_engine.types import Document

pytestmark = pytest.mark.slow

CHROMIUM, CHROMEDRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
SEARCH_CLI = Path(sys.executable).with_name("search-cli")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_SECONDS = 60
HOSTILE = (
    "<script>document.title = 'taken'</script>"
    "<img src=x onerror=\"document.title = 'taken'\">\n"
    "# big ![x](http://otter.example/x.png) :red[badger] $e = mc^2$ :smile: &lt;b&gt; -> <b>"
)
DOCUMENTS = (
    Document("ferry", "The ferry leaves at nine, in winter at ten.", title="Ferry"),
    Document("maple", "Syrup is boiled from the sap of maples.", title="Maple"),
    Document("badger", HOSTILE, title=HOSTILE.replace("\n", " "), source=HOSTILE),
)


@pytest.fixture(scope="module")
def installed() -> None:
    """Skips what needs a browser where there is none."""
    for program in (CHROMIUM, CHROMEDRIVER):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (Debian: chromium, chromium-driver)")


@pytest.fixture(scope="module")
def address(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page of a small BM25 index, served on a free port."""
    folder = tmp_path_factory.mktemp("indexes") / "letters"
    with (
        SearchEngine.create(folder, config=Config(dense=None)) as engine,
        engine.writer() as writer,
    ):
        for document in DOCUMENTS:
            writer.add(document)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder.parent / "page.log"
    with log.open("wb") as output:
        page = subprocess.Popen(
            [SEARCH_CLI, "ui", "--index", folder, "--port", str(port)],
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait_until_served(f"http://127.0.0.1:{port}/_stcore/health", page, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(page.pid, signal.SIGTERM)
        page.wait(PATIENCE_SECONDS)


def _wait_until_served(url: str, page: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        assert page.poll() is None, log.read_text()
        try:
            with urlopen(url, timeout=1) as answer:
                assert answer.status == 200
                return
        except URLError:
            time.sleep(0.2)
    pytest.fail(f"the page was not there after {PATIENCE_SECONDS} s: {log.read_text()}")


@pytest.fixture
def browser(installed: None, tmp_path: Path) -> Iterator[webdriver.Chrome]:
    """A Chromium without a window that writes down what it asks the network for."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path}", "--window-size=1280,1000"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    chromium = webdriver.Chrome(options=options, service=Service(CHROMEDRIVER))
    yield chromium
    chromium.quit()


def _ask(browser: webdriver.Chrome, address: str, question: str) -> list[WebElement]:
    """Type a question, press Enter, and wait for result cards."""
    browser.get(address)
    box = WebDriverWait(browser, PATIENCE_SECONDS).until(
        lambda each: each.find_element(By.CSS_SELECTOR, 'input[aria-label="Question"]')
    )
    box.send_keys(question + Keys.ENTER)
    return WebDriverWait(browser, PATIENCE_SECONDS).until(
        lambda each: each.find_elements(By.CSS_SELECTOR, ".se-card")
    )


def _asked_hosts(browser: webdriver.Chrome) -> set[str]:
    """The hosts and ports to which the browser sent a request or opened a socket."""
    hosts = set()
    for entry in browser.get_log("performance"):  # type: ignore[no-untyped-call]
        message = json.loads(entry["message"])["message"]
        url = message["params"].get("request", message["params"]).get("url", "")
        if message["method"] in {
            "Network.requestWillBeSent",
            "Network.webSocketCreated",
        } and url.startswith(("http", "ws")):
            hosts.add(url.split("/")[2])
    return hosts


def test_a_question_gets_cards_with_marks(browser: webdriver.Chrome, address: str) -> None:
    (card,) = _ask(browser, address, "when does the ferry leave")
    assert browser.title == "letters · search"
    assert card.find_element(By.CSS_SELECTOR, ".se-title").text == "Ferry"
    marks = [mark.text for mark in card.find_elements(By.CSS_SELECTOR, ".se-passage mark")]
    assert marks == ["ferry", "leaves"]
    assert browser.find_element(By.CSS_SELECTOR, ".se-total").text.startswith("1 result in ")
    mark = card.find_element(By.TAG_NAME, "mark")
    assert mark.value_of_css_property("background-color") == "rgba(255, 190, 0, 0.32)"


def test_nothing_is_asked_of_another_host(browser: webdriver.Chrome, address: str) -> None:
    _ask(browser, address, "badger")
    assert _asked_hosts(browser) == {address.removeprefix("http://")}


def test_a_hostile_document_shows_as_text(browser: webdriver.Chrome, address: str) -> None:
    (card,) = _ask(browser, address, "badger")
    shown = {
        css_class: card.find_element(By.CSS_SELECTOR, f".{css_class}").get_property("textContent")
        for css_class in ("se-title", "se-source", "se-passage")
    }
    assert shown == {
        "se-title": HOSTILE.replace("\n", " "),
        "se-source": HOSTILE,
        "se-passage": HOSTILE,
    }
    # A picture that does not load would have had its handler called by now.
    time.sleep(1)
    assert browser.title == "letters · search"
    inside = {each.tag_name for each in card.find_elements(By.CSS_SELECTOR, "*")}
    assert inside <= {"div", "span", "h3", "p", "bdi", "mark"}
