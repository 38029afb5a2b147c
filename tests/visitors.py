"""Many visitors at once, each with another face: what each of them receives, and how long it waits.

`python -m tests.visitors --visitors 20` checks that nobody gets anything of another; `--visitors 1,5,20 --table` prints
how long the main actions take, as a Markdown table. The people of a crowd pause between two actions, as who reads does.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import re
import secrets
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from dashboard.components import scrub
from img2tab_core.base import files
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.records import Face, StyleCode
from img2tab_core.classifiers.runs import Run
from img2tab_core.studio import Studio
from tests import browser
from tests.client import Visitor, pictures_in

COLOURS = np.array([(220, 40, 40), (40, 180, 60), (40, 60, 220), (230, 210, 40)], float)  # of a corner, RGB
CANVAS, FACE, CORNER = 640, 512, 154  # px: a photo, the face in its middle, its four coloured corners
OFF = 45.0  # of 255: how far a corner may be from its colour, in the channel that is furthest off
SAME = 7.0  # of 255: the mean difference under which two small pictures are of the same face
SIDE = 32  # px of such a small picture
ACTIONS = (  # what is measured, in this order
    "page shown",
    "upload field shown",
    "photo brought: face and probability shown",
    "strip moved: new probability",
    "strip moved: new picture",
    "concept ticked",
    "retrain: quick answer",
    "retrain: trained and compared",
    "Audit page shown",
)


@dataclass(frozen=True, eq=False)
class Guest:
    """A person with a photo that nobody else has, and what a lone visitor would get for it.

    token: a word in everything that this person types. family: the concept that is moved by `shift`, by its id and
    name; channel: one that nobody else excludes. alone: small pictures (SIDE, SIDE, 3) of the face and of its
    reconstruction. before, edited: chance of the class decided first, without and with the concept moved.
    """

    number: int
    token: str
    photo: bytes
    face: Face
    code: StyleCode
    family: str
    name: str
    channel: int
    shift: float
    decided: int
    before: float
    edited: float
    alone: tuple[np.ndarray, ...]


@dataclass
class Seen:
    """What a visit has shown: the two chances as of `Guest`, that after the retraining, and seconds of every action.

    ticked: the concept that was excluded, by its id. refused: how often the line of trainings was full.
    """

    visitor: Visitor | None = None
    trained: bool = True
    ticked: str = ""
    refused: int = 0
    before: float = float("nan")
    edited: float = float("nan")
    retrained: float = float("nan")
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    faults: list[str] = field(default_factory=list)


# ---- who comes


def guests(studio: Studio, count: int) -> list[Guest]:
    """The same faces every time, with new tokens. count: at most 64, so many patterns differ in two corners each."""
    table = studio.table("default")
    run = studio.on_photos(studio.run(table, table.targets[0].name))
    families = studio.description().families
    rows = np.flatnonzero(table.split == 2)
    come = []
    for number, row in enumerate(rows[:: len(rows) // 64][:count]):
        photo = _photo(studio.render(StyleCode.of(table.psi[row], table.backbone), size=FACE), _pattern(number))
        face = studio.read(photo)[1][0]
        code, family, shift = studio.encode(face), families[5 * number % len(families)], round(2.0 + 0.1 * number, 1)
        before, channel = studio.predict(run, code), 40 + 97 * number
        come.append(
            Guest(
                number=number,
                token=f"tok{number:02d}{secrets.token_hex(5)}",
                photo=photo,
                face=face,
                code=code,
                family=family.id,
                name=family.name,
                channel=channel,
                shift=shift,
                decided=before.decided,
                before=before.chance_of(before.decided),
                edited=studio.predict(run, code, family.edits(shift)).chance_of(before.decided),
                alone=(_small(face.pixels), _small(studio.render(code))),
            )
        )
    return come


def _pattern(number: int) -> tuple[int, int, int, int]:
    """Colours of the four corners; any two numbers below 64 differ in at least two of them."""
    first, second, third = number % 4, number // 4 % 4, number // 16 % 4
    return first, second, third, (first + second + third) % 4


def _corners(side: int, width: int) -> Iterator[tuple[slice, slice]]:
    for down in (slice(0, width), slice(side - width, side)):
        for across in (slice(0, width), slice(side - width, side)):
            yield down, across


def _photo(face: np.ndarray, pattern: Sequence[int]) -> bytes:
    """A JPEG of a face, uint8 (FACE, FACE, 3), whose corners have colours that stay when it is aligned."""
    canvas, edge = np.full((CANVAS, CANVAS, 3), 128, np.uint8), (CANVAS - FACE) // 2
    canvas[edge:-edge, edge:-edge] = face
    for corner, colour in zip(_corners(CANVAS, CORNER), pattern, strict=True):
        canvas[corner] = COLOURS[colour]
    file = io.BytesIO()
    Image.fromarray(canvas).save(file, "JPEG", quality=92)
    return file.getvalue()


def pattern_in(picture: np.ndarray) -> int | None:
    """The number whose pattern a picture uint8 (H, W, 3) has in its corners; None where it has none."""
    small, pattern = np.asarray(Image.fromarray(picture).resize((25, 25), Image.Resampling.BOX), float), []
    for corner in _corners(25, 3):
        off = np.abs(COLOURS - small[corner][1:, 1:].mean(axis=(0, 1))).max(axis=1)
        if off.min() > OFF:
            return None
        pattern.append(int(off.argmin()))
    number = pattern[0] + 4 * pattern[1] + 16 * pattern[2]
    return number if _pattern(number) == tuple(pattern) else None


def _small(picture: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BOX), float)


# ---- a visit


def visit(address: str, guest: Guest, seen: Callable[[Seen], None], *, pause: float = 0.0, trains: bool = True) -> Seen:
    """Everything that a person does; what was shown. Raises AssertionError where something never came."""
    now, chance = Seen(trained=trains), random.Random(guest.number)

    @contextmanager
    def timed(*actions: str) -> Iterator[Callable[[], None]]:
        time.sleep(pause * chance.uniform(0.5, 1.5))
        began, left = time.perf_counter(), list(actions)
        done = lambda: now.seconds[left.pop(0)].append(time.perf_counter() - began)  # noqa: E731
        yield done
        if left:
            done()
        now.faults += you.faults()

    with timed("page shown"):
        now.visitor = you = Visitor(address)
        seen(now)
        you.wait(lambda: you.find("sample-11") and you.scene(), "samples and the first decision")
    with timed("upload field shown"):
        you.choose("inspect.source", ["Upload"])
        you.widget("inspect.upload")
    with timed("photo brought: face and probability shown"):
        you.upload("inspect.upload", f"{guest.token}.jpg", guest.photo)
        you.wait(lambda: _of(you, guest) and you.pictures("Reconstruction") and guest.token in you.words(), "the face")
    now.before = you.scene()[0]["before_share"]
    you.choose("inspect.concept", guest.name)
    you.wait(lambda: _of(you, guest, guest.family), "the strip of the concept")
    for shift in (-guest.shift, guest.shift):
        with timed("strip moved: new probability", "strip moved: new picture") as there:
            turn = you.move(shift)
            you.wait(lambda: _moved(you, turn, shift), "the moved face's probability")  # noqa: B023
            there()
            you.wait(lambda: _moved(you, turn, shift) and you.scene()[1][1], "the moved face")  # noqa: B023
    now.edited = you.scene()[0]["share"]
    you.open("Exclude and retrain")
    you.answered()  # whole: the cards come one by one
    cards = you.wait(lambda: you.keys("exclude.family."), "concepts to tick")
    now.ticked = cards[guest.number % len(cards)].removeprefix("exclude.family.")
    with timed("concept ticked"):
        you.choose(f"exclude.family.{now.ticked}", True)
        you.wait(lambda: _ticked(you), "the basket")
    you.choose("exclude.add", guest.token)  # no concept of that name: a notice quotes it
    _press(you, "Add")
    you.wait(lambda: any(guest.token in node.body.body for node in you.nodes("alert")), "the notice")
    ticked = _ticked(you)
    you.choose("exclude.add", str(guest.channel))
    _press(you, "Add")
    you.wait(lambda: _ticked(you) == ticked + 1, "the added channel")
    if trains:
        with timed("retrain: quick answer", "retrain: trained and compared") as there:
            _train(you, now)
            there()
            you.wait(lambda: "Before and after: run " in you.words(), "the trained classifier", 600)
        _keep(you, guest)
    with timed("Audit page shown"):
        you.open("Audit")
        you.answered()
    you.open("Inspect")
    you.wait(lambda: _of(you, guest), "the face again")
    you.answered()
    now.retrained = you.scene()[0]["before_share"]
    return now


def _train(you: Visitor, now: Seen) -> None:
    """Until the quick answer is there; who is told that too many wait already tries again a little later."""

    def answer() -> str:
        words = you.words()
        return next((each for each in ("Quick answer: accuracy", "are waiting already") if each in words), "")

    while True:
        you.click("exclude.train")
        you.answered()  # the notice of before is gone
        if you.wait(answer, "the quick answer", 600).startswith("Quick"):
            return
        now.refused += 1
        time.sleep(20)


def _of(you: Visitor, guest: Guest, family: str = "") -> bool:
    scene = you.scene()
    return scene is not None and scene[0]["of"].startswith(f"{guest.face.key[:16]}.{family}")


def _moved(you: Visitor, turn: int, shift: float) -> bool:
    head = you.scene()[0]
    return head["turn"] == turn and head["shift"] == shift


def _ticked(you: Visitor) -> int:
    """How many channels are ticked."""
    told = re.search(r"Ticked: ([\d,]+) channel", you.words())
    return int(told[1].replace(",", "")) if told else 0


def _press(you: Visitor, label: str) -> None:
    """Press the button of a form."""
    button = you.wait(lambda: next((n for n in you.nodes("button") if n.body.label == label), None), f"button {label}")
    you.press(button)


def _keep(you: Visitor, guest: Guest) -> None:
    """Keep the run in a session, everything that is typed with the token."""
    for name in ("name", "owner", "why"):
        you.choose(f"keep_as_audit.{name}", f"{guest.token} {name}")
    _press(you, "Begin the session")
    you.wait(lambda: f"**{guest.token} name**" in you.words(), "the open session")
    you.answered()


# ---- what must hold


def leaks(come: Sequence[Guest], seen: Sequence[Seen]) -> list[str]:
    """Everything that a visitor received of another, in sentences; [] where nobody did."""
    told = []
    for guest, now in zip(come, seen, strict=True):
        others = [other for other in come if other.number != guest.number]
        own = 0
        for data in now.visitor.received.values():
            told += [
                f"{guest.number} received the word of {other.number}."
                for other in others
                if other.token.encode() in data
            ]
            told += [f"{guest.number} received a scene of {who}." for who in _scenes_of(data, others)]
            for file in pictures_in(data):
                who = whose(file, come)
                own += who == guest.number
                if who not in (None, guest.number):
                    told.append(f"{guest.number} received a picture of {who}.")
        if not own:
            told.append(f"{guest.number} received no picture of their own: nothing was looked at.")
    return sorted(set(told))


def whose(file: bytes, come: Sequence[Guest]) -> int | None:
    """Whose face a picture file shows: by the pattern, else by what a lone visitor gets; None where it is nobody's."""
    try:
        opened = Image.open(io.BytesIO(file))
        picture = np.asarray(opened.convert("RGB"))
    except OSError:
        return None
    if min(picture.shape[:2]) < SIDE:
        return None
    if (number := pattern_in(picture)) is not None:
        return number
    small = _small(picture)
    apart = {guest.number: min(np.abs(small - own).mean() for own in guest.alone) for guest in come}
    nearest = min(apart, key=apart.__getitem__)
    return nearest if apart[nearest] < SAME else None


