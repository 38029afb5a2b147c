"""Every picture of the tutorial, taken from the running app: the audit of docs/tutorial.md is made first, then shown.

Part of `make pictures`. Pages are opened by their address and found by their headings, so that a rearranged page needs
a heading here at most; one that is not there is told, and the page is shown from its top.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from img2tab_core.base import files
from tests import browser, documented

OUT = browser.ROOT / "assets" / "pictures" / "tutorial"
TUTORIAL = browser.ROOT / "docs" / "tutorial.md"
REPORT = "report.html"
WIDTH, HEIGHT = 1366, 900
MISJUDGED = re.compile("misjudged|judge[sd] wrongly|faces it is wrong about|mistakes", re.IGNORECASE)
TICKED = ("Chin: facial hair", "Hair: long")  # of the three that are excluded, those on the first page of concepts


def audit(home: Path) -> None:
    """The tutorial's own commands, as they stand in it, in a visitor's folder; without what only prints."""
    for command in documented.commands(TUTORIAL):
        if command.words[:2] == ("img2tab", "report") or command.words[1:3] in (
            ("session", "new"),
            ("session", "train"),
        ):
            print(f"$ {shlex.join(command.words)}", flush=True)
            subprocess.run(
                [sys.executable, "-m", "img2tab_core.cli.main", *command.words[1:]],
                cwd=home,
                env={**os.environ, "IMG2TAB_HOME": str(home), "PYTHONPATH": str(browser.ROOT)},
                check=True,
            )


def shoot(home: Path) -> None:
    """Take the pictures from an app that is started on a folder in which the audit was made."""
    OUT.mkdir(parents=True, exist_ok=True)
    with browser.dashboard(home) as address, browser.opened() as chromium:
        context = chromium.new_context(viewport={"width": WIDTH, "height": HEIGHT})
        page = context.new_page()
        page.set_default_timeout(120_000)

        def show(name: str, path: str, heading: str | re.Pattern | None = None, act: Callable | None = None) -> None:
            page.goto(f"{address}/{path}")
            page.get_by_role("heading").first.wait_for()
            browser.settle(page)
            if act is not None:
                act(page)
            if heading is not None:
                _scroll_to(page, name, heading)
            _keep(page, name)

        show("1-matrix", "audit?target=young&by=perceived_gender", act=_open_matrix)
        show("2-pair", "audit?target=young&by=perceived_gender")
        show("3-misjudged", "audit?target=young&by=perceived_gender", MISJUDGED)
        show("4-behind", "gap?target=young&by=perceived_gender")
        show("5-exclude", "exclude?target=young&by=perceived_gender", act=_tick)
        show("6-session", "sessions?session=1", re.compile("^runs$", re.IGNORECASE))
        page.goto((home / REPORT).as_uri())
        page.wait_for_timeout(1000)
        _keep(page, "7-report")


def _open_matrix(page: Any) -> None:
    """Unfold it where it is folded; where every pair is measured already this is a moment."""
    folded = page.get_by_test_id("stExpander").filter(has_text=re.compile("every target", re.IGNORECASE)).first
    if folded.locator("details").first.get_attribute("open") is None:
        folded.locator("summary").first.click()
    browser.settle(page)


def _tick(page: Any) -> None:
    main = page.get_by_test_id("stMain")
    for name in TICKED:
        main.get_by_test_id("stCheckbox").filter(has_text=name).first.locator("label").click()
        browser.settle(page)
    page.wait_for_timeout(15_000)  # the quick estimate of what that would mean
    browser.settle(page)
    main.get_by_role("heading").first.evaluate("heading => heading.scrollIntoView({block: 'end'})")


def _scroll_to(page: Any, name: str, heading: str | re.Pattern) -> None:
    wanted = page.get_by_test_id("stMain").get_by_role("heading", name=heading)
    if not wanted.count():
        there = [words.inner_text() for words in page.get_by_role("heading").all()]
        print(f"{name}: no heading like {heading!r} among {there}; shown from the top", flush=True)
        return
    wanted.first.evaluate("heading => heading.scrollIntoView({block: 'start'})")
    page.wait_for_timeout(500)


def _keep(page: Any, name: str) -> None:
    page.mouse.move(5, 5)
    page.wait_for_timeout(1000)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.save(OUT / f"{name}.webp", quality=80, method=6)
    print(f"{name}: {(OUT / f'{name}.webp').stat().st_size // 1000} kB", flush=True)


@contextmanager
def _folder(home: Path | None) -> Iterator[Path]:
    """The folder named, or a new one with the tables and runs there are."""
    if home is not None:
        yield home
        return
    with tempfile.TemporaryDirectory() as name:
        made = Path(name)
        (made / "tables").symlink_to(files.home() / "tables")
        for kept in ("runs", "distances", "concepts", "matrices"):
            if (files.home() / kept).is_dir():
                shutil.copytree(files.home() / kept, made / kept)
        yield made


def main() -> None:
    parser = argparse.ArgumentParser(description="Take the tutorial's pictures.")
    parser.add_argument("--home", type=Path, help="a visitor's folder to use and keep; a new one if not given")
    parser.add_argument("--only-shoot", action="store_true", help="the audit was made in --home before")
    given = parser.parse_args()
    with _folder(given.home) as home:
        if not given.only_shoot:
            audit(home)
        shoot(home)


if __name__ == "__main__":
    main()
