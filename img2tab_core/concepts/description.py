"""What is known of a backbone's concepts: families of channels with names and measures, and where every channel goes.

The default backbone's comes with the program (`assets/concepts`); what `img2tab describe-concepts` made is in the
visitor's folder. Opening one needs no network and no generator.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import ROOT, alone_in, home, make_folder, read_json, whole, write_json
from img2tab_core.base.foreign import inside, not_led_out, parsed_json, read_arrays
from img2tab_core.base.records import Edit, digest, read_only
from img2tab_core.base.words import count, listed, signed

FOLDER = ROOT / "assets" / "concepts"
FORMAT = 2  # raise it when what is kept changes
MANY = 4  # names in a sentence
FEWEST, MOST = 6, 24  # families of a decision that are told one by one
NONE = -1  # of no family
MAP = 32  # px of the little picture of a change
SURE = 2.5  # mean over its standard error, from which a measure is told
REGIONS = (
    "background",
    "hair",
    "forehead",
    "brows",
    "eyes",
    "nose",
    "cheeks",
    "ears",
    "mouth",
    "chin and jaw",
    "neck and clothes",
)


@dataclass(frozen=True)
class Mean:
    """Over faces, with its 95 % t-interval; of one face the interval is that face."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: np.ndarray) -> Mean:
        """values: float (n,), at least one."""
        from img2tab_core.base.intervals import estimate  # SciPy: the first page does without it

        estimated = estimate(values.tolist())
        mean = estimated.mean or 0.0
        return cls(
            mean, mean if estimated.low is None else estimated.low, mean if estimated.high is None else estimated.high
        )

    @property
    def sure(self) -> bool:
        """Whether the mean is more than `SURE` standard errors from 0; half the interval is a little over two."""
        half = self.high - self.mean
        return half > 0 and abs(self.mean) > SURE / 2.1 * half

    def turned(self, sign: int) -> Mean:
        """Of the other direction where sign is -1."""
        return self if sign > 0 else Mean(-self.mean, -self.high, -self.low)

    def text(self) -> str:
        """ "+2.1 [+1.6, +2.6]" """
        return f"{signed(self.mean)} [{signed(self.low)}, {signed(self.high)}]"


@dataclass(frozen=True, eq=False)
class Family:
    """Channels that draw one thing.

    id: of letters, digits and dashes, unique in its backbone. channels: int64 (k,); parts: float64 (k,), what each
    moves where the family moves by 1, standard deviations; their squares add up to 1 at most. where: share of it by
    region. labels: log-odds between +8 and -8, by target; geometry: half of it, eye distances; colour: half of it, L,
    a, b. change: of 255 levels between +8 and -8; visible_from: the strength from which it is seen. agreement: the mean
    cosine of what its members draw one by one with what they draw together. trust: "clear", "likely" or "unsure". map:
    uint8 (32, 32), where it changes the picture, 255 the most.
    """

    id: str
    name: str
    sentence: str
    trust: str
    channels: np.ndarray
    parts: np.ndarray
    where: dict[str, float]
    labels: dict[str, Mean]
    geometry: dict[str, Mean]
    colour: tuple[Mean, Mean, Mean]
    change: float
    visible_from: float
    agreement: float
    map: np.ndarray

    def edits(self, strength: float) -> tuple[Edit, ...]:
        """Every member moved in proportion; the whole by `strength` standard deviations."""
        pairs = zip(self.channels.tolist(), self.parts.tolist(), strict=True)
        return tuple(Edit(index, strength * part) for index, part in pairs)

    @property
    def place(self) -> str:
        """The region with most of the change."""
        return max(self.where, key=lambda region: self.where[region])


@dataclass(frozen=True)
class ChannelName:
    """What one channel draws, measured on its own: named by the rules of families; sign: -1 where it does so moved
    down; trust: "clear", "likely" or "unsure"."""

    name: str
    sign: int
    sentence: str
    trust: str