def _scenes_of(data: bytes, others: Sequence[Guest]) -> Iterator[int]:
    """Whose faces the strips are about that a message carries."""
    if b"inspect.scrub" not in data:
        return
    drawn = ForwardMsg.FromString(data).delta.new_element.bidi_component
    if drawn.bytes:
        of = scrub.unpack(drawn.bytes)[0]["of"]
        yield from (other.number for other in others if of.startswith(other.face.key[:16]))


def wrong(studio: Studio, come: Sequence[Guest], seen: Sequence[Seen]) -> list[str]:
    """Every chance that is not what a lone visitor gets for the same face, edits and exclusions, in sentences.

    IMG2TAB_HOME names the folder of the server: a classifier is looked up by what it must have excluded.
    """
    told = []
    table = studio.table("default")
    target = table.targets[0].name
    kept = {run.excluded: run for run in studio.trainer.kept(table, target)}
    for guest, now in zip(come, seen, strict=True):
        expected = {"before": guest.before, "edited": guest.edited, "retrained": guest.before}
        if now.trained:
            channels = studio.description().find(now.ticked).channels.tolist()
            run: Run | None = kept.get(frozenset({*channels, guest.channel}))
            if run is None:
                told.append(f"{guest.number} has no classifier without {now.ticked} and channel {guest.channel}.")
                continue
            prediction = studio.predict(studio.on_photos(run), guest.code)
            expected["retrained"] = prediction.chance_of(prediction.decided)
        for name, chance in expected.items():
            if not abs(getattr(now, name) - chance) < 1e-3:
                told.append(f"{guest.number} was told {getattr(now, name):.4f} ({name}), alone it is {chance:.4f}.")
    return told


