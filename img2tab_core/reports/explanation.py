"""What a classifier of somebody's own reacts to, as one HTML file for somebody who gets nothing but this file."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

import numpy as np
import pandas as pd
from PIL import Image

from img2tab_core import __version__
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.words import chance, count, percent, sentence, signed
from img2tab_core.classifiers import models
from img2tab_core.classifiers.answers import is_function
from img2tab_core.classifiers.models import Added
from img2tab_core.classifiers.pixel_models import PixelAnswer, PixelModel, chances
from img2tab_core.classifiers.reactions import TELLS, Pair, Reactions
from img2tab_core.concepts.description import Family, Mean
from img2tab_core.concepts.moving import SHIFT
from img2tab_core.concepts.ranking import APART, LEAST, RankedFamily
from img2tab_core.reports import elements as page
from img2tab_core.reports.drawings import RADIUS, Scale
from img2tab_core.reports.elements import Chapter, Child, Markup, bullets, chapter, element, facts, figure, table, text
from img2tab_core.reports.findings import licences
from img2tab_core.reports.sheets import csv
from img2tab_core.reports.wording import SPACE, day, lower, minute
from img2tab_core.studio import Studio

GALLERY = 12  # movers behind the strongest whose pictures are shown
ALONE = 4  # families that only go with it whose pictures are shown
PHOTOS = 24  # photos and edited photos that are shown
LARGE, SMALL = 256, 192  # px of a picture at most: of the strongest families, of all others
LINE = 26  # px, of one family in the chart
REACH = 40.0  # log-odds, further than any change can be
STEPS = ("moved down", "as it is", "moved up")
SIDES = ("zero", "one")  # what the style sheet calls the two classes
UNKNOWN, HYPHEN = "–", "\N{NON-BREAKING HYPHEN}"
WORDS = (
    (
        "Moves it",
        f"Moving the concept alone changes the answer by {LEAST:g} log-odds or more on average, beyond what chance "
        "does from face to face: the concept itself counts, as far as pictures of this generator go.",
    ),
    (
        "Goes with it",
        "Moving it alone was not seen to move the answer, or was not tried, but the faces of the two classes differ in "
        f"it, by {APART:g} standard deviations or more: it comes along with the class.",
    ),
    ("Not seen", "Neither was seen: it moves nothing beyond chance, and the two classes hardly differ in it."),
    (
        "Effect",
        "Change of the answer's log-odds when the concept is moved from down to up, the mean over the faces and its "
        f"95{SPACE}% interval. A log-odds of 0 is a chance of 50{SPACE}%, of 1 is 73{SPACE}%, of 2 is 88{SPACE}%, of 4 "
        f"is 98{SPACE}%.",
    ),
    ("Turns", "On how many of these faces the decision itself is another one moved up than moved down."),
    ("Apart", "How far the faces of the two classes differ in the concept (Wasserstein-1), in standard deviations."),
    (
        "Used, by stand-ins",
        "Share of what a concept classifier, trained on the answers, uses: by the channels that draw the concept, and "
        "by channels that only go with it. It holds as far as that classifier says the same.",
    ),
    (
        "Name",
        "How far the name can be trusted: “clear” where each half of the faces it was measured on gives it, “likely” "
        "where one half does, else “unsure”. The pictures show what is meant.",
    ),
)
NOT_FOUND = (
    "Only what the generator can draw can be found: a patch, a logo, writing, or noise in the picture is never moved "
    "here, so a classifier that looks at such a thing shows nothing of it on this page."
)
STRONG_MOVES = (
    f"{SHIFT:g} standard deviations are far, so that a change can be seen; how the answer goes in between is not told, "
    "and moving a concept may draw a little of another one along with it: the pictures show it."
)


class PhotoAnswer(Protocol):
    """A photo of somebody's own: chance of class 1 on itself and drawn, on its reconstruction; far: whether the two are
    far from each other; picture uint8 (S, S, 3)."""

    @property
    def name(self) -> str: ...
    @property
    def probability(self) -> float: ...
    @property
    def drawn(self) -> float: ...
    @property
    def far(self) -> bool: ...
    @property
    def picture(self) -> np.ndarray: ...


class PhotoEffect(Protocol):
    """A family moved in photos: the change of the answer, and a photo before and after, uint8 (S, S, 3), with the
    chance of class 1 of each."""

    @property
    def family(self) -> Family: ...
    @property
    def change(self) -> Mean: ...
    @property
    def moves(self) -> bool: ...
    @property
    def example(self) -> tuple[np.ndarray, np.ndarray, float, float]: ...


class OwnPhotos(Protocol):
    """What a classifier answers about photos of somebody's own."""

    @property
    def sentence(self) -> str: ...
    @property
    def rows(self) -> Sequence[PhotoAnswer]: ...
    @property
    def effects(self) -> Sequence[PhotoEffect]: ...


