"""A headless Chromium that opens pages, and notes whatever a page must not do."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = Path("/usr/bin/chromium")
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """Debian's Chromium, one per process of pytest."""
    if not CHROMIUM.is_file():
        pytest.skip(f"{CHROMIUM} is not here: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api", reason="the Python package playwright is not here")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: "Browser", tmp_path: Path) -> Iterator[Callable[[str], "Page"]]:
    """A function that opens a page from a file; at the end no page has made a request or written to the console."""
    complaints: list[str] = []
    pages = []

    def open_file(html: str, **options: Any) -> "Page":
        path = tmp_path / f"page{len(pages)}.html"
        path.write_text(html, encoding="utf-8")
        page = browser.new_page(**options)
        pages.append(page)
        page.on("request", lambda request: complaints.append(f"request of {request.url.partition('#')[0]}"))
        page.on("console", lambda message: complaints.append(f"console {message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.goto(path.as_uri())
        return page

    yield open_file
    for page in pages:
        page.close()
    own = {f"request of {(tmp_path / f'page{i}.html').as_uri()}" for i in range(len(pages))}
    assert [complaint for complaint in complaints if complaint not in own] == []