def _tracebacks(lines: Sequence[str], most: int = 80) -> list[str]:
    """What a server wrote from each traceback on, so many lines of it."""
    begin = [number for number, line in enumerate(lines) if "Traceback" in line]
    return ["\n".join(lines[number : min(number + most, after)]) for number, after in pairwise([*begin, len(lines)])]


# ---- a crowd


def crowd(
    address: str, come: Sequence[Guest], *, pause: float = 0.0, train: int | None = None
) -> tuple[list[Seen], list[str]]:
    """All visits at once: what was shown, and what went wrong, in sentences. train: how many retrain; None for all."""
    shown: dict[int, Seen] = {}
    failed = []
    start, trainers = threading.Barrier(len(come)), come[:train]

    def one_visit(guest: Guest) -> None:
        start.wait()
        try:
            visit(address, guest, partial(shown.__setitem__, guest.number), pause=pause, trains=guest in trainers)
        except (AssertionError, OSError, Img2TabError) as error:
            failed.append(f"Visitor {guest.number}: {error}")

    with ThreadPoolExecutor(len(come)) as pool:
        list(pool.map(one_visit, come))
    for number, now in shown.items():
        now.visitor.close()
        failed += [f"Visitor {number}: {fault}" for fault in now.faults]
    return [shown[guest.number] for guest in come if guest.number in shown], failed


