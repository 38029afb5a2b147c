"""What a visitor audits: groups and gaps, what a gap is made of, and the work in the background that answers it."""

from __future__ import annotations

from operator import attrgetter

import numpy as np
import streamlit as st

from dashboard.state import doors, visit
from dashboard.state import session as session_state
from dashboard.state.doors import auditor
from img2tab_core.audits.audit_record import Audit
from img2tab_core.audits.carriers import Carried, Suggestion
from img2tab_core.audits.changes import Change
from img2tab_core.audits.concept_steps import ConceptSteps
from img2tab_core.audits.exclusion_curves import ExclusionCurve
from img2tab_core.audits.group_differences import GroupDifference
from img2tab_core.audits.groups import STANDARD
from img2tab_core.audits.intervention import Checked, Intervention
from img2tab_core.audits.linear_probe import Readable
from img2tab_core.audits.many_classes import ManyClassAudit
from img2tab_core.audits.paired import Difference, PairedComparison
from img2tab_core.audits.power import Seeable
from img2tab_core.audits.remedies import Remedies
from img2tab_core.audits.stand_ins import Families, Link
from img2tab_core.audits.thresholds import ThresholdCost
from img2tab_core.base.intervals import Estimate
from img2tab_core.base.jobs import Job
from img2tab_core.classifiers.comparison import Comparison
from img2tab_core.classifiers.runs import Run
from img2tab_core.reports.report import report_html
from img2tab_core.sessions.session_records import SessionInfo

_KEYS = {Run: attrgetter("id")}

CHECKED = 8  # faces that are drawn and encoded again
REMEDY_SEEDS = 3

Thresholds = tuple[tuple[str, float], ...]  # of each group; () is 0.5 for all
Channels = tuple[int, ...] | None  # to move; None for the family that carries the attribute


# ---- what to exclude


def suggest(sensitive: str) -> None:
    """Tick what carries an attribute; the rule that chose is shown until something else is suggested."""
    suggested = suggestion(sensitive)
    visit.set_of_target("visit.suggested", suggested)
    visit.tick(visit.ticked() | frozenset(suggested.excluded))


def suggestion(sensitive: str) -> Suggestion:
    """What the rule would exclude, and the order in which it would exclude more."""
    return _suggestion(visit.current_table().key, visit.table_name(), visit.target().name, sensitive)


def suggested() -> Suggestion | None:
    """What was suggested last for this table and target."""
    return visit.of_target("visit.suggested", None)


@st.cache_data(show_spinner="Comparing the groups in every concept…", max_entries=32)
def _suggestion(table_key: str, table_name: str, target_name: str, sensitive: str) -> Suggestion:
    return auditor().suggest(visit.table(table_name), target_name, sensitive)


# ---- groups and gaps


@st.cache_data(show_spinner="Auditing…", max_entries=64, hash_funcs=_KEYS)
def audit(run: Run, sensitive: tuple[str, ...], thresholds: Thresholds = ()) -> Audit:
    return auditor().audit(run, sensitive, thresholds=dict(thresholds) or STANDARD)


@st.cache_data(show_spinner="Auditing…", max_entries=64, hash_funcs=_KEYS)
def differences(run: Run, sensitive: tuple[str, ...], thresholds: Thresholds = ()) -> tuple[GroupDifference, ...]:
    """Each difference of the audit with the group that is worse off."""
    return auditor().differences(run, sensitive, audit(run, sensitive, thresholds))


def seeable(target: str, sensitive: tuple[str, ...]) -> tuple[Seeable, ...]:
    """What gaps the test faces of the table can show."""
    table = visit.current_table()
    return _seeable(table.key_for(target, *sensitive), visit.table_name(), target, sensitive)


@st.cache_data(show_spinner=False, max_entries=64)
def _seeable(key: str, table_name: str, target: str, sensitive: tuple[str, ...]) -> tuple[Seeable, ...]:
    return auditor().seeable(visit.table(table_name), target, sensitive)


@st.cache_data(show_spinner=False, max_entries=64, hash_funcs=_KEYS)
def threshold_cost(run: Run, sensitive: tuple[str, ...], thresholds: Thresholds = ()) -> ThresholdCost:
    return auditor().threshold_cost(run, sensitive, dict(thresholds) or STANDARD)