def explanation_html(studio: Studio, reactions: Reactions, *, photos: OwnPhotos | None = None) -> str:
    """The page, complete in itself: pictures, tables and the numbers as JSON; it loads nothing from a network.

    photos: what it answers about photos of somebody's own, which are then in the file too. Raises Img2TabError where
    the table or the description of the concepts is gone.
    """
    made, question = datetime.now(UTC), f"What does {reactions.model.title} react to?"
    parts = [
        _strongest(studio, reactions),
        _trust(reactions),
        _ranked(reactions),
        _gallery(studio, reactions),
        None if photos is None else _photos(reactions.model, photos),
        _handed(studio, reactions.model),
        _asked(studio, reactions, made),
        _channels(reactions),
    ]
    footer = text(
        f"Made by Img2Tab Studio {__version__} on {minute(made)} UTC. This page is one file: it loads nothing from a "
        "network, and carries its pictures and tables."
    )
    return page.document(question, _header(reactions, question, made), [part for part in parts if part], footer)


# --- the answer -----------------------------------------------------------------------------------------


def _header(reactions: Reactions, question: str, made: datetime) -> Markup:
    zero, one = reactions.model.classes
    return element(
        "header",
        element("p", "What an image classifier reacts to · Img2Tab Studio", class_="over"),
        element("h1", question),
        text(_answer(reactions), kind="lead"),
        text(f"“{zero}” or “{one}” · asked about faces of the table {reactions.table} · {day(made)}", kind="byline"),
    )


def _answer(reactions: Reactions) -> list[Child]:
    """The answer in two sentences, without a number."""
    strongest = reactions.movers[:TELLS]
    if not strongest:
        return [
            f"To nothing that was moved: none of {count(reactions.moved.families, 'concept')} changes its answer "
            f"beyond chance on {count(reactions.moved.faces, 'face')}."
        ]
    ways = [
        (side, [row for row in strongest if row.effect is not None and (row.effect.mean > 0) == bool(side)])
        for side in (1, 0)
    ]
    ways = sorted([(side, rows) for side, rows in ways if rows], key=lambda way: strongest.index(way[1][0]))
    if len(ways) == 1:
        side, rows = ways[0]
        them = "it makes" if len(rows) == 1 else "each of them makes"
        told: list[Child] = [f"Moved up, {them} “{reactions.model.classes[side]}” more likely."]
    else:
        told = ["Moved up, "]
        for side, rows in ways:
            makes = "makes" if len(rows) == 1 else "make"
            told += [_named(rows), f" {makes} “{reactions.model.classes[side]}” more likely", "; "]
        told[-1] = "."
    return ["It reacts most to ", _named(strongest), ". ", *told]


def _named(rows: Sequence[RankedFamily]) -> list[Child]:
    """Names of families, set off, as a list in a sentence."""
    parts: list[Child] = []
    for place, row in enumerate(rows):
        between = None if place == 0 else " and " if place == len(rows) - 1 else ", "
        parts += [between, element("strong", SPACE.join(row.family.name.rsplit(" ", 1)))]  # "fringe 3" on one line
    return parts


