"""The main job done as a person would, from opening the page to a downloaded report: how many clicks and how many
seconds of the machine it takes (`make job`), and the film of it for the README (`make film`)."""

from __future__ import annotations

import argparse
import base64
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tests import browser

FILM = browser.ROOT / "assets" / "pictures" / "main-job.webm"
SIZE = (1280, 800)  # of the film, pixels
RATE = 8  # frames a second
CAPTION = """text => {
  let bar = document.getElementById("film-caption");
  if (!bar) {
    bar = document.createElement("div");
    bar.id = "film-caption";
    bar.style.cssText = "position:fixed;left:50%;bottom:22px;transform:translateX(-50%);z-index:999999;" +
      "background:rgba(20,25,28,.92);color:#fff;font:600 19px/1.4 sans-serif;padding:10px 22px;border-radius:10px;" +
      "max-width:80%;text-align:center;pointer-events:none";
    document.body.append(bar);
  }
  bar.textContent = text;
}"""


class Person:
    """Someone at the page: what is clicked is counted, and how long the page then works."""

    def __init__(self, page, camera: Camera | None = None) -> None:
        self.page, self.camera = page, camera
        self.clicks, self.seconds, self.steps = 0, 0.0, []

    def click(self, what: str, target, until: Callable[[], object] | None = None) -> None:
        """until: waits for what the click is for; without it, until the page has nothing left to do."""
        target.wait_for()
        target.scroll_into_view_if_needed()
        if self.camera is not None:
            self._point_at(target)
        begun = time.monotonic()
        target.click()
        self.clicks += 1
        if until is not None:
            until()
        took = self._worked(begun)
        self.seconds += took
        self.steps.append((what, took))

    def tell(self, text: str, seconds: float = 4.0) -> None:
        """In the film: a line below, for as long as it takes to read."""
        if self.camera is not None:
            self.page.evaluate(CAPTION, text)
            self.page.wait_for_timeout(1000 * seconds)

    def _worked(self, begun: float) -> float:
        """Seconds from then until the page worked last, once it has been quiet for 0.4 s."""
        last = time.monotonic()
        while time.monotonic() - last < 0.4:
            self.page.wait_for_timeout(25)
            if self.page.locator(browser.BUSY).count():
                last = time.monotonic()
        return last - begun

    def _point_at(self, target) -> None:
        box = target.bounding_box()
        self.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=12)
        self.page.wait_for_timeout(500)


class Camera:
    """What the browser shows, as frames with their times."""

    def __init__(self, page) -> None:
        self.frames: list[tuple[float, bytes]] = []
        self.wire = page.context.new_cdp_session(page)
        self.wire.on("Page.screencastFrame", self._take)
        self.wire.send("Page.startScreencast", {"format": "jpeg", "quality": 92, "everyNthFrame": 2})

    def _take(self, event: dict) -> None:
        self.frames.append((event["metadata"]["timestamp"], base64.b64decode(event["data"])))
        self.wire.send("Page.screencastFrameAck", {"sessionId": event["sessionId"]})

    def write(self, file: Path) -> float:
        """A silent VP9 film, RATE frames a second; the seconds it takes."""
        import av

        self.wire.send("Page.stopScreencast")
        first, last = self.frames[0][0], self.frames[-1][0]
        count = round((last - first) * RATE) + 2 * RATE  # the last picture stands for two seconds
        with av.open(str(file), "w") as film:
            stream = film.add_stream("libvpx-vp9", rate=RATE)
            stream.width, stream.height = SIZE
            stream.pix_fmt = "yuv420p"
            stream.options = {"crf": "36", "b": "0", "row-mt": "1", "cpu-used": "3", "g": "240"}
            shown = 0
            for number in range(count):
                while shown + 1 < len(self.frames) and self.frames[shown + 1][0] <= first + number / RATE:
                    shown += 1
                picture = Image.open(io.BytesIO(self.frames[shown][1])).convert("RGB").resize(SIZE)
                film.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")))
            film.mux(stream.encode())
        return count / RATE


