"""`img2tab session ...`: an audit from day to day, in a terminal."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from img2tab_core.base.errors import Img2TabError
from img2tab_core.cli import terminal
from img2tab_core.cli.terminal import Json, shown, verb

if TYPE_CHECKING:
    from img2tab_core.audits.carriers import Suggestion
    from img2tab_core.audits.changes import Change
    from img2tab_core.audits.paired import Difference, PairedComparison
    from img2tab_core.base.records import StyleTable
    from img2tab_core.classifiers.treatment import Treatment
    from img2tab_core.sessions.session_records import LogEntry, RunInfo, SessionInfo
    from img2tab_core.sessions.session_runs import SessionRuns
    from img2tab_core.sessions.store import Sessions

sessions_app = typer.Typer()
session_app = typer.Typer(
    no_args_is_help=True,
    help=(
        "Audit sessions: a tree of runs, what was excluded and why, and a log of who did what. They are kept in a "
        "file of the visitor's folder, or in the database whose URL the environment has as IMG2TAB_DATABASE, which no "
        "option names."
    ),
)
sessions_app.add_typer(session_app, name="session")

SHORT = 80  # letters of a text in the log that are shown
SHOWN = ("accuracy", "equalised_odds", "demographic_parity")  # of a run, where there is little room
Name = Annotated[str, typer.Argument(help="The session (`img2tab session list`).")]
Who = Annotated[str | None, typer.Option("--who", help="Who does it, for the log; your user name if not given.")]
From = Annotated[
    int | None, typer.Option("--from", metavar="N", help="The run it is changed from; the current one if not given.")
]
Out = Annotated[Path | None, typer.Option("--out", help="A .csv, .json or .md to write.")]


# --- sessions ------------------------------------------------------------------------------------------


@verb(session_app, "list")
def list_sessions(as_json: Json = False) -> None:
    """Every session, the latest changed first."""
    store = _store()
    sessions = [(session, store.runs(session)) for session in store.list()]
    content = {"sessions": [_session(session) | {"runs": len(runs)} for session, runs in sessions]}
    rows = [
        (
            session.name,
            session.target,
            " x ".join(session.sensitive),
            session.table,
            session.owner,
            len(runs),
            session.current or "none",
            terminal.moment(session.changed),
        )
        for session, runs in sessions
    ]
    heads = ("session", "predicts", "groups", "table", "owner", "runs", "current", "changed")
    nothing = "There is no session yet. Begin one: img2tab session new NAME --target A --sensitive B"
    terminal.answer(content, terminal.aligned([heads, *rows]) if rows else nothing, as_json=as_json)


@verb(session_app, "new")
def new(
    name: Annotated[str, typer.Argument(help="What it is called from now on.")],
    target: Annotated[str, typer.Option(help="What is predicted.")],
    sensitive: Annotated[str, typer.Option(metavar="A[,B]", help="One or two targets that form the groups.")],
    table: Annotated[str, typer.Option(help="Name of a table (`img2tab tables`).")] = "default",
    owner: Annotated[str | None, typer.Option(help="Whose it is; your user name if not given.")] = None,
    notes: Annotated[str, typer.Option(help="What there is to say about it.")] = "",
    as_json: Json = False,
) -> None:
    """Begin a session; its first run is the target's standing classifier, which excludes nothing."""
    runs = session_runs()
    session = runs.begin(
        name,
        owner or terminal.me(),
        runs.studio.table(table),
        target,
        terminal.listed(sensitive),
        notes,
        progress=terminal.progress(as_json),
    )
    first = _chosen(runs.sessions, session)
    terminal.answer(
        {"session": _session(session), "run": _run(first, {})},
        f"Session {session.name}: {_about(session)}\nRun 1 excludes nothing: {_measured(first)}.\n"
        + "".join(f"{line}\n" for line in _few(runs, session))
        + f"Next: img2tab session train {_word(session.name)} --suggest {session.sensitive[0]}",
        as_json=as_json,
    )


