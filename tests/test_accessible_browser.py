"""Every page in both themes: WCAG 2.2 AA by axe-core, no request to anybody else's server, nothing cut on a phone."""

from __future__ import annotations

import re
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import axe_playwright_python
import pytest

from tests import browser

AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
PAGES = (
    "Inspect",
    "Concepts",
    "Exclude and retrain",
    "Audit",
    "Your classifier",
    "Sessions",
    "Compare",
    "Data",
    "Behind the gap",
)
TABLET, PHONE = {"width": 820, "height": 1180}, {"width": 390, "height": 844}
KEPT = ("distances", "matrices", "drawn", "concepts", "quantized")  # what would be computed again, for minutes

VIOLATIONS = """async (rules) => {
  const options = { runOnly: { type: "tag", values: rules }, resultTypes: ["violations"] };
  const why = (node) => [...node.any, ...node.all, ...node.none].map((check) => check.message).join("; ");
  return (await axe.run(document, options)).violations.flatMap(({ id, nodes }) =>
    nodes.map((node) => `${id}: ${node.html.slice(0, 160)}: ${why(node)}`));
}"""

LEVELS = """() => [...document.querySelectorAll("[data-testid=stMain] :is(h1, h2, h3, h4, h5, h6)")]
  .filter((heading) => heading.checkVisibility()).map((heading) => Number(heading.tagName[1]))"""

