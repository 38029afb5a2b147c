"""Scrubbing in a real browser: the picture and the probability follow the hand, and the server hears of it at the end.

It is told by every frame that the page sends over its websocket: none while a person drags or holds a key.
"""

from __future__ import annotations

import pytest

from dashboard.components import page_words
from img2tab_core.base.records import Edit
from tests import browser

STEPS = 24


@pytest.fixture(scope="module")
def address(studio, tmp_path_factory):
    """A dashboard on the real table and its trained runs, in a folder of these tests alone."""
    if browser.chromium() is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    home = tmp_path_factory.mktemp("home")
    browser.furnish(home)
    with browser.dashboard(home) as address:
        yield address


@pytest.fixture(scope="module")
def chromium(address):
    """One browser; each test is a visitor of its own."""
    with browser.opened() as opened:
        yield opened


class Scrubber:
    """The scrubber of the ninth sample, and everything that its page sent since."""

    def __init__(self, page, address: str) -> None:
        self.page = page
        self.sent: list[object] = []
        page.on("websocket", lambda socket: socket.on("framesent", lambda frame: self.sent.append(frame)))
        page.goto(address)
        page.get_by_role("button", name="Sample 9", exact=True).click()
        self.slider = page.get_by_role("slider", name="Move by, standard deviations")
        self.slider.wait_for()
        self.slider.scroll_into_view_if_needed()

    def wait(self, **attributes) -> None:
        """Until it says so: frames=13, after=8.1."""
        self.page.locator(".scrub" + "".join(f"[data-{k}='{v}']" for k, v in attributes.items())).wait_for()

    def quiet(self) -> None:
        """Until everything is drawn and the page no longer asks for it."""
        self.wait(frames=13)
        before = -1
        while before != len(self.sent):
            before = len(self.sent)
            self.page.wait_for_timeout(1500)

    def at(self, shift: float) -> tuple[float, float]:
        """Where on the page a shift lies."""
        box = self.slider.bounding_box()
        return box["x"] + 1 + (box["width"] - 2) * (shift + 10) / 20, box["y"] + 30

    def look(self) -> tuple[str, str, str]:
        """The picture that moves, the probability, and what a screen reader says."""
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return (
            self.page.locator(".scrub canvas[data-part=canvas]").evaluate("one => one.toDataURL()"),
            self.page.locator("[data-part=after_value]").inner_text(),
            self.slider.get_attribute("aria-valuetext"),
        )

    def chips(self) -> list[str]:
        return self.page.locator("[class*='st-key-inspect-chip']").all_inner_texts()


@pytest.fixture
def visited(address, chromium):
    """A function that opens the app in a window of this size and has the scrubber."""
    with browser.windows(chromium) as window:
        yield lambda **size: Scrubber(window(**size), address)


@pytest.mark.slow
@pytest.mark.browser
def test_dragging_shows_24_pictures_without_1_message_and_letting_go_reports_the_value(visited, studio):
    scrubber = visited()
    page = scrubber.page
    scrubber.quiet()
    page.mouse.move(*scrubber.at(0))
    page.mouse.down()
    before, seen = len(scrubber.sent), []
    for step in range(1, STEPS + 1):
        page.mouse.move(*scrubber.at(8.1 * step / STEPS))
        seen.append(scrubber.look())
    assert len(scrubber.sent) == before  # the server has heard nothing
    pictures, shares, said = (set(column) for column in zip(*seen, strict=True))
    assert len(pictures) == STEPS and len(said) == STEPS and len(shares) > 1
    assert seen[-1][2].startswith("+8.1 standard deviations, ")
    assert scrubber.chips() == []

    page.mouse.up()
    scrubber.wait(after=8.1)  # the big picture, drawn for this very value
    assert len(scrubber.sent) > before
    assert page.get_by_alt_text("After").evaluate("one => one.naturalWidth") == 512
    assert page.get_by_role("spinbutton", name="Move by, SD").input_value() == "8.1"
    browser.settle(page)
    assert len(scrubber.chips()) == 1 and page_words.deviations(8.1) in scrubber.chips()[0]

    code = studio.encode(studio.samples()[8])
    run = studio.run(studio.table(), "perceived_gender")
    moved = page.locator(".scrub").get_attribute("data-of").split(".")[1]  # a channel, or a family by its id
    edits = [Edit(int(moved), 8.1)] if moved.isdigit() else studio.description().find(moved).edits(8.1)
    was = studio.predict(run, code).probability
    now = studio.predict(run, code, edits).probability
    assert scrubber.look()[1] == page_words.percent(now if was >= 0.5 else 1 - now)

    page.get_by_role("button", name="Reset").click()  # the page moves the marker, too
    scrubber.wait(after=0)
    browser.settle(page)
    assert scrubber.look()[2].startswith("0.0 standard deviations, ")


