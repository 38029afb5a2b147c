"""The frozen records of audit sessions: a session, a run of it, an entry of the log."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from numbers import Integral
from typing import Any, Literal, TypeGuard

from img2tab_core.base import persons
from img2tab_core.base.errors import Img2TabError
from img2tab_core.classifiers.treatment import UNTREATED, Treatment

NAME_LENGTH = 80
LARGEST_SEED = 2**32 - 1

State = Literal["running", "done", "failed", "cancelled", "interrupted"]


@dataclass(frozen=True)
class SessionInfo:
    """An audit session: what is predicted from which table, and which one or two labels form the groups.

    table_key: of the table it was begun with; current: number of the run the person is at, None before the first
    ended; created, changed: UTC. metric_choice: what the five questions led to, as `MetricChoice.to_json` has it, with
    "who" and "at"; {} where nobody answered them. shared: addresses of those who may open it beside its owner, where
    people sign in.
    """

    id: int
    name: str
    owner: str
    backbone: str
    table: str
    table_key: str
    target: str
    sensitive: tuple[str, ...]
    notes: str
    current: int | None
    created: datetime
    changed: datetime
    metric_choice: dict = field(default_factory=dict)
    shared: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunInfo:
    """One training of a session, a child of the run it was changed from.

    number: 1, 2, ... within the session; parent: id, None for a first run; excluded: channels, ascending; metrics and
    run_id (name of the folder with the model file) are empty until it is done; note: why, in the person's words;
    reason: why it failed or was interrupted; started, finished: UTC; treatment: what is erased or balanced.
    """

    id: int
    session: int
    parent: int | None
    number: int
    kind: str
    seed: int
    excluded: tuple[int, ...]
    note: str
    who: str
    state: State
    started: datetime
    finished: datetime | None = None
    run_id: str = ""
    metrics: dict = field(default_factory=dict)
    reason: str = ""
    treatment: Treatment = UNTREATED


@dataclass(frozen=True)
class LogEntry:
    """Who did what, when (UTC), in which session; what: a few words, details: what else there is to say, as JSON."""

    id: int
    at: datetime
    who: str
    session: int
    session_name: str
    what: str
    details: dict


def checked_text(value: str, what: str) -> str:
    """Text that every database can hold; what: the thing, for the sentence. Raises Img2TabError for other text."""
    if not isinstance(value, str) or clean_text(value) != value:
        raise Img2TabError(f"{what} must be plain text without control characters. Type it again.")
    return value


def checked_line(value: str, what: str, *, longest: int | None = NAME_LENGTH) -> str:
    """A single line that is not empty, its spaces tidied; longest: in characters, None for no limit.

    Raises Img2TabError for anything else.
    """
    value = " ".join(checked_text(value, what).split())
    if not value or not value.isprintable() or (longest is not None and len(value) > longest):
        limit = f", at most {longest} characters" if longest else ""
        raise Img2TabError(f"{what} must be one line of text, not empty{limit}, got {len(value)} characters.")
    return value


def checked_who(value: str) -> str:
    """The name of who did something, where people sign in that of who is signed in; "" stays.

    Raises Img2TabError where it is not a single line.
    """
    person = persons.acting()
    value = value if person is None else person.name
    return checked_line(value, "The name of who did it") if value else ""


def checked_channels(excluded: object) -> list[int]:
    """Channel indices, ascending, none twice. Raises Img2TabError where they are no list of whole numbers from 0."""
    values = list(excluded) if isinstance(excluded, Sequence | frozenset | set) else None
    if (
        values is None
        or isinstance(excluded, str)
        or not all(_is_whole(index) and 0 <= index < 2**31 for index in values)
    ):
        raise Img2TabError(f"Excluded channels must be a list of whole numbers of at least 0, got {excluded!r:.60}.")
    return sorted({int(index) for index in values})


def is_seed(value: object) -> TypeGuard[int]:
    """Whether this is a whole number from 0 to LARGEST_SEED."""
    return _is_whole(value) and 0 <= value <= LARGEST_SEED


def is_number(value: object) -> TypeGuard[float]:
    """Whether this is a number; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def clean_text(value: str) -> str:
    """Without what PostgreSQL cannot hold: NUL, and halves of surrogate pairs."""
    return value.replace("\0", "").encode("utf-8", "ignore").decode("utf-8")


def json_value(value: object) -> Any:
    """A value as JSON knows it: NumPy's become Python's, sets and tuples lists, what is not finite null."""
    if isinstance(value, Mapping):
        return {str(name): json_value(part) for name, part in value.items()}
    if hasattr(value, "tolist"):
        return json_value(value.tolist())
    if isinstance(value, set | frozenset):
        return json_value(sorted(value))
    if isinstance(value, list | tuple):
        return [json_value(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, Integral) and not isinstance(value, bool)
