"""The database that sessions are kept in: opened, brought up to date, and its errors as single sentences.

The only file that opens it. It is `sessions.db` in a visitor's folder (SQLite), or what the URL in IMG2TAB_DATABASE
names (SQLite or PostgreSQL).
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event, orm
from sqlalchemy.engine import URL, make_url

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import home

VARIABLE = "IMG2TAB_DATABASE"  # the environment variable that names another database
PATIENCE = 30  # seconds to wait for others who write
HEAD = "0004"  # the last step in migrations/versions
STEPS = Path(__file__).parent / "migrations"
STEP_TABLE = "audit_step"  # which step a database has reached
STEP_LOCK = 5_250_926_132  # any number; PostgreSQL's name for "somebody takes steps now"


class Database:
    """The database of the sessions; what happens in the body of `reading` or `writing` is a single transaction.

    Raises Img2TabError, a single sentence, wherever the database cannot be used.
    """

    def __init__(self, url: str | None = None) -> None:
        """Open it, make it where there is none, and bring an older version up to date.

        url: None for what IMG2TAB_DATABASE names, else the file in the visitor's folder. Raises Img2TabError where the
        URL is none, its driver is not installed, or the database was written by a newer version.
        """
        self._url = _url(url)
        self._where = str(self._url.database) if self._is_file else self._url.render_as_string(hide_password=True)
        self.engine = _engine(self._url)
        # SQLite: whoever means to write says so at the start, or two that have read could not both go on to write
        self._writer = self.engine.execution_options(img2tab_writes=True)
        try:
            with self._sentences():
                self._prepare()
        except Img2TabError:
            self.close()
            raise

    def close(self) -> None:
        """Let the database go; the next call opens it again."""
        self.engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[orm.Session]:
        """A transaction that only reads."""
        with self._sentences(), orm.Session(self.engine) as db, db.begin():
            yield db

    @contextmanager
    def writing(self) -> Iterator[orm.Session]:
        """A transaction that may write."""
        with self._sentences(), orm.Session(self._writer) as db, db.begin():
            yield db

    @property
    def _is_file(self) -> bool:
        return self._url.get_backend_name() == "sqlite"

    def _prepare(self) -> None:
        """The tables as this version knows them, whoever else opens the database at the same moment."""
        if self._is_file:
            _write_ahead(self.engine)
        with self.engine.begin() as connection:
            if _step(connection) == HEAD:
                return
        with self._writer.begin() as connection:  # SQLite: nobody else writes from here on
            if not self._is_file:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(STEP_LOCK)))
            reached = _step(connection)
            if reached != HEAD:
                _take_steps(connection, reached, self._where)

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        """Turn what a database raises into an Img2TabError."""
        try:
            yield
        except sa.exc.TimeoutError as error:
            raise Img2TabError(
                f"Too many at once want the sessions in {self._where}. Wait a moment and try again."
            ) from error
        except (sa.exc.DBAPIError, sqlite3.Error) as error:
            raise Img2TabError(self._sentence(getattr(error, "orig", error))) from error

    def _sentence(self, error: BaseException | None) -> str:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        if not self._is_file:
            return (
                f"The database {self._where} cannot be used ({reason}). Check that its server runs and that {VARIABLE} "
                "names it rightly."
            )
        code = getattr(error, "sqlite_errorname", "")
        if code.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
            return (
                f"The sessions in {self._where} are damaged ({reason}). Put a copy of the file in its place, or move "
                "it away to begin anew."
            )
        if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return (
                f"The sessions in {self._where} were in use by another program for {PATIENCE} seconds. "
                "Wait until it has ended and try again."
            )
        return (
            f"The sessions in {self._where} cannot be read or written ({reason}). Check the folder's permissions and "
            "the free space."
        )


def _url(url: str | None) -> URL:
    """The URL given, else the environment's, else a file in the visitor's folder; never shown where it is no URL."""
    text = url or os.environ.get(VARIABLE)
    if not text:
        parsed = URL.create("sqlite", database=str(home() / "sessions.db"))
    else:
        try:
            parsed = make_url(text)
        except (sa.exc.ArgumentError, ValueError) as error:
            raise Img2TabError(
                f"{VARIABLE} must be a URL such as postgresql+psycopg://user:password@host/name, got something else. "
                "Mend it, or remove it to keep sessions in a file."
            ) from error
    name = parsed.get_backend_name()
    if name not in ("sqlite", "postgresql"):
        raise Img2TabError(
            f"Sessions are kept in SQLite or PostgreSQL, got {name}. Name another database in {VARIABLE}."
        )
    if name == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise Img2TabError("Sessions must outlive the process, got a database in memory. Name a file instead.")
    # SQLAlchemy's own choice of a driver differs between its versions
    return parsed.set(drivername="postgresql+psycopg") if parsed.drivername == "postgresql" else parsed


def _engine(url: URL) -> sa.Engine:
    """Connections to the database; none is made yet."""
    try:
        if url.get_backend_name() == "postgresql":
            arguments = {} if "connect_timeout" in url.query else {"connect_timeout": 10}
            return sa.create_engine(url, pool_pre_ping=True, connect_args=arguments, hide_parameters=True)
        Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)  # `_url` saw that it names a file
        engine = sa.create_engine(url, connect_args={"timeout": PATIENCE}, hide_parameters=True)
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
        connection.isolation_level = None  # transactions are ours, see below
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")  # what was said to be saved outlives a power cut, however built
        connection.execute("PRAGMA fullfsync = ON")  # on macOS, where the disk would else keep it in its own memory

    @event.listens_for(engine, "begin")
    def _begun(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("img2tab_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _write_ahead(engine: sa.Engine) -> None:
    """Readers and the writer do not wait for each other; the file remembers it."""
    deadline = time.monotonic() + PATIENCE
    connection = engine.raw_connection()
    try:
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:  # here SQLite does not wait by itself
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


_STEPPING = threading.Lock()  # Alembic keeps what it works on in its module


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
            f"The sessions in {where} were written by a newer version of Img2Tab (step {reached}, this version knows "
            f"{HEAD}). Install that version, or name another database in {VARIABLE}."
        )
    with _STEPPING:
        command.upgrade(config, "head")
