"""The README's screenshots, taken from the running app: `make pictures`."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from img2tab_core import weights
from tests import browser

OUT = browser.ROOT / "assets" / "pictures"


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "tables").symlink_to(weights.home() / "tables")
        shutil.copytree(weights.home() / "runs", home / "runs")
        with browser.dashboard(home) as address:
            with browser.page(address, height=1900) as page:
                _shoot(page)
            with browser.page(address, height=1900, dark=True) as page:
                _inspect(page)
                page.screenshot(path=OUT / "inspect-dark.png")


def _shoot(page) -> None:
    _inspect(page)
    page.screenshot(path=OUT / "inspect.png")
    page.set_viewport_size({"width": 1440, "height": 1300})
    page.get_by_role("link", name="Concepts").click()
    page.get_by_role("heading", name="Concepts").wait_for()
    browser.settle(page)
    page.screenshot(path=OUT / "concepts.png")
    browser.retrain_without_two(page)
    page.mouse.move(5, 5)
    page.set_viewport_size({"width": 1440, "height": 2300})
    browser.settle(page)
    page.screenshot(path=OUT / "exclude.png")


def _inspect(page) -> None:
    page.get_by_role("button", name="Sample 9", exact=True).click()
    page.get_by_alt_text("Reconstruction").wait_for()
    browser.settle(page)
    page.get_by_role("slider", name="Move by, standard deviations").focus()
    for _ in range(16):
        page.keyboard.press("ArrowRight")
    browser.settle(page)
    page.mouse.move(5, 5)
    page.wait_for_timeout(500)


if __name__ == "__main__":
    main()
