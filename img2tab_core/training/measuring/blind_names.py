"""Are families named rightly? Somebody who knows nothing sees the picture of one and four names, and chooses."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import read_json, write_json
from img2tab_core.base.intervals import wilson
from img2tab_core.concepts.description import Description

NAMES = 4  # to choose from
ACROSS, DOWN, SIDE = 4, 3, 330  # pictures on a sheet, and their side, px


@dataclass(frozen=True)
class Question:
    """A family without its name, and the names to choose from."""

    family: str
    names: tuple[str, ...]


def questions(described: Description, *, seed: int = 0) -> list[Question]:
    """One for every family, in a random order: its own name and three others that say something else, shuffled.

    Numbers behind equal names are left out: nobody could tell "Hair: lighter" from "Hair: lighter 2".
    """
    rng = np.random.default_rng(seed)
    plain = {family.id: plain_name(family.name) for family in described.families}
    asked = []
    for number in rng.permutation(len(described.families)):
        own = plain[described.families[number].id]
        others = sorted(set(plain.values()) - {own})
        names = [own, *rng.choice(others, min(NAMES - 1, len(others)), replace=False).tolist()]
        asked.append(Question(described.families[number].id, tuple(rng.permutation(names).tolist())))
    return asked


def plain_name(name: str) -> str:
    """ "Hair: lighter 2" -> "Hair: lighter" """
    return name.rstrip("0123456789").strip()


def write_sheets(described: Description, folder: Path, *, seed: int = 0) -> list[Path]:
    """Sheets of twelve numbered pictures, PNG, and `questions.json`: the names to choose from, nothing else.

    Raises Img2TabError where a family has no picture, or the folder cannot be written to.
    """
    asked, files = questions(described, seed=seed), []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for start in range(0, len(asked), ACROSS * DOWN):
            sheet = Image.new("RGB", (ACROSS * SIDE, DOWN * (SIDE + 20)), "white")
            write = ImageDraw.Draw(sheet)
            for place, question in enumerate(asked[start : start + ACROSS * DOWN]):
                data = described.sheet(question.family)
                if data is None:
                    raise Img2TabError(f"The family {question.family} has no picture. Run: img2tab describe-concepts")
                x, y = (place % ACROSS) * SIDE, (place // ACROSS) * (SIDE + 20)
                sheet.paste(Image.open(io.BytesIO(data)).convert("RGB").resize((SIDE - 8, SIDE - 8)), (x, y + 20))
                write.text((x + 4, y + 4), f"{start + place + 1}", fill="black", font_size=15)
            files.append(folder / f"sheet-{start // (ACROSS * DOWN) + 1}.png")
            sheet.save(files[-1])
        write_json(folder / "questions.json", {str(n): list(q.names) for n, q in enumerate(asked, 1)})
    except OSError as error:
        raise Img2TabError(f"{folder} could not be written ({error.strerror}). Choose another place.") from error
    return files


def right(described: Description, answers: Mapping[str, str], *, seed: int = 0) -> tuple[int, int]:
    """How many of the answers, number of the question -> name, are right, and of how many."""
    asked = questions(described, seed=seed)
    names = {family.id: plain_name(family.name) for family in described.families}
    good = [answers.get(str(number)) == names[question.family] for number, question in enumerate(asked, 1)]
    return sum(good), len(good)


def sentence(described: Description, file: Path) -> str:
    """What a kept check says, for the card: `{"by", "seed", "families", "answers"}`; "" where there is none of it."""
    kept = read_json(file)
    if kept.get("families") != [family.id for family in described.families]:
        return ""
    good, count = right(described, kept["answers"], seed=kept["seed"])
    low, high = wilson(good, count)
    return (
        f"Shown a family's picture and four names, {kept['by']} chose the right one for {good} of {count} "
        f"({100 * good / count:.0f} %, 95 % interval {100 * low:.0f} to {100 * high:.0f}; chance 25 %, goal 85 %)."
    )