def _strongest(studio: Studio, reactions: Reactions) -> Chapter:
    """The strongest families in pictures; where none moves it, those with the largest changes."""
    movers, moved = reactions.movers[:TELLS], reactions.moved
    largest = sorted(
        (row for row in reactions.families if row.effect is not None),
        key=lambda row: -abs(row.effect.mean if row.effect is not None else 0),
    )
    title = "What moves it most" if movers else "The largest changes"
    return chapter(
        "strongest",
        title,
        text(reactions.others) if reactions.others else None,
        text(
            ("" if movers else "None of these changes is beyond chance. ")
            + f"Each row shows one face with one concept moved, of {count(moved.faces, 'face')} the one on which the "
            f"answer changes most: {SHIFT:g} standard deviations down, as it is, and {SHIFT:g} up. Below each picture "
            "is what the classifier says of it, and how sure it is. Where it is very sure of a face, even a large "
            "change does not turn its decision."
        ),
        [_triple(studio, reactions, row, kind="strong", side=LARGE) for row in movers or largest[:TELLS]],
    )


def _gallery(studio: Studio, reactions: Reactions) -> Chapter | None:
    """The movers behind the strongest, and what was moved but only goes with it."""
    movers = reactions.movers[TELLS : TELLS + GALLERY]
    going = [row for row in reactions.families if row.verdict == "goes with it" and row.effect is not None]
    going = sorted(going, key=lambda row: -row.distance)[:ALONE]
    parts: list[Child] = []
    if movers:
        left = len(reactions.movers) - TELLS - len(movers)
        parts += [
            text(
                "These move it too, the strongest first; again each face is the one on which the answer changes most."
                + (f" {count(left, 'further one')} {'is' if left == 1 else 'are'} in the table alone." if left else "")
            ),
            element("div", [_triple(studio, reactions, row) for row in movers], class_="cards wide"),
        ]
    if going:
        parts += [
            element("h3", "What only goes with it"),
            text(
                "In these concepts the faces of the two classes differ most, but moving one alone was not seen to move "
                "the answer over all faces. Shown is the one face on which it changes most all the same."
            ),
            element("div", [_triple(studio, reactions, row) for row in going], class_="cards wide"),
        ]
    return chapter("gallery", "More in pictures", *parts) if parts else None


def _triple(studio: Studio, reactions: Reactions, row: RankedFamily, *, kind: str = "", side: int = SMALL) -> Markup:
    """A face with a family moved down, as it is and up, what is said of each picture, and the family in words."""
    pair: Pair = studio.pair(reactions, row.number)
    name, classes = row.family.name, reactions.model.classes
    shown = [
        element(
            "div",
            _picture(pixels, f"A face, {name}, {step}", side),
            element("span", step, class_="below"),
            _decided(probability, classes),
        )
        for pixels, probability, step in zip(pair.pictures, pair.probability, STEPS, strict=True)
    ]
    caption = element(
        "figcaption",
        element("strong", name),
        [element("span", words, class_="amount") for words in _effect_in_words(reactions, row)],
        element("span", f"What it draws: {lower(row.family.sentence)}".replace(" %", f"{SPACE}%"), class_="below"),
    )
    return element("figure", element("div", shown, class_="triple"), caption, class_=f"card moved {kind}".strip())


def _effect_in_words(reactions: Reactions, row: RankedFamily) -> list[str]:
    """ "+2.3 log-odds [+2.0, +2.6] towards smiling", "turns 9 of 24 faces; classes 0.80 SD apart" """
    words = f"turns {reactions.moved.turned[row.number]} of {count(reactions.moved.faces, 'face')}"
    if reactions.fidelity is not None:
        words += f"; classes {row.distance:.2f} SD apart"
    if row.effect is None:
        return [words]
    towards = reactions.model.classes[int(row.effect.mean > 0)]
    return [f"{row.effect.turned(1 if row.effect.mean > 0 else -1).text()} log-odds towards {towards}", words]


def _decided(probability: float, classes: tuple[str, str]) -> Markup:
    """A class with its mark, and how sure the classifier is of it."""
    side = int(probability > 0.5)
    return element(
        "span",
        element("i", class_=f"mark {SIDES[side]}"),
        element("span", classes[side]),
        element("span", chance(max(probability, 1 - probability)), class_="below"),
        class_="decided",
    )