@verb(session_app)
def show(name: Name, out: Out = None, as_json: Json = False) -> None:
    """What a session is about, its tree of runs with their gaps, what came again with other seeds, and its notes."""
    import pandas as pd

    terminal.check_table(out)
    runs = session_runs()
    session = runs.sessions.open(name)
    tree, answers = runs.sessions.runs(session), runs.answers(session)
    numbers = {run.id: run.number for run in tree}
    ordered = sorted(tree, key=lambda run: run.number)
    rows = [
        {
            "run": run.number,
            "changed from": _number_of_parent(run, numbers),
            "state": run.state,
            "classifier": run.kind,
            "seed": run.seed,
            "excluded": len(run.excluded),
            "treatment": run.treatment.sentence({}),
            **{key: run.metrics.get(key) for key in SHOWN},
            "by": run.who,
            "started": terminal.moment(run.started),
            "why": run.note,
        }
        for run in ordered
    ]
    content = {
        "session": _session(session),
        "runs": [_run(run, numbers) for run in tree],
        "answers": [
            {"before": before, "after": after, "changes": {key: change.to_json() for key, change in changes.items()}}
            for (before, after), changes in answers.items()
        ],
    }
    cells = [
        [
            run.number,
            run.state,
            run.kind,
            run.seed,
            f"{len(run.excluded):,}",
            *(_percent(run.metrics.get(key)) for key in SHOWN),
            run.who,
            terminal.moment(run.started),
        ]
        for run in ordered
    ]
    heads = (
        "run",
        "state",
        "classifier",
        "seed",
        "excluded",
        *(f"{_titles()[key].lower()}, {_unit(key)}" for key in SHOWN),
        "by",
        "started",
    )
    lines = [
        f"{shown(session.name)}, of {shown(session.owner)}, begun {terminal.moment(session.created)}, changed "
        f"{terminal.moment(session.changed)}.",
        _about(session),
        "",
        *map(shown, runs.sessions.tree_text(session).splitlines()),
        "",
        terminal.aligned([heads, *cells]),
    ]
    lines += _few(runs, session)
    for (before, after), changes in answers.items():
        lines += ["", f"Run {before} to run {after}, trained again with other seeds:", *_real(changes)]
    if session.notes.strip():
        lines += ["", "Notes:", *(f"    {shown(line)}" for line in session.notes.splitlines())]
    frame = pd.DataFrame(rows)
    terminal.answer(
        content,
        "\n".join(lines),
        as_json=as_json,
        out=out,
        frame=frame,
        markdown=f"{terminal.as_markdown(frame)}\n\n{_about(session)}\n",
    )


@verb(session_app)
def notes(
    name: Name,
    text: Annotated[str, typer.Argument(help="What there is to say; - reads it from standard input.")],
    who: Who = None,
    as_json: Json = False,
) -> None:
    """Replace a session's notes; the log keeps every version."""
    store = _store()
    session = store.set_notes(store.open(name), sys.stdin.read() if text == "-" else text, who=who or terminal.me())
    terminal.answer(
        {"session": _session(session)},
        f"Notes of {shown(session.name)}: {terminal.count(len(session.notes), 'letter')}.",
        as_json=as_json,
    )


@verb(session_app)
def rename(
    name: Name,
    new_name: Annotated[str, typer.Argument(help="What it is called from now on.")],
    who: Who = None,
    as_json: Json = False,
) -> None:
    """Give a session another name."""
    store = _store()
    session = store.rename(store.open(name), new_name, who=who or terminal.me())
    terminal.answer(
        {"session": _session(session)}, f"{shown(name)} is called {shown(session.name)} now.", as_json=as_json
    )


@verb(session_app)
def invite(
    name: Name,
    address: Annotated[str, typer.Argument(help="The e-mail address that somebody signs in with.")],
    back: Annotated[bool, typer.Option("--back", help="No longer: take back what was shared.")] = False,
    who: Who = None,
    as_json: Json = False,
) -> None:
    """Let another person open a session, on a server where people sign in; without, everybody can."""
    store = _store()
    change = store.unshare if back else store.share
    session = change(store.open(name), address, who=who or terminal.me())
    with_whom = ", ".join(shown(other) for other in session.shared) or "nobody"
    terminal.answer(
        {"session": _session(session), "shared": list(session.shared)},
        f"{shown(name)} is shared with {with_whom}.",
        as_json=as_json,
    )


@verb(session_app)
def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Yes, delete it.")] = False,
    who: Who = None,
    as_json: Json = False,
) -> None:
    """Remove a session and its tree of runs; the log keeps what was done in it, and the models' files stay."""
    store = _store()
    session = store.open(name)
    count = len(store.runs(session))
    if not yes:
        raise Img2TabError(
            f"This removes {session.name!r} and its {terminal.count(count, 'run')} for good. Say --yes if it is meant."
        )
    store.delete(session, who=who or terminal.me())
    terminal.answer(
        {"deleted": session.name, "runs": count},
        f"{shown(session.name)} is deleted; the log keeps what was done in it.",
        as_json=as_json,
    )


