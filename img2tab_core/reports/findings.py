"""What a report says, measured once: of the session's current run and of the first run it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import TypeVar

import numpy as np

from img2tab_core import __version__, tables, weights
from img2tab_core.audits import remedies
from img2tab_core.audits.audit_record import Audit
from img2tab_core.audits.carriers import Carried
from img2tab_core.audits.changes import Change
from img2tab_core.audits.concept_steps import differences
from img2tab_core.audits.group_differences import gap_sentence
from img2tab_core.audits.groups import crossed
from img2tab_core.audits.impact_ratios import ImpactRatios
from img2tab_core.audits.intervention import Flip, Intervention
from img2tab_core.audits.linear_probe import Readable
from img2tab_core.audits.many_classes import ManyClassAudit
from img2tab_core.audits.paired import PairedComparison
from img2tab_core.audits.stand_ins import Link, TookOver, took_over
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.files import read_json
from img2tab_core.base.jobs import Report
from img2tab_core.base.records import DEFAULT_BACKBONE, StyleCode, StyleTable, Target
from img2tab_core.classifiers import kinds, measures
from img2tab_core.classifiers.runs import Run, folder_of
from img2tab_core.concepts.ranking import RankedFamily
from img2tab_core.reports.evidence import evidence_of
from img2tab_core.sessions.bias_scenarios import RecordedScenario
from img2tab_core.sessions.session_records import LogEntry, RunInfo, SessionInfo
from img2tab_core.sessions.session_runs import SessionRuns
from img2tab_core.sessions.tree import branches

SHOWN = 12  # concepts and faces with pictures
LOOKED_AT = 10  # concepts that are told
SHIFT = 8.0  # standard deviations a concept is moved by in its pictures; 3 are hard to see, 12 break
FIRST = 10  # of those that took over, and of those that stand in
SIZE = 256  # px
REMEDIES = "remedies"  # where an entry of the log keeps what `remedies.Remedies.to_json` gave
PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "pandas", "fairlearn", "pillow", "sqlalchemy")

T = TypeVar("T")
Pictures = tuple[np.ndarray, np.ndarray]  # two of them, uint8 (S, S, 3) RGB each


@dataclass(frozen=True)
class Missing:
    """Why something is not in the report, in a sentence."""

    reason: str


@dataclass(frozen=True, eq=False)
class Current:
    """The current run, its model and its audit; classes: of one class against the rest, the audit of all of them."""

    info: RunInfo
    run: Run
    audit: Audit
    classes: ManyClassAudit | None = None


@dataclass(frozen=True, eq=False)
class Earlier:
    """The run that the current one is set against, and its audit; Missing where its model is not here.

    paired: both runs on the same test faces, face by face; before is this one, after the current one.
    """

    info: RunInfo
    run: Run | Missing
    audit: Audit | Missing
    paired: PairedComparison | Missing


@dataclass(frozen=True, eq=False)
class Concept:
    """An excluded concept with its pictures: one face with the concept moved down and up; uint8 (S, S, 3) each.

    shifts: by sensitive attribute, how far group 1 lies from group 0 within the classes of the target, in standard
    deviations. used: share of what the earlier run used, None where its model is not here.
    """

    index: int
    shifts: dict[str, float]
    used: float | None
    pictures: Pictures | None


@dataclass(frozen=True, eq=False)
class LookedAt:
    """A concept that the current run uses: a family of channels, and its picture, WebP, where there is one.

    differences: by sensitive attribute, how far group 1 lies from group 0 in it within the classes of the target, in
    standard deviations.
    """

    ranked: RankedFamily
    differences: dict[str, float]
    sheet: bytes | None


@dataclass(frozen=True, eq=False)
class FlippedFace:
    """A face whose decision flips when only the sensitive concepts move; pictures: before and after, or None."""

    flip: Flip
    towards: int
    pictures: Pictures | None


@dataclass(frozen=True, eq=False)
class Moving:
    """Moving one sensitive attribute alone: in the earlier run, in the current one, and the faces that flip first.

    of: number of the run that the faces are of: the current one, or the earlier one where nothing flips in it.
    """

    about: Target
    before: Intervention | Missing | None
    now: Intervention | Missing
    faces: tuple[FlippedFace, ...]
    of: int


@dataclass(frozen=True, eq=False)
class Findings:
    """All that a report says; computed once, then only read.

    counts: by group, faces of the training, validation and test split whose target is known, int64 (groups + 1, 3), the
    last row those of an unknown group. absent: run id -> why its model is not here. before: the first run that the
    current one came from, None where that is the current one. answer: (number of the run compared with, changes over
    seeds), None where nobody asked. path: from the first run to the current one. carried: by sensitive attribute.
    looks_at: the concepts that the current run uses most. concepts: the excluded ones that are shown; face: the one
    their pictures change, or why there are no pictures. readable: by sensitive attribute, of the earlier run (None:
    there is none) and of the current one. remedies: the latest of the log. versions: of everything that computes here;
    trained_with: of what the current run was trained with. told: the audit's answer in a sentence. impact: who is
    selected. scenarios: the bias record. evidence: as `evidence.evidence_of` has it. made: UTC.
    """

    session: SessionInfo
    table: StyleTable
    target: Target
    sensitive: tuple[Target, ...]
    origin: dict
    groups: tuple[str, ...]
    counts: np.ndarray
    tree: tuple[tuple[int, RunInfo], ...]
    absent: dict[int, str]
    now: Current
    before: Earlier | None
    answer: tuple[int, dict[str, Change]] | None
    path: tuple[RunInfo, ...]
    names: dict[int, str]
    excluded_words: str  # what is excluded as families of channels; "" where none are described
    carried: dict[str, Carried | Missing]
    looks_at: tuple[LookedAt, ...] | Missing
    concepts: tuple[Concept, ...]
    face: np.ndarray | Missing
    took_over: TookOver | Missing | None
    stand_ins: tuple[Link, ...] | Missing
    readable: dict[str, tuple[Readable | Missing | None, Readable | Missing]]
    moving: tuple[Moving, ...]
    remedies: remedies.Remedies | None
    log: tuple[LogEntry, ...]
    licences: tuple[tuple[str, str], ...]
    versions: dict[str, str]
    trained_with: dict[str, str]
    told: str
    impact: ImpactRatios | Missing
    scenarios: tuple[RecordedScenario, ...]
    evidence: dict
    made: datetime

    @property
    def info(self) -> RunInfo:
        """The current run."""
        return self.now.info

    @property
    def excluded(self) -> tuple[int, ...]:
        """Channels the current run excludes, ascending."""
        return self.info.excluded


def gather(
    runs: SessionRuns,
    session: SessionInfo,
    *,
    who: str = "",
    progress: Report | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Findings:
    """Measure and draw what the report of a session says; who: makes it, the session's owner where that is not said.

    The session must have a current run whose model is here; what else cannot be had is said in its place.
    """
    steps = _Steps(progress, cancelled)
    session = runs.sessions.open(session.id)  # as it is now; dead runs marked
    tree = runs.sessions.runs(session)
    info, first = _compared(session, tree)
    run, table, door = runs.model(session, info), runs.table(session), runs.auditor
    about = tuple(tables.target_of(table, name) for name in session.sensitive)

    steps.begin(0.08, "Auditing the runs")
    classes = None if run.whole is None else door.audit_classes(run, session.sensitive)
    now = Current(info, run, door.audit(run, session.sensitive), classes)
    before = None if first is None else _earlier(runs, session, first, run)
    formed = crossed(door.groups(run, session.sensitive, np.arange(len(table.split))))
    known = table.labels[session.target].to_numpy() >= 0

    carried: dict[str, Carried | Missing] = {}
    for name in session.sensitive:
        within = steps.begin(0.17 / len(about), "Comparing the groups in every concept")
        carried[name] = _or_missing(partial(door.carried, table, session.target, name, progress=within))

    steps.begin(0.15, "Looking for what took over")
    took_over = _took_over(before, now)
    stand_ins = _or_missing(lambda: door.stand_ins(run, count=FIRST))
    readable = {
        name: (
            _of_earlier(before, partial(door.readable, sensitive=name)),
            _or_missing(partial(door.readable, run, name)),
        )
        for name in session.sensitive
    }

    artist = _Artist(runs, table)
    moving = tuple(_moving(runs, attribute, before, now, artist, steps, share=0.3 / len(about)) for attribute in about)
    names, described = runs.studio.concept_names(table.backbone), runs.studio.description(table.backbone)
    concepts = _concepts(before, info, names, carried, artist, steps, share=0.3)
    steps.begin(0.0, "Asking what it looks at")
    looks_at = _or_missing(partial(_looks_at, runs, run, table, tuple(session.sensitive)))
    log, scenarios = runs.sessions.log(session), runs.sessions.scenarios(session)
    steps.begin(0.0, "Writing the report")
    made = datetime.now(UTC)
    return Findings(
        session=session,
        table=table,
        target=tables.target_of(table, session.target),
        sensitive=about,
        origin=runs.studio.trainer.about_table(session.table),
        groups=formed.names,
        counts=_counts(table, formed.codes, len(formed.names), known),
        tree=tuple(_with_depth(tree)),
        absent=_absent(runs, session, tree),
        now=now,
        before=before,
        answer=_answer(runs, session, before, info),
        path=_path(tree, info),
        names=names,
        excluded_words=described.in_words(info.excluded) if described is not None and info.excluded else "",
        carried=carried,
        looks_at=looks_at,
        concepts=concepts,
        face=artist.face() if concepts else Missing("Nothing is excluded."),
        took_over=took_over,
        stand_ins=stand_ins,
        readable=readable,
        moving=moving,
        remedies=_remedies(log),
        log=log,
        licences=licences(table.backbone),
        versions=_versions(info.kind),
        trained_with=trained_with(info),
        told=gap_sentence(
            now.audit,
            tables.target_of(table, run.target).classes,
            door.differences(run, session.sensitive, now.audit),
        ),
        impact=_or_missing(partial(door.impact_ratios, run, *session.sensitive)),
        scenarios=scenarios,
        evidence=evidence_of(session, info, tree, log, scenarios, table, made=made, who=who),
        made=made,
    )


# --- which runs, and how they are related --------------------------------------------------------------


def _compared(session: SessionInfo, tree: tuple[RunInfo, ...]) -> tuple[RunInfo, RunInfo | None]:
    """The current run, and the run it is set against: the first it came from, else the first that was done."""
    done = sorted((run for run in tree if run.state == "done"), key=lambda run: run.number)
    info = next((run for run in done if run.number == session.current), None)
    if info is None:
        states = ", ".join(f"run {run.number} is {run.state}" for run in tree) or "it has no run yet"
        raise Img2TabError(
            f"A report needs a run that is done and has a model; in the session {session.name!r}, {states}. "
            "Train one, then ask for the report again."
        )
    first = _path(tree, info)[0]
    if first.id == info.id:
        first = done[0]
    return info, None if first.id == info.id else first


def _path(tree: Sequence[RunInfo], info: RunInfo) -> tuple[RunInfo, ...]:
    """From the first run to this one, each the parent of the next."""
    by_id = {run.id: run for run in tree}
    path = [info]
    while path[0].parent is not None and path[0].parent in by_id:
        path.insert(0, by_id[path[0].parent])
    return tuple(path)


def _with_depth(tree: Sequence[RunInfo]) -> Iterator[tuple[int, RunInfo]]:
    """(how many runs lie above it, the run), in the order of the tree."""
    return ((len(lines) // 3, run) for lines, run in branches(tree))  # three characters of lines for each


def _absent(runs: SessionRuns, session: SessionInfo, tree: Sequence[RunInfo]) -> dict[int, str]:
    """Run id -> why a run that is done has no model here."""
    reasons = {}
    for run in tree:
        if run.state == "done":
            opened = _or_missing(partial(runs.model, session, run))
            if isinstance(opened, Missing):
                reasons[run.id] = opened.reason
    return reasons


def _earlier(runs: SessionRuns, session: SessionInfo, info: RunInfo, current: Run) -> Earlier:
    run = _or_missing(lambda: runs.model(session, info))
    if isinstance(run, Missing):
        return Earlier(info, run, run, run)
    return Earlier(
        info,
        run,
        _or_missing(lambda: runs.auditor.audit(run, session.sensitive)),
        _or_missing(lambda: runs.auditor.compare_runs(run, current, session.sensitive)),
    )


def _answer(
    runs: SessionRuns, session: SessionInfo, before: Earlier | None, info: RunInfo
) -> tuple[int, dict[str, Change]] | None:
    """What several seeds said of the current run: against the earlier one, else any other."""
    answers = runs.answers(session)
    if before and (changes := answers.get((before.info.number, info.number))):
        return before.info.number, changes
    others = [
        (before_number, changes)
        for (before_number, after_number), changes in answers.items()
        if after_number == info.number
    ]
    return others[-1] if others else None


# --- data and what stands in --------------------------------------------------------------------------


def _counts(table: StyleTable, codes: np.ndarray, groups: int, known: np.ndarray) -> np.ndarray:
    """int64 (groups + 1, 3): group by split, the last row of unknown group."""
    counts = np.zeros((groups + 1, 3), np.int64)
    np.add.at(counts, (codes[known], table.split[known].astype(np.int64)), 1)  # -1 is the last row
    return counts


def _took_over(before: Earlier | None, now: Current) -> TookOver | Missing | None:
    """None where there is no earlier run, or nothing else is excluded."""
    if before is None or (set(now.info.excluded), now.info.treatment) == (
        set(before.info.excluded),
        before.info.treatment,
    ):
        return None
    earlier = before.run
    if isinstance(earlier, Missing):
        return earlier
    return _or_missing(
        lambda: took_over(*(measures.importance(run.classifier) for run in (earlier, now.run)), count=FIRST)
    )


def _of_earlier(before: Earlier | None, call: Callable[[Run], T]) -> T | Missing | None:
    """What is found of the earlier run; None where there is none."""
    if before is None:
        return None
    run = before.run
    return run if isinstance(run, Missing) else _or_missing(lambda: call(run))


def _remedies(log: Sequence[LogEntry]) -> remedies.Remedies | None:
    """The latest comparison with the standard remedies that the log holds."""
    for entry in reversed(log):
        stored = entry.details.get(REMEDIES)
        if isinstance(stored, Mapping):
            compared = _or_missing(partial(remedies.Remedies.from_json, dict(stored)))
            if not isinstance(compared, Missing):
                return compared
    return None


# --- intervention -------------------------------------------------------------------------------------


def _moving(
    runs: SessionRuns,
    about: Target,
    before: Earlier | None,
    now: Current,
    artist: _Artist,
    steps: _Steps,
    *,
    share: float,
) -> Moving:
    """Both runs moved along one attribute, and the faces that flip first drawn."""
    title = about.title.lower()

    def of(run: Run, what: str) -> Intervention:
        within = steps.begin(share / 4, f"Moving {title} in {what}")
        return runs.auditor.intervene(run, about.name, progress=within, cancelled=steps.cancelled)

    earlier = _of_earlier(before, lambda run: of(run, "the earlier run"))
    current = _or_missing(lambda: of(now.run, "the current run"))
    first, number = _first(current), now.info.number
    if not first and before is not None:
        first, number = _first(earlier), before.info.number
    within = steps.begin(share / 2, "Drawing the faces that flip first")
    faces = []
    for position, (towards, flip) in enumerate(first):
        within(position / len(first), "Drawing the faces that flip first")
        pictures = artist.both(flip.before, flip.after)
        faces.append(FlippedFace(flip, towards, None if isinstance(pictures, Missing) else pictures))
    return Moving(about, earlier, current, tuple(faces), number)


def _first(moved: Intervention | Missing | None) -> list[tuple[int, Flip]]:
    """The faces that flip first in either direction: by strength, then by the larger move, then by the row."""
    if not isinstance(moved, Intervention):
        return []
    flips = [(towards, flip) for towards in (0, 1) for flip in moved.first[towards]]
    return sorted(
        flips,
        key=lambda pair: (pair[1].strength, -abs(pair[1].probability_after - pair[1].probability_before), pair[1].row),
    )[:SHOWN]


# --- what it looks at ----------------------------------------------------------------------------------


def _looks_at(runs: SessionRuns, run: Run, table: StyleTable, sensitive: Sequence[str]) -> tuple[LookedAt, ...]:
    """The families that a run uses most, by their own channels and those that go with them."""
    described = runs.studio.described(table.backbone)
    ranked = sorted(runs.studio.families(run), key=lambda row: -(row.importance + row.by_stand_ins))[:LOOKED_AT]
    apart = {name: differences(table, run.target, name, described) for name in sensitive}
    return tuple(
        LookedAt(
            row,
            {name: float(values[row.number]) for name, values in apart.items()},
            described.sheet(row.family.id),
        )
        for row in ranked
    )


# --- excluded concepts and pictures -------------------------------------------------------------------


def _concepts(
    before: Earlier | None,
    info: RunInfo,
    names: Mapping[int, str],
    carried: Mapping[str, Carried | Missing],
    artist: _Artist,
    steps: _Steps,
    *,
    share: float,
) -> tuple[Concept, ...]:
    """Those with a name first, then those in which the groups differ most."""
    within = steps.begin(share, "Drawing what was excluded")
    known = {name: shifts for name, shifts in carried.items() if not isinstance(shifts, Missing)}
    used = None
    if before is not None and not isinstance(before.run, Missing):
        used = measures.importance(before.run.classifier)
    excluded = np.array(info.excluded, np.int64)
    if not len(excluded):
        return ()
    size = (
        np.max([np.abs(shifts.shift[excluded]) for shifts in known.values()], axis=0)
        if known
        else np.zeros(len(excluded))
    )
    named = np.array([bool(names.get(int(index))) for index in excluded])
    chosen = excluded[np.lexsort((excluded, -size, ~named))][:SHOWN]
    concepts = []
    for position, index in enumerate(chosen.tolist()):
        within(position / len(chosen), "Drawing what was excluded")
        pictures = artist.concept(index)
        concepts.append(
            Concept(
                index,
                {name: float(shifts.shift[index]) for name, shifts in known.items()},
                None if used is None else float(used[index]),
                None if isinstance(pictures, Missing) else pictures,
            )
        )
    return tuple(concepts)


class _Artist:
    """Draws for one table; the first failure is the reason for every picture that is not there."""

    def __init__(self, runs: SessionRuns, table: StyleTable) -> None:
        self._studio, self._backbone, self._stats = runs.studio, table.backbone, table.stats
        self._why = _or_missing(lambda: self._check(table))

    def both(self, before: StyleCode, after: StyleCode) -> Pictures | Missing:
        """Pictures of two style codes."""
        return self._drawn(lambda: (self._studio.render(before, size=SIZE), self._studio.render(after, size=SIZE)))

    def concept(self, index: int) -> Pictures | Missing:
        """One sample face with a concept moved down and up."""

        def draw() -> Pictures:
            down, up = self._sheet(index, (-SHIFT, SHIFT))
            return down, up

        return self._drawn(draw)

    def face(self) -> np.ndarray | Missing:
        """The same face as it is."""
        return self._drawn(lambda: self._sheet(0, (0.0,))[0])

    def _sheet(self, index: int, shifts: tuple[float, ...]) -> np.ndarray:
        """uint8 (shifts, S, S, 3)."""
        return self._studio.contact_sheet(
            index, backbone=self._backbone, faces=1, shifts=shifts, size=SIZE, stats=self._stats
        )[0]

    def _drawn(self, draw: Callable[[], T]) -> T | Missing:
        if self._why is None:
            picture = _or_missing(draw)
            if not isinstance(picture, Missing):
                return picture
            self._why = picture
        return self._why

    def _check(self, table: StyleTable) -> None:
        channels = self._studio.backbone(self._backbone).layout.total
        if channels != table.layout.total:
            raise Img2TabError(
                f"The table {table.name!r} has {table.layout.total:,} channels and its backbone {self._backbone} "
                f"draws {channels:,}, so there are no pictures."
            )


# --- versions and licences ----------------------------------------------------------------------------


def licences(backbone: str) -> tuple[tuple[str, str], ...]:
    """(title, licence) of the model files that stand behind a backbone and forbid commercial use."""
    default = backbone == DEFAULT_BACKBONE
    return tuple(
        (entry.title, entry.licence)
        for entry in weights.manifest()
        if not entry.commercial and (not entry.optional if default else entry.name == backbone)
    )


def _versions(kind: str) -> dict[str, str]:
    """What computes here -> its version."""
    versions = {"Python": python_version(), "img2tab": __version__}
    about = kinds.KINDS.get(kind) or (kinds.OWN if kind == kinds.OWN.kind else None)
    if about is not None and kinds.absent(kind) is None:
        versions[about.estimator.library] = kinds.library_version(kind)
    for package in PACKAGES:
        try:
            versions.setdefault(package, version(package))
        except PackageNotFoundError:
            versions.setdefault(package, "not installed as a package")
    return versions


def trained_with(info: RunInfo) -> dict[str, str]:
    """What the model's own file says it was trained with; {} where it says nothing."""
    try:
        libraries = read_json(model_folder(info) / kinds.RECORD_FILE).get("versions")
    except OSError:
        return {}
    return {str(name): str(number) for name, number in libraries.items()} if isinstance(libraries, dict) else {}


