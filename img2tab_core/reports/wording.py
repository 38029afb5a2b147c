"""How a report writes metrics, intervals, lists, runs and dates."""

from __future__ import annotations

from datetime import datetime

from img2tab_core.audits.audit_record import SMALL, GroupAudit, Measure
from img2tab_core.audits.paired import Difference
from img2tab_core.base.intervals import Estimate
from img2tab_core.base.words import percent, points, signed
from img2tab_core.classifiers.runs import Run
from img2tab_core.reports.elements import Child, Markup, element
from img2tab_core.sessions.session_records import RunInfo

SPACE, MINUS, TIMES = "\N{NO-BREAK SPACE}", "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"
RATIOS = frozenset({"auc", "calibration_error"})  # metrics that are not written as percentages


def number(value: float, metric: str) -> str:
    """A metric's value: 0.873 -> "87.3 %", an AUC "0.873"."""
    return f"{value:.3f}" if metric in RATIOS else percent(value)


def span(low: float, high: float, metric: str = "") -> str:
    """An interval: "84.1 to 89.9", without the unit that the value beside it has."""
    return f"{low:.3f} to {high:.3f}" if metric in RATIOS else f"{100 * low:.1f} to {100 * high:.1f}"


def measured(measure: Measure, metric: str = "") -> str:
    """ "87.3 % (95 % interval 84.1 to 89.9 %)", or why it could not be measured."""
    if measure.value is None:
        return f"not measured ({measure.note})"
    if measure.low is None or measure.high is None:
        return number(measure.value, metric)
    unit = "" if metric in RATIOS else f"{SPACE}%"
    return f"{number(measure.value, metric)} (95{SPACE}% interval {span(measure.low, measure.high, metric)}{unit})"


def estimated(value: Estimate) -> str:
    """ "8.3 ± 0.4 %"; "not measured" where there is nothing."""
    text = value.text(100, 1)
    return "not measured" if text is None else f"{text}{SPACE}%"


def lower(text: str) -> str:
    """The same words within a sentence; "AUC" stays as it is."""
    return text if text[:2].isupper() else text[:1].lower() + text[1:]


def one_line(text: str) -> str:
    """What a person wrote on several lines, on one."""
    return " ".join(text.split())


def excluding(run: RunInfo) -> str:
    """ "6,504 excluded", or "nothing excluded"."""
    return f"{len(run.excluded):,} excluded" if run.excluded else "nothing excluded"


def day(at: datetime) -> str:
    """ "24 November 2026"."""
    return f"{at.day} {at:%B %Y}"


def minute(at: datetime) -> str:
    """ "2026-11-24 12:21", UTC as everywhere in a session."""
    return f"{at:%Y-%m-%d %H:%M}"


def settings(run: Run) -> str:
    """A classifier's settings in words, without its seed and its exclusions, which are told by themselves."""
    elsewhere = {"excluded", "random_state", "thread_count", "screen"}
    return ", ".join(
        f"{name.replace('_', ' ')} {value}"
        for name, value in sorted(run.classifier.get_params().items())
        if name not in elsewhere
    )


def cell(measure: Measure, metric: str = "") -> Child:
    """A value, and below it its interval; or why it was not measured."""
    if measure.value is None:
        return [element("span", "not measured"), element("span", measure.note, class_="below")]
    between = "" if measure.low is None or measure.high is None else span(measure.low, measure.high, metric)
    return with_range(number(measure.value, metric), between)


def with_range(value: str, between: str) -> Child:
    """A value, and below it what it lies between; "" where that is not known."""
    return [element("span", value), element("span", between, class_="below range") if between else None]


def paired_points(difference: Difference) -> Child:
    """A difference of shares in points, and below it the interval of a paired bootstrap."""
    return with_range(points(difference.value), difference_range(difference.low, difference.high))


def estimated_points(difference: Estimate) -> Child:
    """A mean difference of shares in points, and below it its interval."""
    if difference.mean is None:
        return "not measured"
    return with_range(points(difference.mean), difference_range(difference.low, difference.high))


def interval(measure: Measure, metric: str = "") -> str:
    """The interval of a measure, as `span` has it; "" where it is not known."""
    return "" if measure.low is None or measure.high is None else span(measure.low, measure.high, metric)


def difference_range(low: float | None, high: float | None) -> str:
    """The interval of a difference of shares, in points; "" where it is not known."""
    return "" if low is None or high is None else f"{signed(100 * low)} to {signed(100 * high)}"


def flag(group: GroupAudit) -> Markup | None:
    """The mark of a group that has too few faces."""
    return element("span", f"Fewer than {SMALL} test faces", class_="flag") if group.small else None


def when(text: str, *, below: bool = False) -> Markup:
    """A date that does not break."""
    return element("span", text, class_="below when" if below else "when")