def _picture(pixels: np.ndarray, words: str, side: int) -> Markup:
    """A picture uint8 (S, S, 3) of at most `side` px, inside the page."""
    if pixels.shape[0] > side:
        pixels = np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS))
    return page.picture(pixels, words, size=pixels.shape[0])


# --- how far to trust it --------------------------------------------------------------------------------


def _trust(reactions: Reactions) -> Chapter:
    known, moved, total = reactions.fidelity, reactions.moved.families, len(reactions.families)
    fidelity = (
        text(known.sentence)
        if known is not None
        else text(reactions.why or "Nothing could be trained on its answers.", kind="missing")
    )
    left = (
        text(
            f"{moved} of {total} concepts were moved: those in which the classes differ most, or that are seen most. "
            f"Whether the others move it is not known."
        )
        if moved < total
        else None
    )
    return chapter(
        "trust",
        "How far to trust it",
        fidelity,
        text(reactions.basis),
        left,
        text(STRONG_MOVES),
        element("h3", "What cannot be found"),
        text(NOT_FOUND),
        element("h3", "What the words mean"),
        facts(WORDS),
    )


# --- all concepts ---------------------------------------------------------------------------------------


def _ranked(reactions: Reactions) -> Chapter:
    name, moved = reactions.model.name, reactions.moved
    asked = sorted(
        (row for row in reactions.families if row.effect is not None),
        key=lambda row: -abs(row.effect.mean if row.effect is not None else 0),
    )
    left = len(reactions.families) - len(asked)
    unmoved = (
        "" if not left else f" Not drawn: {count(left, 'concept')} that {'was' if left == 1 else 'were'} not moved."
    )
    return chapter(
        "concepts",
        "All concepts",
        figure(
            _chart(reactions, asked),
            f"Change of the answer's log-odds when a concept alone is moved from {SHIFT:g} standard deviations down to "
            f"{SHIFT:g} up: the mean over {count(moved.faces, 'face')} and its 95{SPACE}% interval. Filled: it moves "
            f"the answer beyond chance. Open and grey: not beyond chance.{unmoved}",
        ),
        table(
            f"The same in numbers, and what else is known; turns of {count(moved.faces, 'face')}",
            ["Concept", "Verdict", "Effect, log-odds", "Turns", "Apart, SD", "Used", f"By stand{HYPHEN}ins", "Name"],
            [_row(reactions, row) for row in reactions.families],
            words={1, 7},
            file=page.file_link(f"{name}-concepts.csv", csv(_sheet(reactions)), "text/csv", f"{name}-concepts.csv"),
            kind="long tight",
        ),
    )


def _row(reactions: Reactions, row: RankedFamily) -> list[Child]:
    """A line of the table; what was not measured is a dash."""
    trained = reactions.fidelity is not None
    return [
        row.family.name,
        element("span", row.verdict, class_="when"),
        element("span", "not moved" if row.effect is None else row.effect.text()),
        UNKNOWN if row.effect is None else f"{reactions.moved.turned[row.number]}",
        f"{row.distance:.2f}" if trained else UNKNOWN,
        element("span", percent(row.importance)) if trained else UNKNOWN,
        element("span", percent(row.by_stand_ins)) if trained else UNKNOWN,
        row.family.trust,
    ]


def _sheet(reactions: Reactions) -> pd.DataFrame:
    """The table with all digits."""
    return pd.DataFrame(
        [
            {
                "id": row.family.id,
                "name": row.family.name,
                "verdict": row.verdict,
                "effect": None if row.effect is None else row.effect.mean,
                "effect, low": None if row.effect is None else row.effect.low,
                "effect, high": None if row.effect is None else row.effect.high,
                "turns": None if row.effect is None else int(reactions.moved.turned[row.number]),
                "faces": reactions.moved.faces,
                "distance": row.distance if reactions.fidelity else None,
                "importance": row.importance if reactions.fidelity else None,
                "importance of stand-ins": row.by_stand_ins if reactions.fidelity else None,
                "trust": row.family.trust,
                "channels": " ".join(map(str, row.family.channels.tolist())),
                "stand-ins": " ".join(map(str, row.stand_ins.tolist())),
            }
            for row in reactions.families
        ]
    )


