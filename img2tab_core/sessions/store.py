"""Audit sessions in a database: named, saved, resumable, a tree of runs with notes, and a log that only grows.

Every function is a single transaction, safe from several threads and processes at once; only frozen records leave
this file.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from img2tab_core import tables
from img2tab_core.audits.metric_choice import MetricChoice
from img2tab_core.base import persons
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.records import StyleTable
from img2tab_core.classifiers.treatment import UNTREATED, Treatment
from img2tab_core.sessions import run_process
from img2tab_core.sessions.bias_scenarios import RecordedScenario, Scenario, checked_scenario
from img2tab_core.sessions.database import Database
from img2tab_core.sessions.rows import (
    LogRow,
    RunRow,
    ScenarioRow,
    SessionRow,
    add_entry,
    clock,
    find_run,
    find_session,
    flush_name,
    id_of,
    log_entry,
    recorded_scenario,
    run_info,
    session_info,
)
from img2tab_core.sessions.session_records import (
    LARGEST_SEED,
    LogEntry,
    RunInfo,
    SessionInfo,
    State,
    checked_channels,
    checked_line,
    checked_text,
    checked_who,
    clean_text,
    is_seed,
    json_value,
)
from img2tab_core.sessions.tree import branches, drawn

BEAT = 20.0  # seconds between heartbeats, see `Sessions.holding`


class Sessions:
    """The sessions of one database; `who` is the session's owner wherever it is left out.

    A session is named by its record or its id, a run likewise. Every method raises Img2TabError where the session or
    run is not there, or the database cannot be used.
    """

    def __init__(self, url: str | None = None) -> None:
        """Open the database, make it where there is none, and bring an older version up to date; see `Database`."""
        self._database = Database(url)

    def close(self) -> None:
        """Let the database go; the next call opens it again."""
        self._database.close()

    # --- sessions ------------------------------------------------------------------------------

    def create(
        self, name: str, owner: str, table: StyleTable, target: str, sensitive: Sequence[str], notes: str = ""
    ) -> SessionInfo:
        """A new session; sensitive: one or two other targets of the table, which form the groups.

        Raises Img2TabError where the name is taken or no single line of 1 to 80 characters, or a label is none of the
        table's.
        """
        persons.must_be_auditor("begin a session")
        owner = checked_who(owner) or owner
        name, owner = checked_line(name, "A session's name"), checked_line(owner, "A session's owner")
        notes = checked_text(notes, "Notes")
        sensitive = [sensitive] if isinstance(sensitive, str) else list(sensitive)
        for label in (target, *sensitive):
            tables.target_of(table, label)
        if len(sensitive) not in (1, 2) or len({target, *sensitive}) != 1 + len(sensitive):
            raise Img2TabError(
                "The groups of a session are formed by one or two different labels, other than what is predicted "
                f"({target}), got {', '.join(sensitive) or 'none'}. Choose again."
            )
        with self._database.writing() as db:
            now = clock(db)
            row = SessionRow(
                name=name,
                owner=owner,
                backbone=table.backbone,
                table_name=table.name,
                table_key=table.key,
                target=target,
                sensitive=sensitive,
                notes=notes,
                current=None,
                created=now,
                changed=now,
                scenarios=0,
                metric_choice={},
                shared=[],
            )
            db.add(row)
            flush_name(db, name)
            add_entry(db, row, owner, "created", now, {"table": table.name, "target": target, "sensitive": sensitive})
            return session_info(row)

    def list(self) -> tuple[SessionInfo, ...]:
        """Every session that the person who acts may see, the latest changed first."""
        with self._database.reading() as db:
            rows = db.scalars(sa.select(SessionRow).order_by(SessionRow.changed.desc(), SessionRow.id.desc()))
            return tuple(session_info(row) for row in rows if persons.may_see(row.owner, row.shared))

    def open(self, name_or_id: str | int) -> SessionInfo:
        """A session by its name (text) or its id (number); runs whose process is gone are marked interrupted first."""
        with self._database.reading() as db:
            if isinstance(name_or_id, str):
                row = db.scalar(sa.select(SessionRow).where(SessionRow.name == " ".join(name_or_id.split())))
            else:
                row = db.get(SessionRow, id_of(name_or_id))
            if row is None or not persons.may_see(row.owner, row.shared):
                known = [session.name for session in self.list()[:5]]
                choice = (
                    f"Choose one of: {', '.join(known)}." if known else "There is none yet: create a session first."
                )
                raise Img2TabError(f"There is no session {name_or_id!r}. {choice}")
            row_id = row.id
        self._give_up_the_dead(row_id)
        with self._database.reading() as db:
            return session_info(find_session(db, row_id))

    def rename(self, session: SessionInfo | int, name: str, *, who: str = "") -> SessionInfo:
        """Give a session another name."""
        name, who = checked_line(name, "A session's name"), checked_who(who)
        with self._changing(session) as (db, row, now):
            _must_own(row)
            before, row.name = row.name, name
            flush_name(db, name)
            add_entry(db, row, who, "renamed", now, {"before": before, "after": name})
            return session_info(row)

    def set_notes(self, session: SessionInfo | int, notes: str, *, who: str = "") -> SessionInfo:
        """Replace a session's notes; the log keeps every version."""
        notes, who = checked_text(notes, "Notes"), checked_who(who)
        with self._changing(session) as (db, row, now):
            row.notes = notes
            add_entry(db, row, who, "notes", now, {"notes": notes})
            return session_info(row)

    def share(self, session: SessionInfo | int, address: str, *, who: str = "") -> SessionInfo:
        """Let another person open the session, by the e-mail address they sign in with; a viewer may look only.

        Raises Img2TabError where it is no address, or the person who acts is not the owner.
        """
        address, who = checked_line(address, "An address").lower(), checked_who(who)
        if "@" not in address[1:-1]:
            raise Img2TabError(
                f"A session is shared with the address somebody signs in with, such as ann@lab.example, got {address}."
            )
        with self._changing(session) as (db, row, now):
            _must_own(row)
            if address not in (row.owner, *row.shared):
                row.shared = [*row.shared, address]
                add_entry(db, row, who, "shared", now, {"with": address})
            return session_info(row)

    def unshare(self, session: SessionInfo | int, address: str, *, who: str = "") -> SessionInfo:
        """Take back what `share` gave. Raises Img2TabError where it is not shared with this address, or by another."""
        who = checked_who(who)
        with self._changing(session) as (db, row, now):
            _must_own(row)
            if address.lower() not in row.shared:
                whom = ", ".join(row.shared) or "nobody"
                raise Img2TabError(f"The session is not shared with {address}, but with {whom}.")
            row.shared = [other for other in row.shared if other != address.lower()]
            add_entry(db, row, who, "no longer shared", now, {"with": address.lower()})
            return session_info(row)

    def choose_metric(self, session: SessionInfo | int, choice: MetricChoice, *, who: str = "") -> SessionInfo:
        """Keep the metric that the five questions led to, in place of an earlier one; the log keeps every choice."""
        who = checked_who(who)
        with self._changing(session) as (db, row, now):
            row.metric_choice = choice.to_json() | {"who": who or row.owner, "at": now.isoformat()}
            add_entry(db, row, who, "chose a metric", now, {"metric": choice.metric, "answers": dict(choice.answers)})
            return session_info(row)

    # --- the bias record -----------------------------------------------------------------------

    def scenarios(self, session: SessionInfo | int) -> tuple[RecordedScenario, ...]:
        """The bias record of a session, by number."""
        with self._database.reading() as db:
            row = find_session(db, id_of(session))
            rows = db.scalars(
                sa.select(ScenarioRow).where(ScenarioRow.session_id == row.id).order_by(ScenarioRow.number)
            )
            return tuple(map(recorded_scenario, rows))

    def add_scenario(self, session: SessionInfo | int, scenario: Scenario, *, who: str = "") -> RecordedScenario:
        """Add to the bias record of a session. Raises Img2TabError as `checked_scenario` does."""
        who = checked_who(who)
        with self._changing(session) as (db, row, now):
            scenario = checked_scenario(scenario, today=now.date())
            row.scenarios += 1
            added = ScenarioRow(session_id=row.id, number=row.scenarios, who=who or row.owner, changed=now)
            added.write(scenario)
            db.add(added)
            add_entry(db, row, who, "recorded a scenario", now, {"scenario": added.number} | scenario.in_log())
            return recorded_scenario(added)

    def change_scenario(
        self, session: SessionInfo | int, number: int, scenario: Scenario, *, who: str = ""
    ) -> RecordedScenario:
        """Write a scenario anew; the log keeps every version. Raises Img2TabError where there is no such number, and as
        `checked_scenario` does."""
        who = checked_who(who)
        with self._changing(session) as (db, row, now):
            changed = _find_scenario(db, row, number)
            before = recorded_scenario(changed).scenario
            unmoved = scenario.review == before.review  # a day that has come may stay
            scenario = checked_scenario(scenario, today=before.review or now.date() if unmoved else now.date())
            changed.write(scenario)
            changed.who, changed.changed = who or row.owner, now
            add_entry(db, row, who, "changed a scenario", now, {"scenario": number} | scenario.in_log())
            return recorded_scenario(changed)

    def remove_scenario(self, session: SessionInfo | int, number: int, *, who: str = "") -> None:
        """Take a scenario out of the bias record; the log keeps what it said."""
        who = checked_who(who)
        with self._changing(session) as (db, row, now):
            removed = _find_scenario(db, row, number)
            kept = {"scenario": number} | recorded_scenario(removed).scenario.in_log()
            db.delete(removed)
            add_entry(db, row, who, "removed a scenario", now, kept)

    def delete(self, session: SessionInfo | int, *, who: str = "") -> None:
        """Remove a session and its runs; the log keeps what was done in it.

        Raises Img2TabError while any of its runs is training, and where the person who acts is not its owner.
        """
        who = checked_who(who)
        self._give_up_the_dead(id_of(session))
        with self._changing(session) as (db, row, now):
            _must_own(row)
            runs = db.scalars(sa.select(RunRow).where(RunRow.session_id == row.id).order_by(RunRow.number)).all()
            for run in runs:
                if run.state == "running":
                    raise Img2TabError(
                        f"Run {run.number} of the session {row.name!r} is still training. Cancel it, then delete."
                    )
            add_entry(db, row, who, "deleted", now, {"runs": [run.run_id or None for run in runs]})
            db.flush()
            db.execute(sa.delete(SessionRow).where(SessionRow.id == row.id))  # its runs go with it

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
        treatment: Treatment = UNTREATED,
        who: str = "",
    ) -> RunInfo:
        """A run that this process trains now; parent: the run it was changed from, None for a first run.

        excluded: channel indices, at least 0. Raises Img2TabError where a setting is none that can be trained, or the
        parent is of another session.
        """
        kind, note, who = checked_line(kind, "A classifier's kind"), checked_text(note, "A note"), checked_who(who)
        channels = checked_channels(excluded)
        if not is_seed(seed):
            raise Img2TabError(f"A seed must be a whole number from 0 to {LARGEST_SEED}, got {seed!r}.")
        pid = os.getpid()
        with self._changing(session) as (db, row, now):
            above = None if parent is None else find_run(db, id_of(parent))
            if above is not None and above.session_id != row.id:
                raise Img2TabError(
                    f"A run's parent must be in the same session, got run {above.number} of another. "
                    f"Choose a run of {row.name!r}."
                )
            last = db.scalar(sa.select(sa.func.max(RunRow.number)).where(RunRow.session_id == row.id))
            run = RunRow(
                session_id=row.id,
                parent_id=above and above.id,
                number=(last or 0) + 1,
                kind=kind,
                seed=int(seed),
                excluded=channels,
                treatment=treatment.to_json(),
                metrics={},
                run_id="",
                note=note,
                who=who or row.owner,
                state="running",
                reason="",
                started=now,
                finished=None,
                heartbeat=now,
                host=run_process.machine(),
                pid=pid,
                process=run_process.started(pid),
            )
            db.add(run)
            db.flush()
            add_entry(
                db,
                row,
                who,
                "run started",
                now,
                {
                    "run": run.number,
                    "parent": above and above.number,
                    "classifier": kind,
                    "seed": int(seed),
                    "excluded": len(channels),
                    **treatment.to_json(),
                    "note": note,
                },
            )
            return run_info(run)

    def heartbeat(self, run: RunInfo | int) -> None:
        """Say that a run is still training; for a process on another machine this is the only sign of life."""
        with self._database.writing() as db:
            db.execute(
                sa.update(RunRow).where(RunRow.id == id_of(run), RunRow.state == "running").values(heartbeat=clock(db))
            )

    @contextmanager
    def holding(self, run: RunInfo | int) -> Iterator[None]:
        """The body trains and ends with `finish_run`; heartbeats go on beside it.

        A body that raises ends the run, as cancelled or as failed, and the exception goes on; a body that ends without
        a result has failed.
        """
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(BEAT):
                with suppress(Img2TabError):  # a database away for a moment must not cost a run
                    self.heartbeat(run)

        beating = threading.Thread(target=beat, name="img2tab-heartbeat", daemon=True)
        beating.start()
        try:
            yield
        except (Cancelled, KeyboardInterrupt):
            with suppress(Img2TabError):  # the first exception is what a person must read
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

        Also a run that was given up as interrupted and came back after all, from a machine that slept for instance.
        Raises Img2TabError where it has ended already.
        """
        run_id = checked_line(run_id, "A run's id", longest=None)
        return self._end(run, "done", run_id=run_id, metrics=json_value(metrics))

    def fail_run(self, run: RunInfo | int, reason: str) -> RunInfo:
        """A run whose training failed. Raises Img2TabError where it has ended already."""
        return self._end(run, "failed", reason=reason)

    def cancel_run(self, run: RunInfo | int, *, who: str = "") -> RunInfo:
        """A run whose training a person stopped. Raises Img2TabError where it has ended already."""
        persons.must_be_auditor("cancel a training")
        with self._database.reading() as db:
            find_session(db, find_run(db, id_of(run)).session_id)
        return self._end(run, "cancelled", who=checked_who(who))

    def restore(self, session: SessionInfo | int, run: RunInfo | int, *, who: str = "") -> SessionInfo:
        """Go back to a run: it is the session's current run, and what comes next may be its child.

        Raises Img2TabError where it is not done, or of another session.
        """
        who = checked_who(who)
        with self._changing(session) as (db, row, now):
            run_row = find_run(db, id_of(run))
            if run_row.session_id != row.id or run_row.state != "done":
                why = f"is {run_row.state}" if run_row.session_id == row.id else "is of another session"
                raise Img2TabError(
                    f"Only a run of the session that is done can be restored, run {run_row.number} {why}."
                )
            before, row.current = row.current, run_row.number
            add_entry(db, row, who, "restored", now, {"before": before, "run": run_row.number})
            return session_info(row)

    def run(self, session: SessionInfo | int, number: int) -> RunInfo:
        """A run by its number within the session."""
        runs = {run.number: run for run in self.runs(session)}
        if number not in runs:
            choice = f"Choose one from 1 to {len(runs)}." if runs else "It has none yet."
            raise Img2TabError(f"The session has no run {number}. {choice}")
        return runs[number]

    def runs(self, session: SessionInfo | int) -> tuple[RunInfo, ...]:
        """Every run in the order of the tree: each followed by its children, these by number.

        Runs whose process is gone are marked interrupted first.
        """
        self._give_up_the_dead(id_of(session))
        with self._database.reading() as db:
            row = find_session(db, id_of(session))
            rows = db.scalars(sa.select(RunRow).where(RunRow.session_id == row.id).order_by(RunRow.number))
            return tuple(run for _, run in branches(tuple(map(run_info, rows))))

    def children(self, run: RunInfo | int) -> tuple[RunInfo, ...]:
        """The runs that were changed from this one, by number."""
        with self._database.reading() as db:
            row = find_run(db, id_of(run))
            find_session(db, row.session_id)
            rows = db.scalars(sa.select(RunRow).where(RunRow.parent_id == row.id).order_by(RunRow.number))
            return tuple(map(run_info, rows))

    def tree_text(self, session: SessionInfo | int) -> str:
        """The runs as a drawn tree, a line each; the current run is marked."""
        runs = self.runs(session)
        with self._database.reading() as db:
            current = find_session(db, id_of(session)).current
        return drawn(runs, current)

    # --- the log -------------------------------------------------------------------------------

    def log(self, session: SessionInfo | int | None = None) -> tuple[LogEntry, ...]:
        """What was done, oldest first: in a session, also a deleted one, or in all of them.

        Where people sign in, only of sessions that are there and that the person who acts may see.
        """
        query = sa.select(LogRow).order_by(LogRow.id)
        if session is not None:
            query = query.where(LogRow.session_id == id_of(session))
        if persons.acting() is not None:
            query = query.where(LogRow.session_id.in_([seen.id for seen in self.list()]))
        with self._database.reading() as db:
            return tuple(map(log_entry, db.scalars(query)))

    def record(self, session: SessionInfo | int, who: str, what: str, details: Mapping | None = None) -> LogEntry:
        """Add to the log; what: a few words such as "named a concept", details: anything JSON can hold.

        Numbers that are not finite become null.
        """
        what, who = checked_line(what, "What was done"), checked_who(who)
        persons.must_be_auditor("change a session")
        with self._database.writing() as db:
            row = find_session(db, id_of(session))
            entry = add_entry(db, row, who, what, clock(db), json_value(details or {}))
            db.flush()
            return log_entry(entry)

    # --- inside --------------------------------------------------------------------------------

    @contextmanager
    def _changing(self, session: SessionInfo | int) -> Iterator[tuple[orm.Session, SessionRow, datetime]]:
        """(the transaction, the session's row, now); the row is locked: nobody else changes the session meanwhile."""
        persons.must_be_auditor("change a session")
        with self._database.writing() as db:
            row = find_session(db, id_of(session), lock=True)
            row.changed = clock(db)
            yield db, row, row.changed

    def _end(
        self,
        run: RunInfo | int,
        state: State,
        *,
        run_id: str = "",
        metrics: dict[str, Any] | None = None,
        reason: str = "",
        who: str = "",
        once: bool = False,
    ) -> RunInfo:
        """A run's end; once: a run that has ended already stays as it is, instead of a sentence that says so."""
        with self._database.reading() as db:
            session = find_run(db, id_of(run)).session_id  # the session is locked before its runs, always
        with self._database.writing() as db:
            row = find_session(db, session, lock=True, of_anyone=True)  # a share may have been taken back meanwhile
            now = clock(db)
            run_row = find_run(db, id_of(run))
            if run_row.state not in ("running", "interrupted"):
                if once:
                    return run_info(run_row)
                raise Img2TabError(
                    f"Run {run_row.number} has ended already, it is {run_row.state}. Start another to train again."
                )
            run_row.state, run_row.finished, run_row.reason, row.changed = state, now, clean_text(reason), now
            details: dict[str, Any] = {"run": run_row.number}
            if state == "done":
                run_row.run_id, run_row.metrics, row.current = run_id, metrics or {}, run_row.number
                details["run_id"] = run_id
            elif reason:
                details["reason"] = run_row.reason
            add_entry(db, row, who or run_row.who, f"run {state}", now, details)
            return run_info(run_row)

    def _give_up_the_dead(self, session: int) -> None:
        """Mark the running runs of a session whose process is gone; reads only where there is none."""
        running = sa.select(RunRow).where(RunRow.session_id == session, RunRow.state == "running")
        running = running.order_by(RunRow.number)
        with self._database.reading() as db:
            now = clock(db)
            if all(run_process.gone(run, now) is None for run in db.scalars(running)):
                return
        with self._database.writing() as db:
            row = find_session(db, session, lock=True)
            now = clock(db)
            for run in db.scalars(running):  # again: somebody else may have been quicker
                reason = run_process.gone(run, now)
                if reason is not None:
                    run.state, run.finished, run.reason, row.changed = "interrupted", now, reason, now
                    add_entry(db, row, "img2tab", "run interrupted", now, {"run": run.number, "reason": reason})


def _must_own(session: SessionRow) -> None:
    """Raises Img2TabError where people sign in, and the one who acts did not begin this session."""
    person = persons.acting()
    if person is not None and person.name != session.owner:
        raise Img2TabError(f"Only {session.owner}, who began the session, may do this. Ask there.")


def _find_scenario(db: orm.Session, session: SessionRow, number: int) -> ScenarioRow:
    """A scenario of a session by its number. Raises Img2TabError where there is none."""
    rows = db.scalars(sa.select(ScenarioRow).where(ScenarioRow.session_id == session.id)).all()
    for row in rows:
        if row.number == number:
            return row
    known = ", ".join(str(row.number) for row in sorted(rows, key=lambda row: row.number))
    raise Img2TabError(
        f"The session has no scenario {number}. " + (f"Choose one of: {known}." if known else "It has none yet.")
    )