def do(person: Person, folder: Path) -> Path:
    """From the open page to the report on disk; the report."""
    page = person.page
    main = page.get_by_test_id("stMain")
    person.tell("It opens on a face near the border: what was decided, why, and what would turn it.", 6)
    if person.camera is not None:
        person.click("ask why", page.get_by_role("button", name="Why this decision?"))
        person.tell("The concept that moves this decision most, moved until it turns, or as far as it goes.", 6)
    person.click(
        "ask whether it is the same for women and men",
        page.get_by_role("button", name="Is it the same for women and men?"),
        lambda: page.get_by_role("heading", name="Audit", exact=True, level=1).wait_for(),
    )
    person.tell("The audit answers in a sentence: who is judged wrongly more often, and by how much.", 7)
    if person.camera is not None:
        for text, place in (
            ("Every difference with its interval, and the group that is worse named.", 300),
            ("The faces that are misjudged, and what spoke for the mistake.", 900),
        ):
            page.mouse.move(SIZE[0] / 2, SIZE[1] / 2)
            page.mouse.wheel(0, place)
            person.tell(text, 5)
    person.click(
        "go to Exclude and retrain",
        page.get_by_test_id("stSidebar").get_by_role("link", name="Exclude and retrain"),
        lambda: main.get_by_test_id("stCheckbox").first.wait_for(),
    )
    person.tell("What should it not use? Concepts, those it uses most first.", 4)
    person.click("tick the first concept", main.get_by_test_id("stCheckbox").first.locator("label"))
    person.tell("In seconds: what leaving it out would mean for the accuracy and for the gap.", 6)
    person.click(
        "retrain",
        page.get_by_role("button", name="Retrain without"),
        lambda: page.get_by_text("Keep this as an audit?").wait_for(),
    )
    person.tell("Trained anew without it, and proved on faces that took no part.", 6)
    person.click("name the audit", page.locator(".st-key-keep_as_audit-name input"))
    page.keyboard.type("Young, women and men", delay=40 if person.camera else 0)
    page.keyboard.press("Tab")
    page.keyboard.type("Ada", delay=40 if person.camera else 0)
    page.keyboard.press("Enter")  # begins the session
    begun = time.monotonic()
    page.get_by_text("Open session").wait_for()
    took = person._worked(begun)
    person.seconds += took
    person.steps.append(("(Enter) begin the audit", took))
    person.tell("Kept as an audit: every run, every reason, and the log.", 4)
    person.click(
        "go to Sessions",
        page.get_by_test_id("stSidebar").get_by_role("link", name="Sessions"),
        lambda: page.get_by_role("button", name="Write the report").wait_for(),
    )
    person.tell("The tree of runs, with what each was for.", 4)
    person.click(
        "write the report",
        page.get_by_role("button", name="Write the report"),
        lambda: page.get_by_role("button", name="Download report").wait_for(timeout=300_000),
    )
    with page.expect_download() as download:
        person.click("download the report", page.get_by_role("button", name="Download report"))
    person.tell("One file to hand over and to argue about.", 4)
    report = folder / "report.html"
    download.value.save_as(report)
    return report


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--film", action="store_true", help=f"record {FILM.relative_to(browser.ROOT)}")
    filmed = options.parse_args().film
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        browser.furnish(home, "matrices")
        with browser.dashboard(home) as address, browser.page(address, width=SIZE[0], height=SIZE[1]) as page:
            page.locator("[data-part=before_value]").filter(has_text="%").wait_for()
            browser.settle(page)
            camera = Camera(page) if filmed else None
            person = Person(page, camera)
            report = do(person, home)
            if camera is not None:
                seconds = camera.write(FILM)
                print(f"{FILM.relative_to(browser.ROOT)}: {seconds:.0f} s, {FILM.stat().st_size / 1e6:.1f} MB")
            for what, took in person.steps:
                print(f"{took:6.2f} s  {what}")
            print(
                f"{person.clicks} clicks, {person.seconds:.1f} s of the machine; the report has "
                f"{report.stat().st_size / 1e6:.1f} MB"
            )


if __name__ == "__main__":
    main()