@dataclass(frozen=True, eq=False)
class Description:
    """Families, most visible first, and of every channel (D,):

    family_of: int16, the family it is a member of, -1 for none. goes_with: int16, the family it goes with over the
    faces of the table, -1 where it goes with none; correlation: float32, signed, with that family. change: float32, of
    255 levels; share: float16 (D, R), by `REGIONS`; labels: float16 (D, T, 2), change of log-odds and half its
    interval, NaN where the channel is not seen. place: int8, the region of `REGIONS` with most of its change, -1 where
    the faces do not agree. names: of the channels that draw something clear on their own. targets: T names. faces: how
    many were moved. read: float16 (K, F, 2, ..., 512), what the encoder reads on F other faces whose families were
    moved down and up.
    """

    backbone: str
    backbone_key: str
    faces: int
    families: tuple[Family, ...]
    family_of: np.ndarray
    goes_with: np.ndarray
    correlation: np.ndarray
    change: np.ndarray
    share: np.ndarray
    labels: np.ndarray
    place: np.ndarray
    names: Mapping[int, ChannelName]
    targets: tuple[str, ...]
    read: np.ndarray
    about: dict
    folder: Path | None = None  # it was opened from

    @cached_property
    def key(self) -> str:
        """Changes with the weights, the families and where the channels go."""
        return digest(self.backbone_key.encode(), self.family_of.tobytes(), self.goes_with.tobytes())

    def renamed(self, given: Mapping[str, str]) -> Description:
        """The same with other names for some families, by id; what was measured is then told in front."""
        families = tuple(
            replace(family, name=given[family.id], sentence=f"measured “{family.name}”: {family.sentence}")
            if family.id in given
            else family
            for family in self.families
        )
        return replace(self, families=families)

    def find(self, words: str) -> Family:
        """A family by its id or name. Raises Img2TabError where there is none of it."""
        wanted = " ".join(words.lower().split())
        for family in self.families:
            if wanted in (family.id, family.name.lower(), family.name.lower().replace(":", "")):
                return family
        near = [family for family in self.families if wanted and wanted in family.name.lower()]
        if len(near) == 1:
            return near[0]
        which = "several families: " + ", ".join(family.id for family in near[:6]) if near else "no family"
        raise Img2TabError(f"{words!r} names {which} of {self.backbone}. `img2tab concepts` lists them with their ids.")

    def sheet(self, family_id: str) -> bytes | None:
        """The picture of a family that was drawn with the description, WebP; None where there is none."""
        try:
            if self.folder is None:
                return None
            return not_led_out(inside(inside(self.folder, self.backbone), f"{family_id}.webp")).read_bytes()
        except (OSError, Img2TabError):
            return None

    def whole(self, channels: Collection[int]) -> tuple[list[tuple[Family, frozenset[int]]], frozenset[int]]:
        """The families that are whole among these channels, each with its stand-ins there; and the channels left."""
        chosen = frozenset(channels)
        families, left = [], set(chosen)
        for number, family in enumerate(self.families):
            members = frozenset(family.channels.tolist())
            if members <= chosen:
                mine = members | (chosen & frozenset(self.stand_ins(number).tolist()))
                families.append((family, mine))
                left -= mine
        return families, frozenset(left)

    def by_family(self, values: np.ndarray) -> np.ndarray:
        """Values of the channels (D,), added up over those that draw each family or go with it, the last over those of
        none: float64 (K + 1,)."""
        family = np.where(self.family_of == NONE, self.goes_with, self.family_of)
        count = len(self.families)
        return np.bincount(np.where(family == NONE, count, family), np.asarray(values, float), minlength=count + 1)

    def leaning(self, channels: Sequence[int]) -> np.ndarray:
        """Share of these channels that draw each family or go with it, the last of none: float64 (K + 1,)."""
        counts = np.bincount(np.asarray(channels, np.int64), minlength=len(self.family_of))
        return self.by_family(counts) / max(1, len(channels))

    def place_of(self, channel: int) -> str:
        """Where a channel stands among the families, in a sentence."""
        number, place = int(self.family_of[channel]), int(self.place[channel])
        seen = f"changes a picture by {self.change[channel]:.1f} of 255 levels"
        seen += f", mostly {REGIONS[place]}" if place != NONE else ", in no clear place"
        if channel in self.names:
            own = self.names[channel]
            seen += f"; alone it draws “{own.name}”" + (" moved down" if own.sign < 0 else "") + f" ({own.trust})"
        if number != NONE:
            family = self.families[number]
            return f"One of {count(len(family.channels), 'channel')} of {family.name}; {seen}."
        number = int(self.goes_with[channel])
        if number == NONE:
            return f"In no family and with none; {seen}."
        return (
            f"In no family; goes with {self.families[number].name} (correlation {self.correlation[channel]:+.2f} over "
            f"the table); {seen}."
        )

    def in_words(self, channels: Collection[int]) -> str:
        """ "Chin: facial hair, Hair: long and 12 other channels"; of more than four families the first four."""
        families, left = self.whole(channels)
        names = [family.name for family, _ in families]
        parts = names[:MANY] + ([count(len(names) - MANY, "other concept")] if len(names) > MANY else [])
        if left:
            parts.append(count(len(left), "other channel" if parts else "channel"))
        return listed(parts) if parts else "nothing"

    def stand_ins(self, number: int) -> np.ndarray:
        """The channels that go with a family and are in none: int64, most correlated first."""
        rows = np.flatnonzero((self.goes_with == number) & (self.family_of == NONE))
        return rows[np.argsort(-np.abs(self.correlation[rows]), kind="stable")]