@verb(session_app)
def log(
    name: Annotated[str | None, typer.Argument(help="The session, also a deleted one; all if not given.")] = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Who did what, and when; oldest first."""
    import pandas as pd

    terminal.check_table(out)
    store = _store()
    entries = store.log()
    if name is not None:
        name = " ".join(name.split())
        of_this_name = {session.id for session in store.list() if session.name == name}
        wanted = of_this_name or {entry.session for entry in entries if entry.session_name == name}
        if not wanted:
            raise Img2TabError(f"Nothing was done in a session {name!r}. `img2tab session log` shows what was done.")
        entries = tuple(entry for entry in entries if entry.session in wanted)
    frame = pd.DataFrame(
        [
            {
                "at": entry.at.isoformat(),
                "who": entry.who,
                "session": entry.session_name,
                "what": entry.what,
                "details": json.dumps(entry.details),
            }
            for entry in entries
        ]
    )
    lines = [
        f"{terminal.moment(entry.at)}  {shown(entry.who)}  {shown(entry.session_name)}: {shown(_done(entry))}"
        for entry in entries
    ]
    content = {"log": [asdict(entry) | {"at": entry.at.isoformat()} for entry in entries]}
    terminal.answer(content, "\n".join(lines) or "Nothing was done yet.", as_json=as_json, out=out, frame=frame)


# --- runs ----------------------------------------------------------------------------------------------


@verb(session_app)
def train(
    name: Name,
    start: From = None,
    exclude: Annotated[
        str | None,
        typer.Option(
            metavar="I,J|@FILE",
            help='Channels to train without: numbers, or a shared list; "" for none. If not given, '
            "those of the run it is changed from.",
        ),
    ] = None,
    suggest: Annotated[
        str | None,
        typer.Option(metavar="ATTRIBUTE", help="Train without what carries this attribute, by the stated rule."),
    ] = None,
    also: Annotated[bool, typer.Option("--also", help="Without what the run before it excludes as well.")] = False,
    erase: Annotated[
        str | None,
        typer.Option(
            metavar="A[,B]",
            help="Take the direction of these attributes, or described concepts, out of every code; as in the run it "
            'is changed from if not given, "" for none.',
        ),
    ] = None,
    balance: Annotated[
        bool | None,
        typer.Option(
            "--balance/--no-balance",
            help="Weigh training faces so that what is erased, or without it the families of --exclude, says nothing "
            "of the class; as in the run it is changed from if not given.",
        ),
    ] = None,
    copies: Annotated[
        bool | None,
        typer.Option(
            "--copies/--no-copies",
            help="Erase nothing: train on a copy of every face moved to the other side of what --erase names; as in "
            "the run it is changed from if not given.",
        ),
    ] = None,
    classifier: Annotated[
        str | None,
        typer.Option(help="Its kind: catboost, xgboost, lightgbm, tabnet, forest, logistic; the same if not given."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the training; the same if not given.")] = None,
    why: Annotated[str, typer.Option(help="Why, in your words: it is kept, and the report tells it.")] = "",
    who: Who = None,
    as_json: Json = False,
) -> None:
    """Train a child of the current run, or of --from: the same but for what is said here."""
    from img2tab_core.classifiers.runs import DEFAULT_KIND

    if exclude is not None and suggest is not None:
        raise Img2TabError("Say what is excluded once: by --exclude, or by --suggest; --also adds the parent's.")
    if also and exclude is None and suggest is None:
        raise Img2TabError("--also adds to something: say what is excluded, by --exclude or by --suggest.")
    runs, report = session_runs(), terminal.progress(as_json)
    session = runs.sessions.open(name)
    parent = _before(runs.sessions, session, start)
    table, of_parent = runs.table(session), frozenset(parent.excluded if parent else ())
    suggestion = runs.auditor.suggest(table, session.target, suggest) if suggest is not None else None
    if suggestion:
        excluded, why = frozenset(suggestion.excluded), why or f"What the rule suggests for {suggest}."
    else:
        excluded = of_parent if exclude is None else terminal.channels(exclude, table)
    treatment = _treatment_from(parent, table, exclude or "", erase, balance=balance, copies=copies)
    with terminal.interrupted() as stopped:
        made, _ = runs.train(
            session,
            parent,
            kind=classifier or (parent.kind if parent else DEFAULT_KIND),
            excluded=excluded | (of_parent if also else frozenset()),
            treatment=treatment,
            seed=seed if seed is not None else (parent.seed if parent else 0),
            note=why,
            who=who or terminal.me(),
            progress=report,
            cancelled=stopped,
        )
    _tell_trained(runs, session, parent, made, suggestion, as_json=as_json)


@verb(session_app)
def restore(
    name: Name,
    number: Annotated[int, typer.Argument(metavar="N", help="A run that is done.")],
    who: Who = None,
    as_json: Json = False,
) -> None:
    """Go back to a run: it is the current one again, and what comes next is its child."""
    store = _store()
    session = store.open(name)
    session = store.restore(session, store.run(session, number), who=who or terminal.me())
    terminal.answer(
        {"session": _session(session)},
        f"Run {session.current} is the current one of {shown(session.name)}.",
        as_json=as_json,
    )


@verb(session_app)
def compare(
    name: Name,
    number: Annotated[int, typer.Argument(metavar="N", help="A run.")],
    other_number: Annotated[int, typer.Argument(metavar="M", help="Another run.")],
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Two runs side by side, and face by face: whether chance explains the changes, and what only N or M excludes."""
    import pandas as pd

    from img2tab_core.sessions.session_records import json_value
    from img2tab_core.sessions.tree import difference

    terminal.check_table(out)
    runs = session_runs()
    session = runs.sessions.open(name)
    first, second = (runs.sessions.run(session, run_number) for run_number in (number, other_number))
    apart, names = difference(first, second), runs.studio.concept_names(session.backbone)
    paired, reason = _paired(runs, session, first, second)
    rows = _beside(first, second, apart.metrics, paired)
    lines = [
        f"Run {run.number}: {shown(run.note.strip()) or 'no reason noted'} ({run.state}, by {shown(run.who)}, "
        f"{terminal.moment(run.started)})"
        for run in (first, second)
    ]
    lines += [
        terminal.aligned(_as_cells(rows)),
        f"Run {number} to run {other_number}, face by face: {paired.sentence}"
        if paired is not None
        else f"Not compared face by face: {shown(reason)}",
    ]
    lines += _few(runs, session)
    lines += [
        f"Excluded by run {run_number} alone: {terminal.first_of(excluded, names) or 'none'}."
        for run_number, excluded in ((number, apart.only_one), (other_number, apart.only_other))
    ]
    lines.append(
        "Each run is a single training: whether a change is beyond what the seed changes, says img2tab session real "
        f"{_word(session.name)} {number} {other_number}"
    )
    numbers = {run.id: run.number for run in runs.sessions.runs(session)}
    content = {"session": session.name, "runs": [_run(first, numbers), _run(second, numbers)]} | asdict(apart)
    content["paired"] = json_value(paired.to_json()) if paired is not None else None
    terminal.answer(content, "\n".join(lines), as_json=as_json, out=out, frame=pd.DataFrame(rows))


@verb(session_app)
def real(
    name: Name,
    numbers: Annotated[
        list[int] | None,
        typer.Argument(
            metavar="[N M]", help="Before and after; if not given, the current run and what it was changed from."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=50, help="How many seeds; 0, 1, ... are used.")] = 5,
    who: Who = None,
    as_json: Json = False,
) -> None:
    """Is it real? Two runs are trained anew with several seeds; the answer is kept in the log, for the report."""
    if numbers is not None and len(numbers) not in (0, 2):
        raise Img2TabError(f"Name two runs, before and after, or none for the current one, got {len(numbers)}.")
    runs = session_runs()
    session = runs.sessions.open(name)
    before, after = _pair(runs.sessions, session, numbers or [])
    with terminal.interrupted() as stopped:
        changes = runs.repeated(
            session,
            before,
            after,
            seeds=seeds,
            who=who or terminal.me(),
            progress=terminal.progress(as_json),
            cancelled=stopped,
        )
    content = {
        "session": session.name,
        "before": before.number,
        "after": after.number,
        "seeds": seeds,
        "changes": {key: change.to_json() for key, change in changes.items()},
    }
    head = f"Run {before.number} to run {after.number}, both trained anew with {terminal.count(seeds, 'seed')}:"
    terminal.answer(content, "\n".join([head, *_real(changes), *_few(runs, session)]), as_json=as_json)


@verb(session_app)
def share(
    name: Name,
    out: Annotated[Path, typer.Option(help="A .json to write.")],
    number: Annotated[int | None, typer.Argument(metavar="[N]", help="The run; the current one if not given.")] = None,
    as_json: Json = False,
) -> None:
    """Write what a run excludes, and all that decides its training, as a list to share."""
    from img2tab_core.sessions.shared_exclusions import exclusions_json

    terminal.check_table(out, (".json",))
    runs = session_runs()
    session = runs.sessions.open(name)
    run = _chosen(runs.sessions, session, number)
    content = exclusions_json(session, run, names=runs.studio.concept_names(session.backbone))
    terminal.write(out, lambda file: file.write(json.dumps(content).encode()))
    terminal.answer(
        {
            "out": str(out),
            "session": session.name,
            "run": run.number,
            "excluded": len(run.excluded),
            "treatment": run.treatment.to_json(),
        },
        f"Run {run.number} of {shown(session.name)} in {shown(out)}: {terminal.count(len(run.excluded), 'channel')} "
        f"excluded{_treated(run)}. Take it up: img2tab session repeat NAME {shown(out)}, or --exclude @{shown(out)}",
        as_json=as_json,
    )


@verb(session_app)
def repeat(
    name: Name,
    file: Annotated[Path, typer.Argument(metavar="FILE.json", help="A list of `img2tab session share`.")],
    start: From = None,
    who: Who = None,
    as_json: Json = False,
) -> None:
    """Train a run again from a shared list, and say whether it is the same model, or how near it comes."""
    from img2tab_core.sessions.shared_exclusions import read_exclusions

    runs = session_runs()
    session = runs.sessions.open(name)
    parent = _before(runs.sessions, session, start)
    shared = read_exclusions(file, backbone=session.backbone, channels=runs.table(session).layout.total)
    with terminal.interrupted() as stopped:
        made, repetition = runs.repeat(
            session, shared, parent, who=who or terminal.me(), progress=terminal.progress(as_json), cancelled=stopped
        )
    terminal.answer(
        {"session": session.name, "run": _run(made, _numbers(parent)), **asdict(repetition)},
        f"Run {made.number} of {shown(session.name)}, {terminal.count(len(made.excluded), 'channel')} "
        f"excluded{_treated(made)}, is {shown(repetition.sentence)}\nIts numbers: {_measured(made)}.",
        as_json=as_json,
    )


# --- finding -------------------------------------------------------------------------------------------


def _few(runs: SessionRuns, session: SessionInfo) -> list[str]:
    """A line where the gaps of a session rest on too few test faces of a group and class; else none."""
    from img2tab_core.audits.power import too_few_of
    from img2tab_core.tables import target_of

    table = runs.table(session)
    few = too_few_of(
        runs.auditor.seeable(table, session.target, session.sensitive), target_of(table, session.target).classes
    )
    return [f"The gaps cannot be told: {few}"] if few else []


def _treatment_from(
    parent: RunInfo | None,
    table: StyleTable,
    exclude: str,
    erase: str | None,
    *,
    balance: bool | None,
    copies: bool | None,
) -> Treatment:
    """That of the run before, or of a shared list, but for what is said; None is what is not said."""
    from img2tab_core.classifiers.treatment import UNTREATED, treatment_of

    before = parent.treatment if parent else UNTREATED
    names = before.erased or before.moved if erase is None else terminal.attributes(erase, table)
    if erase is None and balance is None and copies is None:
        return terminal.treatment("", exclude, table, balance=False, copies=False) or before
    if not names:
        return terminal.treatment("", exclude, table, balance=bool(balance), copies=bool(copies))
    return treatment_of(
        names,
        balance=bool(before.balanced) if balance is None else balance,
        copies=bool(before.moved) if copies is None else copies,
    )


def _store() -> Sessions:
    """The database alone: quick to open."""
    from img2tab_core.sessions.store import Sessions

    return Sessions()


def session_runs() -> SessionRuns:
    """The database with the models."""
    from img2tab_core.audits.auditor import Auditor
    from img2tab_core.sessions.session_runs import SessionRuns

    return SessionRuns(Auditor(terminal.studio()))


def _chosen(store: Sessions, session: SessionInfo, number: int | None = None) -> RunInfo:
    """The run of this number, else the current one."""
    chosen = session.current if number is None else number
    if chosen is None:
        raise Img2TabError(
            f"The session {session.name!r} has no run that is done. Train a first run: `img2tab session train "
            f"{_word(session.name)}`."
        )
    return store.run(session, chosen)


def _pair(store: Sessions, session: SessionInfo, numbers: Sequence[int]) -> tuple[RunInfo, RunInfo]:
    """The two runs of these numbers; without any, what the current run was changed from, and the current run."""
    if numbers:
        before, after = (store.run(session, number) for number in numbers)
        return before, after
    after = _chosen(store, session)
    for run in store.runs(session):
        if run.id == after.parent:
            return run, after
    raise Img2TabError(f"Run {after.number} was changed from no other. Name two runs, before and after.")


def _paired(
    runs: SessionRuns, session: SessionInfo, first: RunInfo, second: RunInfo
) -> tuple[PairedComparison | None, str]:
    """Two runs face by face; None and the reason where the model of either is not here."""
    try:
        models = runs.model(session, first), runs.model(session, second)
        return runs.auditor.compare_runs(*models, session.sensitive), ""
    except Img2TabError as error:
        return None, str(error)


def _before(store: Sessions, session: SessionInfo, number: int | None) -> RunInfo | None:
    """The run that a new one is changed from: this one, else the current one; None where none is done."""
    return None if number is None and session.current is None else _chosen(store, session, number)


# --- words and JSON ------------------------------------------------------------------------------------


def _session(session: SessionInfo) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(session).items()
    }


