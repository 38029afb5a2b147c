"""What several tables of a report write into their cells."""

from __future__ import annotations

from img2tab_core.fairness.audit_record import SMALL, GroupAudit, Measure
from img2tab_core.report_parts.markup import Child, Markup, element
from img2tab_core.report_parts.words import number, span
from img2tab_core.words import signed


def cell(measure: Measure, metric: str = "") -> Child:
    """A value, and below it its interval; or why it was not measured."""
    if measure.value is None:
        return [element("span", "not measured"), element("span", measure.note, class_="below")]
    between = "" if measure.low is None or measure.high is None else span(measure.low, measure.high, metric)
    return with_range(number(measure.value, metric), between)


def with_range(value: str, between: str) -> Child:
    """A value, and below it what it lies between; "" where that is not known."""
    return [element("span", value), element("span", between, class_="below range") if between else None]


def difference_range(low: float | None, high: float | None) -> str:
    """The interval of a difference of shares, in points; "" where it is not known."""
    return "" if low is None or high is None else f"{signed(100 * low)} to {signed(100 * high)}"


def flag(one: GroupAudit) -> Markup | None:
    """The mark of a group that has too few faces."""
    return element("span", f"Fewer than {SMALL} test faces", class_="flag") if one.small else None


def when(text: str, *, below: bool = False) -> Markup:
    """A date that does not break."""
    return element("span", text, class_="below when" if below else "when")
