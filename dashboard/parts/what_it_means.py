"""What training without the ticked concepts would mean: a quick estimate that follows every tick, before anything is
trained for good."""

from __future__ import annotations

import streamlit as st

from dashboard.components import page_words, progress
from dashboard.components.held import held
from dashboard.parts.same_faces import interval
from dashboard.state import attributes as attribute_state
from dashboard.state import estimates, visit
from img2tab_core.audits import exclusion_estimate
from img2tab_core.audits.exclusion_estimate import ExclusionEstimate
from img2tab_core.base.records import Target
from img2tab_core.classifiers.runs import Run

HARDLY = 0.7  # the AUC below which a probe is nearer to chance than to knowing
SPACE = "\N{NO-BREAK SPACE}"


def show(run: Run, target: Target) -> None:
    """The step's choice of groups, and under it the estimate, empty, on its way or whole; always at the same place."""
    st.header("2 What would that mean?", anchor=False)
    sensitive = groups_by(target)
    asked = estimates.estimate(run, sensitive)
    if asked is None:
        st.caption(
            "Tick or untick a concept: seconds later you read here what a classifier without it would do, before you "
            "train one. Accuracy, the gap between groups, what can still be read, what takes over."
        )
        return
    _beside(run)
    job = asked.job
    if job.state == "running":

        @st.fragment(run_every=progress.pace(0.5), key="exclude-estimate")
        def waiting() -> None:
            if job.state != "running":
                st.rerun()
            _rows(asked.known, target, sensitive)
            st.progress(job.fraction, text="Estimating…")

        waiting()
    elif job.state == "failed":
        st.error(page_words.prose(f"No estimate: {job.error}"), icon=":material/error:")
    elif job.result is not None:
        _rows(job.result, target, sensitive)
        _take_over(job.result)
        st.caption(
            f"Two quick classifiers on {job.result.faces:,} validation faces, 95{SPACE}% intervals over faces. The "
            "proof is measured on test faces, which no choice has seen."
        )


def groups_by(target: Target) -> tuple[str, ...]:
    """The attributes that form the groups, chosen here as on the Audit page; () where the table has no other label."""
    others = {other.name: other for other in visit.current_table().targets if other.name != target.name}
    if not others:
        return ()
    chosen = attribute_state.attributes()
    if len(chosen) > 1:
        titles = " × ".join(page_words.plain(others[name].title) for name in chosen)
        st.caption(f"Groups by {titles}, as on the Audit page.")
        return chosen
    first = next(iter(chosen), next(iter(others)))
    st.selectbox(
        "Groups by",
        list(others),
        index=list(others).index(first),
        format_func=lambda name: others[name].title,
        **held(f"exclude.groups.{target.name}", first, lambda name: attribute_state.choose_attributes([name])),
        help="Whose groups the gap is between. The Audit page and Behind the gap follow it.",
    )
    return (first,)


def _beside(run: Run) -> None:
    """Channels that go with what is ticked and do not draw it: a classifier can use them instead."""
    described, ticked = visit.description(), visit.ticked()
    if described is None:
        return
    numbers = {family.id: number for number, family in enumerate(described.families)}
    beside: set[int] = set()
    for family, _ in described.whole(ticked)[0]:
        beside.update(described.stand_ins(numbers[family.id]).tolist())
    left = frozenset(beside) - ticked
    if left:
        st.button(
            f"Add {page_words.count(len(left), 'channel')} that go with it",
            key="exclude.stand_ins",
            icon=":material/add:",
            width="stretch",
            on_click=lambda: visit.set_ticked(left, True),
            help="They do not draw what you ticked, but differ with it from face to face: a classifier that may not "
            "use the one can use the other.",
        )


def _rows(known: ExclusionEstimate | None, target: Target, sensitive: tuple[str, ...]) -> None:
    """Every row has its place from the first moment, so that nothing moves when a number arrives."""
    accuracy = gap = change = spread = "…"
    if known is not None:
        old, new = (100 * share for share in known.accuracy)
        accuracy = f"{old:.1f} → **{new:.1f}{SPACE}%**"
        change = f"{page_words.points(known.accuracy_change.value)} ({interval(known.accuracy_change)})"
    _row("Accuracy", accuracy, change)
    if not sensitive:
        return
    titles = _titles(sensitive)
    if known is not None and (known.gap is None or known.gap_change is None):
        gap, spread = "not measurable", "Both groups need faces of both classes."
    elif known is not None:
        old, new = (100 * share for share in known.gap)
        gap = f"{old:.1f} → **{new:.1f}**"
        chance = "" if known.gap_change.beyond_chance else ", within chance"
        spread = f"{page_words.points(known.gap_change.value)} ({interval(known.gap_change)}){chance}"
    _row(f"Gap by {titles}", gap, spread)
    readable, told = "…", "…"
    if known is not None and known.readable is not None:
        auc = known.readable
        readable = "**no better than chance**"
        if auc.low > 0.5:
            readable = "**hardly readable**" if auc.auc < HARDLY else "**still readable**"
        told = f"AUC {auc.auc:.3f} ({auc.low:.3f} to {auc.high:.3f}); 0.5 is chance"
    _row(f"{page_words.sentence(_titles(sensitive[:1]))} in what is left", readable, told)
    if known is not None and known.errors is not None:
        st.caption(page_words.prose(exclusion_estimate.in_words(known.errors, target.classes)))


def _row(label: str, value: str, below: str) -> None:
    with st.container(gap=None):
        st.markdown(f"{label}: {value}")
        st.caption(below)


def _take_over(known: ExclusionEstimate) -> None:
    """The concepts whose share grew, by name, and a button that excludes them too."""
    if not known.took_over:
        return
    names = ", ".join(f"{page_words.plain(each.name)} +{page_words.percent(each.grew)}" for each in known.took_over)
    channels = frozenset(channel for each in known.took_over for channel in each.channels)
    with st.container(gap="xsmall"):
        st.markdown(f"Takes over: {names}")
        st.button(
            "Exclude them too",
            key="exclude.took_over_too",
            icon=":material/add:",
            on_click=lambda: visit.set_ticked(channels, True),
            help="Share of what the classifier uses that each gains when the ticked ones are gone. Ticks their "
            f"{page_words.count(len(channels), 'channel')}, those that go with them included.",
        )


def _titles(sensitive: tuple[str, ...]) -> str:
    titles = {each.name: each.title for each in visit.current_table().targets}
    return page_words.plain(" × ".join(titles[name] for name in sensitive).lower())