def _chart(reactions: Reactions, rows: Sequence[RankedFamily]) -> Markup:
    """A line for every family that was moved: its name, its effect as a dot with its interval, and the numbers."""
    effects = [row.effect for row in rows if row.effect is not None]
    ends = [end for effect in effects for end in (effect.low, effect.high)]
    scale = Scale.of([0.0, *ends], floor=-REACH, ceiling=REACH)
    zero, one = reactions.model.classes
    sides = element(
        "div",
        element("span"),
        element(
            "span",
            element("span", element("i", class_="mark zero"), f"towards {zero}"),
            element("span", element("i", class_="mark one"), f"towards {one}"),
            class_="ways",
        ),
        element("span"),
        class_="effect",
    )
    lines = [
        element(
            "div",
            element("span", row.family.name, class_="name"),
            _plot(scale, row.effect, moves=row.verdict == "moves it"),
            element("span", row.effect.text(), class_="amount"),
            class_="effect",
        )
        for row in rows
        if row.effect is not None
    ]
    axis = element(
        "div",
        element("span"),
        _axis(scale),
        element("span", "log-odds", class_="amount"),
        class_="effect axis",
    )
    in_words = "; ".join(f"{row.family.name} {row.effect.text()}, {row.verdict}" for row in rows if row.effect)
    return element(
        "div",
        sides,
        axis,
        lines,
        axis,
        class_="effects",
        role="img",
        aria_label=f"Effect of every concept that was moved, log-odds towards {one}. {in_words}",
    )


def _plot(scale: Scale, effect: Mean, *, moves: bool) -> Markup:
    """A dot and its interval over the lines of the scale."""
    kind, middle = SIDES[int(effect.mean > 0)] if moves else "before", LINE / 2
    return element(
        "svg",
        _lines(scale),
        element(
            "line", class_=f"interval {kind}", x1=scale.x(effect.low), x2=scale.x(effect.high), y1=middle, y2=middle
        ),
        element("circle", class_=f"dot {kind}", cx=scale.x(effect.mean), cy=middle, r=RADIUS),
        width="100%",
        height=LINE,
        aria_hidden="true",
    )


def _lines(scale: Scale) -> list[Markup]:
    return [
        element(
            "line",
            class_="nothing" if abs(tick) < 1e-9 else "grid",
            x1=scale.x(tick),
            x2=scale.x(tick),
            y1=0,
            y2=LINE,
        )
        for tick in scale.ticks
    ]


def _axis(scale: Scale) -> Markup:
    last = len(scale.ticks) - 1
    return element(
        "svg",
        [
            element(
                "text",
                signed(tick, 0 if all(float(value).is_integer() for value in scale.ticks) else 1),
                class_="tick",
                x=scale.x(tick),
                y=16,
                text_anchor="start" if place == 0 else "end" if place == last else "middle",
            )
            for place, tick in enumerate(scale.ticks)
        ],
        width="100%",
        height=LINE,
        aria_hidden="true",
    )


# --- photos of somebody's own ---------------------------------------------------------------------------


def _photos(model: PixelModel, photos: OwnPhotos) -> Chapter:
    """What it says of photos themselves, of their reconstructions, and of photos in which a concept was moved."""
    rows, effects = photos.rows, photos.effects
    examples = sorted(effects, key=lambda effect: not effect.moves)[:GALLERY]
    return chapter(
        "photos",
        "On photos",
        text(photos.sentence),
        text(
            f"{sentence(count(len(rows), 'photo'))} {'was' if len(rows) == 1 else 'were'} looked at. Those shown here "
            "are inside this file: whoever gets it sees them."
        ),
        element("div", [_photo(row, model.classes) for row in rows[:PHOTOS]], class_="people"),
        table(
            f"Chance of {model.classes[1]}: on the photo itself, and on its reconstruction by the generator",
            ["Photo", "On the photo", "On its reconstruction"],
            [[row.name, chance(row.probability), [element("span", chance(row.drawn)), _far(row)]] for row in rows],
        ),
        table(
            "Concepts moved in the photos: the change of the answer, its mean over them",
            ["Concept", "Change", "Verdict"],
            [[effect.family.name, element("span", effect.change.text()), _verdict(effect.moves)] for effect in effects],
            words={2},
            kind="narrow",
        )
        if effects
        else None,
        element("div", [_before_after(effect, model.classes) for effect in examples], class_="cards")
        if examples
        else None,
    )


