"""What an audit says in sentences: the gap with its direction, each difference with the worse group, and the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from img2tab_core.audits.audit_record import SMALL, Audit, GroupAudit, Measure
from img2tab_core.audits.matrix import short
from img2tab_core.audits.metrics import RATES_OF_GAP
from img2tab_core.base.words import count, listed, percent, sentence

FALSE_ALARMS, MISSES, CALLED, ACCURACY = "false_positive_rate", "true_positive_rate", "selection_rate", "accuracy"
RATES_TOLD = (FALSE_ALARMS, MISSES, CALLED, ACCURACY)  # in the order in which they are told
_GAP_OF = {MISSES: "equal_opportunity", CALLED: "demographic_parity", ACCURACY: "accuracy_gap"}
_CLASS_OF = {FALSE_ALARMS: 0, MISSES: 1}  # the label of the faces that a rate is about


@dataclass(frozen=True)
class GroupDifference:
    """How far two groups are apart in one rate: the group with most of it, or least accuracy, and the one furthest off.

    rate: one of RATES_TOLD; misses are written as what the true positive rate lacks. worse and better: names of groups,
    "" where fewer than two groups have the rate. shares: the rate in those two. difference: between 0 and 1, with its
    95 % interval. few: the group, the class its faces are labelled as (None for either) and how many there are, where
    the difference rests on fewer than 30 faces.
    """

    rate: str
    worse: str
    better: str
    shares: tuple[float, float]
    difference: Measure
    few: tuple[str, int | None, int] | None

    @property
    def measurable(self) -> bool:
        """Whether it rests on enough faces to be quoted at all."""
        return self.few is None and self.difference.value is not None

    @property
    def clear(self) -> bool:
        """Whether it can be told from none: measurable, and the interval is above 0."""
        return self.measurable and bool(self.difference.low)


def group_differences(audited: Audit, false_alarms: Measure) -> tuple[GroupDifference, ...]:
    """False alarms, misses, how often class 1 is given and accuracy, in the order of RATES_TOLD.

    false_alarms: the largest difference in false positive rate with its interval, which an audit has only together with
    the true positive rate; `bootstrap.gap_alone` measures it.
    """
    return tuple(
        _difference(audited, rate, false_alarms if rate == FALSE_ALARMS else audited.gaps[_GAP_OF[rate]])
        for rate in RATES_TOLD
    )


def share(group: GroupAudit, rate: str) -> float | None:
    """A rate of RATES_TOLD in a group as it is told: of class 1 the share that is missed; None where it has none."""
    value = group.measures[rate].value
    return value if value is None or rate != MISSES else 1 - value


# --- sentences ---------------------------------------------------------------------------------------------


def gap_sentence(
    audited: Audit,
    classes: tuple[str, ...],
    differences: Sequence[GroupDifference] = (),
    *,
    gap: str = "equalised_odds",
) -> str:
    """The answer of an audit: which group is judged wrongly more often and by how much, or why it cannot be told.

    classes: names of class 0 and 1. differences: of the same audit; with them a second sentence is added where the
    widest difference may be luck and the other one is not. gap: "equalised_odds", or "demographic_parity" for how often
    class 1 is given, whatever the label.
    """
    measure = audited.gaps[gap]
    widest = _widest(audited, gap)
    if few := too_few(audited, gap, classes):
        return f"Cannot be told: {few}"
    if measure.value is None or measure.low is None or measure.high is None:
        return f"Cannot be told: {measure.note}."
    width, between = f"{100 * measure.value:.1f} points", f"{100 * measure.low:.1f} to {100 * measure.high:.1f}"
    unmeasured = [group_words(group.name) for group in audited.by_group if share(group, widest.rate) is None]
    left_out = f" Not measured of {listed(unmeasured)}, for want of faces." if unmeasured else ""
    if not measure.low:
        return (
            f"Cannot be told: {width}, 95{_SPACE}% interval {between}, may be luck. {_compared(widest, classes)}."
            f"{left_out}"
        )
    text = f"{_compared(widest, classes)}: {width}, 95{_SPACE}% interval {between}."
    told = {difference.rate: difference for difference in differences}
    if widest.rate in told and not told[widest.rate].clear:
        clear = [told[rate] for rate in RATES_OF_GAP[gap] if rate != widest.rate and rate in told and told[rate].clear]
        if clear:
            text += f" That may be luck, this is not: {_compared(clear[0], classes)}."
    return text + left_out


def too_few(audited: Audit, gap: str, classes: tuple[str, ...]) -> str:
    """Why a gap of an audit cannot be told: "only 12 test faces are labelled ...; it takes 30."; "" where it can."""
    widest = _widest(audited, gap)
    cells = [widest.few] if widest.few else []
    if gap == "equalised_odds":  # the gap is the larger one of two: what either rests on counts
        others = (_few(audited, rate, (widest.worse, widest.better)) for rate in RATES_OF_GAP[gap])
        cells = [few for few in others if few is not None]
    return few_faces(min(cells, key=lambda few: few[2]), classes) if cells else ""


def label_sentence(audited: Audit, classes: tuple[str, ...]) -> str:
    """How often the label itself is class 1 in each group, which a difference in how often class 1 is given follows."""
    shares = [
        f"{percent(group.by_class[1] / group.count, 0)} of {'those' if number else 'the faces'} labelled "
        f"{group_words(group.name)}"
        for number, group in enumerate(group for group in audited.by_group if group.count)
    ]
    return f"Labelled {short(classes[1])}: {listed(shares)}."


def tile_title(rate: str, classes: tuple[str, ...]) -> str:
    """What a rate is called: "False alarms", "Misses", "Called young", "Accuracy"."""
    return {FALSE_ALARMS: "False alarms", MISSES: "Misses", CALLED: f"Called {short(classes[1])}"}.get(rate, "Accuracy")


def rate_meaning(rate: str, classes: tuple[str, ...]) -> str:
    """What a rate of RATES_TOLD is the share of, in a sentence."""
    first, second = map(short, classes)
    return {
        FALSE_ALARMS: f"Of the faces labelled {first}, the share called {second}: the false positive rate.",
        MISSES: f"Of the faces labelled {second}, the share called {first}: what the true positive rate lacks.",
        CALLED: f"Of all faces, the share called {second}, whatever they are labelled: the selection rate.",
    }.get(rate, "Of all faces, the share that is called what it is labelled.")


def tile_value(difference: GroupDifference) -> str:
    """ "Female +13.1 points", "Lowest for female, 88.1 %", or that it cannot be told."""
    if not difference.measurable:
        return "Too few faces" if difference.few is not None else "Not measured"
    if not difference.clear:
        return "Cannot be told"
    if difference.rate == ACCURACY:
        return f"Lowest for {group_words(difference.worse)}, {percent(difference.shares[0])}"
    return f"{sentence(group_words(difference.worse))} +{100 * (difference.difference.value or 0):.1f}{_SPACE}points"


def tile_detail(difference: GroupDifference, classes: tuple[str, ...]) -> str:
    """What a tile rests on: both shares and the interval, or which faces are too few."""
    if difference.few is not None:
        return sentence(few_faces(difference.few, classes))
    measure = difference.difference
    if measure.value is None or measure.low is None or measure.high is None:
        return f"{sentence(measure.note)}."
    worse, better = (
        f"{group_words(name)} {percent(part)}"
        for name, part in zip((difference.worse, difference.better), difference.shares, strict=True)
    )
    return (
        f"{sentence(worse)}, {better}; 95{_SPACE}% interval of the difference {100 * measure.low:.1f} to "
        f"{100 * measure.high:.1f} points"
    )


def few_faces(few: tuple[str, int | None, int], classes: tuple[str, ...]) -> str:
    """ "only 12 test faces are labelled blond hair and male; it takes 30." """
    group, label, faces = few
    words = listed([*([] if label is None else [short(classes[label])]), *group_parts(group)])
    if not faces:
        return f"no test face is labelled {words}."
    return f"only {count(faces, 'test face')} {'is' if faces == 1 else 'are'} labelled {words}; it takes {SMALL}."


def group_parts(name: str) -> list[str]:
    """A group's name in parts, without what they share: "perceived male, perceived young" -> ["male", "young"]."""
    return [short(part) for part in name.split(", ")]


