"""Sessions: begin an audit that is kept, its tree of runs, any two side by side, lists to share, and the report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import pandas as pd
import streamlit as st

from dashboard.charts import audits as audit_charts
from dashboard.components import page_words, progress
from dashboard.components.held import held
from dashboard.parts import bias_record, is_it_real, metric_choice, run_words, same_faces
from dashboard.state import address, doors, sign_in, visit
from dashboard.state import attributes as attribute_state
from dashboard.state import audits as audit_state
from dashboard.state import session as session_state
from dashboard.state import training as training_state
from dashboard.state.session import Opened
from img2tab_core import tables
from img2tab_core.audits.metrics import GAPS, HEADLINE, RATES_OF_GAP
from img2tab_core.audits.power import too_few_of
from img2tab_core.base.errors import Img2TabError
from img2tab_core.classifiers import kinds
from img2tab_core.classifiers.runs import Run
from img2tab_core.sessions.session_records import NAME_LENGTH, RunInfo, SessionInfo
from img2tab_core.sessions.shared_exclusions import exclusions_json, read_exclusions
from img2tab_core.sessions.tree import difference

SHOWN = 12
INDENT, DEEPEST = 28, 5  # pixels a generation, and how many are indented further
STATES = {
    "running": "Training now",
    "failed": "Failed",
    "cancelled": "Cancelled",
    "interrupted": "Interrupted",
    "done": "",
}


def page() -> None:
    now = session_state.opened()
    if now is None:
        _list()
        _begin()
        return
    _head(now)
    _beforehand(now)
    _tree(now)
    _side_by_side(now)
    _share(now)
    _log(now)


# ---- none is open


def _list() -> None:
    st.header("Sessions so far", anchor=False)
    sessions = doors.session_runs().sessions.list()
    if not sessions:
        st.caption("None yet. Begin one below: from then on every training is kept in it, with the reason you give.")
        return
    for session in sessions:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            with st.container(gap="xsmall", width="stretch"):
                st.markdown(f"**{page_words.plain(session.name)}**")
                st.markdown(_finding(session, doors.session_runs().sessions.runs(session)))
                st.caption(_facts(session) + f" · changed {_when(session.changed)}")
            st.button(
                "Open", key=f"sessions.open.{session.id}", on_click=_enter, args=(session.id,), icon=":material/login:"
            )


def _finding(session: SessionInfo, runs: tuple[RunInfo, ...]) -> str:
    """What a session found last, in a sentence: whether a change is real where somebody asked, else the gap."""
    answers = doors.session_runs().answers(session)
    if answers:
        before, after = list(answers)[-1]
        change = answers[before, after].get(HEADLINE)
        if change is not None:
            return page_words.prose(f"From run {before} to run {after}: {change.sentence}")
    measured = [run for run in runs if run.state == "done" and run.metrics.get(HEADLINE) is not None]
    if not measured:
        return "Nothing is measured yet."
    first = min(measured, key=lambda run: run.number)
    last = next((run for run in measured if run.number == session.current), first)
    gap, accuracy = 100 * last.metrics[HEADLINE], _percent(last.metrics.get("accuracy"))
    if last.id == first.id:
        return f"The gap is {gap:.1f} points at {accuracy} accuracy, the run {_without(last)}."
    return (
        f"The gap went from {100 * first.metrics[HEADLINE]:.1f} points (run {first.number}) to {gap:.1f} "
        f"(run {last.number}, which {_without(last)}), at {accuracy} accuracy; whether that is beyond chance was not "
        "asked yet."
    )


def _without(run: RunInfo) -> str:
    """In few words: a session may exclude thousands of channels."""
    excluded = f"excludes {page_words.count(len(run.excluded), 'channel')}" if run.excluded else ""
    treated = run_words.without((), run.treatment) if run.treatment else ""
    return " and ".join(part for part in (excluded, treated) if part) or "excludes nothing"


def _facts(session: SessionInfo) -> str:
    try:
        table = visit.table(session.table)
        titles = [tables.target_of(table, name).title for name in (session.target, *session.sensitive)]
    except Img2TabError:
        titles = [session.target, *session.sensitive]
    groups = " and ".join(title.lower() for title in titles[1:])
    return page_words.plain(f"{titles[0]} by {groups} · table {session.table} · {session.owner}")


def _enter(session_id: int) -> None:
    with visit.noticing():
        visit.enter(session_id)


def _begin() -> None:
    target = visit.target()
    others = {other.name: other.title for other in visit.current_table().targets if other.name != target.name}
    st.header("Begin a session", anchor=False)
    if not sign_in.may_change():
        st.caption("A viewer opens the sessions that somebody shares. Beginning one needs the role auditor.")
        return
    if not others:
        st.caption("This table has one target only; an audit needs a second label that forms the groups.")
        return
    open_on_audit = [name for name in attribute_state.attributes() if name in others]
    with st.form("sessions.new", border=True):
        st.caption(
            f"About **{page_words.plain(target.title.lower())}** (the target chosen above) on the table "
            f"“{page_words.plain(visit.table_name())}”. The "
            "classifier trained on everything becomes its first run. Fields marked with * must be filled in."
        )
        left, right = st.columns(2, gap="small")
        with left:
            st.text_input("Name \\*", key="sessions.name", max_chars=NAME_LENGTH, placeholder="Smile detector, May")
            _problem("name")
        with right:
            st.text_input(
                "Your name \\*",
                key="sessions.owner",
                value=session_state.who(),
                max_chars=NAME_LENGTH,
                disabled=sign_in.is_required(),
                help="Stands beside what you do in the session's log.",
            )
            _problem("owner")
        st.multiselect(
            "Groups by \\*",
            list(others),
            default=open_on_audit or [next(iter(others))],
            max_selections=2,
            key=f"sessions.sensitive.{target.name}.{','.join(open_on_audit)}",
            format_func=others.get,
            help="One attribute, or two that are crossed: every pair of classes is then a group. At first what the "
            "Audit page has open.",
        )
        _problem("sensitive")
        st.text_area(
            "Question",
            key="sessions.notes",
            height=100,
            placeholder="What do you want to know, for whom, and what would you count as an answer?",
        )
        if st.form_submit_button("Begin", type="primary", icon=":material/play_arrow:"):
            _create(f"sessions.sensitive.{target.name}.{','.join(open_on_audit)}")


def _problem(field: str) -> None:
    """What is wrong with a field, under it."""
    if problem := st.session_state.get("sessions.problems", {}).get(field):
        st.error(page_words.prose(problem), icon=":material/error:")


def _missing(name: str, owner: str, sensitive: list[str]) -> dict[str, str]:
    """Field -> what is wrong with it; the database would say one of them at a time."""
    problems = {}
    if not name.strip():
        problems["name"] = "Give the session a name."
    elif " ".join(name.split()) in {session.name for session in doors.session_runs().sessions.list()}:
        problems["name"] = f"There is already a session named {name!r}. Choose another name."
    if not owner.strip():
        problems["owner"] = "Say who you are: the log names who did what."
    if not sensitive:
        problems["sensitive"] = "Choose the attribute whose classes are the groups."
    return problems


def _create(sensitive: str) -> None:
    values = st.session_state
    filled = values["sessions.name"], values["sessions.owner"], values[sensitive]
    values["sessions.problems"] = _missing(*filled)
    if values["sessions.problems"]:
        st.rerun()
    with st.spinner("Measuring the first run…"):
        name, owner, groups = filled
        made = doors.session_runs().begin(
            name, owner, visit.current_table(), visit.target().name, groups, values["sessions.notes"]
        )
    session_state.say_who(owner)
    visit.enter(made.id)
    st.rerun()


# ---- the open one


def _head(now: Opened) -> None:
    session = now.session
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
        with st.container(gap="xsmall", width="stretch"):
            st.header(page_words.plain(session.name), anchor=False)
            st.markdown(_finding(session, now.runs))
            if few := too_few_of(audit_state.seeable(session.target, session.sensitive), visit.target().classes):
                st.warning(f"The gaps cannot be told: {page_words.plain(few)}", icon=":material/group_off:")
            st.caption(_facts(session) + f" · begun {_when(session.created)}")
        with st.container(horizontal=True, gap="small", width="content"):
            _report(now)
            if sign_in.may_change():
                with st.popover("More", icon=":material/more_horiz:"):
                    _manage(session)
    _writing(now)
    st.text_area(
        "Question and notes",
        session.notes,
        height=120,
        **held(f"sessions.notes.{session.id}", session.notes, lambda notes: _set_notes(session, notes)),
        help="Saved when you leave the field; every version stays in the log, and the last one is in the report.",
    )


def _report(now: Opened) -> None:
    """Written in the background, then offered; written anew when the session has changed since."""
    job, session = audit_state.reporting(now.session), now.session
    if job is not None and job.state == "done":
        st.download_button(
            "Download report",
            data=job.result,
            file_name=f"img2tab-{_slug(session.name)}.html",
            mime="text/html",
            icon=":material/download:",
            type="primary",
            on_click="ignore",
            key="sessions.report",
        )
        return
    st.button(
        "Write the report",
        key="sessions.write",
        icon=":material/description:",
        type="primary",
        disabled=not now.models or (job is not None and job.state == "running"),
        on_click=audit_state.write_report,
        args=(session,),
        help="One self-contained HTML file: question, groups, what was excluded and why, metrics with intervals, "
        "faces, limits, versions. Takes about a minute, in the background.",
    )


def _writing(now: Opened) -> None:
    """How far the report is, or why there is none."""
    job = audit_state.reporting(now.session)
    if job is not None and job.state == "running":
        progress.watch(job, key="sessions-report", waiting="Writing the report…", cancel=True)
    elif job is not None and job.state == "failed":
        st.error(page_words.prose(f"The report was not written: {job.error}"), icon=":material/error:")


def _manage(session: SessionInfo) -> None:
    with st.form("sessions.rename", border=False):
        st.text_input("New name", key="sessions.rename.name", value=session.name, max_chars=NAME_LENGTH)
        st.form_submit_button("Rename", on_click=_rename, args=(session,), icon=":material/edit:")
    if sign_in.is_required():
        _sharing(session)
    else:
        _you()
    st.caption("Deleting removes the session and its runs; the models and the log stay.")
    sure = st.checkbox("I want to delete it", key="sessions.delete.sure")
    st.button(
        "Delete session",
        key="sessions.delete",
        icon=":material/delete:",
        disabled=not sure,
        on_click=_delete,
        args=(session,),
    )


def _sharing(session: SessionInfo) -> None:
    """Who may open it beside its owner; only the owner changes that."""
    with st.form("sessions.share", border=False, clear_on_submit=True):
        st.text_input(
            "Share with",
            key="sessions.share.address",
            max_chars=NAME_LENGTH,
            placeholder="ann@lab.example",
            help="The address they sign in with. An auditor may then work in it, a viewer look at it.",
        )
        st.form_submit_button("Share", on_click=_share_with, args=(session,), icon=":material/group_add:")
    for other in session.shared:
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.text(f"Shared with {other}", width="stretch")
            st.button("Take back", key=f"sessions.unshare.{other}", on_click=_unshare, args=(session, other))


def _share_with(session: SessionInfo) -> None:
    with visit.noticing():
        doors.session_runs().sessions.share(session, st.session_state["sessions.share.address"])


def _unshare(session: SessionInfo, other: str) -> None:
    with visit.noticing():
        doors.session_runs().sessions.unshare(session, other)


def _you() -> None:
    with st.form("sessions.who", border=False):
        st.text_input(
            "You are",
            key="sessions.who.name",
            value=session_state.who(),
            max_chars=NAME_LENGTH,
            help="The name that the log puts beside what you do from now on.",
        )
        st.form_submit_button("Say so", on_click=lambda: session_state.say_who(st.session_state["sessions.who.name"]))


def _rename(session: SessionInfo) -> None:
    with visit.noticing():
        doors.session_runs().sessions.rename(session, st.session_state["sessions.rename.name"], who=session_state.who())


def _set_notes(session: SessionInfo, notes: str) -> None:
    with visit.noticing():
        doors.session_runs().sessions.set_notes(session, notes, who=session_state.who())


def _delete(session: SessionInfo) -> None:
    with visit.noticing():
        doors.session_runs().sessions.delete(session, who=session_state.who())
        session_state.close()


# ---- what was said beforehand


def _beforehand(now: Opened) -> None:
    who, which = st.columns(2, gap="large")
    with who:
        st.header("Who could be harmed", anchor=False)
        bias_record.show(now)
    with which:
        st.header("Which metric fits", anchor=False)
        metric_choice.show(now)


# ---- the tree


def _tree(now: Opened) -> None:
    st.header("Runs", anchor=False)
    job = training_state.retraining()
    if job is not None:
        progress.watch(job, key="sessions", waiting="Training…", cancel=True)
    depth = _depths(now.runs)
    for run in now.runs:
        with _branch(depth[run.id]):
            title, accuracy, gap, action = st.columns([5, 2, 2, 2], vertical_alignment="center")
            with title:
                about = [_kind(run), run_words.without(run.excluded, run.treatment)] + (
                    [f"seed {run.seed}"] if run.seed else []
                )
                st.markdown(f"**Run {run.number}** · " + " · ".join(about))
                lines = [STATES[run.state], page_words.plain(run.reason), page_words.plain(run.note)]
                lines.append(f"{page_words.plain(run.who)}, {_when(run.started)}")
                st.caption("  \n".join(part for part in lines if part))
            if run.state == "done":
                accuracy.markdown(f"Accuracy {_percent(run.metrics.get('accuracy'))}")
                gap.markdown(f"Gap {_in_points(run.metrics.get(HEADLINE))}")
            _action(now, run, action)
    st.caption(
        "Gap: equalised odds difference between the session's groups of test faces. The next training is a "
        "child of the current run: go back to an earlier one to branch from it. Runs are numbered within the session, "
        "here, on every page while it is open, in its report and on the command line; outside it a run counts among "
        "all that are kept of its target."
    )


@contextmanager
def _branch(depth: int) -> Iterator[None]:
    """A run's card, further to the right the further down the tree."""
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", wrap=False):
        if depth:
            st.markdown("↳", width=INDENT * min(depth, DEEPEST), text_alignment="right")
        with st.container(border=True, width="stretch"):
            yield