# --- one decision ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """What a family adds to one decision, log-odds: by its own channels, and by those that go with it."""

    number: int
    drawn: float
    by_stand_ins: float

    @property
    def total(self) -> float:
        return self.drawn + self.by_stand_ins


def parts_of(description: Description, contributions: np.ndarray) -> tuple[list[Part], float]:
    """What every family adds to one decision, the largest first, and what is left: everything else, log-odds.

    contributions: float (D,), log-odds; all parts and the rest add up to their sum.
    """
    stands = np.where(description.family_of == NONE, description.goes_with, NONE)
    made = []
    for number in range(len(description.families)):
        drawn = float(contributions[description.family_of == number].sum())
        made.append(Part(number, drawn, float(contributions[stands == number].sum())))
    rest = float(contributions[(description.family_of == NONE) & (stands == NONE)].sum())
    return sorted(made, key=lambda part: -abs(part.total)), rest


def leading(parts: Sequence[Part], rest: float) -> tuple[list[Part], float]:
    """The families that are told one by one, largest first, and what everything else adds together, log-odds.

    As many as it takes for everything else to be smaller than the largest of them, between 6 and 24: first the six
    largest, then always the largest of those that push the way that everything else still does.
    """
    told, left = list(parts[:FEWEST]), list(parts[FEWEST:])
    while True:
        others = rest + sum(part.total for part in left)
        same_way = next((part for part in left if part.total * others > 0), None)
        largest = max((abs(part.total) for part in told), default=0.0)
        if abs(others) < largest or len(told) >= MOST or same_way is None:
            return sorted(told, key=lambda part: -abs(part.total)), others
        told.append(same_way)
        left.remove(same_way)


def channels_of(description: Description, numbers: Sequence[int], *, stand_ins: bool = False) -> frozenset[int]:
    """The channels of several families, and those that go with them."""
    chosen: set[int] = set()
    for number in numbers:
        chosen.update(description.families[number].channels.tolist())
        if stand_ins:
            chosen.update(description.stand_ins(number).tolist())
    return frozenset(chosen)


def because(description: Description, parts: Sequence[Part], decided: int) -> str:
    """Why, in a sentence: the two families that spoke most for the decided class, and the one that spoke most against.

    parts: largest first, as `parts_of` gives them.
    """
    sign = 1 if decided else -1
    names = {part.number: description.families[part.number].name for part in parts}
    spoke_for = [names[part.number] for part in parts if sign * part.total > 0][:2]
    against = [part for part in parts if sign * part.total < 0]
    if not spoke_for:
        return "No family of concepts spoke for it: the starting point decided."
    text = f"Mostly {listed(spoke_for)}"
    if against and abs(against[0].total) > 0.1 * abs(parts[0].total):
        text += f"; {names[against[0].number]} spoke against it"
    return text + "."


