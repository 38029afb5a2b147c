"""Are families and channels named rightly? Somebody who knows nothing sees a picture and four names, and chooses."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import read_json, write_json
from img2tab_core.base.intervals import wilson
from img2tab_core.concepts.description import Description

NAMES = 4  # to choose from
CHANNELS = 40  # single ones that are asked about
GOALS = {"families": 85, "channels": 70}
ACROSS, DOWN, SIDE = 4, 3, 330  # pictures on a sheet, and their side, px


@dataclass(frozen=True)
class Question:
    """A family, or a channel by its index, without its name, and the names to choose from; right: the one it has."""

    what: str | int
    names: tuple[str, ...]
    right: str


def questions(described: Description, *, seed: int = 0) -> list[Question]:
    """One for every family in a random order, then one for each of `CHANNELS` channels of different names if there are.

    Each has its own name and three others that say something else, shuffled. Numbers behind equal names are left out:
    nobody could tell "Hair: lighter" from "Hair: lighter 2".
    """
    rng = np.random.default_rng(seed)
    plain: dict[str | int, str] = {family.id: plain_name(family.name) for family in described.families}
    families = [described.families[n].id for n in rng.permutation(len(described.families))]
    alone: dict[str | int, str] = {channel: own.name for channel, own in described.names.items()}
    return [*_asked(families, plain, rng), *_asked(_spread(described, rng), alone, rng)]


def _asked(what: Sequence[str | int], names: Mapping[str | int, str], rng: np.random.Generator) -> list[Question]:
    asked = []
    for each in what:
        others = sorted(set(names.values()) - {names[each]})
        offered = [names[each], *rng.choice(others, min(NAMES - 1, len(others)), replace=False).tolist()]
        asked.append(Question(each, tuple(rng.permutation(offered).tolist()), names[each]))
    return asked


def _spread(described: Description, rng: np.random.Generator) -> list[int]:
    """Channels with a name: one of every name in turn, those that change most first, until there are enough."""
    order = sorted(described.names, key=lambda channel: -float(described.change[channel]))
    turn: dict[int, int] = {}
    seen: dict[str, int] = {}
    for channel in order:
        name = described.names[channel].name
        turn[channel] = seen[name] = seen.get(name, -1) + 1
    chosen = sorted(order, key=lambda channel: turn[channel])[:CHANNELS]  # stable: the strongest of each name first
    return [chosen[n] for n in rng.permutation(len(chosen))]


def plain_name(name: str) -> str:
    """ "Hair: lighter 2" -> "Hair: lighter" """
    return name.rstrip("0123456789").strip()


def write_sheets(
    described: Description, draw: Callable[[int, int], np.ndarray], folder: Path, *, seed: int = 0
) -> list[Path]:
    """Sheets of twelve numbered pictures, PNG, and `questions.json`: the names to choose from, nothing else.

    draw: a channel and the sign of its name -> its picture uint8 (S, S, 3), faces moved down, as they are, and up.
    Raises Img2TabError where a family has no picture, or the folder cannot be written to.
    """
    asked, files = questions(described, seed=seed), []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for start in range(0, len(asked), ACROSS * DOWN):
            sheet = Image.new("RGB", (ACROSS * SIDE, DOWN * (SIDE + 20)), "white")
            write = ImageDraw.Draw(sheet)
            for place, question in enumerate(asked[start : start + ACROSS * DOWN]):
                if isinstance(question.what, int):
                    picture = Image.fromarray(draw(question.what, described.names[question.what].sign))
                else:
                    data = described.sheet(question.what)
                    if data is None:
                        raise Img2TabError(f"The family {question.what} has no picture. Run: img2tab describe-concepts")
                    picture = Image.open(io.BytesIO(data)).convert("RGB")
                x, y = (place % ACROSS) * SIDE, (place // ACROSS) * (SIDE + 20)
                sheet.paste(picture.resize((SIDE - 8, SIDE - 8)), (x, y + 20))
                write.text((x + 4, y + 4), f"{start + place + 1}", fill="black", font_size=15)
            files.append(folder / f"sheet-{start // (ACROSS * DOWN) + 1}.png")
            sheet.save(files[-1])
        write_json(folder / "questions.json", {str(n): list(q.names) for n, q in enumerate(asked, 1)})
    except OSError as error:
        raise Img2TabError(f"{folder} could not be written ({error.strerror}). Choose another place.") from error
    return files


def right(described: Description, answers: Mapping[str, str], *, seed: int = 0) -> dict[str, tuple[int, int]]:
    """How many of the answers, number of the question -> name, are right and of how many: of "families", "channels"."""
    counts: dict[str, tuple[int, int]] = {}
    for number, question in enumerate(questions(described, seed=seed), 1):
        kind = "channels" if isinstance(question.what, int) else "families"
        good, count = counts.get(kind, (0, 0))
        counts[kind] = (good + (answers.get(str(number)) == question.right), count + 1)
    return counts


def sentence(described: Description, file: Path) -> str:
    """What a kept check says, for the card: `{"by", "seed", "families", "answers"}`; "" where there is none of it."""
    kept = read_json(file)
    if kept.get("families") != [family.id for family in described.families]:
        return ""
    told = []
    for kind, (good, count) in right(described, kept["answers"], seed=kept["seed"]).items():
        low, high = wilson(good, count)
        told.append(
            f"{good} of {count} {kind} ({100 * good / count:.0f} %, 95 % interval {100 * low:.0f} to {100 * high:.0f}; "
            f"goal {GOALS[kind]} %)"
        )
    return f"Shown a picture and four names, {kept['by']} chose the right one for {' and '.join(told)}; chance 25 %."
