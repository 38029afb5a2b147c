"""The bias record of a session: who could be harmed and how, by which measure one would see it, and who looks again."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from img2tab_core.audits.group_differences import too_few
from img2tab_core.audits.metrics import GAPS, RATES_OF_GAP
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.words import percent
from img2tab_core.sessions.session_records import checked_line, checked_text, is_number

if TYPE_CHECKING:
    from img2tab_core.audits.audit_record import Audit

MEASURES = {name: GAPS[name] for name in RATES_OF_GAP}  # the gaps a threshold can be set for -> their titles
LONGEST = 2000  # letters of what a person writes into a field


@dataclass(frozen=True)
class Scenario:
    """One way in which somebody could be harmed, as a person wrote it down.

    group: who is at risk; harm: what would be done to them; words_of: in whose words that is, "" where that was not
    said; measure: a name of MEASURES; largest: the largest gap that is acceptable, share of 1; mitigation: what is done
    about it, "" where nothing is yet; review: the day it is to be looked at again, None for none.
    """

    group: str
    harm: str
    words_of: str
    measure: str
    largest: float
    mitigation: str
    review: date | None

    def to_json(self) -> dict:
        """Plain types."""
        return asdict(self) | {"review": self.review and self.review.isoformat()}

    def in_log(self) -> dict:
        """The same as the log keeps it, for a person to read: the largest gap in points."""
        told = self.to_json()
        return {**{name: value for name, value in told.items() if name != "largest"}, "at_most": self.points}

    @property
    def points(self) -> str:
        """The largest acceptable gap: "5 points"."""
        return f"{100 * self.largest:g} points"


@dataclass(frozen=True)
class RecordedScenario:
    """A scenario of a session: number 1, 2, ... within it, never given twice; who wrote it last, and when (UTC)."""

    session: int
    number: int
    scenario: Scenario
    who: str
    changed: datetime


def checked_scenario(scenario: Scenario, *, today: date) -> Scenario:
    """The same, its spaces tidied.

    Raises Img2TabError, with the field's name, where group or harm is empty, a text is too long or no plain text, the
    measure is none of MEASURES, the largest gap is not between 0 and 1, or the review lies in the past.
    """
    if scenario.measure not in MEASURES:
        raise Img2TabError(f"The measure must be one of {', '.join(MEASURES)}, got {scenario.measure or 'none'}.")
    if not is_number(scenario.largest) or not 0 <= scenario.largest <= 1:
        raise Img2TabError(
            f"The largest acceptable gap must be between 0 and 100 points, got {100 * scenario.largest:g}."
        )
    if scenario.review is not None and scenario.review < today:
        raise Img2TabError(
            f"The review must lie ahead, got {scenario.review.isoformat()} and today is {today.isoformat()}."
        )
    return Scenario(
        checked_line(scenario.group, "The group at risk"),
        _checked(scenario.harm, "The harm", needed=True),
        checked_line(scenario.words_of, "Whose words they are") if scenario.words_of.strip() else "",
        scenario.measure,
        float(scenario.largest),
        _checked(scenario.mitigation, "What is done about it"),
        scenario.review,
    )


def scenario_from(
    group: str, harm: str, words_of: str, measure: str, points: str, mitigation: str, review: str
) -> Scenario:
    """A scenario from what a person typed. points: the largest gap, 0 to 100; review: YYYY-MM-DD, or "" for none.

    Raises Img2TabError where the points are no number, or the review is no such day.
    """
    try:
        largest = float(points) / 100
    except ValueError as error:
        raise Img2TabError(f"The largest acceptable gap must be a number of points, got {points!r:.40}.") from error
    try:
        day = date.fromisoformat(review) if review.strip() else None
    except ValueError as error:
        raise Img2TabError(f"The review must be a day such as 2027-03-01, got {review!r:.40}.") from error
    return Scenario(group, harm, words_of, measure, largest, mitigation, day)


def held_against(scenario: Scenario, audit: Audit, classes: tuple[str, ...]) -> str:
    """What an audit says of a scenario's largest acceptable gap: within it, above it, or not told by these faces.

    classes: the names of class 0 and 1.
    """
    gap = audit.gaps[scenario.measure]
    limit = f"{100 * scenario.largest:g} points"
    if gap.value is None or gap.low is None or gap.high is None:
        return f"Not measured ({gap.note}): whether it is within {limit} is not known."
    if few := too_few(audit, scenario.measure, classes):
        return f"Cannot be told: {few}"
    measured = f"{percent(gap.value).replace('%', 'points')} ({100 * gap.low:.1f} to {100 * gap.high:.1f})"
    if gap.low > scenario.largest:
        return f"Above what is acceptable: {measured}; at most {limit}."
    if gap.high <= scenario.largest:
        return f"Within what is acceptable: {measured}; at most {limit}."
    return f"Cannot be told: {measured}, and {limit} lie within that interval."


def _checked(text: str, what: str, *, needed: bool = False) -> str:
    """A text of one or more lines, without the spaces around it."""
    text = checked_text(text, what).strip()
    if len(text) > LONGEST or (needed and not text):
        raise Img2TabError(
            f"{what} must be {'said, in ' if needed else ''}at most {LONGEST:,} letters, got {len(text):,}."
        )
    return text
