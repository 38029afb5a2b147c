"""The served dashboard: how soon it is there, and what it keeps in memory while people use it."""

from __future__ import annotations

import statistics
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests import browser

EDITS = 500
VISITORS = 4
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A visitor's folder with the real table and its trained runs."""
    if browser.chromium() is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    folder = tmp_path_factory.mktemp("home")
    browser.furnish(folder)
    return folder


def bench_start(benchmark, home):
    """What `make run` does once everything is installed, until a sample can be chosen in a browser that is open."""
    with ExitStack() as left, browser.opened() as chromium:

        def start() -> None:
            address = left.enter_context(browser.dashboard(home, "--ready"))
            page = left.enter_context(closing(chromium.new_page()))
            page.goto(address)
            page.get_by_role("button", name="Sample 9", exact=True).wait_for()

        benchmark.extra_info.update(
            what="from `make run` until a face can be chosen, in a browser that is open", way="ours", goal=5.0
        )
        benchmark.pedantic(start, setup=left.close, rounds=5, warmup_rounds=1)
        left.close()


def bench_memory(benchmark, home):
    """One visitor on every page; then more visitors; then 500 edits by the arrow keys."""

    def visit(page, pid: int) -> float:
        page.get_by_role("button", name="Sample 9", exact=True).click()
        _slider(page)
        for name in ("Concepts", "Exclude and retrain", "Audit", "Inspect"):
            page.get_by_role("link", name=name).click()
            page.get_by_role("heading", name=name, level=1).wait_for()
            browser.settle(page)
        time.sleep(5)
        return browser.resident(pid)

    def work() -> dict:
        with browser.dashboard(home) as address:
            pid = browser.server_at(address)
            with browser.page(address) as page:
                one = visit(page, pid)
                edits = []
                for number in range(EDITS):
                    _slider(page).press("ArrowRight" if number % 38 < 19 else "ArrowLeft")
                    page.wait_for_timeout(450)  # reported 0.35 s after the last key
                    if number + 1 in (EDITS // 2, EDITS):
                        browser.settle(page)
                        edits.append(browser.resident(pid))
            before = browser.resident(pid)
            for _ in range(VISITORS):
                with browser.page(address) as page:
                    after = visit(page, pid)
        return {"one": one, "edits": edits[1] - edits[0], "each": (after - before) / VISITORS}

    found = benchmark.pedantic(work, rounds=1)
    benchmark.extra_info["figures"] = [
        {"what": "resident memory, one visitor who saw every page", "value": found["one"], "limit": 1500},
        {"what": f"growth over edits {EDITS // 2} to {EDITS} of one visit", "value": found["edits"], "limit": 30},
        {"what": f"growth for each of {VISITORS} further visitors", "value": found["each"], "limit": 30},
    ]


# from a click until the page stands again: how long the app says that it runs, from the very event on
TIMED = """element => new Promise((resolve, reject) => {
  const app = document.querySelector("[data-testid=stApp]"), begun = performance.now();
  let ran = app.getAttribute("data-test-script-state") === "running";  // what it draws is drawn anew
  const watch = new MutationObserver(() => {
    if (app.getAttribute("data-test-script-state") === "running") ran = true;
    else if (ran) { watch.disconnect(); resolve((performance.now() - begun) / 1000); }
  });
  watch.observe(app, { attributes: true, attributeFilter: ["data-test-script-state"] });
  element.click();
  setTimeout(() => reject(new Error(`a click on “${element.innerText}” was not answered in a minute`)), 60_000);
})"""


@pytest.mark.parametrize("visitors", [1, 5])
def bench_clicks(benchmark, home, visitors):
    """Ten usual clicks that compute nothing, each once it is answered; several visitors click the same at once."""

    def link(name):
        return lambda page: page.get_by_test_id("stSidebar").get_by_role("link", name=name)

    def button(key):  # the first: while a page is drawn anew what stood there is there once more
        return lambda page: page.locator(f".st-key-{key} button").first

    clicks = [
        button("sample-2"),
        button("sample-5"),
        lambda page: page.get_by_role("switch", name="Add the difference of the classes").first,
        button("inspect-reset"),
        link("Exclude and retrain"),
        link("Concepts"),
        link("Compare"),
        link("Data"),
        link("Audit"),
        link("Inspect"),
    ]

    def round_of_clicks(pages) -> float:
        """Seconds for all ten, the mean of the visitors; a page stands still before it is clicked."""
        seconds = 0.0
        for click in clicks:
            for page in pages:
                browser.settle(page)
                click(page).wait_for()
            for page in pages:
                page.evaluate(f"element => {{ window.answered = ({TIMED})(element); }}", click(page).element_handle())
            seconds += sum(page.evaluate("() => window.answered") for page in pages)
        return seconds / len(pages)

    with browser.dashboard(home) as address, browser.opened() as chromium, ExitStack() as left:
        pages = []
        for _ in range(visitors):
            context = left.enter_context(closing(chromium.new_context()))
            pages.append(context.new_page())
            pages[-1].set_default_timeout(120_000)
            pages[-1].goto(address)
            _slider(pages[-1])
            browser.settle(pages[-1])
        for _ in range(2):  # what is drawn and measured once is there
            round_of_clicks(pages)
        rounds = benchmark.pedantic(lambda: [round_of_clicks(pages) for _ in range(5)], rounds=1)
        several = f", {visitors} visitors at once" if visitors > 1 else ""
        benchmark.extra_info["figures"] = [
            {
                "what": f"ten usual clicks that compute nothing, together{several}",
                "unit": "s",
                "value": statistics.median(rounds),
                "limit": 1.5,
            }
        ]


def _slider(page):
    found = page.get_by_role("slider", name="Move by, standard deviations")
    found.wait_for()
    return found
