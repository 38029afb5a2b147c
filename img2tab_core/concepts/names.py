"""Names of concepts: those that people gave, and those that others published for a generator, with their source.

`assets/names/LAYOUT.csv` holds the published ones for every generator of that layout. They were found on one set of
weights (StyleGAN2 trained on FFHQ), and hold for weights trained anew only by chance: a person decides by looking.
What people give is kept in `names.json` in the visitor's folder: backbone -> channel index -> name, and
"families of BACKBONE" -> a family's id -> name.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from img2tab_core.base import persons
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import ROOT, changing, home, keep_json
from img2tab_core.base.foreign import parsed_json, reason
from img2tab_core.base.layout import StyleLayout

FOLDER = ROOT / "assets" / "names"
NAME_LENGTH = 60  # characters that a name may have
PUBLISHED = {9088: "stylegan2_ffhq_1024.csv"}  # by the number of style channels
LONGEST = 60  # characters of a name
_FAMILIES = "families of "  # before the name of a backbone, in names.json


@dataclass(frozen=True)
class Suggestion:
    """What a concept was called, several words where several publications differ, and by whom."""

    name: str
    source: str


def given(backbone: str) -> dict[int, str]:
    """Names people gave to concepts of a backbone, by channel index; {} where there are none, or none can be read."""
    try:
        stored = parsed_json(_file().read_bytes())
        return {int(index): str(name) for index, name in stored.get(backbone, {}).items()}
    except (OSError, ValueError, AttributeError):
        return {}


def give(index: int, name: str, *, layout: StyleLayout, backbone: str) -> None:
    """Give a channel of a backbone a name, of at most 60 characters; an empty one removes it.

    Raises Img2TabError where the layout has no such channel, the name is too long, or names.json is damaged or cannot
    be written.
    """
    layout.locate(index)
    _keep(backbone, str(index), name)


def given_to_families(backbone: str) -> dict[str, str]:
    """Names people gave to families of a backbone's channels, by id; {} where there are none, or none can be read."""
    try:
        stored = parsed_json(_file().read_bytes())
        return {str(family): str(name) for family, name in stored.get(_FAMILIES + backbone, {}).items()}
    except (OSError, ValueError, AttributeError):
        return {}


def give_family(family: str, name: str, *, backbone: str) -> None:
    """Give a family, by its id, a name of at most 60 characters; an empty one gives it its measured name back.

    Raises Img2TabError as `give` does.
    """
    _keep(_FAMILIES + backbone, family, name)


def _keep(place: str, key: str, name: str) -> None:
    persons.must_be_auditor("name a concept")
    name = " ".join(name.split())
    if len(name) > LONGEST:
        raise Img2TabError(f"A concept's name must have at most {LONGEST} characters, got {len(name)}.")
    file = _file()
    with changing(file):  # two servers may name concepts at once
        try:
            stored = parsed_json(file.read_bytes())
        except FileNotFoundError:
            stored = {}
        except (OSError, ValueError) as error:
            raise Img2TabError(
                f"The names in {file} are damaged ({reason(error)}). Mend or remove the file."
            ) from error
        of_place = stored.setdefault(place, {}) if isinstance(stored, dict) else None
        if not isinstance(of_place, dict):
            raise Img2TabError(f"The names in {file} are damaged (they must be an object). Mend or remove the file.")
        of_place.pop(key, None)
        if name:
            of_place[key] = name
        keep_json(file, stored)


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
    by_index: dict[int, list[dict[str, str]]] = {}
    for row in rows:
        by_index.setdefault(int(row["index"]), []).append(row)
    return {
        index: Suggestion(
            " / ".join(dict.fromkeys(row["name"] for row in same)),
            "; ".join(dict.fromkeys(row["source"] for row in same)),
        )
        for index, same in by_index.items()
    }


def _file() -> Path:
    return home() / "names.json"