def _depths(runs: tuple[RunInfo, ...]) -> dict[int, int]:
    depths: dict[int | None, int] = {None: -1}
    for run in runs:  # parents come first in a tree
        depths[run.id] = depths[run.parent] + 1
    return depths


def _action(now: Opened, run: RunInfo, place) -> None:
    if run.state != "done":
        return
    if run.id not in now.models:
        place.button(
            "Train again",
            key=f"sessions.again.{run.number}",
            icon=":material/replay:",
            width="stretch",
            disabled=training_state.retraining() is not None,
            on_click=training_state.train_again,
            args=(run,),
            help="The model is not in this folder. Trains it once more, to the very same model; "
            "one of a graphics card to a model that decides nearly alike.",
        )
        return
    current = run.number == now.session.current
    place.button(
        "Current" if current else "Go back",
        key=f"sessions.restore.{run.number}",
        disabled=current,
        width="stretch",
        on_click=_restore,
        args=(now, run),
        help="All pages then show this run, and the next one is its child.",
    )


def _restore(now: Opened, run: RunInfo) -> None:
    with visit.noticing():
        visit.activate(now.models[run.id].id)


# ---- any two


def _side_by_side(now: Opened) -> None:
    done = {run.number: run for run in now.runs if run.id in now.models}
    if len(done) < 2:
        return
    st.header("Any two side by side", anchor=False)
    left, right = st.columns(2, gap="large")
    current = now.session.current if now.session.current in done else max(done)
    parent = now.parent(done[current])
    other = parent.number if parent and parent.number in done else next(number for number in done if number != current)
    with left:
        first = done[_pick(now, "One", done, min(other, current))]
    with right:
        second = done[_pick(now, "The other", done, max(other, current))]
    if first.id == second.id:
        st.caption("Choose two different runs.")
        return
    apart = difference(first, second)
    st.dataframe(_rows(first, second), hide_index=True, height="content", key="sessions.pair")
    models = now.models[first.id], now.models[second.id]
    for number, only, uses in ((first.number, apart.only_one, models[1]), (second.number, apart.only_other, models[0])):
        if only:
            st.caption(f"Only run {number} excludes {page_words.count(len(only), 'channel')}: {_listed(only, uses)}.")
    sensitive = now.session.sensitive
    st.plotly_chart(
        audit_charts.gap_dumbbell(*(audit_state.audit(model, sensitive) for model in models)),
        alt="How far apart the groups are in either run.",
        key="sessions.gaps",
        config={"displayModeBar": False},
    )
    st.caption(f"From run {first.number} (before) to run {second.number} (after), 95 % intervals over the test faces.")
    same_faces.show(*models, sensitive)
    is_it_real.show(*models, sensitive, key="sessions")


