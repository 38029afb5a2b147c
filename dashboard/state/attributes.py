"""Whose groups are compared: the targets whose classes are the groups, chosen for each target and each session."""

from __future__ import annotations

from collections.abc import Sequence

from dashboard.state import session as session_state
from dashboard.state import visit


def attributes() -> tuple[str, ...]:
    """The chosen targets of two classes whose classes are the groups; () where the table has no other or none is
    chosen."""
    two = {target.name for target in visit.current_table().targets}
    return tuple(name for name in grouping() if name in two)


def grouping() -> tuple[str, ...]:
    """The targets whose classes are the groups, one or two, also of more than two classes; () where there is no other
    or none is chosen."""
    table, now = visit.current_table(), session_state.opened()
    asked = (visit.target().name, visit.whole_target().name)
    others = [other.name for other in (*table.targets, *table.many) if other.name not in asked]
    first = now.session.sensitive if now is not None else tuple(others[:1])
    return tuple(name for name in visit.of_target(_attributes_of(), first) if name in others)


def are_chosen() -> bool:
    """Whether somebody chose them, or a session or an address did."""
    return session_state.opened() is not None or visit.of_target(_attributes_of(), None) is not None


def choose_attributes(names: Sequence[str]) -> None:
    """For the chosen target, and in a session for that session alone."""
    visit.set_of_target(_attributes_of(), tuple(names))


def _attributes_of() -> str:
    now = session_state.opened()
    return "visit.attributes" if now is None else f"visit.attributes.{now.session.id}"
