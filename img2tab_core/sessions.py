"""Audit sessions in a database: named, saved, resumable, a tree of runs with notes, and a log that only grows.

The only file that opens the database. It is `sessions.db` in a visitor's folder (SQLite), or what the one URL in
IMG2TAB_DATABASE names (SQLite or PostgreSQL). Every function is one transaction, safe from several threads and
processes at once; only frozen records leave this file.
"""

from __future__ import annotations

import json
import math
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from numbers import Integral
from pathlib import Path
from typing import Literal

import sqlalchemy as sa
from sqlalchemy import event, orm
from sqlalchemy.engine import URL, make_url

from img2tab_core import tables, weights
from img2tab_core.errors import Cancelled, Img2TabError
from img2tab_core.records import StyleTable

VARIABLE = "IMG2TAB_DATABASE"           # the environment variable that names another database
NAME_LENGTH = 80
FORMAT = 1                              # of shared exclusions
LARGEST_SEED = 2**32 - 1
LARGEST_ID = 2**31 - 1                  # that PostgreSQL's integer holds
SILENCE = timedelta(minutes=2)          # without a heartbeat, after which a run on another machine is given up
BEAT = 20.0                             # seconds between heartbeats, see `Sessions.holding`
PATIENCE = 30                           # seconds to wait for others who write
HEAD = "0001"                           # the last step in migrations/versions
STEPS = Path(__file__).parent / "migrations"
STEP_TABLE = "audit_step"               # which step a database has reached
STEP_LOCK = 5_250_926_132               # any number; PostgreSQL's name for "somebody takes steps now"

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


@dataclass(frozen=True)
class Difference:
    """What sets two runs apart; settings and metrics: name -> (of the one, of the other), metrics where both have it.

    only_one, only_other: channels that only one of the two excludes, ascending.
    """

    only_one: tuple[int, ...]
    only_other: tuple[int, ...]
    settings: dict[str, tuple]
    metrics: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Exclusions:
    """An exclusion list somebody shared, with all that decides a training; excluded: channels, ascending.

    names: what its concepts were called; run_id: of the run it came from, "" where not noted: a training that repeats
    it exactly gets the same.
    """

    backbone: str
    table: str
    table_key: str
    target: str
    classifier: str
    seed: int
    excluded: tuple[int, ...]
    names: dict[int, str] = field(default_factory=dict)
    run_id: str = ""