def _pick(now: Opened, label: str, done: dict[int, RunInfo], first: int) -> int:
    numbers = list(done)
    name = f"sessions.{now.session.id}.{label.split()[-1].lower()}"
    number, handed = address.choice(name, address.among(numbers), first)
    st.selectbox(
        label,
        numbers,
        numbers.index(number),
        format_func=lambda number: f"Run {number}: {_does_without(done[number])}",
        **handed,
    )
    return number


def _rows(first: RunInfo, second: RunInfo) -> pd.DataFrame:
    """What was set and what was measured, a row each."""
    rows = [
        ("Classifier", _kind(first), _kind(second)),
        ("Seed", str(first.seed), str(second.seed)),
        ("Does without", _does_without(first), _does_without(second)),
        ("Accuracy", *(_percent(run.metrics.get("accuracy")) for run in (first, second))),
        ("AUC", *(_number(run.metrics.get("auc")) for run in (first, second))),
        ("Log-loss", *(_number(run.metrics.get("log_loss")) for run in (first, second))),
    ]
    rows += [
        (
            title,
            *((_in_points if name in RATES_OF_GAP else _percent)(run.metrics.get(name)) for run in (first, second)),
        )
        for name, title in GAPS.items()
        if name in first.metrics
    ]
    return pd.DataFrame(rows, columns=["", f"Run {first.number}", f"Run {second.number}"])


