"""The smallest change of named concepts that turns one decision: what would have to be otherwise in this face.

Each concept is moved alone and the classifier asked; what it answered, added up as log-odds, says which few concepts
should turn it with the least cost; then the classifier is asked about those together, and only what it confirms is an
answer. Asked is about pictures: a classifier of somebody's own about the drawn one, a trained one about what the
encoder reads in it, as it would judge a photo of the changed face. (Asked about moved style codes alone, a trained one
hardly moves: the thousands of channels that go with a concept stay as they were.)
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product
from typing import cast

import numpy as np
from scipy.special import logit

from img2tab_core.backbones import quality
from img2tab_core.backbones.drawn_faces import pictures_of
from img2tab_core.base.cores import on_single_cores
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.jobs import Cancel, Report, silent
from img2tab_core.base.records import SAME_PERSON, Edit, Frame, StyleCode, decided_classes
from img2tab_core.base.words import chance, count, listed, signed
from img2tab_core.classifiers.pixels import PixelClassifier
from img2tab_core.classifiers.runs import Run
from img2tab_core.concepts import ranking
from img2tab_core.concepts.description import Description, Family
from img2tab_core.concepts.moving import SHIFT
from img2tab_core.studio import FACE_SIZE, Studio
from img2tab_core.tables import target_of

IDENTITY, EXPRESSION = "identity", "expression"  # words of `keep`
EXPRESSIVE = ("mouth", "eyes", "brows")  # places of a face, and the first word of the ids of what was named for them
STEP = 0.1  # standard deviations: every strength is a multiple of it
LEVELS = 10  # strengths between 0 and the reach among which the model chooses
COMPANION = 0.25  # what every further concept costs: as much as moving one by a quarter of the reach
LARGEST = 3  # concepts in one change
LEADING = (None, 40, 24)  # concepts of which sets of one, two and three are made, those that move it most; None: all
SKETCH = 128  # px
PROBED = 16  # concepts asked about where each answer has to be drawn and read, those that move the classifier most
HALFWAY = 12  # of these that are also asked about at half the reach
TRIED_PICTURES, TRIED_CODES = 12, 60  # sets the classifier is asked about
AT_ONCE_PICTURES, AT_ONCE_CODES = 16, 500
OTHERWISE = (
    "The face is near the border: its picture, drawn and read again, is decided otherwise already. So the classifier "
    "was asked about style codes, not about pictures."
)
CERTAIN = 1e-12  # nearer to 0 or 1 a probability has no log-odds
LEAST = 0.01  # log-odds: what moves it less is no part of a change

Move = tuple[tuple[int, float], ...]  # numbers of families, ascending, and their strengths, none of them 0


@dataclass(frozen=True)
class Change:
    """Concepts moved together, and what the classifier says then.

    families: id, name and strength in standard deviations of each, the farthest moved first; edits: the same as
    channels. before and after: probability of class 1 by the style code. read_before and read: by the code that the
    encoder reads in the drawn picture, which is what counts; None where the classifier reads pixels itself or was asked
    about style codes alone. identity: distance of the face descriptors of the two pictures, None where nothing was
    drawn for it. cost: the sum of the strengths without their signs over the reach, and a quarter for each concept
    after the first.
    """

    families: tuple[tuple[str, str, float], ...]
    edits: tuple[Edit, ...]
    before: float
    after: float
    read_before: float | None
    read: float | None
    identity: float | None
    cost: float
    sentence: str

    def to_json(self) -> dict:
        """Plain types, by the names of the fields."""
        return {
            "families": [{"id": of, "name": name, "strength": strength} for of, name, strength in self.families],
            "edits": [{"index": edit.index, "shift": edit.shift} for edit in self.edits],
            "before": self.before,
            "after": self.after,
            "read_before": self.read_before,
            "read": self.read,
            "identity": self.identity,
            "cost": self.cost,
            "sentence": self.sentence,
        }


@dataclass(frozen=True)
class SmallestChanges:
    """The smallest changes that turn one decision, the least cost first; none has all the concepts of another.

    classes: names of class 0 and 1; decided: the class before. before: probability of class 1 by the style code. asked:
    how many faces the classifier was asked about, in so many seconds. nearest: what came nearest where nothing turns
    it, else None. note: what a person must know of it, mostly "".
    """

    classes: tuple[str, ...]
    decided: int
    before: float
    changes: tuple[Change, ...]
    asked: int
    seconds: float = field(compare=False)
    sentence: str
    nearest: Change | None
    note: str = ""

    def to_json(self) -> dict:
        """Plain types, by the names of the fields."""
        return {
            "classes": list(self.classes),
            "decided": self.decided,
            "before": self.before,
            "changes": [change.to_json() for change in self.changes],
            "asked": self.asked,
            "seconds": self.seconds,
            "sentence": self.sentence,
            "nearest": self.nearest and self.nearest.to_json(),
            "note": self.note,
        }


def smallest_changes(
    studio: Studio,
    run: Run,
    code: StyleCode,
    *,
    keep: Collection[str] = (),
    answers: int = 3,
    most: int = LARGEST,
    reach: float = 10.0,
    drawn: bool = True,
    progress: Report | None = None,
    cancelled: Cancel = None,
) -> SmallestChanges:
    """What would turn the decision of a run about one face, with as little as possible.

    keep: ids or names of families that stay as they are; also "expression": all of mouth, eyes and brows, and
    "identity": a face recogniser must still take it for the same person. answers: how many different ones, at most.
    most: families in one, 1 to 3. reach: standard deviations that a family is moved at most. drawn: False to ask a
    trained classifier about style codes alone: under a second instead of some ten, and far less turns it; so is asked
    too where the backbone has no encoder, or the picture of the face as it is is decided otherwise already.

    Raises Img2TabError where an option is out of its range, keep names no family or all of them, the code is of another
    backbone, or its concepts are not described; Cancelled once `cancelled` says so.
    """
    started, report = time.perf_counter(), progress or silent
    _check(studio, run, code, answers, most, reach)
    described = studio.described(code.backbone)
    free, same_person = _free(described, keep)
    asker = _Asker(studio, run, code, described.families, drawn, cancelled)
    report(0.05, "Choosing concepts")
    curves = _curves(asker, described, free, reach, lambda share, text: report(0.05 + 0.5 * share, text))
    changes: list[Change] = []
    others: list[Change] = []  # turn it, but show another person
    tried, tries = 0, TRIED_CODES if asker.by_codes else TRIED_PICTURES
    for strengths in _candidates(curves, max(-asker.margin(()), LEAST), most, reach):
        if len(changes) == answers or tried == tries:
            break
        known = [{name for name, _, _ in change.families} for change in changes + others]
        if any(ids <= {described.families[number].id for number in strengths} for ids in known):
            continue
        tried += 1
        report(0.55 + 0.4 * tried / tries, "Asking about concepts moved together")
        move = _smallest(asker, strengths, reach)
        ids = {described.families[number].id for number, _ in move}
        if not move or any(ids <= other or other <= ids for other in known):
            continue
        change = asker.change(move, reach, pictures=same_person)
        is_other = same_person and change.identity is not None and change.identity >= SAME_PERSON
        (others if is_other else changes).append(change)
    nearest = None
    if not changes:
        nearest = min(others, key=lambda change: change.cost, default=None) or asker.change(
            asker.nearest(), reach, pictures=same_person
        )
    changes.sort(key=lambda change: change.cost)
    return SmallestChanges(
        asker.classes,
        asker.decided,
        asker.before,
        tuple(changes),
        asker.asked,
        time.perf_counter() - started,
        _sentence(changes, nearest, most, reach, asker),
        nearest,
        OTHERWISE if asker.read_otherwise else "",
    )


def way(
    studio: Studio, run: Run, code: StyleCode, change: Change, *, frames: int = 7, size: int = FACE_SIZE
) -> tuple[Frame, ...]:
    """The face on its way from as it is to the whole change, with what the classifier says of each picture.

    A frame's shift: the strengths of its concepts added up without their signs, standard deviations; pixels: uint8
    (s, s, 3), s = size px or the next smaller there is; probability: of class 1, asked as the change was. Raises
    Img2TabError where frames is below 2.
    """
    if frames < 2:
        raise Img2TabError(f"The way to a change needs at least 2 frames, got {frames}.")
    stats, whole = studio.stats_of(run), sum(abs(strength) for _, _, strength in change.families)
    shares = np.linspace(0, 1, frames).tolist()
    codes = [
        studio.edited(code, [Edit(edit.index, edit.shift * share) for edit in change.edits], stats=stats)
        for share in shares
    ]
    pictures = on_single_cores(lambda each: studio.render(each, size=size, precision="close"), codes)
    asked = codes if change.read is None else on_single_cores(studio.reread, codes)
    probability = run.classifier.predict_proba(np.stack([each.values for each in asked]))[:, 1]
    return tuple(
        Frame(share * whole, picture, float(says))
        for share, picture, says in zip(shares, pictures, probability, strict=True)
    )


# --- what is asked ---------------------------------------------------------------------------------------------------


class _Asker:
    """One face and one classifier: probability of class 1 for every move that was asked about, each asked once.

    reads: asked is about what the encoder reads in the drawn picture; by_codes: about style codes, nothing drawn;
    neither: a classifier that is shown the pictures. Where pictures are drawn there are sketches too: small ones, asked
    about in a third of the time, from which the model is made and nothing else.
    """

    def __init__(
        self, studio: Studio, run: Run, code: StyleCode, families: Sequence[Family], drawn: bool, cancelled: Cancel
    ) -> None:
        self.studio, self.run, self.code, self.families, self.cancelled = studio, run, code, families, cancelled
        self.backbone = studio.backbone(code.backbone)
        self.stats = studio.stats_of(run)
        self.before = self._by_classifier([code])[0]
        self.decided = int(decided_classes(self.before))
        self.reads = drawn and not run.own and self.backbone.encoder is not None
        self.known: dict[Move, float] = {(): self.before}
        self.read_otherwise = False
        if self.reads:
            read = self._by_classifier([studio.reread(code)])[0]
            self.read_otherwise = int(decided_classes(read)) != self.decided
            self.reads = not self.read_otherwise
            self.known[()] = read if self.reads else self.before
        self.by_codes = not self.reads and not run.own
        self.classes = (
            target_of(studio.table(run.table), run.target).classes if not run.own else _own(run).model_.classes
        )
        self.small: PixelClassifier | None = None
        if run.own and _own(run).size > SKETCH:
            self.small = PixelClassifier.of(_own(run).model_, self.backbone, size=SKETCH)
        self.sketched = {} if self.reads or self.small is not None else self.known

    @property
    def asked(self) -> int:
        """How many faces, sketches too."""
        return len(self.known) + (len(self.sketched) if self.sketched is not self.known else 0)

    def ask(self, moves: Sequence[Move], *, sketch: bool = False, report: Report = silent) -> None:
        """Get to know what is not known yet. Raises Cancelled once told to stop."""
        answers, ask = (self.sketched, self._by_sketch) if sketch else (self.known, self._by_picture)
        missing = [move for move in dict.fromkeys(moves) if move not in answers]
        together = AT_ONCE_CODES if self.by_codes else AT_ONCE_PICTURES
        for start in range(0, len(missing), together):
            if self.cancelled is not None and self.cancelled():
                raise Cancelled("The search for the smallest change was stopped.")
            report(start / len(missing), "Moving concepts and asking the classifier")
            part = missing[start : start + together]
            answers.update(zip(part, ask([self.moved(move) for move in part]), strict=True))

    def margin(self, move: Move) -> float:
        """Log-odds of the other class."""
        self.ask([move])
        return self._margin(self.known[move])

    def gain(self, move: Move) -> float:
        """What a move adds to the log-odds of the other class, by sketches."""
        self.ask([(), move], sketch=True)
        return self._margin(self.sketched[move]) - self._margin(self.sketched[()])

    def turns(self, move: Move) -> bool:
        """Whether the other class is decided."""
        self.ask([move])
        return int(decided_classes(self.known[move])) != self.decided

    def nearest(self) -> Move:
        """Of all that was asked about, what comes nearest to turning it."""
        moves = [move for move in self.known if move]
        return max(moves, key=self.margin) if moves else max(filter(None, self.sketched), key=self.gain)

    def moved(self, move: Move) -> StyleCode:
        """The style code moved so."""
        return self.studio.edited(self.code, self.edits(move), stats=self.stats)

    def edits(self, move: Move) -> tuple[Edit, ...]:
        """Of a move, as channels."""
        return tuple(edit for number, strength in move for edit in self.families[number].edits(strength))

    def change(self, move: Move, reach: float, *, pictures: bool) -> Change:
        """A move as it is told; pictures: measure the identity distance even where nothing is drawn otherwise."""
        self.ask([move])
        farthest_first = sorted(move, key=lambda member: -abs(member[1]))
        families = tuple((self.families[number].id, self.families[number].name, by) for number, by in farthest_first)
        moved, identity = self.moved(move), None
        if pictures or not self.by_codes:
            both = [self.studio.render(each, size=FACE_SIZE, precision="close") for each in (self.code, moved)]
            identity = quality.identity_distance(self.studio.descriptor, *both)
        return Change(
            families,
            self.edits(move),
            self.before,
            self._by_classifier([moved])[0] if self.reads else self.known[move],
            self.known[()] if self.reads else None,
            self.known[move] if self.reads else None,
            identity,
            _cost(move, reach),
            self._told(families, self.known[move], identity),
        )

    def _told(self, families: Sequence[tuple[str, str, float]], probability: float, identity: float | None) -> str:
        """A change in a sentence; probability: of class 1 then, by which it is decided."""
        old, new = self.classes[self.decided], self.classes[1 - self.decided]
        moved = listed([f"{name} moved by {signed(strength)}" for _, name, strength in families])
        several = len(families) > 1
        before, after = (
            [chance(1 - each), chance(each)] for each in (self.known[()], probability)
        )  # of class 0 and of class 1
        if int(decided_classes(probability)) != self.decided:
            text = f"{moved}{' together turn' if several else ' turns'} {old} ({before[self.decided]}) into {new} "
            text += f"({after[1 - self.decided]})."
        else:
            text = f"{moved}{' together bring' if several else ' brings'} {new} from {before[1 - self.decided]} to "
            text += f"{after[1 - self.decided]}."
        if identity is not None and identity >= SAME_PERSON:
            text += f" A face recogniser then takes it for another person (identity distance {identity:.2f}, another "
            text += f"from {SAME_PERSON:g})."
        return text

    def _margin(self, probability: float) -> float:
        odds = float(_log_odds(np.array(probability)))
        return -odds if self.decided else odds

    def _by_classifier(self, codes: Sequence[StyleCode]) -> list[float]:
        return self.run.classifier.predict_proba(np.stack([code.values for code in codes]))[:, 1].tolist()

    def _by_picture(self, codes: Sequence[StyleCode]) -> list[float]:
        """Of class 1, as it counts."""
        return self._by_classifier(on_single_cores(self.studio.reread, codes) if self.reads else codes)

    def _by_sketch(self, codes: Sequence[StyleCode]) -> list[float]:
        values = np.stack([code.values for code in codes])
        if self.reads:
            values = self.backbone.styles(self.backbone.invert(pictures_of(self.backbone, values, size=SKETCH)))
        return (self.small or self.run.classifier).predict_proba(values)[:, 1].tolist()


def _own(run: Run) -> PixelClassifier:
    """The classifier of a run that reads pixels."""
    return cast(PixelClassifier, run.classifier)


def _log_odds(probability: np.ndarray) -> np.ndarray:
    return np.asarray(logit(np.clip(probability, CERTAIN, 1 - CERTAIN)))


def _check(studio: Studio, run: Run, code: StyleCode, answers: int, most: int, reach: float) -> None:
    expected = studio.table(run.table).backbone
    if code.backbone != expected:
        raise Img2TabError(
            f"This classifier judges style codes of the backbone {expected}, got one of {code.backbone}. Encode the "
            "photo with that backbone."
        )
    if answers < 1:
        raise Img2TabError(f"The number of answers must be at least 1, got {answers}.")
    if not 1 <= most <= LARGEST:
        raise Img2TabError(f"A change must be of 1 to {LARGEST} concepts at most, got {most}.")
    if not STEP <= reach <= 100:
        raise Img2TabError(
            f"The reach must be between {STEP} and 100 standard deviations, got {reach:g}. Faces stay faces up to "
            "about 10."
        )


def _free(described: Description, keep: Collection[str]) -> tuple[list[int], bool]:
    """Numbers of the families that may move, and whether it must stay the same person."""
    words = {word.strip().lower() for word in keep}
    kept = {described.find(word).id for word in sorted(words - {IDENTITY, EXPRESSION})}
    if EXPRESSION in words:
        kept |= {
            family.id
            for family in described.families
            if family.place in EXPRESSIVE or family.id.split("-")[0] in EXPRESSIVE
        }
    free = [number for number, family in enumerate(described.families) if family.id not in kept]
    if not free:
        raise Img2TabError("Every concept is kept as it is, so nothing can change. Keep fewer.")
    return free, IDENTITY in words


# --- the model -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Curves:
    """What families moved alone add to the log-odds of the other class, by sketches; k families.

    numbers: (k,) of the families. gains: float64 (k, LEVELS), at every level up to the reach, in the better of the two
    directions; sides: that direction, 1 or -1. hoped: float64 (k,), of the whole reach on this face and on the faces of
    the description together, for sets that seem not to do; hoped_sides: the direction for that.
    """

    numbers: tuple[int, ...]
    gains: np.ndarray
    sides: np.ndarray
    hoped: np.ndarray
    hoped_sides: np.ndarray


def _curves(asker: _Asker, description: Description, free: Sequence[int], reach: float, report: Report) -> _Curves:
    """Ask about each family alone: where the answers are read in pictures those that move it most on other faces."""
    elsewhere = np.zeros(len(description.families))  # mean gain of the whole reach upwards
    numbers = list(free)
    if asker.reads and description.read.shape[1]:

        def log_odds(codes: np.ndarray) -> np.ndarray:
            return _log_odds(asker.run.classifier.predict_proba(codes)[:, 1])

        effects = ranking.effect_of(description.read, asker.backbone, log_odds)  # (K, F), from SHIFT down to SHIFT up
        elsewhere = effects.mean(axis=1) * reach / (2 * SHIFT) * (-1 if asker.decided else 1)
        strongest = np.argsort(-np.square(effects[numbers]).mean(axis=1), kind="stable")[:PROBED]
        numbers = [numbers[place] for place in strongest.tolist()]
    ways = [(number, side) for number in numbers for side in (-1, 1)]
    fully = [((number, side * reach),) for number, side in ways]
    asker.ask([(), *fully], sketch=True, report=report)
    shares = [level / LEVELS for level in range(1, LEVELS)] if asker.by_codes else [0.5]
    order = np.argsort([-asker.gain(move) for move in fully], kind="stable")
    closer = [ways[place] for place in (order if asker.by_codes else order[:HALFWAY])]
    asker.ask([((number, side * reach * share),) for number, side in closer for share in shares], sketch=True)
    alone = np.empty((len(ways), LEVELS))
    for place, (number, side) in enumerate(ways):
        moves = {share: ((number, side * reach * share),) for share in (*shares, 1.0)}
        knots = {0.0: 0.0} | {share: asker.gain(move) for share, move in moves.items() if move in asker.sketched}
        alone[place] = np.interp(np.arange(1, LEVELS + 1) / LEVELS, list(knots), list(knots.values()))
    both = alone.reshape(len(numbers), 2, LEVELS)
    hoped = both[:, :, -1] + np.outer(elsewhere[numbers], (-1, 1))  # (k, 2)
    return _Curves(
        tuple(numbers),
        both.max(axis=1),
        np.where(both[:, 1] >= both[:, 0], 1, -1),
        hoped.max(axis=1),
        np.where(hoped[:, 1] >= hoped[:, 0], 1, -1),
    )


def _candidates(curves: _Curves, needed: float, most: int, reach: float) -> Iterator[dict[int, float]]:
    """Families with the strengths at which together they should turn the decision, the least cost first.

    Then those that should not, moved by the whole reach, the nearest first. needed: log-odds, above 0.
    """
    gains = curves.gains
    ranked: list[tuple[float, int, tuple[int, ...], tuple[int, ...]]] = []
    for size in range(1, most + 1):
        rows = np.argsort(-gains.max(axis=1), kind="stable")[: LEADING[size - 1]]
        rows = rows[gains[rows].max(axis=1) > LEAST]
        sets = np.array(list(combinations(rows.tolist(), size)), np.int64).reshape(-1, size)
        levels = np.array(list(product(range(LEVELS), repeat=size)), np.int64)  # (LEVELS ** size, size)
        total = np.zeros((len(sets), len(levels)))
        for place in range(size):
            total += gains[sets[:, place]][:, levels[:, place]]
        amply = np.maximum(total, needed) / needed  # where it turns by more than is needed, less of it will do
        cost = (levels + 1).sum(axis=1) / LEVELS / amply + COMPANION * (size - 1)
        cost[total < needed] = np.inf
        for place in np.flatnonzero(np.isfinite(cost).any(axis=1)).tolist():
            least = int(cost[place].argmin())
            ranked.append((float(cost[place, least]), size, tuple(sets[place].tolist()), tuple(levels[least].tolist())))
    for _, _, members, at in sorted(ranked):
        yield {
            curves.numbers[row]: float(curves.sides[row, level]) * (level + 1) / LEVELS * reach
            for row, level in zip(members, at, strict=True)
        }
    strongest = np.argsort(-curves.hoped, kind="stable")[: LEADING[-1]]
    strongest = strongest[curves.hoped[strongest] > LEAST]
    rest = [members for size in range(1, most + 1) for members in combinations(strongest.tolist(), size)]
    for members in sorted(rest, key=lambda members: -curves.hoped[list(members)].sum()):
        yield {curves.numbers[row]: float(curves.hoped_sides[row]) * reach for row in members}


def _smallest(asker: _Asker, strengths: dict[int, float], reach: float) -> Move:
    """The smallest move in this direction that turns the decision, without the families it does not need; () where even
    the one that takes its largest strength to the reach does not turn it."""
    largest, steps = max(abs(by) for by in strengths.values()), max(1, round(reach / STEP))

    def at(step: int, members: Collection[int]) -> Move:
        shares = {number: strengths[number] / largest * step / steps for number in sorted(members)}
        rounded = {number: float(np.clip(round(reach * share, 1), -reach, reach)) for number, share in shares.items()}
        return tuple((number, by) for number, by in rounded.items() if by)

    members, low, high = set(strengths), 0, min(steps, math.ceil(largest / reach * steps - 1e-9))
    if not asker.turns(at(high, members)):
        low, high = high, steps
        if low == high or not asker.turns(at(high, members)):
            return ()
    for number in sorted(members, key=lambda number: abs(strengths[number])):
        others, cost = members - {number}, _cost(at(high, members), reach)
        as_far = next((step for step in range(steps, 0, -1) if _cost(at(step, others), reach) <= cost), 0)
        if others and as_far and asker.turns(at(as_far, others)):  # without it, the others farther at the same cost
            members, low, high = others, 0, as_far
    halve = False
    while high - low > 1:  # by false position and bisection in turn: low does not turn it, high does
        missing, over = -asker.margin(at(low, members)), asker.margin(at(high, members))
        share = 0.5 if halve or missing + over <= 0 else missing / (missing + over)
        middle = min(max(round(low + share * (high - low)), low + 1), high - 1)
        low, high = (low, middle) if asker.turns(at(middle, members)) else (middle, high)
        halve = not halve
    return at(high, members)


def _cost(move: Move, reach: float) -> float:
    """See `Change`."""
    return sum(abs(by) for _, by in move) / reach + COMPANION * (len(move) - 1)


def _sentence(changes: Sequence[Change], nearest: Change | None, most: int, reach: float, asker: _Asker) -> str:
    """What came out, with the smallest change or the nearest one."""
    limits = f"up to {count(most, 'concept')} within ±{reach:g}" if most > 1 else f"one concept within ±{reach:g}"
    if nearest is None:
        if len(changes) == 1:
            return f"One change of {limits} turns it: {changes[0].sentence}"
        return f"{len(changes)} changes of {limits} turn it; the smallest: {changes[0].sentence}"
    probability = nearest.after if nearest.read is None else nearest.read
    turns = int(decided_classes(probability)) != asker.decided  # and shows another person
    return (
        f"No change of {limits} turns it{' and leaves the same person' if turns else ''}; nearest: {nearest.sentence}"
    )