def _photo(row: PhotoAnswer, classes: tuple[str, str]) -> Markup:
    return element(
        "figure",
        _picture(row.picture, f"Photo {row.name}", SMALL),
        element("figcaption", element("span", row.name, class_="below"), _decided(row.probability, classes)),
        class_="card",
    )


def _far(row: PhotoAnswer) -> Markup | None:
    return element("div", element("span", "far from the photo", class_="flag")) if row.far else None


def _verdict(moves: bool) -> str:
    return "moves it" if moves else "within chance"


def _before_after(effect: PhotoEffect, classes: tuple[str, str]) -> Markup:
    before, after, earlier, later = effect.example
    name = effect.family.name
    shown = [
        element(
            "div", _picture(pixels, f"A photo, {name} {state}", SMALL), element("span", state, class_="below"),
            _decided(probability, classes),
        )
        for pixels, probability, state in ((before, earlier, "as it is"), (after, later, "moved"))
    ]  # fmt: skip
    caption = element(
        "figcaption",
        element("strong", name),
        element("span", f"{effect.change.text()}, {_verdict(effect.moves)}", class_="amount"),
    )
    return element("figure", element("div", shown, class_="triple two"), caption, class_="card moved")


# --- the classifier, and what was asked -----------------------------------------------------------------


def _handed(studio: Studio, model: PixelModel) -> Chapter:
    """How it is handed its pictures, and faces by which a wrong way of it is seen."""
    record = next((known for known in models.records() if known["key"] == model.key), {})
    zero, one = model.classes
    return chapter(
        "classifier",
        "The classifier, and how it is handed its pictures",
        facts(
            [
                ("Classifier", model.title if model.title == model.name else f"{model.title} ({model.name})"),
                ("Class 0", zero),
                ("Class 1", one),
                ("Is handed", sentence(model.input.sentence)),
                ("Its answer", sentence(_read(model.answer))),
                ("Faces are drawn at", f"{model.face_size} px for it"),
                ("Came from", "a function of a program" if is_function(model) else model.origin),
                ("SHA-256 of the file", element("code", record["sha256"]) if record.get("sha256") else None),
                ("Key of file, input and answer", element("code", model.key)),
                ("Added on", day(datetime.fromisoformat(record["added"])) if record.get("added") else None),
                ("Held against the labels of", model.judges or None),
            ]
        ),
        element("h3", "Twelve faces and its answers"),
        *_samples(studio, model),
    )


def _samples(studio: Studio, model: PixelModel) -> list[Child]:
    faces = np.stack([face.pixels for face in studio.samples()])  # (n, P, P, 3)
    try:
        log_odds = model.log_odds(faces)
    except Img2TabError as error:
        return [text(f"It cannot be asked any more: {error}", kind="missing")]
    warning = Added(model, (), log_odds).warning
    words = "What it is handed of the first face"
    seen = model.input.squares(faces[:1])[0]
    if model.input.colour == "grey":
        seen = np.asarray(Image.fromarray(seen).convert("L").convert("RGB"))
    people = [
        element(
            "figure",
            _picture(pixels, f"Sample face {number}", SMALL),
            element("figcaption", _decided(probability, model.classes)),
            class_="card",
        )
        for number, (pixels, probability) in enumerate(zip(faces, chances(log_odds).tolist(), strict=True), start=1)
    ]
    return [
        text(
            "Where these answers look wrong, it is handed its pictures in another form than in its training (colours "
            "scaled otherwise, red and blue exchanged, another part of the face), and nothing else on this page holds."
        ),
        text(warning, kind="missing") if warning else None,
        element("div", people, class_="people"),
        element(
            "div",
            _picture(seen, words, SMALL),
            text(f"{words}: {model.input.size} px of it, before its colours are scaled."),
            class_="sample handed",
        ),
    ]