class Sessions:
    """The sessions of one database; `who` is the session's owner wherever it is left out.

    A session is named by its record or its id, a run likewise. An unknown one, and a database that cannot be used, is
    said in one sentence.
    """

    def __init__(self, url: str | None = None) -> None:
        """Open the database, make it where there is none, and bring an older one up to date."""
        self._url = _url(url)
        self._where = str(self._url.database) if self._is_file else self._url.render_as_string(hide_password=True)
        self._engine = _engine(self._url)
        # SQLite: whoever means to write says so at the start, or two that have read could not both go on to write
        self._writer = self._engine.execution_options(img2tab_writes=True)
        try:
            with self._sentences():
                self._prepare()
        except Img2TabError:
            self.close()
            raise

    def close(self) -> None:
        """Let the database go; the next call opens it again."""
        self._engine.dispose()

    # --- sessions ------------------------------------------------------------------------------

    def create(
        self, name: str, owner: str, table: StyleTable, target: str, sensitive: Sequence[str], notes: str = ""
    ) -> SessionInfo:
        """A new session; sensitive: one or two other targets of the table, which form the groups."""
        name, owner = _line(name, "A session's name"), _line(owner, "A session's owner")
        notes = _text(notes, "Notes")
        sensitive = [sensitive] if isinstance(sensitive, str) else list(sensitive)
        for label in (target, *sensitive):
            tables.target_of(table, label)
        if len(sensitive) not in (1, 2) or len({target, *sensitive}) != 1 + len(sensitive):
            raise Img2TabError(
                "The groups of a session are formed by one or two different labels, other than what is predicted "
                f"({target}), got {', '.join(sensitive) or 'none'}. Choose again."
            )
        with self._writing() as db:
            now = _now(db)
            row = _Session(
                name=name, owner=owner, backbone=table.backbone, table_name=table.name, table_key=table.key,
                target=target, sensitive=sensitive, notes=notes, current=None, created=now, changed=now,
            )
            db.add(row)
            _flush_name(db, name)
            _log(db, row, owner, "created", now, {"table": table.name, "target": target, "sensitive": sensitive})
            return _session_info(row)

    def list(self) -> tuple[SessionInfo, ...]:
        """Every session, the latest changed first."""
        with self._reading() as db:
            rows = db.scalars(sa.select(_Session).order_by(_Session.changed.desc(), _Session.id.desc()))
            return tuple(map(_session_info, rows))

    def open(self, name_or_id: str | int) -> SessionInfo:
        """A session by its name (text) or its id (number); runs whose process is gone are marked interrupted first."""
        with self._reading() as db:
            if isinstance(name_or_id, str):
                row = db.scalar(sa.select(_Session).where(_Session.name == " ".join(name_or_id.split())))
            else:
                row = db.get(_Session, _id(name_or_id))
            if row is None:
                known = db.scalars(sa.select(_Session.name).order_by(_Session.changed.desc()).limit(5)).all()
                choice = f"Choose one of: {', '.join(known)}." if known else "There is none yet: create one first."
                raise Img2TabError(f"There is no session {name_or_id!r}. {choice}")
            found = row.id
        self._give_up_the_dead(found)
        with self._reading() as db:
            return _session_info(_session(db, found))

    def rename(self, session: SessionInfo | int, name: str, *, who: str = "") -> SessionInfo:
        """Give a session another name."""
        name, who = _line(name, "A session's name"), _who(who)
        with self._changing(session) as (db, row, now):
            before, row.name = row.name, name
            _flush_name(db, name)
            _log(db, row, who, "renamed", now, {"before": before, "after": name})
            return _session_info(row)

    def set_notes(self, session: SessionInfo | int, notes: str, *, who: str = "") -> SessionInfo:
        """Replace a session's notes; the log keeps every version."""
        notes, who = _text(notes, "Notes"), _who(who)
        with self._changing(session) as (db, row, now):
            row.notes = notes
            _log(db, row, who, "notes", now, {"notes": notes})
            return _session_info(row)

    def delete(self, session: SessionInfo | int, *, who: str = "") -> None:
        """Remove a session and its runs; the log keeps what was done in it. Not while one of its runs is training."""
        who = _who(who)
        self._give_up_the_dead(_id(session))
        with self._changing(session) as (db, row, now):
            runs = db.scalars(sa.select(_Run).where(_Run.session_id == row.id).order_by(_Run.number)).all()
            for run in runs:
                if run.state == "running":
                    raise Img2TabError(
                        f"Run {run.number} of the session {row.name!r} is still training. Cancel it, then delete.")
            _log(db, row, who, "deleted", now, {"runs": [run.run_id or None for run in runs]})
            db.flush()
            db.execute(sa.delete(_Session).where(_Session.id == row.id))   # its runs go with it

    # --- runs ----------------------------------------------------------------------------------

    def start_run(
        self,
        session: SessionInfo | int,
        parent: RunInfo | int | None,
        kind: str,
        seed: int,
        excluded: Sequence[int] | frozenset[int],
        note: str = "",
        *,
        who: str = "",
    ) -> RunInfo:
        """A run that this process trains now; parent: the run it was changed from, None for a first one."""
        kind, note, who = _line(kind, "A classifier's kind"), _text(note, "A note"), _who(who)
        channels = _channels(excluded)
        if not _is_whole(seed) or not 0 <= seed <= LARGEST_SEED:
            raise Img2TabError(f"A seed must be a whole number from 0 to {LARGEST_SEED}, got {seed!r}.")
        pid = os.getpid()
        with self._changing(session) as (db, row, now):
            above = None if parent is None else _run(db, _id(parent))
            if above is not None and above.session_id != row.id:
                raise Img2TabError(
                    f"A run's parent must be in the same session, got run {above.number} of another one. "
                    f"Choose a run of {row.name!r}."
                )
            last = db.scalar(sa.select(sa.func.max(_Run.number)).where(_Run.session_id == row.id))
            run = _Run(
                session_id=row.id, parent_id=above and above.id, number=(last or 0) + 1, kind=kind, seed=int(seed),
                excluded=channels, metrics={}, run_id="", note=note, who=who or row.owner, state="running",
                reason="", started=now, finished=None, heartbeat=now, host=_machine(), pid=pid, process=_process(pid),
            )
            db.add(run)
            db.flush()
            _log(db, row, who, "run started", now, {
                "run": run.number, "parent": above and above.number, "classifier": kind, "seed": int(seed),
                "excluded": len(channels), "note": note,
            })
            return _run_info(run)

    def heartbeat(self, run: RunInfo | int) -> None:
        """Say that a run is still training; for a process on another machine this is the only sign of life."""
        with self._writing() as db:
            db.execute(
                sa.update(_Run).where(_Run.id == _id(run), _Run.state == "running").values(heartbeat=_now(db)))

    @contextmanager
    def holding(self, run: RunInfo | int) -> Iterator[None]:
        """The body trains and ends with `finish_run`; heartbeats go on beside it.

        A body that raises ends the run, as cancelled or as failed, and the exception goes on; one that ends otherwise
        without a result has failed.
        """
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(BEAT):
                with suppress(Img2TabError):                         # a database away for a moment must not cost a run
                    self.heartbeat(run)

        beating = threading.Thread(target=beat, name="img2tab-heartbeat", daemon=True)
        beating.start()
        try:
            yield
        except (Cancelled, KeyboardInterrupt):
            with suppress(Img2TabError):                             # the first exception is the one to read
                self._end(run, "cancelled", once=True)
            raise
        except BaseException as error:
            with suppress(Img2TabError):
                self._end(run, "failed", reason=str(error) or type(error).__name__, once=True)
            raise
        else:
            self._end(run, "failed", reason="It ended without a result.", once=True)
        finally:
            ended.set()
            beating.join()

    def finish_run(self, run: RunInfo | int, run_id: str, metrics: Mapping) -> RunInfo:
        """A run that is done, and current from now on; metrics: anything JSON can hold, NaN and infinity become null.

        Also one that was given up as interrupted and came back after all, from a machine that slept for instance.
        """
        return self._end(run, "done", run_id=_line(run_id, "A run's id", longest=None), metrics=_plain(metrics))

    def fail_run(self, run: RunInfo | int, reason: str) -> RunInfo:
        """A run whose training failed."""
        return self._end(run, "failed", reason=reason)

    def cancel_run(self, run: RunInfo | int, *, who: str = "") -> RunInfo:
        """A run whose training a person stopped."""
        return self._end(run, "cancelled", who=_who(who))

    def restore(self, session: SessionInfo | int, run: RunInfo | int, *, who: str = "") -> SessionInfo:
        """Go back to a run that is done: it is the session's current one, and what comes next may be its child."""
        who = _who(who)
        with self._changing(session) as (db, row, now):
            found = _run(db, _id(run))
            if found.session_id != row.id or found.state != "done":
                why = f"is {found.state}" if found.session_id == row.id else "is of another session"
                raise Img2TabError(f"Only a run of the session that is done can be restored, run {found.number} {why}.")
            before, row.current = row.current, found.number
            _log(db, row, who, "restored", now, {"before": before, "run": found.number})
            return _session_info(row)

    def run(self, session: SessionInfo | int, number: int) -> RunInfo:
        """A run by its number within the session."""
        found = {run.number: run for run in self.runs(session)}
        if number not in found:
            choice = f"Choose one from 1 to {len(found)}." if found else "It has none yet."
            raise Img2TabError(f"The session has no run {number}. {choice}")
        return found[number]

    def runs(self, session: SessionInfo | int) -> tuple[RunInfo, ...]:
        """Every run in the order of the tree: each followed by its children, these by number.

        Runs whose process is gone are marked interrupted first.
        """
        self._give_up_the_dead(_id(session))
        with self._reading() as db:
            row = _session(db, _id(session))
            rows = db.scalars(sa.select(_Run).where(_Run.session_id == row.id).order_by(_Run.number))
            return tuple(run for _, run in branches(tuple(map(_run_info, rows))))

    def children(self, run: RunInfo | int) -> tuple[RunInfo, ...]:
        """The runs that were changed from this one, by number."""
        with self._reading() as db:
            row = _run(db, _id(run))
            rows = db.scalars(sa.select(_Run).where(_Run.parent_id == row.id).order_by(_Run.number))
            return tuple(map(_run_info, rows))

    def tree_text(self, session: SessionInfo | int) -> str:
        """The runs as a drawn tree, one a line; the current one is marked."""
        runs = self.runs(session)
        with self._reading() as db:
            current = _session(db, _id(session)).current
        return "\n".join(f"{lines}{_words(run, current)}" for lines, run in branches(runs))

    # --- the log -------------------------------------------------------------------------------

    def log(self, session: SessionInfo | int | None = None) -> tuple[LogEntry, ...]:
        """What was done, oldest first: in a session, also a deleted one, or in all of them."""
        query = sa.select(_Entry).order_by(_Entry.id)
        if session is not None:
            query = query.where(_Entry.session_id == _id(session))
        with self._reading() as db:
            return tuple(map(_log_entry, db.scalars(query)))

    def record(self, session: SessionInfo | int, who: str, what: str, details: Mapping | None = None) -> LogEntry:
        """Add to the log; what: a few words such as "named a concept", details: anything JSON can hold."""
        what, who = _line(what, "What was done"), _who(who)
        with self._writing() as db:
            row = _session(db, _id(session))
            entry = _log(db, row, who, what, _now(db), _plain(details or {}))
            db.flush()
            return _log_entry(entry)

    # --- inside --------------------------------------------------------------------------------

    @property
    def _is_file(self) -> bool:
        return self._url.get_backend_name() == "sqlite"

    @contextmanager
    def _reading(self) -> Iterator[orm.Session]:
        with self._sentences(), orm.Session(self._engine) as db, db.begin():
            yield db

    @contextmanager
    def _writing(self) -> Iterator[orm.Session]:
        with self._sentences(), orm.Session(self._writer) as db, db.begin():
            yield db

    @contextmanager
    def _changing(self, session: SessionInfo | int) -> Iterator[tuple[orm.Session, _Session, datetime]]:
        """(the transaction, the session's row, now); one at a time for each session: its row is locked."""
        with self._writing() as db:
            row = _session(db, _id(session), lock=True)
            row.changed = _now(db)
            yield db, row, row.changed

    def _end(
        self,
        run: RunInfo | int,
        state: State,
        *,
        run_id: str = "",
        metrics: dict | None = None,
        reason: str = "",
        who: str = "",
        once: bool = False,
    ) -> RunInfo:
        """A run's end; once: one that has ended already stays as it is, instead of a sentence that says so."""
        with self._reading() as db:
            session = _run(db, _id(run)).session_id                  # the session is locked before its runs, always
        with self._writing() as db:
            row, now = _session(db, session, lock=True), _now(db)
            found = _run(db, _id(run))
            if found.state not in ("running", "interrupted"):
                if once:
                    return _run_info(found)
                raise Img2TabError(
                    f"Run {found.number} has ended already, it is {found.state}. Start another one to train again.")
            found.state, found.finished, found.reason, row.changed = state, now, _clean(reason), now
            if state == "done":
                found.run_id, found.metrics, row.current = run_id, metrics, found.number
            said = {"run_id": run_id} if state == "done" else {"reason": found.reason} if reason else {}
            _log(db, row, who or found.who, f"run {state}", now, {"run": found.number} | said)
            return _run_info(found)

    def _give_up_the_dead(self, session: int) -> None:
        """Mark the running runs of a session whose process is gone; reads only where there is none."""
        running = sa.select(_Run).where(_Run.session_id == session, _Run.state == "running").order_by(_Run.number)
        with self._reading() as db:
            now = _now(db)
            if all(_gone(run, now) is None for run in db.scalars(running)):
                return
        with self._writing() as db:
            row = _session(db, session, lock=True)
            now = _now(db)
            for run in db.scalars(running):                          # again: somebody else may have been quicker
                reason = _gone(run, now)
                if reason is not None:
                    run.state, run.finished, run.reason, row.changed = "interrupted", now, reason, now
                    _log(db, row, "img2tab", "run interrupted", now, {"run": run.number, "reason": reason})

    def _prepare(self) -> None:
        """The tables as this version knows them, whoever else opens the database at the same moment."""
        if self._is_file:
            _write_ahead(self._engine)
        with self._engine.begin() as connection:
            if _step(connection) == HEAD:
                return
        with self._writer.begin() as connection:                     # SQLite: nobody else writes from here on
            if not self._is_file:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(STEP_LOCK)))
            reached = _step(connection)
            if reached != HEAD:
                _take_steps(connection, reached, self._where)

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        """What a database says, as one sentence."""
        try:
            yield
        except sa.exc.TimeoutError as error:
            raise Img2TabError(
                f"Too many at once want the sessions in {self._where}. Wait a moment and try again."
            ) from error
        except (sa.exc.DBAPIError, sqlite3.Error) as error:
            raise Img2TabError(self._sentence(getattr(error, "orig", error))) from error

    def _sentence(self, error: BaseException | None) -> str:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        if not self._is_file:
            return (
                f"The database {self._where} cannot be used ({said}). Check that its server runs and that {VARIABLE} "
                "names it rightly."
            )
        code = getattr(error, "sqlite_errorname", "")
        if code.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
            return (
                f"The sessions in {self._where} are damaged ({said}). Put a copy of the file in its place, or move it "
                "away to begin anew."
            )
        if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return (
                f"The sessions in {self._where} were in use by another program for {PATIENCE} seconds. "
                "Wait until it has ended and try again."
            )
        return (
            f"The sessions in {self._where} cannot be read or written ({said}). Check the folder's permissions and "
            "the free space."
        )


