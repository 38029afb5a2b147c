"""Exclude or erase and retrain, in three steps: tick concepts, read what that would mean, train and prove it."""

from __future__ import annotations

import numpy as np
import streamlit as st

from dashboard.charts import classifiers as classifier_charts
from dashboard.components import page_words, pictures, progress
from dashboard.components.held import held
from dashboard.parts import (
    erasing,
    families,
    is_it_real,
    keep_as_audit,
    outcome,
    own_run,
    run_words,
    same_faces,
    suggestion,
    ticking,
    what_it_means,
)
from dashboard.state import address, sign_in, visit
from dashboard.state import attributes as attribute_state
from dashboard.state import audits as audit_state
from dashboard.state import session as session_state
from dashboard.state import training as training_state
from img2tab_core.audits.paired import Difference
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.records import ConceptScores, Target
from img2tab_core.classifiers import quick
from img2tab_core.classifiers.kinds import KINDS, title_of
from img2tab_core.classifiers.runs import Run
from img2tab_core.concepts.description import Description

PER_PAGE = 12  # channels
FAMILIES = 6  # concepts: two rows of three, or three of two
RANKED = 240
IMPORTANCE, DISTANCE = "Importance", "Distance"
CONCEPTS, SUGGESTED, CHANNELS = families.CONCEPTS, "Suggested", families.CHANNELS
CHIPS = 16
EXCLUDE, ERASE = "Exclude", "Erase"
EXCLUDING = "What you tick is never handed to the classifier. What else says the same stays."


def page() -> None:
    run, target = visit.active_run(), visit.target()
    own_run.about_training(run)
    scores = visit.scores(run)
    choose, mean, prove = st.columns([4, 3, 3], gap="medium")
    with mean:
        what_it_means.show(run, target)
    with prove:
        _prove(run, scores)
    with choose:
        waiting = _choose(run, scores)
    before = visit.before_run(run)
    if before is not None:
        st.divider()
        keep_as_audit.offer(run)
        _comparison(run, before, target)
    if len(visit.history()) > 1:
        _history(run)
    _draw(waiting)


# ---- 1: what it should not use


def _choose(run: Run, scores: ConceptScores) -> list[tuple[int, object]]:
    """Concepts to tick, the most used first, or those suggested; single channels are the details. Returns the pictures
    still to be drawn and their places."""
    st.header("1 What should it not use?", anchor=False)
    way, handed = address.choice("exclude.way", address.among((EXCLUDE, ERASE)), EXCLUDE)
    st.segmented_control("How", [EXCLUDE, ERASE], default=way, required=True, label_visibility="collapsed", **handed)
    if way == ERASE:
        erasing.show()
        return []
    st.caption(EXCLUDING)
    described = visit.description()
    view = CHANNELS
    if described is not None:
        views = [CONCEPTS, SUGGESTED, CHANNELS]
        view, handed = address.choice("exclude.what", address.among(views), CONCEPTS)
        st.segmented_control("Tick", views, default=view, required=True, label_visibility="collapsed", **handed)
    waiting: list[tuple[int, object]] = []
    if view == CHANNELS:
        waiting = _channel_cards(run, scores)
        suggestion.of_channels()
    elif view == SUGGESTED:
        suggestion.of_concepts(run)
    else:
        _family_cards(run, described)
    with st.expander("Details: add single channels", icon=":material/tune:"):
        _add(scores)
    return waiting


