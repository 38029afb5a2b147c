"""A real Chromium on a dashboard that was started for it; used by the browser test and the screenshots."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from img2tab_core.base import files
from img2tab_core.cli.main import MALLOC

ROOT = Path(__file__).resolve().parents[1]
BUSY = (  # what a page shows while it has something to do
    "[data-test-script-state=running], [data-testid=stSpinner], [data-testid=stStatusWidget], [data-testid=stProgress]"
)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str | None:
    """The browser's path, or None."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def furnish(home: Path, *kept: str) -> None:
    """Put the real table and its trained runs into a visitor's folder, and a copy of what else is kept beside them."""
    (home / "tables").symlink_to(files.home() / "tables")
    for name in ("runs", *kept):
        if (files.home() / name).is_dir():
            shutil.copytree(files.home() / name, home / name)
    if (files.home() / "opened.json").is_file():  # which of their classifiers were tried
        shutil.copy(files.home() / "opened.json", home)


def free_port() -> int:
    """A port of this computer that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def dashboard(
    home: Path,
    *options: str,
    port: int | None = None,
    within: Sequence[str] = (),
    log: IO | int = subprocess.DEVNULL,
    small: bool = False,
) -> Iterator[str]:
    """The address of a running dashboard with this visitor's folder.

    options: further ones of `img2tab serve`; within: the words of a program that starts it in its turn; log: an opened
    file that gets what it says; small: with the pictures of `tests.small_serving`.
    """
    port = port or free_port()
    if small:
        words = ["tests.small_serving", "127.0.0.1", str(port)]
    else:
        words = ["img2tab_core.cli.main", "serve", "--port", str(port)]
    server = subprocess.Popen(
        [*within, sys.executable, "-m", *words, *options],
        cwd=ROOT,
        env={**MALLOC, **os.environ, "IMG2TAB_HOME": str(home)},
        stdout=log,
        stderr=log,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(1200):
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=1).read()
                break
            except OSError:
                time.sleep(0.05)
        yield address
    finally:
        server.terminate()
        server.wait(60)  # a job that still runs is given time, on a busy machine more


@contextmanager
def page(address: str, *, width: int = 1440, height: int = 1000, dark: bool = False) -> Iterator:
    """A Playwright page on the dashboard, waits up to two minutes for anything it is asked to find."""
    with opened() as browser:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        one = context.new_page()
        one.set_default_timeout(120_000)
        one.goto(address)
        one.get_by_role("heading", name="Inspect").wait_for()
        yield one


@contextmanager
def windows(chromium) -> Iterator[Callable]:
    """A function (width, height) -> an empty page of somebody new; all are closed at the end."""
    contexts = []

    def window(width: int = 1440, height: int = 1000):
        contexts.append(chromium.new_context(viewport={"width": width, "height": height}, color_scheme="light"))
        one = contexts[-1].new_page()
        one.set_default_timeout(120_000)
        return one

    yield window
    for context in contexts:
        context.close()


@contextmanager
def opened() -> Iterator:
    """Chromium without a page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def settle(one) -> None:
    """Wait until Streamlit has nothing left to do."""
    quiet = 0
    while quiet < 4:  # four looks in a row, a quarter of a second apart
        one.wait_for_timeout(250)
        quiet = 0 if one.locator(BUSY).count() else quiet + 1


def retrain_without_two(one) -> None:
    """From any page: tick the two most important concepts, retrain, wait for before and after."""
    one.get_by_role("link", name="Exclude and retrain").click()
    one.get_by_role("heading", name="What should it not use?").wait_for()
    settle(one)
    one.get_by_test_id("stMain").get_by_text("Channels", exact=True).click()
    settle(one)
    boxes = one.get_by_test_id("stMain").get_by_test_id("stCheckbox")
    for number in (0, 1):
        boxes.nth(number).locator("label").click()
        settle(one)
    one.get_by_role("button", name="Retrain without 2 channels").click()
    one.get_by_role("heading", name="Before and after: run 1 and run 2").wait_for()
    settle(one)


def server_at(address: str) -> int:
    """The process that listens at the address."""
    port = address.rpartition(":")[2]
    found = subprocess.run(["pgrep", "-f", f"serving .* {port}"], check=True, capture_output=True, text=True)
    return int(found.stdout.split()[0])


def resident(process: int) -> float:
    """MB of memory that a process holds."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
