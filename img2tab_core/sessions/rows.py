"""The tables of audit sessions as SQLAlchemy maps them, and how a row is found, logged and turned into its record."""

from __future__ import annotations

from datetime import UTC, date, datetime

import sqlalchemy as sa
from sqlalchemy import orm

from img2tab_core.base import persons
from img2tab_core.base.errors import Img2TabError
from img2tab_core.classifiers.treatment import Treatment
from img2tab_core.sessions.bias_scenarios import RecordedScenario, Scenario
from img2tab_core.sessions.session_records import NAME_LENGTH, LogEntry, RunInfo, SessionInfo, State

LARGEST_ID = 2**31 - 1  # that PostgreSQL's integer holds


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


class Base(orm.DeclarativeBase):
    type_annotation_map = {  # noqa: RUF012 - the name SQLAlchemy reads
        str: sa.Text(),
        datetime: _Moment(),
        list: sa.JSON(),
        dict: sa.JSON(),
    }


class SessionRow(Base):
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
    current: orm.Mapped[int | None]  # a run's number
    created: orm.Mapped[datetime]
    changed: orm.Mapped[datetime]
    scenarios: orm.Mapped[int]  # how many numbers of scenarios were given
    metric_choice: orm.Mapped[dict]
    shared: orm.Mapped[list]  # addresses of who may open it beside its owner


