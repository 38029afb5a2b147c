"""The figures of a report as inline SVG: drawn by hand, as wide as the page, legible on a phone and on paper.

Across, everything is in percent of the width and nothing is scaled, so that letters keep their size; down, in px.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from img2tab_core.audits.audit_record import Audit, GroupAudit, Measure
from img2tab_core.audits.metrics import METRICS
from img2tab_core.audits.remedies import Remedies
from img2tab_core.base.intervals import Estimate
from img2tab_core.base.words import percent, sentence
from img2tab_core.reports.elements import Child, Markup, element
from img2tab_core.reports.wording import RATIOS, measured, number, span

ROW = 46  # px, of one row: its words, and below them its line
MORE = 18  # px, where the words of a row need two lines
LONGEST = 46  # letters that fit beside each other on a phone
AXIS = 26  # px, of the numbers below
WORDS, TRACK = 15, 30  # px below a row's top: the baseline of its words, the middle of its line
TICKS = 5  # at most
RADIUS = 5.5  # px
_STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True)
class Pair:
    """A row of a dumbbell: its words, and the same number in the earlier run (None: not known) and in this one."""

    title: str
    before: Measure | None
    after: Measure


@dataclass(frozen=True)
class Scale:
    """From a value to its place across, in percent of the width; ticks: the values that are written."""

    low: float
    high: float
    ticks: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float], *, floor: float = 0.0, ceiling: float = 1.0) -> Scale:
        """Round numbers around the values, within what is possible."""
        low, high = (min(values), max(values)) if values else (floor, ceiling)
        room = max(high - low, 0.02)
        low, high = max(floor, low - 0.06 * room), min(ceiling, high + 0.06 * room)
        if high - low < 0.01:
            low, high = max(floor, low - 0.01), min(ceiling, high + 0.01)
        step = _step((high - low) / (TICKS - 1))
        low, high = step * math.floor(low / step + 1e-9), step * math.ceil(high / step - 1e-9)
        marks = tuple(low + step * position for position in range(round((high - low) / step) + 1))
        return cls(low, high, marks)

    def at(self, value: float) -> float:
        """2 to 98: a dot at either end is drawn whole."""
        return 2 + 96 * (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)

    def x(self, value: float) -> str:
        """`at`, as SVG has it."""
        return f"{self.at(value):.2f}%"


def dots(audit: Audit, metric: str) -> Markup:
    """One metric of every group: a dot and its interval, and a dotted line where everyone together is."""
    scale = Scale.of([value for group in (*audit.by_group, audit.overall) for value in _ends(group.measures[metric])])
    overall = audit.overall.measures[metric].value
    words = [
        (f"{sentence(group.name)} · {group.count:,}", _short(group.measures[metric], metric))
        for group in audit.by_group
    ]
    more = _more(words)
    rows: list[Child] = []
    bottom = (ROW + more) * len(words)
    for row, (group, (left, right)) in enumerate(zip(audit.by_group, words, strict=True)):
        measure, top = group.measures[metric], (ROW + more) * row
        rows += [_words(top, left, right, more), _track(top + more + TRACK)]
        if measure.value is not None:
            rows.append(_interval("now", scale, measure, top + more + TRACK))
            rows.append(_dot(_kind(group), scale.x(measure.value), top + more + TRACK))
    everyone = (
        None
        if overall is None
        else [
            element(
                "line",
                class_="everyone",
                x1=scale.x(overall),
                x2=scale.x(overall),
                y1=(ROW + more) * row + more + TRACK - 9,
                y2=(ROW + more) * row + more + TRACK + 9,
            )
            for row in range(len(words))
        ]
    )
    everybody = (*audit.by_group, audit.overall)
    in_words = "; ".join(f"{group.name}: {measured(group.measures[metric], metric)}" for group in everybody)
    return _svg(
        f"{METRICS[metric]} of each group",
        in_words,
        bottom + AXIS,
        [*rows, everyone, *_axis(scale, bottom, lambda value: _tick(value, metric, scale))],
    )


def dumbbell(title: str, pairs: Sequence[Pair], *, names: tuple[str, str], floor: float = 0.0) -> Markup:
    """Numbers in an earlier run (a grey ring) and in this one (a dot), each with its interval; names: of both runs."""
    scale = Scale.of(
        [value for pair in pairs for measure in (pair.before, pair.after) if measure for value in _ends(measure)],
        floor=floor,
    )
    bottom = ROW * len(pairs)
    rows: list[Child] = []
    in_words = []
    for row, pair in enumerate(pairs):
        top = ROW * row
        before, after = None if pair.before is None else pair.before.value, pair.after.value
        change = "" if before is None or after is None else f"{percent(before)} → {percent(after)}"
        rows += [_words(top, pair.title, change or _short(pair.after)), _track(top + TRACK)]
        if before is not None and after is not None:
            rows.append(
                element(
                    "line",
                    class_="joins",
                    x1=scale.x(before),
                    x2=scale.x(after),
                    y1=top + TRACK - 4,
                    y2=top + TRACK + 4,
                )
            )
        if pair.before is not None and before is not None:
            rows.append(_interval("before", scale, pair.before, top + TRACK - 4))
            rows.append(_dot("before", scale.x(before), top + TRACK - 4))
        if after is not None:
            rows.append(_interval("now", scale, pair.after, top + TRACK + 4))
            rows.append(_dot("now", scale.x(after), top + TRACK + 4))
        in_words.append(
            f"{pair.title}: "
            + ", ".join(
                f"{name} {measured(measure)}"
                for name, measure in zip(names, (pair.before, pair.after), strict=True)
                if measure
            )
        )
    return _svg(
        title, "; ".join(in_words), bottom + AXIS, [*rows, *_axis(scale, bottom, lambda value: _tick(value, "", scale))]
    )


def tradeoff(compared: Remedies) -> Markup:
    """Accuracy against gap of every remedy, with intervals over the seeds; ours filled, numbered as in the table."""
    known = [(position, outcome) for position, outcome in enumerate(compared.outcomes, start=1) if outcome.trials]
    pairs = [
        (position, outcome.own, outcome.estimate("accuracy"), outcome.estimate("equalised_odds"))
        for position, outcome in known
    ]
    across = Scale.of([value for pair in pairs for value in _bounds(pair[3])])
    up = Scale.of([value for pair in pairs for value in _bounds(pair[2])])
    top, height = 10, 240
    left = 9  # percent, of the numbers at the side

    def x(value: float) -> str:
        return f"{left + (100 - left) * across.at(value) / 100:.2f}%"

    def y(value: float) -> float:
        return round(top + height * (1 - up.at(value) / 100), 1)

    parts: list[Markup] = []
    for value in up.ticks:
        parts.append(element("line", class_="grid", x1=f"{left}%", x2="100%", y1=y(value), y2=y(value)))
        parts.append(
            element("text", _tick(value, "", up), class_="tick", x=f"{left - 1}%", y=y(value) + 4, text_anchor="end")
        )
    for value in across.ticks:
        parts.append(element("line", class_="grid", x1=x(value), x2=x(value), y1=top, y2=top + height))
        parts.append(
            element(
                "text", _tick(value, "", across), class_="tick", x=x(value), y=top + height + 18, text_anchor="middle"
            )
        )
    in_words = []
    for position, own, accuracy, gap in pairs:
        if accuracy.mean is None or gap.mean is None:
            continue
        kind = "now" if own else "before"
        if gap.low is not None and gap.high is not None:
            parts.append(
                element(
                    "line",
                    class_=f"interval {kind}",
                    x1=x(gap.low),
                    x2=x(gap.high),
                    y1=y(accuracy.mean),
                    y2=y(accuracy.mean),
                )
            )
        if accuracy.low is not None and accuracy.high is not None:
            parts.append(
                element(
                    "line",
                    class_=f"interval {kind}",
                    x1=x(gap.mean),
                    x2=x(gap.mean),
                    y1=y(accuracy.low),
                    y2=y(accuracy.high),
                )
            )
        parts.append(element("circle", class_=f"dot {kind}", cx=x(gap.mean), cy=y(accuracy.mean), r=9))
        parts.append(
            element(
                "text", position, class_=f"inside {kind}", x=x(gap.mean), y=y(accuracy.mean) + 4, text_anchor="middle"
            )
        )
        in_words.append(
            f"{compared.outcomes[position - 1].title}: accuracy {percent(accuracy.mean)}, gap {percent(gap.mean)}"
        )
    parts.append(
        element("text", "Equalised odds difference", class_="tick", x="100%", y=top + height + 38, text_anchor="end")
    )
    return _svg("Accuracy against the equalised odds difference", "; ".join(in_words), top + height + 46, parts)


# --- pieces -------------------------------------------------------------------------------------------


def _svg(title: str, in_words: str, height: int, parts: Sequence[Child]) -> Markup:
    """in_words: the same in words, for those who cannot see it."""
    return element(
        "svg",
        element("title", title),
        element("desc", in_words),
        parts,
        role="img",
        width="100%",
        height=height,
        aria_label=f"{title}. {in_words}",
    )


def _more(words: Sequence[tuple[str, str]]) -> int:
    """px that a row is higher where its words do not fit beside each other."""
    return MORE if any(len(left) + len(right) > LONGEST for left, right in words) else 0


def _words(top: float, left: str, right: str, more: int = 0) -> list[Markup]:
    """more: 0 for words on one line, else how much lower the second line is."""
    beside = {"x": "0"} if more else {"x": "100%", "text_anchor": "end"}
    return [
        element("text", left, class_="label", x="0", y=top + WORDS),
        element("text", right, class_="value", y=top + WORDS + more, **beside),
    ]


def _track(y: float) -> Markup:
    return element("line", class_="track", x1="2%", x2="98%", y1=y, y2=y)


def _interval(kind: str, scale: Scale, measure: Measure, y: float) -> Markup | None:
    if measure.low is None or measure.high is None:
        return None
    return element("line", class_=f"interval {kind}", x1=scale.x(measure.low), x2=scale.x(measure.high), y1=y, y2=y)


def _dot(kind: str, x: str, y: float) -> Markup:
    return element("circle", class_=f"dot {kind}", cx=x, cy=y, r=RADIUS)


def _axis(scale: Scale, bottom: float, written: Callable[[float], str]) -> list[Markup]:
    parts = []
    for value in scale.ticks:
        parts.append(element("line", class_="grid", x1=scale.x(value), x2=scale.x(value), y1=bottom - 4, y2=bottom + 2))
        parts.append(
            element(
                "text",
                written(value),
                class_="tick",
                x=scale.x(value),
                y=bottom + 16,
                text_anchor="start" if value == scale.ticks[0] else "end" if value == scale.ticks[-1] else "middle",
            )
        )
    return parts


def _kind(group: GroupAudit) -> str:
    return "now small" if group.small else "now"


def _ends(measure: Measure) -> list[float]:
    return [value for value in (measure.low, measure.value, measure.high) if value is not None]


def _bounds(estimate: Estimate) -> list[float]:
    return [value for value in (estimate.low, estimate.mean, estimate.high) if value is not None]


def _short(measure: Measure, metric: str = "") -> str:
    """ "87.3 %  84.1 to 89.9"."""
    if measure.value is None:
        return f"not measured: {measure.note}"
    if measure.low is None or measure.high is None:
        return number(measure.value, metric)
    return f"{number(measure.value, metric)} ({span(measure.low, measure.high, metric)})"


def _tick(value: float, metric: str, scale: Scale) -> str:
    """A number on an axis, with as many digits as its neighbours need."""
    gap = min((second - first for first, second in itertools.pairwise(scale.ticks)), default=0.1)
    if metric in RATIOS:
        return f"{value:.{2 if gap >= 0.01 - 1e-9 else 3}f}"
    digits = 0 if abs(100 * gap - round(100 * gap)) < 1e-6 else 1
    return percent(value, digits)


def _step(rough: float) -> float:
    """The round number at or above it."""
    unit = 10 ** math.floor(math.log10(rough))
    return next(unit * round_number for round_number in _STEPS if unit * round_number >= rough - 1e-12)