@st.cache_data(show_spinner=False, max_entries=64, hash_funcs=_KEYS)
def thresholds_changed(run: Run, sensitive: tuple[str, ...], thresholds: Thresholds) -> dict[str, Difference | None]:
    """What thresholds change on the same test faces."""
    return auditor().thresholds_changed(run, sensitive, dict(thresholds))


@st.cache_data(show_spinner="Comparing face by face…", max_entries=64, hash_funcs=_KEYS)
def compared(before: Run, after: Run, sensitive: tuple[str, ...] = ()) -> PairedComparison:
    """Two runs on the same test faces, face by face; the differences of the gaps where `sensitive` forms groups."""
    return auditor().compare_runs(before, after, sensitive)


@st.cache_data(show_spinner="Auditing…", max_entries=16, hash_funcs=_KEYS)
def audit_classes(run: Run, sensitive: tuple[str, ...]) -> ManyClassAudit:
    """Every class of a run of more than two in every group."""
    return auditor().audit_classes(run, sensitive)


def gaps_compared(comparison: Comparison, sensitive: tuple[str, ...]) -> dict[str, Estimate]:
    """The gap of every kind of classifier that a comparison trained, by kind."""
    return auditor().gaps_compared(comparison, sensitive)


def repeating(before: Run, after: Run, sensitive: tuple[str, ...]) -> Job[dict[str, Change]] | None:
    """The visitor's job that trains two runs anew with several seeds; None before it was started."""
    return st.session_state.get("visit.repeating", {}).get((before.id, after.id, sensitive))


def repeat(before: Run, after: Run, sensitive: tuple[str, ...], seeds: int) -> None:
    """Train two runs anew with several seeds, in the background; an open session keeps the answer."""
    job = repeating(before, after, sensitive)
    if job is not None and job.state in ("running", "done"):
        return
    now, who, door = session_state.opened(), session_state.who(), auditor()
    pair = now and (now.info(before), now.info(after))

    def work(progress, cancelled) -> dict[str, Change]:
        options = {"seeds": seeds, "progress": progress, "cancelled": cancelled}
        if pair and None not in pair and sensitive == now.session.sensitive:
            return doors.session_runs().repeated(now.session, *pair, who=who, **options)
        return door.repeated(before, after, sensitive, **options)

    with visit.noticing():
        job = Job.start(doors.MEASUREMENTS.in_turn(work))
        st.session_state["visit.repeating"] = {
            **st.session_state.get("visit.repeating", {}),
            (before.id, after.id, sensitive): job,
        }


# ---- what a gap is made of


def carrying(sensitive: str) -> Job[Carried]:
    """The job that finds how much every concept carries an attribute; the same one for every visitor."""
    return _carrying(*_pair(sensitive))


def carry_again(sensitive: str) -> None:
    _carrying.clear(*_pair(sensitive))


def _pair(sensitive: str) -> tuple[str, str, str, str]:
    return visit.current_table().key, visit.table_name(), visit.target().name, sensitive


@st.cache_resource(show_spinner=False, max_entries=32)
def _carrying(table_key: str, table_name: str, target_name: str, sensitive: str) -> Job[Carried]:
    door, whole = auditor(), visit.table(table_name)
    job = Job.start(lambda progress, cancelled: door.carried(whole, target_name, sensitive, progress=progress))
    job.wait(0.4)  # where it is known already: no progress bar that only flashes
    return job


@st.cache_data(show_spinner="Reading the attribute from what is left…", max_entries=64, hash_funcs=_KEYS)
def readable(run: Run, sensitive: str) -> Readable:
    return auditor().readable(run, sensitive)


@st.cache_data(show_spinner="Looking for stand-ins…", max_entries=64, hash_funcs=_KEYS)
def stand_ins(run: Run) -> tuple[Link, ...]:
    return auditor().stand_ins(run)


def families() -> Families:
    """Concepts of the table that go together."""
    return _families(visit.current_table().key, visit.table_name())


@st.cache_resource(show_spinner="Finding concepts that go together…", max_entries=4)
def _families(table_key: str, table_name: str) -> Families:
    return auditor().families(visit.table(table_name))