# --- trees and exclusions, without a database ---------------------------------------------------------


def branches(runs: Sequence[RunInfo]) -> list[tuple[str, RunInfo]]:
    """(the lines of a drawn tree in front of it, the run), each run followed by its children, these by number."""
    below: dict[int | None, list[RunInfo]] = {}
    for run in sorted(runs, key=lambda run: -run.number):            # a stack gives the last one first
        below.setdefault(run.parent, []).append(run)
    found, waiting = [], [("", "", run) for run in below.get(None, [])]
    while waiting:
        lines, indent, run = waiting.pop()
        found.append((lines, run))
        for position, child in enumerate(below.get(run.id, [])):
            corner, onward = ("└─ ", "   ") if position == 0 else ("├─ ", "│  ")
            waiting.append((indent + corner, indent + onward, child))
    return found


def difference(one: RunInfo, other: RunInfo) -> Difference:
    """What sets two runs of a session apart, for a view side by side."""
    settings = {"classifier": (one.kind, other.kind), "seed": (one.seed, other.seed)}
    return Difference(
        only_one=tuple(sorted(set(one.excluded) - set(other.excluded))),
        only_other=tuple(sorted(set(other.excluded) - set(one.excluded))),
        settings={name: pair for name, pair in settings.items() if pair[0] != pair[1]},
        metrics={
            name: (value, other.metrics[name])
            for name, value in one.metrics.items() if _is_number(value) and _is_number(other.metrics.get(name))
        },
    )


