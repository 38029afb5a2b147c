"""What ties a session to its models: runs are trained into it, found again, repeated, and set side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

import numpy as np

from img2tab_core import tables
from img2tab_core.audits.auditor import Auditor
from img2tab_core.audits.changes import Change
from img2tab_core.audits.remedies import Remedies
from img2tab_core.base import persons
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.jobs import Report
from img2tab_core.base.once import Once
from img2tab_core.base.records import StyleTable
from img2tab_core.classifiers.runs import DEFAULT_KIND, OWN_KIND, Run, card_run_id_of, has_model, open_kept
from img2tab_core.classifiers.treatment import UNTREATED, Treatment
from img2tab_core.sessions import nearness
from img2tab_core.sessions.nearness import Nearness, Repetition
from img2tab_core.sessions.session_records import RunInfo, SessionInfo
from img2tab_core.sessions.shared_exclusions import Exclusions
from img2tab_core.sessions.store import Sessions

REPEATED = "repeated with seeds"  # what the log calls an answer to "is it real?"
TAKEN_IN = "taken in, trained before the session was begun"
AGAIN = "trained again"  # and a run of a graphics card that was compared with the first
MODELS = 32  # that stay open; the default kind takes 1.4 MB each, and 6 ms to open
NOTHING = "There is nothing to compare it with: neither the first model is here, nor what was measured of it."
_CARD = "trained on a graphics card, where no training comes out the same twice"
_Answers = tuple[np.ndarray, np.ndarray]  # labels int (n,) and probabilities float64 (n,) of the test faces


class SessionRuns:
    """The runs of audit sessions with their models; thread-safe, nothing in it belongs to one visitor."""

    def __init__(self, auditor: Auditor, sessions: Sessions | None = None) -> None:
        """sessions: None for those of the visitor's folder, or of the database that the environment names."""
        self.auditor, self.studio = auditor, auditor.studio
        self.sessions = sessions or Sessions()
        self._models: Once[str, Run] = Once(MODELS)
        self._damaged: set[str] = set()  # ids of runs whose files are there and could not be opened

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
        """A new session whose first run is the target's standing one: nothing excluded; or the person's own classifier.

        Raises Img2TabError where the name is taken, or a label is none of the table's; see `Sessions.create`.
        """
        session = self.sessions.create(name, owner, table, target, sensitive, notes)
        kind = OWN_KIND if target in table.answered else DEFAULT_KIND
        started = self.sessions.start_run(session, None, kind, 0, ())
        with self.sessions.holding(started):
            run = self.studio.run(table, target, progress=progress)
            if run.own:  # others are kept as they are trained
                self.studio.trainer.keep(run)
            self._finished(session, started, run)
        return self.sessions.open(session.id)

    def train(
        self,
        session: SessionInfo,
        parent: RunInfo | None,
        *,
        kind: str = DEFAULT_KIND,
        excluded: frozenset[int] = frozenset(),
        treatment: Treatment = UNTREATED,
        seed: int = 0,
        note: str = "",
        who: str = "",
        on_quick: Callable[[Run], None] | None = None,
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> tuple[RunInfo, Run]:
        """Train a child of a run; killed meanwhile, the session opens again and says that it was interrupted.

        on_quick: gets a first answer on the way, see `Trainer.train_live`.
        Raises Cancelled where `cancelled` says so, and Img2TabError where the table is another one now, or a setting
        is none that can be trained.
        """
        table = self.table(session)
        started = self.sessions.start_run(session, parent, kind, seed, excluded, note, treatment=treatment, who=who)
        with self.sessions.holding(started):
            if on_quick is None:
                run = self.studio.train(
                    table,
                    session.target,
                    kind=kind,
                    excluded=excluded,
                    treatment=treatment,
                    seed=seed,
                    progress=progress,
                    cancelled=cancelled,
                )
            else:
                run = self.studio.trainer.train_live(
                    table,
                    session.target,
                    kind=kind,
                    excluded=excluded,
                    treatment=treatment,
                    seed=seed,
                    on_quick=on_quick,
                    progress=progress,
                    cancelled=cancelled,
                )
            if cancelled is not None and cancelled():
                raise Cancelled("The training was cancelled; the session's other runs are unchanged.")
            self.studio.trainer.keep(run)
            return self._finished(session, started, run), run

    def take_in(
        self, session: SessionInfo, parent: RunInfo | None, run: Run, *, note: str = "", who: str = ""
    ) -> RunInfo:
        """A run that was trained before the session was begun, as a child of another.

        Nothing is trained: it is measured for the session's groups, and the log says that it was taken in.

        Raises Img2TabError where it is of another table or target.
        """
        if (run.table_key, run.target) != (session.table_key, session.target):
            raise Img2TabError(
                f"The run {run.id} predicts {run.target} on the table {run.table}; the session {session.name!r} is "
                f"about {session.target} on {session.table}. Take in a run of that."
            )
        started = self.sessions.start_run(
            session, parent, run.classifier.kind, run.seed, run.excluded, note, treatment=run.treatment, who=who
        )
        with self.sessions.holding(started):
            self.studio.trainer.keep(run)
            self.sessions.record(session, who, TAKEN_IN, {"run": started.number, "run_id": run.id})
            return self._finished(session, started, run)

    def table(self, session: SessionInfo) -> StyleTable:
        """The table of a session, the very one it was begun with.

        Raises Img2TabError where it is not there, or holds other faces now.
        """
        table = self.studio.table(session.table)
        if table.key != session.table_key:
            raise Img2TabError(
                f"The table {session.table!r} holds other faces now than when the session {session.name!r} was begun. "
                "Build or import that table again as it was, or begin a new session."
            )
        return table

    def model(self, session: SessionInfo, run: RunInfo) -> Run:
        """The trained run itself, from its files; the latest MODELS of them stay open.

        Raises Img2TabError where it is not done, or its files are not here or damaged.
        """
        if run.state != "done":
            raise Img2TabError(f"Run {run.number} of {session.name!r} has no model: it is {run.state}. Choose another.")
        try:
            return self._opened(run.run_id)
        except Img2TabError as error:
            raise Img2TabError(
                f"The model of run {run.number} of {session.name!r} is not in this folder, or is damaged. "
                "Train it again: the session says how."
            ) from error

    def has_model(self, session: SessionInfo, run: RunInfo) -> bool:
        """Whether the files of a run's model are here; none is opened.

        Damage shows only when a model is opened: from then on it counts as lost, until it is trained again.
        """
        return run.state == "done" and run.run_id not in self._damaged and has_model(run.run_id)

    def again(
        self,
        session: SessionInfo,
        run: RunInfo,
        *,
        who: str = "",
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Run:
        """Train a run of a session once more, for a folder that has lost its files.

        It is the same model to the last bit, unless the first was trained on a graphics card. Then it is trained again
        there, or on the processor where none is wished for or none is there; it must come within the tolerance of
        `nearness`, its note says how near it is, and so does the session's log.
        Raises Img2TabError where it comes out as another model, or too far from the first; nothing is kept then.
        """
        persons.must_be_auditor("train a classifier")
        session = self.sessions.open(session.id)
        table = self.table(session)
        of_card = self._is_of_card(table, session.target, run.kind, run.excluded, run.seed, run.run_id)
        first = self._test_answers(run.run_id) if of_card else None
        train = self.studio.trainer.train_live if of_card else self.studio.train  # live: on a card, where there is one
        trained = train(
            table,
            session.target,
            kind=run.kind,
            excluded=frozenset(run.excluded),
            treatment=run.treatment,
            seed=run.seed,
            progress=progress,
            cancelled=cancelled,
        )
        compared = ""
        if of_card:
            where = _where(on_card=trained.id == run.run_id)
            near = self._nearness(trained, first, run.metrics)
            if near is not None and not near.near:
                raise Img2TabError(
                    f"Run {run.number} was {_CARD}, and trained again on {where} it does not come near enough. "
                    f"{near.sentence} Train a new run instead."
                )
            compared = near.sentence if near is not None else NOTHING
            note = f"Trained again on {where}, since run {run.number} was {_CARD}. {compared}"
            trained = replace(trained, id=run.run_id, note=note)
        elif run.run_id and trained.id != run.run_id:
            raise Img2TabError(
                f"Run {run.number} cannot be repeated exactly: it was trained with other versions of its library or of "
                "Img2Tab, and these give another model. Install the versions of that time, or train a new run."
            )
        self.studio.trainer.keep(trained)
        self._keep_open(trained)
        if compared:
            self.sessions.record(session, who, AGAIN, {"run": run.number, "comparison": compared})
        return trained

    def repeat(
        self,
        session: SessionInfo,
        shared: Exclusions,
        parent: RunInfo | None,
        *,
        who: str = "",
        progress: Report | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> tuple[RunInfo, Repetition]:
        """A shared exclusion list as a run of this session, and how near it comes to the run the list was made of.

        A run that was trained on a graphics card is trained there again, or on the processor where there is none, and
        compared within the tolerance of `nearness`; any other gives the same model to the last bit.
        Raises Img2TabError where the list is not of this session's table and target.
        """
        if shared.table_key != session.table_key or shared.target != session.target:
            raise Img2TabError(
                f"This list was made on the table {shared.table} for {shared.target}; the session {session.name!r} is "
                f"about {session.target} on {session.table}"
                + (" as it is now" if shared.table == session.table else "")
                + ". Open a session of that table and target, or take over only what is excluded."
            )
        of_card = self._is_of_card(
            self.table(session), shared.target, shared.classifier, shared.excluded, shared.seed, shared.run_id
        )
        first = self._test_answers(shared.run_id) if of_card else None  # a new model may take its place
        info, run = self.train(
            session,
            parent,
            kind=shared.classifier,
            excluded=frozenset(shared.excluded),
            treatment=shared.treatment,
            seed=shared.seed,
            note="Repeated from a shared list.",
            who=who,
            on_quick=_unheard if of_card else None,
            progress=progress,
            cancelled=cancelled,
        )
        if not of_card:
            return info, _repetition(run.id, shared.run_id)
        near = self._nearness(run, first, shared.measured)
        compared = near.sentence if near is not None else NOTHING
        self.sessions.record(session, who, AGAIN, {"run": info.number, "comparison": compared})
        sentence = (
            f"another model, trained on {_where(on_card=run.id == shared.run_id)}: the list's was {_CARD}. {compared}"
        )
        return info, Repetition(False, near.near if near is not None else None, sentence)

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
        """`Auditor.repeated` for two runs of a session; the answer is kept in its log, for the report.

        Raises Img2TabError where one of the two has no model here, or a gap cannot be measured.
        """
        changes = self.auditor.repeated(
            self.model(session, before),
            self.model(session, after),
            session.sensitive,
            seeds=seeds,
            progress=progress,
            cancelled=cancelled,
        )
        self.sessions.record(
            session,
            who,
            REPEATED,
            {
                "before": before.number,
                "after": after.number,
                "seeds": seeds,
                "changes": {name: change.to_json() for name, change in changes.items()},
            },
        )
        return changes

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
        """`Auditor.remedies` for a run of a session; the answer is kept in its log, for the report.

        Raises Img2TabError where the run has no model here.
        """
        remedies = self.auditor.remedies(
            self.model(session, run), sensitive, seeds=seeds, progress=progress, cancelled=cancelled
        )
        self.sessions.record(session, who, "compared remedies", {"run": run.number, "remedies": remedies.to_json()})
        return remedies

    def answers(self, session: SessionInfo) -> dict[tuple[int, int], dict[str, Change]]:
        """What `repeated` found so far: (number before, number after) -> changes; the latest of each pair."""
        answers = {}
        for entry in self.sessions.log(session):
            if entry.what == REPEATED:
                pair = entry.details["before"], entry.details["after"]
                answers[pair] = {name: Change.from_json(change) for name, change in entry.details["changes"].items()}
        return answers

    # --- inside --------------------------------------------------------------------------------

    def _opened(self, run_id: str) -> Run:
        """A run from its files, or from memory."""
        try:
            return self._models.get(run_id, lambda: open_kept(run_id))
        except Img2TabError:
            self._damaged.add(run_id)
            raise

    def _keep_open(self, run: Run) -> None:
        """A run that was just trained, its files just written."""
        self._models.put(run.id, run)
        self._damaged.discard(run.id)

    def _finished(self, session: SessionInfo, started: RunInfo, run: Run) -> RunInfo:
        """Ended with what was measured: the metrics, and the gaps between the session's groups."""
        measured = asdict(run.metrics) | self.auditor.gaps(run, session.sensitive)
        measured["accuracy"] = run.metrics.accuracy  # on all test faces, as its interval
        self._keep_open(run)
        return self.sessions.finish_run(started, run.id, measured)

    def _is_of_card(
        self, table: StyleTable, target: str, kind: str, excluded: Sequence[int], seed: int, run_id: str
    ) -> bool:
        """Whether this is the id of a run that was trained on a graphics card, with today's versions."""
        return kind == DEFAULT_KIND and run_id == card_run_id_of(table, target, frozenset(excluded), seed)

    def _test_answers(self, run_id: str) -> _Answers | None:
        """What a run says of the test faces; None where its model is not here, or is damaged."""
        if not has_model(run_id):
            return None
        try:
            _, labels, probabilities = self.studio.trainer.test_answers(self._opened(run_id))
        except Img2TabError:
            return None
        return labels, probabilities

    def _nearness(self, trained: Run, first: _Answers | None, noted: dict) -> Nearness | None:
        """How near a run comes to the first one: by their answers, else by what was noted of the first."""
        if first is None:
            return nearness.of_metrics(noted, trained.metrics)
        table = self.studio.table(trained.table)
        rows, _ = tables.labelled(table, trained.target, "test")
        # not `test_answers`: on a card both have one id, under which the first one's answers are kept
        return nearness.of_answers(*first, trained.classifier.probabilities(table.psi, rows)[:, 1])


def _unheard(run: Run) -> None:
    """A quick answer that nobody waits for."""


def _where(*, on_card: bool) -> str:
    return "a graphics card" if on_card else "the processor"


def _repetition(run_id: str, wanted: str) -> Repetition:
    """Of a run that should be the same to the last bit."""
    if not wanted:
        return Repetition(None, None, f"the model {run_id}; the list does not name one.")
    if run_id == wanted:
        return Repetition(True, None, f"the same model, {run_id}.")
    return Repetition(
        False, None, f"another model: {run_id}, and the list names {wanted}; it was trained with other versions."
    )
