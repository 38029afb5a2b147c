"""Names that others published for the concepts of a generator: suggestions, with their source.

`assets/names/LAYOUT.csv` holds them for every generator of that layout. They were found on one set of weights
(StyleGAN2 trained on FFHQ), and hold for weights trained anew only by chance: a person decides by looking.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache

from img2tab_core.base.files import ROOT
from img2tab_core.base.layout import StyleLayout

FOLDER = ROOT / "assets" / "names"
NAME_LENGTH = 60  # characters that a name may have
PUBLISHED = {9088: "stylegan2_ffhq_1024.csv"}  # by the number of style channels


@dataclass(frozen=True)
class Suggestion:
    """What a concept was called, several words where several publications differ, and by whom."""

    name: str
    source: str


def published(layout: StyleLayout) -> dict[int, Suggestion]:
    """Published names by channel index; empty for a layout nobody published about."""
    return of_channels(layout.total)


@lru_cache(maxsize=4)
def of_channels(count: int) -> dict[int, Suggestion]:
    """Published names by channel index, for a generator of so many style channels."""
    file = PUBLISHED.get(count)
    if file is None:
        return {}
    with (FOLDER / file).open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    found: dict[int, list[dict]] = {}
    for row in rows:
        found.setdefault(int(row["index"]), []).append(row)
    return {
        index: Suggestion(
            " / ".join(dict.fromkeys(row["name"] for row in of_one)),
            "; ".join(dict.fromkeys(row["source"] for row in of_one)),
        )
        for index, of_one in found.items()
    }