def _run(run: RunInfo, numbers: Mapping[int, int]) -> dict[str, Any]:
    """A run as JSON has it; numbers: of the session's runs by id, since a person counts within the session."""
    return {
        "number": run.number,
        "parent": _number_of_parent(run, numbers),
        "state": run.state,
        "classifier": run.kind,
        "seed": run.seed,
        "excluded": list(run.excluded),
        "treatment": run.treatment.to_json(),
        "why": run.note,
        "who": run.who,
        "started": run.started.isoformat(),
        "finished": run.finished and run.finished.isoformat(),
        "run_id": run.run_id,
        "metrics": run.metrics,
        "reason": run.reason,
    }


def _number_of_parent(run: RunInfo, numbers: Mapping[int, int]) -> int | None:
    return None if run.parent is None else numbers.get(run.parent)


def _numbers(parent: RunInfo | None) -> dict[int, int]:
    return {parent.id: parent.number} if parent else {}


def _about(session: SessionInfo) -> str:
    return (
        f"Predicts {session.target} on the table {shown(session.table)} of the backbone {shown(session.backbone)}; "
        f"groups by {' x '.join(session.sensitive)}."
    )


def _measured(run: RunInfo) -> str:
    titles = _titles()
    return ", ".join(f"{titles[key].lower()} {_percent(run.metrics.get(key))} {_unit(key)}" for key in SHOWN)