@pytest.mark.slow
@pytest.mark.browser
def test_arrow_keys_move_by_half_a_deviation_and_are_reported_once_when_let_go(visited):
    scrubber = visited()
    page = scrubber.page
    scrubber.quiet()
    scrubber.slider.focus()
    before, seen = len(scrubber.sent), [scrubber.look()]
    for _ in range(10):  # held: the browser repeats the key
        page.keyboard.down("ArrowRight")
        seen.append(scrubber.look())
    assert len(scrubber.sent) == before
    assert [one[2].split()[0] for one in seen[1:]] == [page_words.signed(0.5 * k) for k in range(1, 11)]
    assert len({one[0] for one in seen}) > 5 and len({one[1] for one in seen}) > 1
    page.keyboard.up("ArrowRight")
    scrubber.wait(after=5)
    for key, value in (
        ("Home", "\N{MINUS SIGN}10.0"),
        ("PageUp", "\N{MINUS SIGN}7.5"),
        ("End", "+10.0"),
        ("Shift+ArrowLeft", "+9.9"),
        ("PageDown", "+7.4"),
    ):
        page.keyboard.press(key)
        assert scrubber.look()[2].split()[0] == value
    scrubber.wait(after=7.4)
    assert page.get_by_role("spinbutton", name="Move by, SD").input_value() == "7.4"


@pytest.mark.slow
@pytest.mark.browser
def test_13_finer_frames_arrive_in_the_middle_of_a_drag_and_the_hand_keeps_its_place(visited):
    scrubber = visited()
    page = scrubber.page
    page.get_by_role("combobox", name="Concept").fill("2871")  # nobody has looked at this one yet
    page.keyboard.press("Enter")
    page.locator(".scrub[data-of$='.2871']").wait_for()
    page.mouse.move(*scrubber.at(0))
    page.mouse.down()
    page.mouse.move(*scrubber.at(-6.3))
    held = scrubber.look()[2]
    scrubber.wait(frames=13, pixels=256)
    assert scrubber.look()[2] == held and held.startswith("\N{MINUS SIGN}6.3 standard deviations")
    coarse = scrubber.look()[0]
    page.mouse.move(*scrubber.at(-9))
    assert scrubber.look()[0] != coarse  # and it goes on from there
    page.mouse.up()
    scrubber.wait(after=-9)
    assert scrubber.look()[2].startswith("\N{MINUS SIGN}9.0 standard deviations")


@pytest.mark.slow
@pytest.mark.browser
def test_a_finger_moves_it_by_4_and_one_that_scrolls_the_page_leaves_it_there(visited):
    scrubber = visited(width=390, height=800)
    page = scrubber.page
    scrubber.quiet()
    touch = page.context.new_cdp_session(page)
    touch.send("Emulation.setTouchEmulationEnabled", {"enabled": True})

    def finger(kind: str, *place: float) -> None:
        points = [{"x": place[0], "y": place[1]}] if place else []
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    before = len(scrubber.sent)
    finger("touchStart", *scrubber.at(0))
    for shift in (1, 2, 3, 4):
        finger("touchMove", *scrubber.at(shift))
    assert scrubber.look()[2].startswith("+4.0 standard deviations")
    assert len(scrubber.sent) == before
    finger("touchEnd")
    scrubber.wait(after=4)
    scrubber.quiet()

    scrubber.slider.scroll_into_view_if_needed()
    before, (x, y) = len(scrubber.sent), scrubber.at(-5)
    finger("touchStart", x, y)
    for down in range(10, 200, 10):
        finger("touchMove", x, y - down)
    finger("touchEnd")
    page.wait_for_timeout(500)
    assert scrubber.look()[2].startswith("+4.0 standard deviations")
    assert len(scrubber.sent) == before
