"""A line over the exclusion curve that a person drags: where it stands is how many concepts to exclude."""

from __future__ import annotations

from collections.abc import Callable

from dashboard.components import dragging, page_words
from img2tab_core.audits.exclusion_curves import CurvePoint, ExclusionCurve
from img2tab_core.base.intervals import Estimate

ROUND_ABOVE, ROUND_TO = 200, 10  # between counts further apart than this, a place is a multiple of ten
LABEL = "Concepts to exclude"

_component = dragging.component("drag_line")


def drag_line(
    curve: ExclusionCurve,
    count: int,
    *,
    key: str,
    of: str,
    colours: tuple[str, str],
    on_move: Callable[[int], None],
) -> None:
    """Accuracy and gap on the validation faces against how much is excluded, and a line at `count`; a slider.

    of: what the curve is of; as long as it stays, a drag that goes on is not disturbed. colours: of accuracy and gap.
    on_move is called with the new count when the person lets go. Counts are evenly spaced: they grow by leaps.
    """
    moved = dragging.hearing(key, lambda report: answer(report, of, curve), on_move)
    drawn = scene(curve, count, of=of, turn=dragging.heard(key), colours=colours)
    _component(key=key, data=drawn, on_moved_change=moved)


def scene(curve: ExclusionCurve, count: int, *, of: str, turn: int, colours: tuple[str, str]) -> dict:
    """What the browser draws, in plain types.

    turn: of the last report that arrived here; the browser knows by it whether the page has heard everything.
    """
    return {
        "of": of,
        "turn": turn,
        "count": count,
        "label": LABEL,
        "round_above": ROUND_ABOVE,
        "round_to": ROUND_TO,
        "counts": [point.count for point in curve.points],
        "lines": [
            {
                "name": title,
                "colour": colour,
                "shape": shape,
                "points": [_point(point, name, title) for point in curve.points],
            }
            for name, title, colour, shape in (
                ("accuracy", "accuracy", colours[0], "circle"),
                ("gap", "gap (equalised odds)", colours[1], "square"),
            )
        ],
    }


def answer(said: object, of: str, curve: ExclusionCurve) -> int | None:
    """The count a browser reported for this curve; None where it is about another, or makes no sense."""
    count = dragging.about(said, of).get("count")
    if isinstance(count, bool) or not isinstance(count, int):
        return None
    return min(max(count, curve.points[0].count), curve.points[-1].count)


def _point(point: CurvePoint, name: str, title: str) -> dict:
    value = point.estimate(name)
    return {
        "mean": value.mean,
        "low": value.mean if value.low is None else value.low,
        "high": value.mean if value.high is None else value.high,
        "text": page_words.percent(value.mean),
        "title": f"{page_words.count(point.count, 'channel')} excluded: {title} {_written(value)}, validation faces",
    }


def _written(value: Estimate) -> str:
    """ "87.3 % (86.1 % to 88.5 %)", without an interval for one seed."""
    if value.high is None:
        return page_words.percent(value.mean)
    return f"{page_words.percent(value.mean)} ({page_words.percent(value.low)} to {page_words.percent(value.high)})"