def group_words(name: str) -> str:
    """A group's name as it is written in a sentence: "male and young"."""
    return " and ".join(group_parts(name))


# --- inside ------------------------------------------------------------------------------------------------

_SPACE = "\N{NO-BREAK SPACE}"


def _widest(audited: Audit, gap: str) -> GroupDifference:
    """The difference that makes a gap."""
    return max((_difference(audited, rate, audited.gaps[gap]) for rate in RATES_OF_GAP[gap]), key=_width)


def _difference(audited: Audit, rate: str, measure: Measure) -> GroupDifference:
    shares = {group.name: value for group in audited.by_group if (value := share(group, rate)) is not None}
    if len(shares) < 2:
        names = tuple(group.name for group in audited.by_group)
        return GroupDifference(rate, "", "", (0.0, 0.0), measure, _few(audited, rate, names))
    most, least = max(shares, key=shares.__getitem__), min(shares, key=shares.__getitem__)
    worse, better = (least, most) if rate == ACCURACY else (most, least)
    return GroupDifference(
        rate, worse, better, (shares[worse], shares[better]), measure, _few(audited, rate, (worse, better))
    )


def _width(difference: GroupDifference) -> float:
    return abs(difference.shares[0] - difference.shares[1])


def _few(audited: Audit, rate: str, names: Sequence[str]) -> tuple[str, int | None, int] | None:
    """The fewest faces that a rate of these groups rests on, where those are too few; all groups where none has it."""
    label = _CLASS_OF.get(rate)
    cells = [
        (group.name, label, group.count if label is None else group.by_class[label])
        for group in audited.by_group
        if group.name in names or not any(names)
    ]
    fewest = min(cells, key=lambda cell: cell[2], default=None)
    return fewest if fewest is not None and fewest[2] < SMALL else None


def _compared(difference: GroupDifference, classes: tuple[str, ...]) -> str:
    """ "19.1 % of the faces labelled older and female are called young, 6.0 % of those labelled older and male"."""
    label = _CLASS_OF.get(difference.rate)
    called = short(classes[1] if label is None else classes[1 - label])
    worse, better = (
        listed([*([] if label is None else [short(classes[label])]), *group_parts(name)])
        for name in (difference.worse, difference.better)
    )
    first, second = map(percent, difference.shares)
    return f"{first} of the faces labelled {worse} are called {called}, {second} of those labelled {better}"