# --- keeping --------------------------------------------------------------------------------------------------------

_ARRAYS = ("family_of", "goes_with", "correlation", "change", "share", "labels", "place", "read")


def keep(description: Description, folder: Path | None = None) -> Path:
    """Write a description to the visitor's folder, or another; the path of its JSON file. Raises Img2TabError."""
    folder = folder or home() / "concepts"
    file = inside(folder, f"{description.backbone}.json")
    words = {
        "format": FORMAT,
        "backbone": description.backbone,
        "backbone_key": description.backbone_key,
        "faces": description.faces,
        "targets": description.targets,
        "regions": REGIONS,
        "about": description.about,
        "families": [_plain(family) for family in description.families],
        "channels": {str(channel): asdict(name) for channel, name in description.names.items()},
    }
    arrays = {name: getattr(description, name) for name in _ARRAYS}
    maps = [family.map for family in description.families]
    arrays["maps"] = np.stack(maps) if maps else np.empty((0, MAP, MAP), np.uint8)
    try:
        make_folder(folder)
        with alone_in(folder):
            former = _arrays_of(file, read_json(file))
            stream = io.BytesIO()
            np.savez_compressed(stream, **arrays)
            # named by what they are: the words, written last, say which arrays they belong to
            beside = file.with_name(f"{file.stem}-{digest(stream.getvalue())[:12]}.npz")
            with whole(beside) as part:
                part.write_bytes(stream.getvalue())
            write_json(file, words | {"arrays": beside.name})
            if former != beside:
                former.unlink(missing_ok=True)
    except OSError as error:
        raise Img2TabError(f"{file} could not be written ({error.strerror}). Free some space and try again.") from error
    return file


def _arrays_of(file: Path, words: dict) -> Path:
    """The arrays that belong to a description's words; they lie beside them."""
    return file.with_name(Path(words.get("arrays", file.with_suffix(".npz").name)).name)


def _plain(family: Family) -> dict:
    parts = [round(part, 5) for part in family.parts.tolist()]
    values = asdict(family) | {"channels": family.channels.tolist(), "parts": parts}
    del values["map"]
    return values


def open_description(name: str, key: str) -> Description | None:
    """What was described of a backbone with these weights; None where nothing was, or what is kept cannot be read."""
    for folder in (home() / "concepts", FOLDER):
        try:
            file = inside(folder, f"{name}.json")  # a checkpoint that has no name yet is called by its path
            opened = _opened(str(not_led_out(file)), file.stat().st_mtime_ns)
        except (OSError, Img2TabError):
            continue
        if opened is not None and opened.backbone_key == key:
            return opened
    return None


@lru_cache(maxsize=4)
def _opened(path: str, stamp: int) -> Description | None:
    file = Path(path)
    try:
        words = parsed_json(file.read_bytes(), strict=False)
        if words["format"] != FORMAT or tuple(words["regions"]) != REGIONS:
            return None
        stored = read_arrays(_arrays_of(file, words))
        arrays = {name: read_only(stored[name]) for name in (*_ARRAYS, "maps")}
        made = [_of_plain(row, arrays["maps"][number]) for number, row in enumerate(words["families"])]
        del arrays["maps"]
        return Description(
            backbone=words["backbone"],
            backbone_key=words["backbone_key"],
            faces=words["faces"],
            families=tuple(made),
            names={int(channel): ChannelName(**name) for channel, name in words["channels"].items()},
            targets=tuple(words["targets"]),
            about=words["about"],
            folder=file.parent,
            **arrays,
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None


def _of_plain(row: dict, map_: np.ndarray) -> Family:
    means = {part: {name: Mean(**value) for name, value in row[part].items()} for part in ("labels", "geometry")}
    colour = tuple(Mean(**value) for value in row["colour"])
    numbers = {
        "channels": read_only(np.array(row["channels"], np.int64)),
        "parts": read_only(np.array(row["parts"], np.float64)),
    }
    return Family(**row | means | numbers | {"colour": colour, "map": map_})