def _unit(metric: str) -> str:
    """Of a share of 1 that is told times 100: a difference between groups is in points."""
    from img2tab_core.audits.metrics import RATES_OF_GAP

    return "points" if metric in RATES_OF_GAP else "%"


def _treated(run: RunInfo) -> str:
    """ "; erases perceived gender", for the end of a sentence; "" where a run does nothing of the kind."""
    return f"; {run.treatment.sentence({})}" if run.treatment else ""


def _titles() -> dict[str, str]:
    from img2tab_core.audits.metrics import GAPS, METRICS

    return METRICS | GAPS | {"log_loss": "Log-loss"}


def _real(changes: Mapping[str, Change]) -> list[str]:
    return [f"    {_titles()[name]}: {change.sentence}" for name, change in changes.items()]


def _beside(
    first: RunInfo,
    second: RunInfo,
    metrics: Mapping[str, tuple[float, float]],
    paired: PairedComparison | None,
) -> list[dict[str, Any]]:
    """A row for each setting, and for each number that both runs have with the 95 % interval of its change.

    metrics: name -> (of the first run, of the second). low, high: None where the faces were not compared.
    """
    heads = (f"run {first.number}", f"run {second.number}")
    settings = (
        ("Classifier", first.kind, second.kind),
        ("Seed", str(first.seed), str(second.seed)),
        ("Excluded", f"{len(first.excluded):,}", f"{len(second.excluded):,}"),
        *(
            [("Erased, balanced", *(run.treatment.sentence({}) or "nothing" for run in (first, second)))]
            if first.treatment or second.treatment
            else []
        ),
    )
    rows: list[dict[str, Any]] = [
        {"": title, heads[0]: before, heads[1]: after, "change": "", "low": None, "high": None}
        for title, before, after in settings
    ]
    for name, (before, after) in metrics.items():
        if name in _titles():
            change = _change(paired, name)
            rows.append(
                {
                    "": _titles()[name],
                    heads[0]: before,
                    heads[1]: after,
                    "change": after - before,
                    "low": None if change is None else change.low,
                    "high": None if change is None else change.high,
                }
            )
    return rows


