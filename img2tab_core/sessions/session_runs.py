"""What ties a session to its models: runs are trained into it, found again, repeated exactly, and set side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict

from img2tab_core.audits.auditor import Auditor
from img2tab_core.audits.changes import Change
from img2tab_core.audits.remedies import Remedies
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.files import home
from img2tab_core.base.jobs import Report
from img2tab_core.base.records import StyleTable
from img2tab_core.classifiers.runs import DEFAULT_KIND, Run, load_run
from img2tab_core.sessions.session_records import RunInfo, SessionInfo
from img2tab_core.sessions.shared_exclusions import Exclusions
from img2tab_core.sessions.store import Sessions

REPEATED = "repeated with seeds"  # what the log calls an answer to "is it real?"


class SessionRuns:
    """The runs of audit sessions with their models; thread-safe, nothing in it belongs to one visitor."""

    def __init__(self, auditor: Auditor, sessions: Sessions | None = None) -> None:
        """sessions: None for those of the visitor's folder, or of the database that the environment names."""
        self.auditor, self.studio = auditor, auditor.studio
        self.sessions = sessions or Sessions()
        self._lock = threading.Lock()
        self._models: dict[str, Run] = {}

    def begin(
        self,
        name: str,
        owner: str,
        table: StyleTable,
        target: str,
        sensitive: Sequence[str],
        notes: str = "",
        *,
        progress: Report | None = None,
    ) -> SessionInfo:
        """A new session whose first run is the target's standing one: nothing excluded."""
        session = self.sessions.create(name, owner, table, target, sensitive, notes)
        started = self.sessions.start_run(session, None, DEFAULT_KIND, 0, ())
        with self.sessions.holding(started):
            self._finished(session, started, self.studio.run(table, target, progress=progress))
        return self.sessions.open(session.id)

    def train(
        self,
        session: SessionInfo,
        parent: RunInfo | None,
        *,
        kind: str = DEFAULT_KIND,
        excluded: frozenset[int] = frozenset(),
        seed: int = 0,
        note: str = "",
        who: str = "",
        on_quick: Callable[[Run], None] | None = None,
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> tuple[RunInfo, Run]:
        """Train a child of a run; killed meanwhile, the session opens again and says that it was interrupted.

        on_quick: gets a first answer on the way, see `Studio.train_live`.
        """
        table = self.table(session)
        started = self.sessions.start_run(session, parent, kind, seed, excluded, note, who=who)
        with self.sessions.holding(started):
            told = {"kind": kind, "excluded": excluded, "seed": seed, "progress": progress, "cancelled": cancelled}
            run = (
                self.studio.train(table, session.target, **told)
                if on_quick is None
                else self.studio.trainer.train_live(table, session.target, on_quick=on_quick, **told)
            )
            if cancelled is not None and cancelled():
                raise Cancelled("The training was cancelled; the session's other runs are unchanged.")
            self.studio.trainer.keep(run)
            return self._finished(session, started, run), run

    def table(self, session: SessionInfo) -> StyleTable:
        """The table of a session, the very one it was begun with."""
        table = self.studio.table(session.table)
        if table.key != session.table_key:
            raise Img2TabError(
                f"The table {session.table!r} holds other faces now than when the session {session.name!r} was begun. "
                "Build or import that table again as it was, or begin a new session."
            )
        return table

    def model(self, session: SessionInfo, run: RunInfo) -> Run:
        """The trained run itself, from its files."""
        if run.state != "done":
            raise Img2TabError(f"Run {run.number} of {session.name!r} has no model: it is {run.state}. Choose another.")
        with self._lock:
            if run.run_id not in self._models:
                try:
                    self._models[run.run_id] = load_run(home() / "runs" / run.run_id)
                except Img2TabError as error:
                    raise Img2TabError(
                        f"The model of run {run.number} of {session.name!r} is not in this folder, or is damaged. "
                        "Train it again exactly: the session says how."
                    ) from error
            return self._models[run.run_id]

    def has_model(self, session: SessionInfo, run: RunInfo) -> bool:
        """Whether `model` would give it."""
        try:
            self.model(session, run)
        except Img2TabError:
            return False
        return True

    def again(
        self,
        session: SessionInfo,
        run: RunInfo,
        *,
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Run:
        """Train a run of a session once more, to the same model; for a folder that has lost its files."""
        found = self.studio.train(
            self.table(session),
            session.target,
            kind=run.kind,
            excluded=frozenset(run.excluded),
            seed=run.seed,
            progress=progress,
            cancelled=cancelled,
        )
        if run.run_id and found.id != run.run_id:
            raise Img2TabError(
                f"Run {run.number} cannot be repeated exactly: it was trained with another version of its library, and "
                "this one gives another model. Install the versions of that time, or train a new run."
            )
        self.studio.trainer.keep(found)
        with self._lock:
            self._models[found.id] = found
        return found

    def repeat(
        self,
        session: SessionInfo,
        shared: Exclusions,
        parent: RunInfo | None,
        *,
        who: str = "",
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> tuple[RunInfo, bool | None]:
        """A shared exclusion list as a run of this session, and whether it is the same model, by its id.

        None where the list does not say which run it came from. It must be of this session's table and target.
        """
        if shared.table_key != session.table_key or shared.target != session.target:
            raise Img2TabError(
                f"This list was made on the table {shared.table} for {shared.target}; the session {session.name!r} is "
                f"about {session.target} on {session.table}"
                + (" as it is now" if shared.table == session.table else "")
                + ". Open a session of that table and target, or take over only what is excluded."
            )
        info, run = self.train(
            session,
            parent,
            kind=shared.classifier,
            excluded=frozenset(shared.excluded),
            seed=shared.seed,
            note="Repeated from a shared list.",
            who=who,
            progress=progress,
            cancelled=cancelled,
        )
        return info, run.id == shared.run_id if shared.run_id else None

    # --- is it real? ---------------------------------------------------------------------------

    def repeated(
        self,
        session: SessionInfo,
        before: RunInfo,
        after: RunInfo,
        *,
        seeds: int = 5,
        who: str = "",
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> dict[str, Change]:
        """`Auditor.repeated` for two runs of a session; the answer is kept in its log, for the report."""
        models = [self.model(session, run) for run in (before, after)]
        found = self.auditor.repeated(*models, session.sensitive, seeds=seeds, progress=progress, cancelled=cancelled)
        self.sessions.record(
            session,
            who,
            REPEATED,
            {
                "before": before.number,
                "after": after.number,
                "seeds": seeds,
                "changes": {name: change.to_json() for name, change in found.items()},
            },
        )
        return found

    def remedies(
        self,
        session: SessionInfo,
        run: RunInfo,
        sensitive: str,
        *,
        seeds: int = 3,
        who: str = "",
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Remedies:
        """`Auditor.remedies` for a run of a session; the answer is kept in its log, for the report."""
        found = self.auditor.remedies(
            self.model(session, run), sensitive, seeds=seeds, progress=progress, cancelled=cancelled
        )
        self.sessions.record(session, who, "compared remedies", {"run": run.number, "remedies": found.to_json()})
        return found

    def answers(self, session: SessionInfo) -> dict[tuple[int, int], dict[str, Change]]:
        """What `repeated` found so far: (number before, number after) -> changes; the latest of each pair."""
        found = {}
        for entry in self.sessions.log(session):
            if entry.what == REPEATED:
                said = entry.details
                found[said["before"], said["after"]] = {
                    name: Change.from_json(change) for name, change in said["changes"].items()
                }
        return found

    def _finished(self, session: SessionInfo, started: RunInfo, run: Run) -> RunInfo:
        """Ended with what was measured: the metrics, and the gaps between the session's groups."""
        measured = asdict(run.metrics) | self.auditor.gaps(run, session.sensitive)
        measured["accuracy"] = run.metrics.accuracy  # on all test faces, as its interval
        with self._lock:
            self._models[run.id] = run
        return self.sessions.finish_run(started, run.id, measured)