def model_folder(info: RunInfo) -> Path:
    """Where the files of a run's model lie, whether or not they are there."""
    return folder_of(info.run_id)


# --- inside -------------------------------------------------------------------------------------------


def _or_missing(call: Callable[[], T]) -> T | Missing:
    """What a call gives, or the sentence that says why not; a person who stops it stops everything."""
    try:
        return call()
    except Cancelled:
        raise
    except Img2TabError as error:
        return Missing(str(error))


class _Steps:
    """One progress over steps that take different times."""

    def __init__(self, report: Report | None, cancelled: Callable[[], bool] | None) -> None:
        self._report, self.cancelled = report or (lambda fraction, text: None), cancelled
        self._start = self._share = 0.0

    def begin(self, share: float, text: str) -> Report:
        """The next step, which takes this share of the time; returns its own progress."""
        self._start, self._share = min(self._start + self._share, 1.0), share
        start = self._start
        self._say(start, text)

        def within(fraction: float, text: str) -> None:
            self._say(start + share * min(max(fraction, 0.0), 1.0), text)

        return within

    def _say(self, fraction: float, text: str) -> None:
        if self.cancelled is not None and self.cancelled():
            raise Cancelled("The report was stopped; nothing was written.")
        self._report(min(fraction, 1.0), text)