def _channel_cards(run: Run, scores: ConceptScores) -> list[tuple[int, object]]:
    """Twelve channels with a check box each; returns the pictures still to be drawn and their places."""
    by, handed = address.choice("exclude.by", address.among((IMPORTANCE, DISTANCE)), IMPORTANCE)
    st.segmented_control(
        "Rank by",
        [IMPORTANCE, DISTANCE],
        default=by,
        required=True,
        help=f"Importance: share of what the active run uses.  \nDistance: {page_words.DISTANCE}",
        **handed,
    )
    number = address.page_number("exclude.page", RANKED // PER_PAGE)
    ranked = _ranked(scores, by)
    first = (number - 1) * PER_PAGE
    layout, names = visit.layout(), visit.names()
    waiting = []
    grid = st.grid(3, min_column_width=160, gap="small")
    for rank, index in enumerate(ranked[first : first + PER_PAGE], first + 1):
        with grid.cell(), st.container(border=True, gap="xsmall", height="stretch"):
            waiting.append((index, st.empty()))
            waiting[-1][1].image(pictures.placeholder(392, 128), width="stretch", alt="Being drawn")
            ticking.box(f"{rank}. {page_words.concept(index, layout, names)}", (index,), key=f"exclude.tick.{index}")
            importance = f"Importance {page_words.percent(scores.importance[index], 2)}"
            st.caption(
                f"Distance {scores.distance[index]:.2f} SD  \n"
                + ("Excluded now" if index in run.excluded else importance)
            )
    st.caption(
        "Pictures: one face with the channel at −8 and at +8 standard deviations, and in orange where the two differ. "
        "Distance: how far it sets the classes apart. Importance: share of what the active run uses."
    )
    return waiting


def _family_cards(run: Run, described: Description) -> None:
    """Concepts with a check box each, those that the run uses most first; a tick changes no card's size."""
    cards, pages = st.container(), st.container()
    with pages:  # what is waited for is told below the cards, so that they keep their place
        ranked = sorted(visit.families(run), key=lambda row: -(row.importance + row.by_stand_ins))
        number = address.page_number("exclude.families.page", -(-len(ranked) // FAMILIES))
        st.caption(
            "What the classifier uses most comes first. Each concept is a family of channels that draw the same thing; "
            "pictures: three faces at −8, as they are, and at +8."
        )
    grid = cards.grid(3, min_column_width=150, gap="small")
    for row in ranked[(number - 1) * FAMILIES : number * FAMILIES]:
        with grid.cell(), st.container(border=True, gap="xsmall", height="stretch"):
            families.picture(described, row)
            ticking.box(
                page_words.plain(row.family.name),
                frozenset(row.family.channels.tolist()),
                key=f"exclude.family.{row.family.id}",
                help=families.about(row),
            )
            families.brief(row)


def _ranked(scores: ConceptScores, by: str) -> list[int]:
    keys = (-scores.distance, -scores.importance) if by == IMPORTANCE else (-scores.importance, -scores.distance)
    return np.lexsort(keys)[:RANKED].tolist()


def _draw(waiting: list[tuple[int, object]]) -> None:
    """Fill the pictures in, one after the other, after everything else on the page is there; each into its place."""
    for index, place in waiting:
        low, high = visit.concept_picture(index)
        place.image(
            pictures.side_by_side([low, high, pictures.change(low, high)]),
            width="stretch",
            alt=f"Channel {index} at −8 and +8 standard deviations, and where the two differ",
        )


# ---- 3: the training, and what it did


def _prove(run: Run, scores: ConceptScores) -> None:
    ticked = visit.ticked()
    st.header("3 Train and prove", anchor=False)
    _train(run, ticked)
    before = visit.before_run(run)
    if before is not None and visit.unchanged(run) and training_state.retraining() is None:
        outcome.show(before, run)
    _basket(ticked, scores)


def _basket(ticked: frozenset[int], scores: ConceptScores) -> None:
    """What is ticked, as chips that take it back."""
    treatment = visit.treatment()
    if treatment.erased:
        st.markdown("**Erased**" + (", training faces balanced" if treatment.balanced else ""))
        with st.container(horizontal=True, gap="xsmall"):
            for name in treatment.erased:
                st.button(
                    erasing.words((name,)).capitalize(),
                    key=f"exclude.erased.{name}",
                    icon=":material/close:",
                    icon_position="right",
                    help="Do not erase it",
                    on_click=erasing.erase,
                    args=(name, False),
                )
    if not ticked:
        return
    layout, names = visit.layout(), visit.names()
    described = visit.description()
    whole, alone = described.whole(ticked) if described is not None else ([], ticked)
    by_importance = sorted(alone, key=lambda index: (-scores.importance[index], -scores.distance[index]))
    chips = [(f"{family.name} ({len(channels):,})", family.id, channels) for family, channels in whole]
    chips += [(page_words.concept_text(i, layout, names), str(i), frozenset({i})) for i in by_importance]
    st.markdown(f"**Ticked: {page_words.count(len(ticked), 'channel')}**")
    with st.container(horizontal=True, gap="xsmall"):
        for title, key, channels in chips[:CHIPS]:
            st.button(
                page_words.plain(title),
                key=f"exclude.chip.{key}",
                icon=":material/close:",
                icon_position="right",
                help="Untick it",
                on_click=lambda channels=channels: visit.tick(visit.ticked() - channels),
            )
    if len(chips) > CHIPS:
        st.caption(f"and {len(chips) - CHIPS:,} more")
    st.button(
        "Clear all",
        key="exclude.clear",
        type="tertiary",
        icon=":material/clear_all:",
        on_click=lambda: visit.tick(frozenset()),
    )


def _add(scores: ConceptScores) -> None:
    with st.form("exclude.adding", border=False, clear_on_submit=True):
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            st.text_input("Add one", key="exclude.add", placeholder="Index, place (7:311) or name")
            st.form_submit_button("Add", on_click=_add_typed)
    with st.form("exclude.family", border=False):
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            st.number_input(
                "Add the top by distance",
                1,
                visit.layout().total - 1,
                100,
                key="exclude.top",
                help="Every concept has stand-ins, so excluding a few changes little; excluding a whole family does.",
            )
            st.form_submit_button("Add all", on_click=lambda: _add_top(scores))


def _add_typed() -> None:
    text = st.session_state["exclude.add"]
    try:
        visit.tick(visit.ticked() | {page_words.find(text, visit.layout(), visit.names())})
    except Img2TabError as error:
        visit.notice(str(error))


def _add_top(scores: ConceptScores) -> None:
    top = np.argsort(-scores.distance, kind="stable")[: st.session_state["exclude.top"]]
    visit.tick(visit.ticked() | frozenset(top.tolist()))


def _train(run: Run, ticked: frozenset[int]) -> None:
    job = training_state.retraining()
    if job is not None:
        progress.watch(job, key="exclude", waiting="Preparing…", cancel=True, meanwhile=lambda: _quick(run))
        return
    training_state.prepare()
    _choose_kind()
    same = next(
        (
            earlier
            for earlier in visit.history()
            if visit.unchanged(earlier) and earlier.classifier.kind == training_state.kind() and not earlier.origin
        ),
        None,
    )
    if same is not None and same.id != run.id:
        st.button(
            f"Go back to run {visit.number_of(same)}",
            key="exclude.back",
            type="primary",
            width="stretch",
            icon=":material/history:",
            on_click=lambda: visit.activate(same.id),
            help="A run of this classifier with exactly these exclusions was already trained.",
        )
        return
    now = session_state.opened()
    if now is not None:
        st.text_area(
            "Why",
            key="exclude.why",
            placeholder="What you expect, and why these.",
            height=80,
            persist_state="session",
            help=f"Kept with the run in the session “{page_words.plain(now.session.name)}”, and told in its report.",
        )
    st.button(
        _action(ticked),
        key="exclude.train",
        type="primary",
        width="stretch",
        icon=":material/model_training:",
        disabled=same is not None or not sign_in.may_change(),
        on_click=_retrain,
        help="Trains a new classifier in the background; the old one is kept, and you can go back to it.",
    )
    if same is not None:
        changed = ticked or visit.treatment()
        st.caption(
            "Tick or untick a concept to train again." if changed else "Tick at least one concept to train again."
        )


def _action(ticked: frozenset[int]) -> str:
    """Short: the button is narrow, and what is erased stands below it."""
    if visit.treatment().erased:
        return "Erase, exclude and retrain" if ticked else "Erase and retrain"
    return f"Retrain without {page_words.count(len(ticked), 'channel')}" if ticked else "Retrain"


def _quick(before: Run) -> None:
    """The first answer, marked as such, while the full classifier is trained."""
    first = training_state.quick_answer()
    if first is None:
        return
    low, high = first.metrics.interval
    with st.container(border=True, gap="xsmall"):
        st.metric(
            "Quick answer: accuracy",
            page_words.percent(first.metrics.accuracy),
            delta=page_words.points(first.metrics.accuracy - before.metrics.accuracy) + " to the active run",
            delta_color="off",
            delta_arrow="off",
            help=f"95 % interval {page_words.percent(low)} to {page_words.percent(high)}. The full classifier is "
            f"being trained "
            "and will replace it.",
        )
        st.caption(page_words.prose(first.note.removeprefix("Quick answer: ")))


def _retrain() -> None:
    """The note is that of one run: the next one starts with an empty one."""
    if training_state.retrain(st.session_state.get("exclude.why", "")):
        st.session_state.pop("exclude.why", None)


def _choose_kind() -> None:
    kinds = training_state.kinds()
    if len(kinds) < 2:
        return
    st.selectbox(
        "Classifier",
        kinds,
        index=kinds.index(training_state.kind()),
        format_func=lambda kind: KINDS[kind].title,
        **held("exclude.kind", training_state.kind(), training_state.choose_kind),
        help="Those that can say what each concept adds for one face. The Compare page sets all of them side by side.",
    )


# ---- before and after


def _comparison(run: Run, before: Run, target: Target) -> None:
    st.header(f"Before and after: run {visit.number_of(before)} and run {visit.number_of(run)}", anchor=False)
    old, new = before.metrics, run.metrics
    compared = audit_state.compared(before, run)
    st.markdown(
        f"Run {visit.number_of(before)} {run_words.without(before.excluded, before.treatment)}, run "
        f"{visit.number_of(run)} {run_words.without(run.excluded, run.treatment)}. "
        f"Accuracy went from {page_words.percent(old.accuracy)} to "
        f"**{page_words.percent(new.accuracy)}**. {page_words.prose(compared.sentence)}"
    )
    first = training_state.quick_answer()
    if first is not None and _asked(first) == _asked(run):
        apart = audit_state.compared(first, run).sentence
        st.caption(page_words.prose(f"{quick.difference(first.metrics, new)} {apart}"))
    if run.note:
        st.caption(page_words.prose(run.note))
    grid = st.grid(3, min_column_width=180, gap="medium")
    for label, value, change, delta, meaning in (
        (
            "Accuracy",
            page_words.percent(new.accuracy),
            new.accuracy - old.accuracy,
            compared.accuracy.in_points,
            f"Share of {new.count:,} test faces judged as labelled. 95 % interval "
            f"{page_words.percent(new.interval[0])} to "
            f"{page_words.percent(new.interval[1])}; before {page_words.percent(old.interval[0])} to "
            f"{page_words.percent(old.interval[1])}.",
        ),
        (
            "AUC",
            f"{new.auc:.3f}",
            new.auc - old.auc,
            _with_interval(compared.auc),
            "How often a face of one class is ranked above a face of the other: 0.5 is chance, 1 is perfect.",
        ),
        (
            "Log-loss",
            f"{new.log_loss:.3f}",
            new.log_loss - old.log_loss,
            _with_interval(compared.log_loss),
            "How badly the stated probabilities miss the labels: 0 is perfect, 0.693 is a coin toss.",
        ),
    ):
        grid.metric(
            label,
            value,
            delta=delta,
            delta_color="off",
            delta_arrow=page_words.arrow(change),
            help=f"{meaning} {same_faces.MEANING}",
            border=True,
        )
    grid = st.grid(2, min_column_width=260, gap="large")
    for side, word in ((before, "Before"), (run, "After")):
        with grid.cell():
            low, high = side.metrics.interval
            st.markdown(f"**{word}: run {visit.number_of(side)}**")
            st.caption(
                f"Accuracy {page_words.percent(side.metrics.accuracy)}, 95 % interval {page_words.percent(low)} to "
                f"{page_words.percent(high)}"
            )
            st.plotly_chart(
                classifier_charts.confusion(side.metrics, target.classes),
                alt="How many faces of either class were called which.",
                key=f"exclude.confusion.{word}",
                config={"staticPlot": True},
            )
    st.caption(
        "Each row is one class as labelled, and how its test faces were judged: share of the row, and number of faces."
    )
    st.markdown("**Which concepts took over**")
    families.took_over(before, run, key="exclude.took_over")
    sensitive = attribute_state.attributes()
    if sensitive and not (before.own or run.own):
        is_it_real.show(before, run, sensitive, key="exclude")


def _with_interval(difference: Difference) -> str:
    """ "−0.0012 (−0.0020 to −0.0004)"."""
    low, high = (page_words.signed(bound, 4) for bound in (difference.low, difference.high))
    return f"{page_words.signed(difference.value, 4)} ({low} to {high})"


def _asked(run: Run) -> tuple:
    return run.table, run.target, run.excluded, run.treatment


# ---- every run of the target


def _history(run: Run) -> None:
    st.header("Runs of this target", anchor=False)
    st.caption("Every run is kept for the next visit too. Use an earlier one to undo: all pages then show it again.")
    for earlier in reversed(visit.history()):
        with st.container(border=True):
            title, accuracy, auc, action = st.columns([3, 3, 2, 2], vertical_alignment="center")
            title.markdown(
                f"**Run {visit.number_of(earlier)}**, {title_of(earlier.classifier.kind)}, "
                + (
                    f"published as {page_words.plain(earlier.origin)}"
                    if earlier.origin
                    else run_words.without(earlier.excluded, earlier.treatment)
                )
            )
            accuracy.markdown(f"Accuracy {page_words.percent(earlier.metrics.accuracy)}")
            auc.markdown(f"AUC {earlier.metrics.auc:.3f}")
            action.button(
                "Active" if earlier.id == run.id else "Use",
                key=f"exclude.use.{earlier.id}",
                disabled=earlier.id == run.id,
                help="Make this run the active one again; its exclusions are ticked.",
                width="stretch",
                on_click=lambda run_id=earlier.id: visit.activate(run_id),
            )


if __name__ == "__main__":
    page()
