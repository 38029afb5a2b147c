"""Where to look: concepts that differ between the groups and that the classifier uses, to exclude alone or together."""

from __future__ import annotations

import streamlit as st

from dashboard.charts import proxies as proxy_charts
from dashboard.components import clicks, page_words
from dashboard.parts import families, ticking
from dashboard.parts.gap import concepts, shared
from dashboard.state import audits as audit_state
from dashboard.state import visit
from img2tab_core.audits.carriers import Carried
from img2tab_core.base.records import ConceptScores, Target
from img2tab_core.classifiers.runs import Run


def show(run: Run, target: Target, about: Target) -> None:
    described = visit.description()
    if described is not None and families.shown("Look at", "gap.what") == families.CONCEPTS:
        concepts.show(run, target, about, described)
        shared.ticked()
        return
    carried = shared.carried(about)
    if carried is None:
        return
    scores = visit.scores(run)
    listed = proxy_charts.corner(carried, scores.importance, shared.TOP)
    picked = shared.picked(listed)
    waiting: shared.Waiting = []
    grid = st.grid(5, min_column_width=130, gap=("small", "medium"))
    with grid.cell(column_span=3):
        _scatter(run, about, carried, scores, picked)
    with grid.cell(column_span=2):
        _detail(run, target, about, carried, scores, picked, waiting)
    _top(carried, scores, listed, waiting)
    _suggest(about)
    shared.ticked()
    shared.draw(waiting)


def _scatter(run: Run, about: Target, carried: Carried, scores: ConceptScores, picked: int | None) -> None:
    key = f"gap.scatter.{run.id}.{about.name}.{picked}"
    st.plotly_chart(
        proxy_charts.carried_scatter(
            carried, scores.importance, shared.name_text, excluded=run.excluded, picked=picked, top=shared.TOP
        ),
        alt="Every channel by how far it sets the groups apart and by its importance.",
        key=key,
        on_select=lambda: _choose_point(key),
        selection_mode="points",
        config=shared.CHARTS | {"scrollZoom": True},
    )
    st.caption(
        f"Right: differs between {' and '.join(map(page_words.plain, about.classes))} among faces of the same class. "
        "Up: used by the classifier. Click a dot to see its concept."
    )


def _choose_point(key: str) -> None:
    if (index := clicks.clicked(key)) is not None:
        visit.choose_concept(index)


def _detail(
    run: Run,
    target: Target,
    about: Target,
    carried: Carried,
    scores: ConceptScores,
    picked: int | None,
    waiting: shared.Waiting,
) -> None:
    if picked is None:
        st.info("Click a dot to see its concept.", icon=":material/arrow_back:")
        return
    ticked = visit.ticked()
    st.header(shared.name(picked), anchor=False)
    higher = about.classes[int(carried.shift[picked] > 0)]
    st.caption(
        f"Index {picked}. Higher on faces labelled {page_words.plain(higher)}."
        + (" Excluded from the active run." if picked in run.excluded else "")
    )
    _row(waiting, picked)
    grid = st.grid(3, min_column_width=96, gap="small")
    grid.metric(
        "Groups, SD",
        f"{carried.within[picked]:.2f}",
        help=f"How far apart {' and '.join(map(page_words.plain, about.classes))} are in it among faces of the same "
        "class: Wasserstein-1 distance, in standard deviations.",
    )
    grid.metric(
        "Classes, SD",
        f"{carried.between[picked]:.2f}",
        help=f"How far apart {' and '.join(map(page_words.plain, target.classes))} are in it within a group.",
    )
    grid.metric(
        "Importance",
        page_words.percent(scores.importance[picked], 2),
        help="Share of what the active run uses; 0 means it never looks at this concept.",
    )
    st.button(
        "Keep it" if picked in ticked else "Exclude it",
        key="gap.exclude",
        icon=":material/undo:" if picked in ticked else ":material/block:",
        on_click=visit.set_ticked,
        args=((picked,), picked not in ticked),
        help="Ticks it for the next training; nothing is trained here.",
    )
    family = audit_state.families().of(picked)
    if family.size == 1:
        st.caption("It goes with no other concept: it is a family of its own.")
        return
    st.markdown(f"**Its family: {page_words.count(family.size, 'channel')} that go together**")
    shared.later(waiting, lambda: shared.family_row(family), "Where the first members change the face", width=524)
    st.caption(
        f"Orange: where its first {min(shared.MEMBERS, family.size)} change the face. Mean correlation of its members "
        f"{family.likeness:.2f}."
    )
    whole = set(family.members) <= ticked
    st.button(
        f"{'Keep' if whole else 'Exclude'} its whole family ({page_words.count(family.size, 'channel')})",
        key="gap.exclude_family",
        icon=":material/undo:" if whole else ":material/block:",
        on_click=visit.set_ticked,
        args=(family.members, not whole),
        help=page_words.prose(audit_state.families().method),
    )


def _row(waiting: shared.Waiting, index: int) -> None:
    shows = f"{shared.name_text(index)} at −8 and +8 standard deviations, and where the two differ"
    shared.later(waiting, lambda: shared.concept_row(index), shows, width=392)


def _top(carried: Carried, scores: ConceptScores, listed: list[int], waiting: shared.Waiting) -> None:
    """The concepts deepest in the corner, with a check box each."""
    st.header("Deepest in the corner", anchor=False)
    if not listed:
        st.info("The active run uses no concept, so there is none to look at.", icon=":material/info:")
        return
    st.caption(
        "Ranked by the lower of two places: among the used concepts by how much the groups differ, and by importance."
    )
    grid = st.grid(2, min_column_width=320, gap="small")
    for rank, index in enumerate(listed, 1):
        with grid.cell(), st.container(border=True, horizontal=True, vertical_alignment="center", gap="small"):
            with st.container(width=210):
                _row(waiting, index)
            with st.container(width="stretch", gap="xsmall"):
                ticking.box(f"{rank}. {shared.name(index)}", (index,), key=f"gap.tick.{index}")
                st.caption(
                    f"Groups {carried.within[index]:.2f} SD  \nImportance "
                    f"{page_words.percent(scores.importance[index], 2)}"
                )
    st.caption(
        "Pictures: one face with the concept at −8 and at +8 standard deviations, and in orange where the two differ. "
        "A tick excludes the concept from the next training."
    )


def _suggest(about: Target) -> None:
    st.header("Everything that carries it", anchor=False)
    suggested = audit_state.suggested()
    shown = (
        suggested is not None
        and suggested == audit_state.suggestion(about.name)
        and set(suggested.excluded) <= visit.ticked()
    )
    st.button(
        "Suggest exclusions",
        key="gap.suggest",
        icon=":material/lightbulb:",
        on_click=audit_state.suggest,
        args=(about.name,),
        disabled=shown,
        help="Ticks every concept in which the groups differ, by a rule that is then stated.",
    )
    if shown:
        ticked = page_words.count(len(suggested.excluded), "channel")
        st.caption(f"**{ticked} suggested and ticked.** {page_words.prose(suggested.rule)}")
    else:
        st.caption("Single concepts have thousands of stand-ins. A stated rule ticks all that carry the attribute.")
