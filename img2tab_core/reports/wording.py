"""How a report writes metrics, intervals, lists, runs and dates."""

from __future__ import annotations

from datetime import datetime

from img2tab_core.audits.audit_record import Measure
from img2tab_core.audits.intervention import Moved
from img2tab_core.audits.metrics import HEADLINE, RATES_OF_GAP
from img2tab_core.audits.paired import Difference
from img2tab_core.base.intervals import Estimate
from img2tab_core.base.words import percent, signed
from img2tab_core.classifiers.runs import Run
from img2tab_core.sessions.session_records import RunInfo

SPACE, MINUS, TIMES = "\N{NO-BREAK SPACE}", "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"
RATIOS = frozenset({"auc", "calibration_error"})  # metrics that are not written as percentages


def number(value: float, metric: str) -> str:
    """A metric's value: 0.873 -> "87.3 %", an AUC "0.873", a gap of 0.123 "12.3 points"."""
    if metric in RATES_OF_GAP:
        return f"{100 * value:.1f}{SPACE}points"
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
    unit = "" if metric in RATIOS or metric in RATES_OF_GAP else f"{SPACE}%"
    return f"{number(measure.value, metric)} (95{SPACE}% interval {span(measure.low, measure.high, metric)}{unit})"


def in_points(gap: Measure) -> str:
    """ "12.3 points (95 % interval 4.1 to 19.9)", or why a difference between groups could not be measured."""
    return measured(gap, HEADLINE)


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
    """ "6,504 excluded", "nothing excluded", or "nothing excluded; erases perceived gender"."""
    excluded = f"{len(run.excluded):,} excluded" if run.excluded else "nothing excluded"
    return f"{excluded}; {run.treatment.sentence({})}" if run.treatment else excluded


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


def interval(measure: Measure | Moved, metric: str = "") -> str:
    """The interval of a measure, as `span` has it; "" where it is not known."""
    return "" if measure.low is None or measure.high is None else span(measure.low, measure.high, metric)


def difference_range(low: float | None, high: float | None) -> str:
    """The interval of a difference of shares, in points; "" where it is not known."""
    return "" if low is None or high is None else f"{signed(100 * low)} to {signed(100 * high)}"


def with_interval(difference: Difference) -> str:
    """A difference of numbers that are no shares: "−0.012 (−0.018 to −0.006)"."""
    low, high = signed(difference.low, 3), signed(difference.high, 3)
    return f"{signed(difference.value, 3)} ({low} to {high})"
