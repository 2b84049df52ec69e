"""A headless Chromium for tests of pages."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

needs_browser = pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")),
    reason="needs the programs chromium and chromedriver (Debian: chromium, chromium-driver)",
)

VARIANTS = [(width, scheme) for width in (1280, 400) for scheme in ("light", "dark")]


class Page:
    """An open page and the browser's messages about it."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, file: Path, width: int, scheme: str) -> None:
        """Show the file at this width, in a light or dark scheme."""
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        # Drop the messages about earlier pages.
        self._log("performance")
        self._log("browser")
        self.driver.get(file.as_uri())

    def run(self, script: str, *arguments: object) -> Any:
        """Run the script and return its result."""
        return self.driver.execute_script(script, *arguments)

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        return int(self.run("return document.documentElement.scrollWidth - window.innerWidth"))

    def errors(self) -> list[str]:
        """The messages on the console."""
        return [entry["message"] for entry in self._log("browser")]

    def requests(self) -> list[str]:
        """The URLs that were requested, except the page itself."""
        events = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        urls = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
        assert urls, "the browser's log of requests is empty, so a request would go unnoticed"
        return [url for url in urls if url != self.driver.current_url and not url.startswith("data:")]

    def must_fit(self, file: Path, width: int, scheme: str) -> None:
        """Open the page, and see that it is no wider than the window, has no error and fetches nothing."""
        self.open(file, width, scheme)
        self.run("document.querySelectorAll('details').forEach(details => details.open = true)")
        assert self.run("return window.innerWidth") == width
        assert self.overflow() <= 0
        assert self.errors() == []
        assert self.requests() == []

    def must_change_with_the_scheme(self, file: Path) -> None:
        """See that the page has another background in the dark."""
        grounds = []
        for scheme in ("light", "dark"):
            self.open(file, 1280, scheme)
            grounds.append(self.run("return getComputedStyle(document.body).backgroundColor"))
        assert grounds[0] != grounds[1]

    def _log(self, name: str) -> list[dict[str, Any]]:
        # Selenium has no types here.
        entries: list[dict[str, Any]] = self.driver.get_log(name)  # type: ignore[no-untyped-call]
        return entries


def written(folder: Path, pages: Mapping[str, str]) -> dict[str, Path]:
    """The files of the pages, by name."""
    files = {name: folder / f"{name}.html" for name in pages}
    for name, text in pages.items():
        files[name].write_text(text, encoding="utf-8")
    return files


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """A browser with an empty profile in the folder, closed at the end."""
    options = Options()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (*FLAGS, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield Page(driver)
    finally:
        driver.quit()