def _listed(channels: tuple[int, ...], uses: Run) -> str:
    """Those first that the other run leans on most."""
    layout, names, importance = visit.layout(), visit.names(), visit.scores(uses).importance
    first = sorted(channels, key=lambda index: (-importance[index], index))[:SHOWN]
    shown = ", ".join(page_words.concept(index, layout, names) for index in first)
    return shown + (f" and {len(channels) - SHOWN:,} more" if len(channels) > SHOWN else "")


# ---- lists to share


def _share(now: Opened) -> None:
    st.header("Share what is excluded", anchor=False)
    give, take = st.columns(2, gap="large")
    with give:
        run = now.current
        if run is None or run.state != "done":
            st.caption("There is no run yet.")
        else:
            content = exclusions_json(now.session, run, names=visit.names())
            st.download_button(
                f"List of run {run.number}",
                data=json.dumps(content, indent=1),
                key="sessions.list",
                file_name=f"img2tab-exclusions-run-{run.number}.json",
                mime="application/json",
                icon=":material/download:",
                on_click="ignore",
            )
            st.caption(
                "JSON with all that decides the training: table, target, classifier, seed and excluded "
                "concepts. Whoever has the same table can repeat the run exactly."
            )
    with take:
        file = st.file_uploader("A list somebody shared", type="json", key="sessions.shared")
        if file is not None:
            _shared(now, file.getvalue())