def exclusions_json(session: SessionInfo, run: RunInfo, *, names: Mapping[int, str] | None = None) -> dict:
    """What a run excludes and all else that decides its training, to be shared as JSON.

    names: of concepts, by channel index; those of the excluded ones are told.
    """
    if run.session != session.id:
        raise Img2TabError(f"Run {run.number} is not of the session {session.name!r}. Choose one of its runs.")
    content = {
        "format": FORMAT, "backbone": session.backbone, "table": session.table, "table_key": session.table_key,
        "target": session.target, "classifier": run.kind, "seed": run.seed, "excluded": list(run.excluded),
    }
    told = {str(index): names[index] for index in run.excluded if index in names} if names else {}
    return content | ({"run_id": run.run_id} if run.run_id else {}) | ({"names": told} if told else {})


def read_exclusions(
    source: Path | bytes | Mapping,
    *,
    backbone: str | None = None,
    channels: int | None = None,
    table_key: str | None = None,
) -> Exclusions:
    """What `exclusions_json` gave: a file, its bytes, or the content itself.

    backbone and channels: whose channels, and how many there are, it must fit; table_key: of the table on which the
    run is to be repeated exactly. None leaves a check out.
    """
    content = _content(source)
    if content.get("format") != FORMAT:
        raise Img2TabError(
            f"Shared exclusions must have format {FORMAT}, got {content.get('format')!r}. Ask for a list saved by "
            "this version of Img2Tab."
        )
    texts = {name: content.get(name) for name in ("backbone", "table", "table_key", "target", "classifier")}
    for name, value in texts.items():
        if not isinstance(value, str) or not value:
            raise Img2TabError(f"Shared exclusions must say their {name}, got {value!r}. Ask for the whole list.")
    seed, names, run_id = content.get("seed"), content.get("names", {}), content.get("run_id", "")
    if not _is_whole(seed) or not 0 <= seed <= LARGEST_SEED:
        raise Img2TabError(f"The seed of shared exclusions must be from 0 to {LARGEST_SEED}, got {seed!r}.")
    found = tuple(_channels(content.get("excluded")))
    if backbone is not None and texts["backbone"] != backbone:
        raise Img2TabError(
            f"These exclusions are of channels of the backbone {texts['backbone']}, and {backbone} is in use, where "
            "the same numbers mean other concepts. Choose a table of that backbone."
        )
    if channels is not None and found and found[-1] >= channels:
        raise Img2TabError(
            f"Excluded channels must be below {channels}, the number there are, got {found[-1]}. Choose another list.")
    if table_key is not None and texts["table_key"] != table_key:
        raise Img2TabError(
            f"These exclusions were made on the table {texts['table']} as it was then, and this one holds other faces: "
            "the run cannot be repeated exactly. Choose that table, or only take over what is excluded."
        )
    if not isinstance(names, Mapping) or not all(
        str(index).isdecimal() and isinstance(name, str) for index, name in names.items()
    ) or not isinstance(run_id, str):
        raise Img2TabError("The names in shared exclusions must be texts by channel number. Ask for the list again.")
    return Exclusions(
        **texts, seed=seed, excluded=found, run_id=run_id, names={int(index): name for index, name in names.items()})