def _change(paired: PairedComparison | None, name: str) -> Difference | None:
    """How a number changed on the same faces, with its interval; None where it was not compared."""
    if paired is None:
        return None
    overall = {"accuracy": paired.accuracy, "auc": paired.auc, "log_loss": paired.log_loss}
    return overall.get(name) or paired.gaps.get(name)


def _as_cells(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The rows of `_beside` for a terminal, the headings first; an interval is one cell, a share in percent, a gap in
    points."""
    from img2tab_core.audits.metrics import GAPS, METRICS

    heads = [head for head in rows[0] if head not in ("low", "high")]
    cells = [[*heads, "95 % interval"]]
    units = {title: _unit(name) for name, title in (GAPS | {"accuracy": METRICS["accuracy"]}).items()}
    for row in rows:
        unit = units.get(row[""], "")
        scale, digits = (100, 1) if unit else (1, 3)
        interval = (
            f"{scale * row['low']:+.{digits}f} to {scale * row['high']:+.{digits}f}" if row["low"] is not None else ""
        )
        title = f"{row['']}, {unit}" if unit else row[""]
        values = [
            row[head]
            if isinstance(row[head], str)
            else f"{scale * row[head]:{'+' if head == 'change' else ''}.{digits}f}"
            for head in heads[1:]
        ]
        cells.append([title, *values, interval])
    return cells


def _tell_trained(
    runs: SessionRuns,
    session: SessionInfo,
    parent: RunInfo | None,
    made: RunInfo,
    suggestion: Suggestion | None,
    *,
    as_json: bool,
) -> None:
    from img2tab_core.sessions.tree import difference

    content = {
        "session": session.name,
        "run": _run(made, _numbers(parent)),
        "rule": suggestion and suggestion.rule,
        "changes": difference(parent, made).metrics if parent else {},
    }
    lines = [f"Suggested: {suggestion.rule}"] if suggestion else []
    child = f", changed from run {parent.number}" if parent else ""
    excluded = terminal.count(len(made.excluded), "channel") if made.excluded else "nothing"
    lines.append(
        f"Run {made.number} of {shown(session.name)}{child}: {made.kind}, seed {made.seed}, {excluded} "
        f"excluded{_treated(made)}; {_measured(made)}."
    )
    if parent and parent.metrics:
        lines.append(f"Run {parent.number}: {_measured(parent)}.")
        lines.append(
            "A single training each: whether a change is beyond what the seed changes, says img2tab session real "
            f"{_word(session.name)} {parent.number} {made.number}"
        )
    lines += _few(runs, session)
    terminal.answer(content, "\n".join(lines), as_json=as_json)


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.1f}"


def _done(entry: LogEntry) -> str:
    """What was done, with the little that fits on a line."""
    from img2tab_core.audits.changes import Change
    from img2tab_core.sessions.session_runs import REPEATED

    details = dict(entry.details)
    if entry.what == REPEATED:
        verdicts = [
            f"{_titles()[name].lower()}: {Change.from_json(change).verdict}"
            for name, change in details["changes"].items()
        ]
        return (
            f"run {details['before']} to run {details['after']}, both repeated with "
            f"{terminal.count(details['seeds'], 'seed')}; {'; '.join(verdicts)}"
        )
    parts = [
        _short(value) if key == entry.what else f"{key.replace('_', ' ')} {_short(value)}"
        for key, value in details.items()
        if value not in ("", None, [])
    ]
    return entry.what + (f": {', '.join(parts)}" if parts else "")


def _short(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= SHORT else f"{text[:SHORT]}..."


def _word(name: str) -> str:
    """A session's name as a shell takes it."""
    return shlex.quote(name)