def beside(address: str, come: Sequence[Guest], *, moves: int) -> tuple[list[float], list[float]]:
    """Seconds from letting go of the strip to the new picture: of a visitor alone, and while another one retrains."""
    you, stopped = Visitor(address), threading.Event()
    you.widget("sample-3")
    you.click("sample-3")
    you.settle()

    def seconds(first: int) -> list[float]:
        taken = []
        for number in range(first, first + moves):
            shift = round((-1) ** number * (1 + 0.1 * number), 1)
            began = time.perf_counter()
            turn = you.move(shift)
            you.wait(lambda: _moved(you, turn, shift) and you.scene()[1][1], "the moved face")  # noqa: B023
            taken.append(time.perf_counter() - began)
            time.sleep(0.5)
        return taken

    def retrain(other: Visitor) -> None:
        for guest in come:
            if not stopped.is_set():
                ticked = _ticked(other)
                other.choose("exclude.add", str(guest.channel))
                _press(other, "Add")
                other.wait(lambda: _ticked(other) > ticked, "the added channel")  # noqa: B023
                other.click("exclude.train")
                other.wait(lambda: other.find("exclude-cancel"), "the training")
                other.wait(lambda: other.find("exclude.train"), "its end", 600)

    seconds(0)  # once for nothing: everything is opened
    alone = seconds(moves)
    with Visitor(address) as other, ThreadPoolExecutor(1) as pool:
        other.open("Exclude and retrain")
        other.widget("exclude.add")
        training = pool.submit(retrain, other)
        together = seconds(2 * moves)
        stopped.set()
        training.result()
    you.close()
    return alone, together