def _read(answer: PixelAnswer) -> str:
    """How the numbers of an answer are read."""
    numbers = count(len(answer.classes), "number")
    return {
        "probabilities": f"{numbers} a picture, read as probabilities",
        "logits": f"{numbers} a picture, read as log-odds of classes of which one is right",
        "sigmoid": f"{numbers} a picture, read as log-odds of each class on its own",
        "value": f"a quantity, which counts as class 1 above {answer.threshold or 0:g}",
    }[answer.output]


def _asked(studio: Studio, reactions: Reactions, made: datetime) -> Chapter:
    """All that another person needs to ask the same again."""
    faces, model, numbers = studio.table(reactions.table), reactions.model, f"{reactions.model.name}-reactions.json"
    described, known = studio.described(faces.backbone), licences(faces.backbone)
    backbone_key = studio.backbone_key(faces.backbone)
    again = (
        f"img2tab explain --classifier {shlex.quote(model.name)} --table {shlex.quote(reactions.table)} "
        f"--faces {reactions.asked}"
    )
    return chapter(
        "asked",
        "What was asked, and with what",
        facts(
            [
                ("Table", f"{faces.name}, {count(len(faces.split), 'face')}"),
                ("Where the faces are from", _origin(studio.trainer.about_table(faces.name))),
                ("Table key", element("code", faces.key)),
                ("Asked about", f"{count(reactions.asked, 'face')} of it, drawn at {reactions.size} px"),
                (
                    "Moved",
                    f"{count(reactions.moved.families, 'concept')} on {count(reactions.moved.faces, 'other face')}, "
                    f"drawn at {reactions.moved.size} px",
                ),
                ("Backbone", f"{faces.backbone}, {faces.layout.total:,} style channels"),
                ("Backbone key", element("code", backbone_key) if backbone_key else None),
                ("Description key", element("code", described.key)),
                ("Made with", f"Img2Tab Studio {__version__}"),
                ("Day", day(made)),
                ("All numbers", page.file_link(numbers, _json(reactions), "application/json", numbers)),
            ]
        ),
        element("h3", "To ask it again"),
        text(
            "A function is asked again in the program that has it: register it, then call “question” of a Studio with "
            f"its name, the table and {count(reactions.asked, 'face')}."
        )
        if is_function(model)
        else element("pre", element("code", again)),
        element("h3", "For research that is not commercial"),
        text("The face models behind these pictures allow no other use. The classifier has its own licence."),
        bullets([f"{title}: {licence}" for title, licence in known])
        if known
        else text(
            "The licence of the backbone's checkpoint holds; those of the official face models forbid commercial use."
        ),
    )


def _json(reactions: Reactions) -> str:
    return json.dumps(reactions.to_json(), indent=1, ensure_ascii=False)


def _origin(about: dict) -> str:
    """Where the faces of a table are from."""
    if not about:
        return "Generated faces: none of them is a photo of a person."
    origin, note = (str(about.get(name) or "") for name in ("origin", "note"))
    return f"{f'Imported from {origin}.' if origin else 'Imported.'} {note}".strip()


def _channels(reactions: Reactions) -> Chapter:
    """Which numbers of a style code every concept moves."""
    return chapter(
        "channels",
        "Appendix: the channels of every concept",
        text(
            "The numbers of the style channels that are moved together as one concept, and how many others only go "
            "with it; their numbers are in the CSV file."
        ),
        element(
            "details",
            element("summary", f"Show the channels of {count(len(reactions.families), 'concept')}"),
            table(
                "Channels by concept",
                ["Concept", "Id", "Channels", "Go with it"],
                [
                    [
                        row.family.name,
                        element("code", row.family.id),
                        " ".join(map(str, row.family.channels.tolist())),
                        f"{len(row.stand_ins)}",
                    ]
                    for row in sorted(reactions.families, key=lambda row: row.number)
                ],
                words={1, 2},
                kind="long tight numbers",
            ),
        ),
    )