class ScenarioRow(Base):
    __tablename__ = "audit_scenario"
    __table_args__ = (
        sa.ForeignKeyConstraint(
            ["session_id"], ["audit_session.id"], name="audit_scenario_of_session", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("session_id", "number", name="audit_scenario_number"),
        {"sqlite_autoincrement": True},
    )

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    session_id: orm.Mapped[int]
    number: orm.Mapped[int]
    at_risk: orm.Mapped[str]
    harm: orm.Mapped[str]
    words_of: orm.Mapped[str]
    measure: orm.Mapped[str] = orm.mapped_column(sa.String(40))
    largest: orm.Mapped[float] = orm.mapped_column(sa.Double)
    mitigation: orm.Mapped[str]
    review: orm.Mapped[date | None]
    who: orm.Mapped[str] = orm.mapped_column(sa.String(NAME_LENGTH))
    changed: orm.Mapped[datetime]

    def write(self, scenario: Scenario) -> None:
        """Take over what a person wrote down."""
        self.at_risk, self.harm, self.words_of = scenario.group, scenario.harm, scenario.words_of
        self.measure, self.largest = scenario.measure, scenario.largest
        self.mitigation, self.review = scenario.mitigation, scenario.review


class RunRow(Base):
    __tablename__ = "audit_run"
    __table_args__ = (
        sa.ForeignKeyConstraint(["session_id"], ["audit_session.id"], name="audit_run_of_session", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["parent_id"], ["audit_run.id"], name="audit_run_of_parent"),
        sa.UniqueConstraint("session_id", "number", name="audit_run_number"),
        sa.CheckConstraint(
            "state in ('running', 'done', 'failed', 'cancelled', 'interrupted')", name="audit_run_state"
        ),
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
    treatment: orm.Mapped[dict]
    metrics: orm.Mapped[dict]
    run_id: orm.Mapped[str]
    note: orm.Mapped[str]
    who: orm.Mapped[str] = orm.mapped_column(sa.String(NAME_LENGTH))
    state: orm.Mapped[State] = orm.mapped_column(sa.String(20))
    reason: orm.Mapped[str]
    started: orm.Mapped[datetime]
    finished: orm.Mapped[datetime | None]
    heartbeat: orm.Mapped[datetime]
    host: orm.Mapped[str]  # with pid and process: who trains it
    pid: orm.Mapped[int]
    process: orm.Mapped[str]


class LogRow(Base):
    __tablename__ = "audit_log"
    __table_args__ = (sa.Index("audit_log_session", "session_id"), {"sqlite_autoincrement": True})

    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    at: orm.Mapped[datetime]
    who: orm.Mapped[str] = orm.mapped_column(sa.String(NAME_LENGTH))
    session_id: orm.Mapped[int]  # no foreign key: the log outlives its session
    session_name: orm.Mapped[str] = orm.mapped_column(sa.String(NAME_LENGTH))
    what: orm.Mapped[str] = orm.mapped_column(sa.String(NAME_LENGTH))
    details: orm.Mapped[dict]


def clock(db: orm.Session) -> datetime:
    """The time by the clock that all who share a database have: the server's, or this machine's for a file; in UTC."""
    if db.get_bind().dialect.name == "postgresql":
        now: datetime = db.scalars(sa.select(sa.func.clock_timestamp())).one()
        return now.astimezone(UTC)
    return datetime.now(UTC)


def id_of(record: SessionInfo | RunInfo | int) -> int:
    """The id of a record, or an id itself; 0, which no row has, for a number that none can have."""
    number = record if isinstance(record, int) else record.id
    return number if 0 < number <= LARGEST_ID else 0


def find_session(db: orm.Session, number: int, *, lock: bool = False, of_anyone: bool = False) -> SessionRow:
    """A session's row; lock: nobody else changes the session before the transaction ends (SQLite: anything).

    of_anyone: whoever acts; for what ends by itself. Raises Img2TabError where there is no such session, or it is none
    of the person's who acts.
    """
    row = db.get(SessionRow, number, with_for_update=lock or None)
    if row is None or not (of_anyone or persons.may_see(row.owner, row.shared)):
        raise Img2TabError("This session is not there any more. Choose another.")
    return row


def find_run(db: orm.Session, number: int) -> RunRow:
    """A run's row by its id. Raises Img2TabError where there is no such run."""
    row = db.get(RunRow, number)
    if row is None:
        raise Img2TabError("This run is not there any more: its session was deleted. Choose another.")
    return row


def flush_name(db: orm.Session, name: str) -> None:
    """Write now: only the database knows whether a name is taken. Raises Img2TabError where it is."""
    try:
        db.flush()
    except sa.exc.IntegrityError as error:
        raise Img2TabError(f"There is already a session named {name!r}. Choose another name.") from error


def add_entry(db: orm.Session, session: SessionRow, who: str, what: str, now: datetime, details: dict) -> LogRow:
    """Add a line to the log, within the transaction; who: "" for the session's owner. details: anything JSON holds."""
    entry = LogRow(
        at=now, who=who or session.owner, session_id=session.id, session_name=session.name, what=what, details=details
    )
    db.add(entry)
    return entry


def session_info(row: SessionRow) -> SessionInfo:
    """The record of a session's row."""
    return SessionInfo(
        id=row.id,
        name=row.name,
        owner=row.owner,
        backbone=row.backbone,
        table=row.table_name,
        table_key=row.table_key,
        target=row.target,
        sensitive=tuple(row.sensitive),
        notes=row.notes,
        current=row.current,
        created=row.created,
        changed=row.changed,
        metric_choice=row.metric_choice,
        shared=tuple(row.shared),
    )


def recorded_scenario(row: ScenarioRow) -> RecordedScenario:
    """The record of a scenario's row."""
    scenario = Scenario(row.at_risk, row.harm, row.words_of, row.measure, row.largest, row.mitigation, row.review)
    return RecordedScenario(row.session_id, row.number, scenario, row.who, row.changed)


def run_info(row: RunRow) -> RunInfo:
    """The record of a run's row."""
    return RunInfo(
        id=row.id,
        session=row.session_id,
        parent=row.parent_id,
        number=row.number,
        kind=row.kind,
        seed=row.seed,
        excluded=tuple(row.excluded),
        note=row.note,
        who=row.who,
        state=row.state,
        started=row.started,
        finished=row.finished,
        run_id=row.run_id,
        metrics=row.metrics,
        reason=row.reason,
        treatment=Treatment.from_json(row.treatment),
    )


def log_entry(row: LogRow) -> LogEntry:
    """The record of a line of the log."""
    return LogEntry(
        id=row.id,
        at=row.at,
        who=row.who,
        session=row.session_id,
        session_name=row.session_name,
        what=row.what,
        details=row.details,
    )
