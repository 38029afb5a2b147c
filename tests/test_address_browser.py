"""What a view is stands in the address: a link, a reload, Back, two tabs and an open session, in a real browser."""

from __future__ import annotations

import re

import pytest

from img2tab_core.audits.auditor import Auditor
from img2tab_core.sessions.session_runs import SessionRuns
from tests import browser

pytestmark = pytest.mark.browser
LINK = "/gap?target=smiling&by=young&concept=2128&sample=3&gap.part=else"


@pytest.fixture(scope="module")
def home(studio, tmp_path_factory):
    """The real table and its trained runs, in a folder of these tests alone."""
    own = tmp_path_factory.mktemp("address")
    browser.furnish(own)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMG2TAB_HOME", str(own))
        yield own


@pytest.fixture(scope="module")
def chromium(home):
    """One server and one browser; each test makes visitors of its own."""
    if browser.chromium() is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with browser.dashboard(home, small=True) as address, browser.opened() as opened:
        yield address, opened


@pytest.fixture
def visitor(chromium):
    """A function that opens a path as somebody new."""
    address, opened = chromium
    with browser.windows(opened) as window:

        def visit(path: str):
            page = window(1366, 900)
            page.set_default_timeout(60_000)
            page.goto(address + path)
            browser.settle(page)
            return page

        yield visit


def _target(page) -> str:
    return page.get_by_role("combobox", name="Target").input_value()


def _attribute(page) -> str:
    return page.get_by_role("combobox", name="Attribute").input_value()


def test_a_link_opens_the_same_view_for_somebody_else_and_a_reload_keeps_it(visitor):
    page = visitor(LINK)
    for _ in range(2):
        assert (_target(page), _attribute(page)) == ("Perceived smile", "Perceived as young")
        page.get_by_role("button", name="Compare remedies").wait_for()  # the part that was asked for
        assert re.search("target=smiling&by=young&concept=2128&sample=3&gap.part=else$", page.url)
        page.reload()
        browser.settle(page)


def test_back_is_one_press_over_pages_and_over_what_was_chosen(visitor):
    page = visitor("/compare?target=smiling&by=young")
    page.get_by_role("link", name="Sessions").click()
    page.wait_for_url("**/sessions?target=smiling&by=young")
    browser.settle(page)
    page.get_by_role("combobox", name="Target").click()
    page.get_by_role("option", name="Perceived gender").click()
    page.wait_for_url("**/sessions?target=perceived_gender&by=young")
    browser.settle(page)
    page.go_back()
    page.wait_for_url("**/sessions?target=smiling&by=young")
    browser.settle(page)
    assert _target(page) == "Perceived smile"
    page.go_back()
    page.wait_for_url("**/compare?target=smiling&by=young")
    page.get_by_role("heading", name="Compare", exact=True).wait_for()


def test_two_tabs_of_one_browser_stay_apart(visitor):
    first = visitor("/compare?target=smiling&by=young")
    second = first.context.new_page()
    second.goto(first.url.replace("smiling", "perceived_gender"))
    browser.settle(second)
    first.reload()
    browser.settle(first)
    assert (_target(first), _target(second)) == ("Perceived smile", "Perceived gender")


def test_an_open_session_outlives_a_change_of_page_and_a_reload_and_is_open_for_whoever_has_the_link(visitor, studio):
    runs = SessionRuns(Auditor(studio))
    session = runs.begin("Smile by gender", "Ada", studio.table(), "smiling", ["perceived_gender"])
    page = visitor("/sessions")
    page.get_by_test_id("stMain").get_by_test_id("stBaseButton-secondary").filter(has_text="Open").click()
    page.wait_for_url(f"**/sessions?session={session.id}&target=smiling&by=perceived_gender")
    browser.settle(page)
    page.get_by_role("link", name="Compare").click()
    page.wait_for_url(f"**/compare?session={session.id}&**")
    browser.settle(page)
    page.reload()
    browser.settle(page)
    other = visitor(page.url[page.url.index("/compare") :])
    for opened in (page, other):
        opened.get_by_test_id("stSidebar").get_by_text("Smile by gender").wait_for()
        assert opened.get_by_role("button", name="Close session").is_visible()
    runs.sessions.delete(session)


def test_a_wrong_value_is_dropped_with_a_sentence_and_the_rest_holds(visitor):
    page = visitor("/compare?target=smiling&by=smiling&session=77")
    told = page.get_by_test_id("stAlert").all_inner_texts()
    assert any("The address forms groups by 'smiling'" in sentence for sentence in told)
    assert any("There is no session" in sentence for sentence in told)
    assert _target(page) == "Perceived smile" and re.search(r"\?target=smiling&by=perceived_gender$", page.url)
