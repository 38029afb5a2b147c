"""The frozen records of audit sessions: a session, a run of it, an entry of the log."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

State = Literal["running", "done", "failed", "cancelled", "interrupted"]


@dataclass(frozen=True)
class SessionInfo:
    """An audit session: what is predicted from which table, and which one or two labels form the groups.

    table_key: of the table it was begun with; current: number of the run the person is at, None before the first
    ended; created, changed: UTC.
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


@dataclass(frozen=True)
class RunInfo:
    """One training of a session, a child of the run it was changed from.

    number: 1, 2, ... within the session; parent: id, None for a first run; excluded: channels, ascending; metrics and
    run_id (name of the folder with the model file) are empty until it is done; note: why, in the person's words;
    reason: why it failed or was interrupted; started, finished: UTC.
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