# axe-core does not look at text in SVG: the figures'
FIGURES = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const shine = (colour) => numbers(colour).slice(0, 3).map((part) => part / 255)
    .map((part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, which) => sum + part * [0.2126, 0.7152, 0.0722][which], 0);
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if ((numbers(colour)[3] ?? 1) === 1) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const pale = [];
  for (const text of document.querySelectorAll(".js-plotly-plot text")) {
    if (!text.textContent.trim() || !text.checkVisibility()) continue;
    const both = [getComputedStyle(text).fill, behind(text.ownerSVGElement.parentElement)].map(shine);
    const ratio = (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
    if (ratio < 4.5) pale.push(`${text.textContent}: ${ratio.toFixed(2)}`);
  }
  return pale;
}"""

UNNAMED = """() => [...document.querySelectorAll("[data-testid=stPlotlyChart]")]
  .filter((chart) => !chart.closest("[aria-label]") && !chart.querySelector("[aria-label]"))
  .map((chart) => chart.textContent.slice(0, 60))"""

# what reaches over the edge of the window, but for what scrolls sideways by itself: tables, code
OVER_THE_EDGE = """() => {
  const wide = document.documentElement.clientWidth, main = document.querySelector("[data-testid=stMain]"), over = [];
  for (const [name, box] of [["document", document.documentElement], ["page", main]])
    if (box.scrollWidth > box.clientWidth) over.push(`${name} ${box.scrollWidth} > ${box.clientWidth}`);
  const scrolls = (element) => {
    for (; element !== main; element = element.parentElement)
      if (/auto|scroll/.test(getComputedStyle(element).overflowX) && element.clientWidth <= wide) return true;
    return false;
  };
  for (const element of main.querySelectorAll("*")) {
    const { left, right, width, height } = element.getBoundingClientRect();
    if (width > 1 && height > 1 && (right > wide + 1 || left < -1) && element.checkVisibility() && !scrolls(element))
      over.push(`${element.localName} ${element.dataset.testid ?? ""} ${Math.round(left)}..${Math.round(right)} ` +
        element.textContent.slice(0, 40));
  }
  return over;
}"""

# whether the page has taken a theme on
GROUND = """() => {
  const ground = getComputedStyle(document.querySelector("[data-testid=stApp]")).backgroundColor;
  return ground.match(/\\d+/g).slice(0, 3).every((part) => Number(part) %s);
}"""
SHINES = {"light": GROUND % "> 200", "dark": GROUND % "< 55"}

FOCUS = """() => {
  let now = document.activeElement;
  while (now?.shadowRoot?.activeElement) now = now.shadowRoot.activeElement;
  const words = now.getAttribute("aria-label") ?? now.innerText;
  return [now.localName, now.type ?? now.getAttribute("role"), words].join(" ");
}"""

# how thick the line is around what has focus, CSS pixels
RING = """() => {
  let now = document.activeElement;
  while (now?.shadowRoot?.activeElement) now = now.shadowRoot.activeElement;
  const { outlineStyle, outlineWidth } = getComputedStyle(now);
  return outlineStyle === "none" ? 0 : parseFloat(outlineWidth);
}"""


@pytest.fixture(scope="module")
def address(studio, tmp_path_factory):
    """A dashboard on the real table and its trained runs, in a folder of these tests alone."""
    if browser.chromium() is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    home = tmp_path_factory.mktemp("home")
    browser.furnish(home, *KEPT)
    with browser.dashboard(home, small=True) as address:
        yield address


@contextmanager
def _visit(address: str, **window):
    """A page, every address its browser asked for, and what it told as an error: what the policy refuses, say."""
    with browser.opened() as chromium:
        context = chromium.new_context(**window)
        page = context.new_page()
        page.set_default_timeout(120_000)
        asked: list[str] = []
        errors: list[str] = []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.on("websocket", lambda socket: asked.append(socket.url))
        page.goto(address)
        page.get_by_role("heading", name="Inspect").wait_for()
        browser.settle(page)
        yield page, asked, errors


def _go(page, title: str) -> None:
    page.get_by_test_id("stSidebar").get_by_role("link", name=title, exact=True).click()
    page.get_by_role("heading", name=title, exact=True, level=1).wait_for()
    browser.settle(page)


def _until_none(page, script: str) -> list[str]:
    """What the script still names once the page had five seconds to lay itself out anew."""
    for _ in range(20):
        named = page.evaluate(script)
        if not named:
            break
        page.wait_for_timeout(250)
    return named


@pytest.mark.browser
def test_pale_text_in_a_figure_and_what_reaches_over_the_edge_are_named():
    if browser.chromium() is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with browser.opened() as chromium:
        page = chromium.new_page(viewport=PHONE)
        page.set_content(
            "<body style='background: white'><div data-testid=stMain>"
            "<svg class=js-plotly-plot><text y=20 fill='#808495'>pale</text><text y=40 fill='#31333f'>dark</text></svg>"
            "<p style='width: 500px'>wide</p><div style='overflow-x: auto'><p style='width: 500px'>scrolls</p></div>"
        )
        assert page.evaluate(FIGURES) == ["pale: 3.72"]
        named = page.evaluate(OVER_THE_EDGE)
        assert [each.split()[-1] for each in named if each.startswith("p ")] == ["wide"] and len(named) == 3


@pytest.mark.browser
@pytest.mark.slow
def test_every_page_meets_wcag_2_2_aa_in_2_themes_and_the_policy_asks_1_server_and_is_not_cut_on_tablet_and_phone(
    address,
):
    desk = {"width": 1366, "height": 2000}
    wrong: list[str] = []
    with _visit(address, viewport=desk, color_scheme="light") as (page, asked, errors):
        page.get_by_role("button", name=re.compile("^Sample 9")).last.click()
        page.get_by_role("slider", name="Move by, standard deviations").wait_for()
        browser.settle(page)
        page.evaluate(AXE.read_text())
        # what it computes takes longest: begun meanwhile
        page.get_by_test_id("stSidebar").get_by_role("link", name="Behind the gap", exact=True).click()
        page.get_by_role("heading", name="Behind the gap", exact=True, level=1).wait_for()
        _go(page, "Inspect")
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            page.wait_for_function(SHINES[theme])
            for title in PAGES:
                if title != "Inspect" or theme == "dark":  # a figure keeps the theme that it was drawn in
                    _go(page, title)
                wrong += [f"{title}, {theme}: {each}" for each in page.evaluate(VIOLATIONS, RULES)]
                wrong += [f"{title}, {theme}, text of a figure: {each}" for each in _until_none(page, FIGURES)]
                if theme == "dark":  # the theme changes neither words nor layout
                    continue
                wrong += [f"{title}, no description: {each}" for each in page.evaluate(UNNAMED)]
                levels = page.evaluate(LEVELS)
                if any(lower - higher > 1 for higher, lower in pairwise([0, *levels])):
                    wrong.append(f"{title}: headings of levels {levels}")
                for window in (TABLET, PHONE):
                    page.set_viewport_size(window)
                    wrong += [f"{title}, {window['width']} px: {each}" for each in _until_none(page, OVER_THE_EDGE)]
                page.set_viewport_size(desk)
        assert page.locator("html").get_attribute("lang") == "en"
        assert page.locator("link[rel~=icon]").first.get_attribute("href").startswith("data:image/svg+xml")
    assert not wrong, "\n".join(wrong)
    assert errors == []
    outside = {url for url in asked if urlsplit(url).scheme not in ("data", "blob")}
    assert len(outside) > 20
    assert {urlsplit(url).netloc for url in outside} == {urlsplit(address).netloc}


class Hand:
    """A person with a keyboard alone; what has focus is told as "button submit Sample 9", the page itself as "body"."""

    def __init__(self, page) -> None:
        self.page = page

    def focus(self) -> str:
        return re.sub(r"\s+", " ", self.page.evaluate(FOCUS))

    def tab(self, pattern: str, *, key: str = "Tab", most: int = 80) -> None:
        """Tab until what matches has focus."""
        passed = []
        for _ in range(most):
            self.page.keyboard.press(key)
            passed.append(self.focus())
            if re.search(pattern, passed[-1]):
                return
        raise AssertionError(f"{pattern!r} was not reached with {key}, only {passed}")

    def press(self, key: str, times: int = 1) -> None:
        """Press, wait until the page stands: focus must be somewhere on it, at once and then."""
        for _ in range(times):
            self.page.keyboard.press(key)
        at_once = self.focus()
        browser.settle(self.page)
        assert "body" not in (at_once.split()[0], self.focus().split()[0]), f"{key} on {at_once} lost the focus"


@pytest.mark.browser
@pytest.mark.slow
def test_the_main_job_is_done_with_the_keyboard_alone_and_focus_never_falls_to_the_body(address):
    with _visit(address, viewport={"width": 1366, "height": 900}) as (page, *_):
        page.get_by_role("button", name=re.compile("^Sample 9")).last.wait_for()
        hand = Hand(page)
        hand.tab(r"^button \S* ?Sample 9")
        hand.press("Enter")
        assert re.search("Sample 9", hand.focus())
        slider = page.get_by_role("slider", name="Move by, standard deviations")
        slider.wait_for()
        hand.tab("slider Move by")
        assert page.evaluate(RING) > 1
        hand.press("ArrowRight", 6)
        assert slider.get_attribute("aria-valuetext").startswith("+3.0 standard deviations")

        hand.tab("^a .*Exclude and retrain", key="Shift+Tab")
        hand.press("Enter")
        page.get_by_role("heading", name="What should it not use?").wait_for()
        browser.settle(page)
        for _ in range(2):
            hand.tab("^input checkbox")
            hand.press("Space")
        assert page.locator("[data-testid=stMain] input[type=checkbox]:checked").count() == 2
        hand.tab("^button .*Retrain without")
        hand.press("Enter")
        page.get_by_role("heading", name="Before and after: run 1 and run 2").wait_for()
        browser.settle(page)
        hand.tab("^button .*Undo: back to run 1", most=12)
        hand.press("Enter")
        hand.tab("^(button|input)", most=3)
