"""Shared by all tests: the threads that NumPy may use, and the browser."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before NumPy is imported: with several test processes on few cores, more threads only wait.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

CHROMIUM = Path("/usr/bin/chromium")
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Else each context's window, which nobody sees, loads two pages for an address bar's pop-up.
    "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup",
    # A page's scripts run once: compiling them well takes longer than it saves.
    "--js-flags=--no-turbofan",
]


@pytest.fixture(scope="session")
def chromium():
    """The one headless browser of a test process: a second driver beside it does not start."""
    if not CHROMIUM.exists():
        pytest.fail(
            f"{CHROMIUM} is missing, and no page can be opened. Install it "
            "(`apt-get install chromium`), or leave these tests out: pytest -m 'not browser'"
        )
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def open_widget(chromium):
    """A function that opens one of the book's widgets alone, on a page as wide as a phone.

    open_widget(name, html) gives the page, to be closed; `book/_static/name.js` has started.
    """
    static = Path(__file__).resolve().parent.parent / "book/_static"
    style = (static / "course.css").read_text(encoding="utf-8")

    def opened(name: str, html: str):
        page = chromium.new_page(viewport={"width": 390, "height": 900})
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        scripts = (
            f"<script>{(static / f'{each}.js').read_text(encoding='utf-8')}</script>"
            for each in (name, "widget")
        )
        page.set_content(
            f'<!doctype html><meta charset="utf-8"><style>{style}</style>{html}{"".join(scripts)}'
        )
        page.wait_for_selector(f".rnn-{name}.rnn-widget")
        page.complaints = complaints
        return page

    return opened