def _shared(now: Opened, data: bytes) -> None:
    layout = visit.layout()
    shared = read_exclusions(data, backbone=now.session.backbone, channels=layout.total)
    st.caption(
        f"Excludes {page_words.count(len(shared.excluded), 'channel')}; made for {page_words.plain(shared.target)} "
        f"on the table "
        f"{page_words.plain(shared.table)}, {page_words.plain(shared.classifier)}, seed {shared.seed}."
    )
    same = next((run for run in now.runs if shared.run_id and run.run_id == shared.run_id), None)
    if same is not None:
        st.success(f"Run {same.number} is the very model this list came from.", icon=":material/check:")
    with st.container(horizontal=True):
        st.button(
            "Tick these",
            key="sessions.shared.tick",
            on_click=visit.tick,
            args=(frozenset(shared.excluded),),
            icon=":material/check_box:",
            help="On the page Exclude and retrain; nothing is trained yet.",
        )
        st.button(
            "Repeat exactly",
            key="sessions.shared.repeat",
            on_click=training_state.repeat_shared,
            args=(shared,),
            disabled=training_state.retraining() is not None or same is not None,
            icon=":material/replay:",
            help="Trains with the list's classifier and seed as a child of the current run.",
        )


# ---- the log


def _log(now: Opened) -> None:
    with st.expander("Log: who did what", icon=":material/history:"):
        entries = doors.session_runs().sessions.log(now.session)
        st.dataframe(
            pd.DataFrame(
                [
                    {
                        "When (UTC)": _when(entry.at),
                        "Who": entry.who,
                        "What": entry.what,
                        "Details": _details(entry.details),
                    }
                    for entry in reversed(entries)
                ]
            ),
            hide_index=True,
            key="sessions.log",
        )
        st.caption("Only ever added to: nothing in it can be changed or removed here.")


def _details(details: dict) -> str:
    """Short facts as text; long ones are in the report."""
    return ", ".join(f"{name} {value}" for name, value in details.items() if not isinstance(value, dict))[:200]


# ---- how things are written


def _kind(run: RunInfo) -> str:
    return page_words.plain(kinds.title_of(run.kind))


def _does_without(run: RunInfo) -> str:
    return run_words.without(run.excluded, run.treatment)


def _in_points(value: float | None) -> str:
    return "not measured" if value is None else f"{100 * value:.1f} points"


def _percent(value: float | None) -> str:
    return "not measured" if value is None else page_words.percent(value)


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"


def _when(moment: datetime) -> str:
    return f"{moment:%d %b %Y, %H:%M} UTC"


def _slug(name: str) -> str:
    return "-".join("".join(letter if letter.isalnum() else " " for letter in name).split()).lower() or "session"


if __name__ == "__main__":
    page()