def _content(source: Path | bytes | Mapping) -> Mapping:
    """The JSON object in a file or in bytes."""
    if isinstance(source, Mapping):
        return source
    try:
        content = json.loads(source.read_bytes() if isinstance(source, Path) else source)
    except OSError as error:
        raise Img2TabError(f"{source} cannot be read ({error.strerror}). Choose another file.") from error
    except (ValueError, RecursionError) as error:
        raise Img2TabError(f"Shared exclusions must be a JSON file, got something else ({error}).") from error
    if not isinstance(content, dict):
        raise Img2TabError(f"Shared exclusions must be one JSON object, got a {type(content).__name__}.")
    return content


# --- what a person may write --------------------------------------------------------------------------


def _text(value: str, what: str) -> str:
    """Text that every database can hold."""
    if not isinstance(value, str) or _clean(value) != value:
        raise Img2TabError(f"{what} must be plain text without control characters. Type it again.")
    return value


def _clean(value: str) -> str:
    """Without what PostgreSQL cannot hold: NUL, and halves of surrogate pairs."""
    return value.replace("\0", "").encode("utf-8", "ignore").decode("utf-8")


def _line(value: str, what: str, *, longest: int | None = NAME_LENGTH) -> str:
    """One line that is not empty, its spaces tidied."""
    value = " ".join(_text(value, what).split())
    if not value or not value.isprintable() or (longest is not None and len(value) > longest):
        limit = f", at most {longest} characters" if longest else ""
        raise Img2TabError(f"{what} must be one line of text, not empty{limit}, got {len(value)} characters.")
    return value


