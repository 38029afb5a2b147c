"""The figures of a report as shapes of SVG: as wide as the page, legible on a phone and on paper.

`drawing` of `templates/macros.html.j2` writes them. Across, everything is in percent of the width and nothing is
scaled, so that letters keep their size; down, in px.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from img2tab_core.audits.audit_record import Audit, Measure
from img2tab_core.audits.metrics import METRICS
from img2tab_core.audits.remedies import Remedies
from img2tab_core.base.intervals import Estimate
from img2tab_core.base.words import percent, sentence, signed
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
class Shape:
    """An element of SVG: its name, its attributes as they are written, and the text in it, None for one without."""

    name: str
    attributes: dict[str, object]
    text: str | None = None


@dataclass(frozen=True)
class Drawing:
    """Shapes, their height in px, and what they show: a title, and the numbers in words for those who cannot see it."""

    title: str
    in_words: str
    height: int
    shapes: list[Shape]


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


def dots(audit: Audit, metric: str) -> Drawing:
    """One metric of every group: a dot and its interval, and a dotted line where everyone together is."""
    scale = Scale.of([value for group in (*audit.by_group, audit.overall) for value in _ends(group.measures[metric])])
    overall = audit.overall.measures[metric].value
    words = [
        (f"{sentence(group.name)} · {group.count:,}", _short(group.measures[metric], metric))
        for group in audit.by_group
    ]
    more = _more(words)
    rows: list[Shape] = []
    bottom = (ROW + more) * len(words)
    for row, (group, (left, right)) in enumerate(zip(audit.by_group, words, strict=True)):
        measure, top = group.measures[metric], (ROW + more) * row
        rows += [*_words(top, left, right, more), _track(top + more + TRACK)]
        if measure.value is not None:
            rows += _interval("now", scale, measure, top + more + TRACK)
            rows.append(_dot("now small" if group.small else "now", scale.x(measure.value), top + more + TRACK))
    if overall is not None:
        middles = [(ROW + more) * row + more + TRACK for row in range(len(words))]
        rows += [_line("everyone", scale.x(overall), middle - 9, scale.x(overall), middle + 9) for middle in middles]
    everybody = (*audit.by_group, audit.overall)
    in_words = "; ".join(f"{group.name}: {measured(group.measures[metric], metric)}" for group in everybody)
    return Drawing(
        f"{METRICS[metric]} of each group",
        in_words,
        bottom + AXIS,
        [*rows, *_axis(scale, bottom, lambda value: _tick(value, metric, scale))],
    )


def dumbbell(title: str, pairs: Sequence[Pair], *, names: tuple[str, str], floor: float = 0.0) -> Drawing:
    """Numbers in an earlier run (a grey ring) and in this one (a dot), each with its interval; names: of both runs."""
    scale = Scale.of(
        [value for pair in pairs for measure in (pair.before, pair.after) if measure for value in _ends(measure)],
        floor=floor,
    )
    bottom = ROW * len(pairs)
    rows: list[Shape] = []
    in_words = []
    for row, pair in enumerate(pairs):
        top = ROW * row
        before, after = None if pair.before is None else pair.before.value, pair.after.value
        change = "" if before is None or after is None else f"{percent(before)} → {percent(after)}"
        rows += [*_words(top, pair.title, change or _short(pair.after)), _track(top + TRACK)]
        if before is not None and after is not None:
            rows.append(_line("joins", scale.x(before), top + TRACK - 4, scale.x(after), top + TRACK + 4))
        if pair.before is not None and before is not None:
            rows += _interval("before", scale, pair.before, top + TRACK - 4)
            rows.append(_dot("before", scale.x(before), top + TRACK - 4))
        if after is not None:
            rows += _interval("now", scale, pair.after, top + TRACK + 4)
            rows.append(_dot("now", scale.x(after), top + TRACK + 4))
        in_words.append(
            f"{pair.title}: "
            + ", ".join(
                f"{name} {measured(measure)}"
                for name, measure in zip(names, (pair.before, pair.after), strict=True)
                if measure
            )
        )
    axis = _axis(scale, bottom, lambda value: _tick(value, "", scale))
    return Drawing(title, "; ".join(in_words), bottom + AXIS, [*rows, *axis])


def tradeoff(compared: Remedies) -> Drawing:
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

    parts: list[Shape] = []
    for value in up.ticks:
        parts.append(_line("grid", f"{left}%", y(value), "100%", y(value)))
        parts.append(_text("tick", _tick(value, "", up), f"{left - 1}%", y(value) + 4, "end"))
    for value in across.ticks:
        parts.append(_line("grid", x(value), top, x(value), top + height))
        parts.append(_text("tick", _tick(value, "", across), x(value), top + height + 18, "middle"))
    in_words = []
    for position, own, accuracy, gap in pairs:
        if accuracy.mean is None or gap.mean is None:
            continue
        kind = "now" if own else "before"
        across_at, up_at = x(gap.mean), y(accuracy.mean)
        if gap.low is not None and gap.high is not None:
            parts.append(_line(f"interval {kind}", x(gap.low), up_at, x(gap.high), up_at))
        if accuracy.low is not None and accuracy.high is not None:
            parts.append(_line(f"interval {kind}", across_at, y(accuracy.low), across_at, y(accuracy.high)))
        parts.append(_dot(kind, across_at, up_at, 9))
        parts.append(_text(f"inside {kind}", str(position), across_at, up_at + 4, "middle"))
        in_words.append(
            f"{compared.outcomes[position - 1].title}: accuracy {percent(accuracy.mean)}, gap {percent(gap.mean)}"
        )
    parts.append(_text("tick", "Equalised odds difference", "100%", top + height + 38, "end"))
    return Drawing("Accuracy against the equalised odds difference", "; ".join(in_words), top + height + 46, parts)


def effect(scale: Scale, low: float, mean: float, high: float, *, kind: str, height: int) -> list[Shape]:
    """A mean as a dot and its interval, over the lines of the scale; kind: the class of both in the style sheet."""
    lines = [
        _line("nothing" if abs(tick) < 1e-9 else "grid", scale.x(tick), 0, scale.x(tick), height)
        for tick in scale.ticks
    ]
    middle = height / 2
    return [
        *lines,
        _line(f"interval {kind}", scale.x(low), middle, scale.x(high), middle),
        _dot(kind, scale.x(mean), middle),
    ]


def numbers(scale: Scale) -> list[Shape]:
    """The ticks of a scale as signed numbers."""
    digits = 0 if all(float(value).is_integer() for value in scale.ticks) else 1
    return [_text("tick", signed(tick, digits), scale.x(tick), 16, _anchor(scale, tick)) for tick in scale.ticks]


# --- pieces -------------------------------------------------------------------------------------------


def _more(words: Sequence[tuple[str, str]]) -> int:
    """px that a row is higher where its words do not fit beside each other."""
    return MORE if any(len(left) + len(right) > LONGEST for left, right in words) else 0


def _words(top: float, left: str, right: str, more: int = 0) -> list[Shape]:
    """more: 0 for words on one line, else how much lower the second line is."""
    second = (
        _text("value", right, "0", top + WORDS + more) if more else _text("value", right, "100%", top + WORDS, "end")
    )
    return [_text("label", left, "0", top + WORDS), second]


def _track(y: float) -> Shape:
    return _line("track", "2%", y, "98%", y)


def _interval(kind: str, scale: Scale, measure: Measure, y: float) -> list[Shape]:
    if measure.low is None or measure.high is None:
        return []
    return [_line(f"interval {kind}", scale.x(measure.low), y, scale.x(measure.high), y)]


def _dot(kind: str, x: str, y: float, radius: float = RADIUS) -> Shape:
    return Shape("circle", {"class": f"dot {kind}", "cx": x, "cy": y, "r": radius})


def _line(kind: str, x1: str, y1: float, x2: str, y2: float) -> Shape:
    return Shape("line", {"class": kind, "x1": x1, "x2": x2, "y1": y1, "y2": y2})


def _text(kind: str, text: str, x: str, y: float, anchor: str | None = None) -> Shape:
    return Shape("text", {"class": kind, "x": x, "y": y, "text-anchor": anchor}, text)


def _axis(scale: Scale, bottom: float, written: Callable[[float], str]) -> list[Shape]:
    parts = []
    for value in scale.ticks:
        parts.append(_line("grid", scale.x(value), bottom - 4, scale.x(value), bottom + 2))
        parts.append(_text("tick", written(value), scale.x(value), bottom + 16, _anchor(scale, value)))
    return parts


def _anchor(scale: Scale, tick: float) -> str:
    return "start" if tick == scale.ticks[0] else "end" if tick == scale.ticks[-1] else "middle"


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
