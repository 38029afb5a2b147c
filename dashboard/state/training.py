"""What a visitor trains: a retraining without the ticked concepts, a comparison of kinds; each in the background."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import streamlit as st

from dashboard.state import doors, visit
from dashboard.state import session as session_state
from dashboard.state.doors import studio
from img2tab_core.base.jobs import Job, Place, Report
from img2tab_core.classifiers.runs import DEFAULT_KIND, Run

if TYPE_CHECKING:
    from img2tab_core.classifiers.comparison import Comparison
    from img2tab_core.sessions.session_records import RunInfo
    from img2tab_core.sessions.shared_exclusions import Exclusions


def retraining() -> Job[Run] | None:
    """The visitor's training job, of whatever target, until it has been collected."""
    return st.session_state.get("visit.job")


def kinds() -> tuple[str, ...]:
    """The classifiers that can be trained here and can say what each concept adds for one face."""
    from img2tab_core.classifiers.kinds import KINDS, absent

    return tuple(kind for kind, about in KINDS.items() if about.estimator.explains and absent(kind) is None)


def kind() -> str:
    """The classifier the next run will be: that of the active run, until another is chosen."""
    active = visit.active_run()
    return visit.of_target("visit.kind", {}).get(active.id, DEFAULT_KIND if active.own else active.classifier.kind)


def choose_kind(chosen: str) -> None:
    visit.set_of_target("visit.kind", {visit.active_run().id: chosen})


def retrain(note: str = "") -> bool:
    """Train without the ticked concepts, in the background; in a session as a child of the active run, with a note.

    A quick answer comes first, see `quick_answer`, and waits for nobody; the full classifier waits for its turn.
    Whether it was begun: where too many wait, a notice says so.
    """
    answers: list[Run] = []
    now, who = session_state.opened(), session_state.who()
    door, whole, name, excluded, chosen = studio(), visit.current_table(), visit.target().name, visit.ticked(), kind()
    treatment = visit.treatment()

    def in_session(progress, cancelled, on_quick) -> Run:
        _, run = doors.session_runs().train(
            now.session,
            now.current,
            kind=chosen,
            excluded=excluded,
            treatment=treatment,
            note=note,
            who=who,
            on_quick=on_quick,
            progress=progress,
            cancelled=cancelled,
        )
        return run

    def alone(progress, cancelled, on_quick) -> Run:
        run = door.trainer.train_live(
            whole,
            name,
            kind=chosen,
            excluded=excluded,
            treatment=treatment,
            on_quick=on_quick,
            progress=progress,
            cancelled=cancelled,
        )
        if not cancelled():
            door.trainer.keep(run)  # here and not on the page, so that the run outlives a page closed meanwhile
        return run

    def begun(place: Place) -> Callable[[Report, Callable[[], bool]], Run]:
        def work(progress, cancelled) -> Run:
            def on_quick(run: Run) -> None:
                answers.append(run)
                place.wait(progress, cancelled)

            with place:
                if chosen != DEFAULT_KIND:  # has no quick answer
                    place.wait(progress, cancelled)
                return (alone if now is None else in_session)(progress, cancelled, on_quick)

        return work

    if not _train(lambda: begun(doors.TRAININGS.join())):
        return False
    st.session_state["visit.quick"] = answers
    return True


def repeat_shared(shared: Exclusions) -> None:
    """Train a shared exclusion list as a run of the open session, in the background."""
    now, who = session_state.opened(), session_state.who()

    def work(progress, cancelled) -> Run:
        info, _ = doors.session_runs().repeat(
            now.session, shared, now.current, who=who, progress=progress, cancelled=cancelled
        )
        return doors.session_runs().model(now.session, info)

    _train(lambda: doors.TRAININGS.in_turn(work))


def train_again(info: RunInfo) -> None:
    """Train a run of the open session whose model is not here once more, to the same model, in the background."""
    now = session_state.opened()

    def work(progress, cancelled) -> Run:
        return doors.session_runs().again(now.session, info, progress=progress, cancelled=cancelled)

    _train(lambda: doors.TRAININGS.in_turn(work))


def _train(in_line: Callable[[], Callable[[Report, Callable[[], bool]], Run]]) -> bool:
    """One training at a time for each visit; whether this one was started. in_line: takes its place in the line."""
    if retraining() is not None:
        return False
    place = (visit.table_name(), visit.target().name, visit.active_run().id)
    with visit.noticing():
        st.session_state["visit.job"] = Job.start(in_line())
        st.session_state["visit.quick"] = []
        st.session_state["visit.job_place"] = place
        return True
    return False


def quick_answer() -> Run | None:
    """The first answer of the latest retraining; None before it is there, and where there is none."""
    answers = st.session_state.get("visit.quick", [])
    return answers[0] if answers else None


@st.cache_resource(show_spinner=False, max_entries=64)
def _preparing(table_key: str, table_name: str, target_name: str) -> Job:
    door, whole = studio(), visit.table(table_name)
    return Job.start(
        lambda progress, cancelled: door.trainer.prepare(whole, target_name, progress=progress, cancelled=cancelled)
    )


def prepare() -> None:
    """Make the first quick answer fast, in the background, once for all visitors; begun anew where that failed."""
    place = (visit.current_table().key, visit.table_name(), visit.target().name)
    if _preparing(*place).state == "failed":
        _preparing.clear(*place)
        _preparing(*place)


def collect() -> Job[Run] | None:
    """Take in a training job that has ended: its run joins the history and becomes the active one."""
    job = retraining()
    if job is None or job.state == "running":
        return None
    del st.session_state["visit.job"]
    if job.state == "done":
        table_of, target_of, parent = st.session_state["visit.job_place"]
        place = (table_of, target_of)
        others = tuple(run for run in visit.of_target("visit.runs", (), place) if run.id != job.result.id)
        visit.set_of_target("visit.runs", (*others, job.result), place)
        visit.set_of_target("visit.active", job.result.id, place)
        parents = {**visit.of_target("visit.parents", {}, place), job.result.id: parent}
        visit.set_of_target("visit.parents", parents, place)
    return job


def comparing() -> Job[Comparison] | None:
    """The visitor's comparison of this table and target that is running or has just ended."""
    return visit.of_target("visit.comparing", None)


def compare(kinds: list[str], seeds: int, faces: int | None) -> None:
    """Compare kinds of classifier in the background."""
    job = comparing()
    if job is not None and job.state == "running":
        return
    door, whole, name = studio(), visit.current_table(), visit.target().name

    def work(progress, cancelled) -> Comparison:
        return door.trainer.compare(
            whole, name, kinds=kinds, seeds=range(seeds), faces=faces, progress=progress, cancelled=cancelled
        )

    with visit.noticing():
        visit.set_of_target("visit.comparing", Job.start(doors.MEASUREMENTS.in_turn(work)))


def compared() -> Comparison | None:
    """What the latest comparison of this table and target found, of this visit or an earlier one; None before any."""
    job = comparing()
    if job is not None and job.state == "done":
        return job.result
    return studio().trainer.compared(visit.current_table(), visit.target().name)