def _who(value: str) -> str:
    return _line(value, "The name of who did it") if value else ""


def _channels(excluded: object) -> list[int]:
    """Channel indices, ascending, none twice."""
    values = list(excluded) if isinstance(excluded, Sequence | frozenset | set) else None
    if values is None or isinstance(excluded, str) or not all(_is_whole(index) and index >= 0 for index in values):
        raise Img2TabError(f"Excluded channels must be a list of whole numbers of at least 0, got {excluded!r:.60}.")
    return sorted({int(index) for index in values})


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plain(value: object):
    """A value as JSON knows it: NumPy's become Python's, sets and tuples lists, what is not finite null."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, set | frozenset):
        return _plain(sorted(value))
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _words(run: RunInfo, current: int | None) -> str:
    """A run on one line."""
    accuracy = run.metrics.get("accuracy")
    parts = [f"{run.number} {run.kind}", f"{len(run.excluded):,} excluded" if run.excluded else "nothing excluded"]
    parts += [f"accuracy {accuracy:.3f}"] if _is_number(accuracy) else []
    parts += [] if run.state == "done" else [run.state]
    parts += ["current"] if run.number == current else []
    return " · ".join(parts) + (f" — {' '.join(run.note.split())}" if run.note.strip() else "")


# --- processes ----------------------------------------------------------------------------------------


def _gone(run: _Run, now: datetime) -> str | None:
    """Why a running run is not training any more; None while it may be."""
    if run.host == _machine():
        return None if _is_alive(run.pid, run.process) else f"Its process {run.pid} is gone."
    if now - run.heartbeat > SILENCE:
        name, minutes = run.host.split(" ")[0], SILENCE.seconds // 60
        return f"Its process {run.pid} on {name} gave no sign of life for {minutes} minutes."
    return None


@lru_cache(maxsize=1)
def _machine() -> str:
    """Where a process number means this process: the host's name, since its last start, in this container."""
    boot, space = "", ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = os.readlink("/proc/self/ns/pid")
    return " ".join((socket.gethostname().replace(" ", "-"), boot, space))


def _process(pid: int) -> str:
    """When a process started, in the kernel's ticks, so that a number given again is noticed; "" where unknown."""
    try:
        # the name in brackets may hold anything, brackets too; field 3 is the state, field 22 the start
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return ""
    return "ended" if state in "ZX" else fields[18]                  # killed, its parent has not asked yet: ended


def _is_alive(pid: int, process: str) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass                                                         # somebody else's, but there
    found = _process(pid)
    return not found or not process or found == process


# --- the database -------------------------------------------------------------------------------------