@st.cache_data(show_spinner="Moving every test face…", max_entries=16, hash_funcs=_KEYS)
def intervention(run: Run, sensitive: str, channels: Channels, strength: float) -> Intervention:
    return auditor().intervene(run, sensitive, channels=channels, strength=strength)


# ---- the visitor's work in the background: None before it was started


def curve(sensitive: str, seeds: int) -> Job[ExclusionCurve] | None:
    """Accuracy and gap against how much is excluded."""
    return _asked("curve", *_pair(sensitive), seeds)


def draw_curve(sensitive: str, seeds: int) -> None:
    door, whole, name = auditor(), visit.current_table(), visit.target().name
    _ask(
        "curve",
        *_pair(sensitive),
        seeds,
        work=lambda progress, cancelled: door.curve(
            whole, name, sensitive, seeds=range(seeds), progress=progress, cancelled=cancelled
        ),
    )


def concept_differences(sensitive: str) -> np.ndarray:
    """How far the groups differ in every concept within the classes: float64 (K,), signed, standard deviations."""
    described = visit.description()
    return _concept_differences(*_pair(sensitive), described.key if described else "")


@st.cache_data(show_spinner="Comparing the groups in every concept…", max_entries=32)
def _concept_differences(
    table_key: str, table_name: str, target_name: str, sensitive: str, description_key: str
) -> np.ndarray:
    return auditor().concept_differences(visit.table(table_name), target_name, sensitive)


def stepping(sensitive: str) -> Job[ConceptSteps] | None:
    """Which concepts to exclude, one after the other, and what each buys."""
    return _asked("steps", *_pair(sensitive), visit.description().key)


def step(sensitive: str) -> None:
    door, whole, name = auditor(), visit.current_table(), visit.target().name
    _ask(
        "steps",
        *_pair(sensitive),
        visit.description().key,
        work=lambda progress, cancelled: door.steps(whole, name, sensitive, progress=progress, cancelled=cancelled),
    )


def checking(run: Run, sensitive: str, channels: Channels, strength: float, towards: int) -> Job[Checked] | None:
    """Whether the pictures of moved faces show what their codes say."""
    return _asked("checked", run.id, sensitive, channels, strength, towards)


def check(run: Run, sensitive: str, channels: Channels, strength: float, towards: int) -> None:
    door, moved = auditor(), intervention(run, sensitive, channels, strength)
    _ask(
        "checked",
        run.id,
        sensitive,
        channels,
        strength,
        towards,
        work=lambda progress, cancelled: door.checked(
            run, moved, towards=towards, count=CHECKED, progress=progress, cancelled=cancelled
        ),
    )


def remedying(run: Run, sensitive: str) -> Job[Remedies] | None:
    """What a run excludes beside the standard remedies."""
    return _asked("remedies", run.id, sensitive)


def compare_remedies(run: Run, sensitive: str) -> None:
    """In the background; an open session keeps the answer."""
    now, who, door = session_state.opened(), session_state.who(), auditor()
    info = now and now.info(run)

    def work(progress, cancelled) -> Remedies:
        options = {"seeds": REMEDY_SEEDS, "progress": progress, "cancelled": cancelled}
        if info is not None and sensitive in now.session.sensitive:
            return doors.session_runs().remedies(now.session, info, sensitive, who=who, **options)
        return door.remedies(run, sensitive, **options)

    _ask("remedies", run.id, sensitive, work=work)


def reporting(session: SessionInfo) -> Job[bytes] | None:
    """The report of a session as it is now, one HTML file."""
    return _asked("report", session.id, session.changed)


def write_report(session: SessionInfo) -> None:
    door = doors.session_runs()
    _ask(
        "report",
        session.id,
        session.changed,
        work=lambda progress, cancelled: report_html(door, session, progress=progress, cancelled=cancelled).encode(),
    )


def _asked(*question) -> Job | None:
    return st.session_state.get("visit.asked", {}).get(question)


def _ask(*question, work) -> None:
    """Start the work when its turn comes, unless it goes on already or its answer is there; too many are a notice."""
    job = _asked(*question)
    if job is None or job.state not in ("running", "done"):
        with visit.noticing():
            job = Job.start(doors.MEASUREMENTS.in_turn(work))
            st.session_state["visit.asked"] = {**st.session_state.get("visit.asked", {}), question: job}