def figures(seen: dict[int, list[Seen]], resident: dict[int, float]) -> str:
    """A Markdown table: of every action the median and the 95th percentile, seconds, by the number of visitors."""
    lines = ["| | " + " | ".join(f"{count} visitor{'' if count == 1 else 's'}" for count in seen) + " |"]
    lines.append("|---|" + "---:|" * len(seen))
    for action in ACTIONS:
        cells = []
        for visits in seen.values():
            taken = sorted(seconds for now in visits for seconds in now.seconds[action])
            cells.append(f"{np.median(taken):.1f} / {np.quantile(taken, 0.95):.1f}" if taken else "none")
        lines.append(f"| {action} | " + " | ".join(cells) + " |")
    again = (sum(now.visitor.unanswered for now in visits) for visits in seen.values())
    lines.append("| uploads tried again | " + " | ".join(map(str, again)) + " |")
    full = (sum(now.refused for now in visits) for visits in seen.values())
    lines.append("| trainings asked for again, as 16 waited | " + " | ".join(map(str, full)) + " |")
    lines.append("| resident memory of the server, MB | " + " | ".join(f"{mb:,.0f}" for mb in resident.values()) + " |")
    return "\n".join(lines)


def main() -> None:
    """Exit status 1 where a visitor got anything of another, or something failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", default="20", help="how many at once; several numbers, one after the other")
    parser.add_argument("--table", action="store_true", help="print how long everything took")
    parser.add_argument("--pause", type=float, default=2.0, help="mean seconds between two actions of a person")
    parser.add_argument("--beside", type=int, default=0, help="instead: 1 to 30 moves of a strip beside a retraining")
    asked = parser.parse_args()
    if not 0 <= asked.beside <= 30:  # three times as many shifts, none twice, end at 10 SD
        parser.error("--beside takes 1 to 30 moves")
    counts = [int(text) for text in asked.visitors.split(",")]
    studio, told, by_count, resident = Studio(), [], {}, {}
    table = studio.table("default")
    studio.trainer.prepare(table, table.targets[0].name)  # a server that has trained before: the first takes longer
    come, home = guests(studio, max(counts)), str(files.home())
    for count in counts:
        with tempfile.TemporaryDirectory() as folder, open(Path(folder) / "log", "w+") as log:
            os.environ["IMG2TAB_HOME"] = home
            browser.furnish(Path(folder), "quantized", "screens", "distances")
            os.environ["IMG2TAB_HOME"] = folder
            with browser.dashboard(Path(folder), log=log) as address:
                if asked.beside:
                    for name, taken in zip(("alone", "beside"), beside(address, come, moves=asked.beside), strict=True):
                        print(f"{name}: {np.median(taken):.2f} / {np.quantile(taken, 0.95):.2f} s of {len(taken)}")
                    return
                by_count[count], failed = crowd(address, come[:count], pause=asked.pause)
                resident[count] = browser.resident(browser.server_at(address))
            told += [f"{count} visitors: {sentence}" for sentence in failed]
            told += leaks(come[:count], by_count[count])  # of who did not get to the end too
            told += wrong(studio, come[:count], by_count[count]) if not failed else []
            log.seek(0)
            told += [f"{count} visitors: the server says:\n{text}" for text in _tracebacks(log.read().splitlines())]
    if asked.table:
        print(figures(by_count, resident))
        print(f"Median / 95th percentile, seconds. Load average {os.getloadavg()[0]:.1f} at the end.")
    print("\n".join(told) or "Nobody received anything of another, and nothing failed.")
    sys.exit(bool(told))


if __name__ == "__main__":
    main()