def _url(url: str | None) -> URL:
    """The URL given, else the environment's, else a file in the visitor's folder; never shown where it is not one."""
    text = url or os.environ.get(VARIABLE)
    if not text:
        found = URL.create("sqlite", database=str(weights.home() / "sessions.db"))
    else:
        try:
            found = make_url(text)
        except (sa.exc.ArgumentError, ValueError) as error:
            raise Img2TabError(
                f"{VARIABLE} must be a URL such as postgresql+psycopg://user:password@host/name, got something else. "
                "Mend it, or remove it to keep sessions in a file."
            ) from error
    name = found.get_backend_name()
    if name not in ("sqlite", "postgresql"):
        raise Img2TabError(
            f"Sessions are kept in SQLite or PostgreSQL, got {name}. Name another database in {VARIABLE}.")
    if name == "sqlite" and found.database in (None, "", ":memory:"):
        raise Img2TabError("Sessions must outlive the process, got a database in memory. Name a file instead.")
    # SQLAlchemy's own choice of a driver differs between its versions
    return found.set(drivername="postgresql+psycopg") if found.drivername == "postgresql" else found


def _engine(url: URL) -> sa.Engine:
    """Connections to the database; none is made yet."""
    try:
        if url.get_backend_name() == "postgresql":
            arguments = {} if "connect_timeout" in url.query else {"connect_timeout": 10}
            return sa.create_engine(url, pool_pre_ping=True, connect_args=arguments)
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(url, connect_args={"timeout": PATIENCE})
    except ImportError as error:
        raise Img2TabError(
            f"The driver for {url.drivername} is not installed ({error.name or str(error).splitlines()[0]}). Run "
            "`pip install -e .[postgres]` in the project's folder."
        ) from error
    except sa.exc.NoSuchModuleError as error:
        raise Img2TabError(
            f"There is no driver {url.drivername}. Write postgresql+psycopg:// or sqlite:/// in {VARIABLE}."
        ) from error
    except OSError as error:
        raise Img2TabError(
            f"The folder of {url.database} cannot be made ({error.strerror}). Name another place in {VARIABLE} or "
            "IMG2TAB_HOME."
        ) from error

    @event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None                            # transactions are ours, see below
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def _begun(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("img2tab_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _write_ahead(engine: sa.Engine) -> None:
    """Readers and one writer do not wait for each other; the file remembers it."""
    deadline = time.monotonic() + PATIENCE
    connection = engine.raw_connection()
    try:
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:                # for this one SQLite does not wait by itself
                if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
    finally:
        connection.close()


def _step(connection: sa.Connection) -> str | None:
    """Which step a database has reached; None where it has no sessions yet."""
    if not sa.inspect(connection).has_table(STEP_TABLE):
        return None
    return connection.scalar(sa.select(sa.column("version_num")).select_from(sa.table(STEP_TABLE)))


_STEPPING = threading.Lock()                                         # Alembic keeps what it works on in its module


def _take_steps(connection: sa.Connection, reached: str | None, where: str) -> None:
    """`alembic upgrade head` within the caller's transaction."""
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config(attributes={"connection": connection, "version_table": STEP_TABLE})
    config.set_main_option("script_location", str(STEPS).replace("%", "%%"))
    known = {step.revision for step in ScriptDirectory.from_config(config).walk_revisions()}
    if reached is not None and reached not in known:
        raise Img2TabError(
            f"The sessions in {where} were written by a newer version of Img2Tab (step {reached}, this one knows "
            f"{HEAD}). Install that version, or name another database in {VARIABLE}."
        )
    with _STEPPING:
        command.upgrade(config, "head")


class _Moment(sa.types.TypeDecorator):
    """A moment in UTC; SQLite keeps no time zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class _Base(orm.DeclarativeBase):
    type_annotation_map = {  # noqa: RUF012 - the name SQLAlchemy reads
        str: sa.Text(), datetime: _Moment(), list: sa.JSON(), dict: sa.JSON(),
    }


class _Session(_Base):
    __tablename__ = "audit_session"
    __table_args__ = (sa.UniqueConstraint("name", name="audit_session_name"), {"sqlite_autoincrement": True})

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(NAME_LENGTH))
    owner: orm.Mapped[str] = orm.mapped_column(sa.String(NAME_LENGTH))
    backbone: orm.Mapped[str]
    table_name: orm.Mapped[str]
    table_key: orm.Mapped[str]
    target: orm.Mapped[str]
    sensitive: orm.Mapped[list]
    notes: orm.Mapped[str]
    current: orm.Mapped[int | None]                                  # a run's number
    created: orm.Mapped[datetime]
    changed: orm.Mapped[datetime]


class _Run(_Base):
    __tablename__ = "audit_run"
    __table_args__ = (
        sa.ForeignKeyConstraint(["session_id"], ["audit_session.id"], name="audit_run_of_session", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["parent_id"], ["audit_run.id"], name="audit_run_of_parent"),
        sa.UniqueConstraint("session_id", "number", name="audit_run_number"),
        sa.CheckConstraint(
            "state in ('running', 'done', 'failed', 'cancelled', 'interrupted')", name="audit_run_state"),
        sa.Index("audit_run_parent", "parent_id"),
        {"sqlite_autoincrement": True},
    )

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    session_id: orm.Mapped[int]
    parent_id: orm.Mapped[int | None]
    number: orm.Mapped[int]
    kind: orm.Mapped[str]
    seed: orm.Mapped[int] = orm.mapped_column(sa.BigInteger)
    excluded: orm.Mapped[list]
    metrics: orm.Mapped[dict]
    run_id: orm.Mapped[str]
    note: orm.Mapped[str]
    who: orm.Mapped[str] = orm.mapped_column(sa.String(NAME_LENGTH))
    state: orm.Mapped[str] = orm.mapped_column(sa.String(20))
    reason: orm.Mapped[str]
    started: orm.Mapped[datetime]
    finished: orm.Mapped[datetime | None]
    heartbeat: orm.Mapped[datetime]
    host: orm.Mapped[str]                                            # with pid and process: who trains it
    pid: orm.Mapped[int]
    process: orm.Mapped[str]


class _Entry(_Base):
    __tablename__ = "audit_log"
    __table_args__ = (sa.Index("audit_log_session", "session_id"), {"sqlite_autoincrement": True})

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    at: orm.Mapped[datetime]
    who: orm.Mapped[str] = orm.mapped_column(sa.String(NAME_LENGTH))
    session_id: orm.Mapped[int]                                      # no foreign key: the log outlives its session
    session_name: orm.Mapped[str] = orm.mapped_column(sa.String(NAME_LENGTH))
    what: orm.Mapped[str] = orm.mapped_column(sa.String(NAME_LENGTH))
    details: orm.Mapped[dict]


def _now(db: orm.Session) -> datetime:
    """By the one clock that all who share a database have: the server's, or this machine's for a file."""
    if db.get_bind().dialect.name == "postgresql":
        return db.scalar(sa.select(sa.func.clock_timestamp())).astimezone(UTC)
    return datetime.now(UTC)


def _id(record: SessionInfo | RunInfo | int) -> int:
    """0, which no row has, for a number that none can have."""
    number = record if isinstance(record, int) else record.id
    return number if 0 < number <= LARGEST_ID else 0


def _session(db: orm.Session, number: int, *, lock: bool = False) -> _Session:
    """A session's row; lock: nobody else changes the session before the transaction ends (SQLite: anything)."""
    row = db.get(_Session, number, with_for_update=lock or None)
    if row is None:
        raise Img2TabError("This session is not there any more. Choose another one.")
    return row


def _run(db: orm.Session, number: int) -> _Run:
    row = db.get(_Run, number)
    if row is None:
        raise Img2TabError("This run is not there any more: its session was deleted. Choose another one.")
    return row


def _flush_name(db: orm.Session, name: str) -> None:
    """Write now; the database is the one that knows whether a name is taken."""
    try:
        db.flush()
    except sa.exc.IntegrityError as error:
        raise Img2TabError(f"There is already a session named {name!r}. Choose another name.") from error


def _log(db: orm.Session, session: _Session, who: str, what: str, now: datetime, details: dict) -> _Entry:
    entry = _Entry(
        at=now, who=who or session.owner, session_id=session.id, session_name=session.name, what=what, details=details)
    db.add(entry)
    return entry


def _session_info(row: _Session) -> SessionInfo:
    return SessionInfo(
        id=row.id, name=row.name, owner=row.owner, backbone=row.backbone, table=row.table_name,
        table_key=row.table_key, target=row.target, sensitive=tuple(row.sensitive), notes=row.notes,
        current=row.current, created=row.created, changed=row.changed,
    )


def _run_info(row: _Run) -> RunInfo:
    return RunInfo(
        id=row.id, session=row.session_id, parent=row.parent_id, number=row.number, kind=row.kind, seed=row.seed,
        excluded=tuple(row.excluded), note=row.note, who=row.who, state=row.state, started=row.started,
        finished=row.finished, run_id=row.run_id, metrics=row.metrics, reason=row.reason,
    )


def _log_entry(row: _Entry) -> LogEntry:
    return LogEntry(
        id=row.id, at=row.at, who=row.who, session=row.session_id, session_name=row.session_name, what=row.what,
        details=row.details,
    )
