"""Compare: several kinds of classifier on the same faces, and what the importance of each finds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from dashboard.charts import classifiers as classifier_charts
from dashboard.charts import concepts as concept_charts
from dashboard.components import page_words, progress
from dashboard.parts import all_classes, own_run
from dashboard.state import attributes as attribute_state
from dashboard.state import audits as audit_state
from dashboard.state import training as training_state
from dashboard.state import visit
from img2tab_core.base.spreadsheets import csv
from img2tab_core.classifiers.comparison import Comparison, Contender
from img2tab_core.classifiers.kinds import KINDS, absent

FACES = (1000, 2000, 4000, None)
LEANINGS = 12  # concepts that are told
K = 20  # the number of concepts that the second figure and the sentence are about


def page() -> None:
    own_run.about_agreement(visit.target())
    _choices()
    comparison = training_state.compared()
    if comparison is None:
        st.info(
            "Nothing was compared on this table and target yet. Choose above, then press Compare.",
            icon=":material/arrow_upward:",
        )
    else:
        _result(comparison)
    all_classes.confusion(visit.active_run())


def _choices() -> None:
    there = [kind for kind in KINDS if absent(kind) is None]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        kinds = st.pills(
            "Classifiers",
            there,
            selection_mode="multi",
            default=there,
            key="compare.kinds",
            format_func=lambda kind: KINDS[kind].title,
            persist_state="session",
            wrap=True,
        )
        seeds = st.number_input(
            "Seeds",
            1,
            20,
            3,
            key="compare.seeds",
            persist_state="session",
            width=110,
            help="Each seed samples the training faces anew and sets the classifier's own random numbers; the "
            "intervals "
            "are over the seeds. With one seed there is no interval.",
        )
        faces = st.selectbox(
            "Training faces",
            FACES,
            index=1,
            key="compare.faces",
            format_func=lambda count: "All" if count is None else f"{count:,}",
            persist_state="session",
            width=130,
            help="How many faces each seed samples from the training split. All takes minutes for some classifiers.",
        )
    job = training_state.comparing()
    if job is not None and job.state == "running":
        progress.watch(job, key="compare", waiting="Preparing…", cancel=True)
    else:
        st.button(
            "Compare",
            key="compare.start",
            type="primary",
            icon=":material/play_arrow:",
            disabled=not kinds,
            on_click=training_state.compare,
            args=(list(kinds), seeds, faces),
            help="In the background; you can go on working on other pages.",
        )
        if job is not None and job.state == "failed":
            st.error(page_words.prose(f"The comparison stopped: {job.error}"), icon=":material/error:")
        if job is not None and job.state == "cancelled":
            st.info("The comparison was cancelled; the one before it stands.", icon=":material/info:")
    for kind in KINDS:
        sentence = absent(kind)
        if sentence:
            st.caption(page_words.prose(sentence))


def _result(comparison: Comparison) -> None:
    shown = [contender for contender in comparison.contenders if contender.trials]
    for contender in comparison.contenders:
        if contender.reason:
            st.warning(page_words.prose(f"{contender.title}: {contender.reason}"), icon=":material/warning:")
    if not shown:
        return
    position = comparison.ks.index(K) if K in comparison.ks else len(comparison.ks) - 1
    st.markdown(_sentence(comparison, shown, position))
    _side_by_side(comparison)
    st.header("Does importance find the concepts?", anchor=False)
    st.plotly_chart(
        classifier_charts.overlaps(comparison),
        alt="How many of the concepts that set the classes apart each kind of classifier finds.",
        key="compare.overlaps",
        config={"displayModeBar": False},
    )
    st.caption(
        "Of the concepts that set the classes farthest apart (Wasserstein-1), how many are among the most important "
        "ones of each classifier."
    )
    _leanings(shown)
    _numbers(comparison, position)


def _side_by_side(comparison: Comparison) -> None:
    """How right each kind is, and beside it, on an axis of its own, how far apart it sets the groups."""
    grid = st.grid(2, min_column_width=380, gap="large")
    with grid.cell():
        st.header("How often is it right?", anchor=False)
        st.plotly_chart(
            classifier_charts.accuracies(comparison),
            alt="The accuracy of each kind of classifier with its interval.",
            key="compare.accuracies",
            config={"displayModeBar": False},
        )
        st.caption(
            "Share of the test faces judged as labelled, with its 95\N{NO-BREAK SPACE}% interval over the seeds: what "
            "training again changes, not what other faces would."
        )
    sensitive = attribute_state.grouping()
    if not sensitive:
        return
    table = visit.current_table()
    titles = {target.name: target.title for target in (*table.targets, *table.many)}
    by = page_words.plain(" × ".join(titles[name] for name in sensitive).lower())
    with grid.cell():
        st.header(f"How far apart are the groups by {by}?", anchor=False)
        gap_of = audit_state.gaps_compared(comparison, sensitive)
        if not gap_of:
            st.info("This comparison kept no decisions, so there is no gap. Compare again.", icon=":material/info:")
            return
        if all(gap.mean is None for gap in gap_of.values()):
            st.info("The gap cannot be measured: both groups need test faces of both classes.", icon=":material/info:")
            return
        st.plotly_chart(
            classifier_charts.gaps(comparison, gap_of),
            alt="How far apart the groups are for each kind of classifier, with its interval.",
            key="compare.gaps",
            config={"displayModeBar": False},
        )
        st.caption(
            "The larger of the differences in true and in false positive rate, on the same test faces and in the same "
            "order"
            + (", of the class where it is largest" if visit.whole_target().against_rest else "")
            + "; the intervals say what the seed changes, not what other faces would. Choose the groups on the "
            "Audit page."
        )


def _leanings(shown: list[Contender]) -> None:
    """What each classifier leans on, as concepts; nothing where the backbone's are not described."""
    described = visit.description()
    if described is None:
        return
    shares = np.array([np.mean([described.leaning(trial.top) for trial in each.trials], axis=0) for each in shown]).T
    order = np.argsort(-shares[:-1].mean(axis=1), kind="stable")
    order = [n for n in order[:LEANINGS] if shares[n].max() > 0]
    names = [described.families[n].name for n in order]
    st.header("What does each lean on?", anchor=False)
    st.plotly_chart(
        concept_charts.leanings(
            [each.title for each in shown],
            [*names, "Other concepts", "No concept"],
            np.vstack([shares[order], shares[:-1].sum(axis=0) - shares[order].sum(axis=0), shares[-1]]),
        ),
        alt="The share of each classifier's importance that lies on each concept, as a heat map.",
        key="compare.leanings",
        config={"staticPlot": True},
    )
    st.caption(
        f"Of the {len(shown[0].trials[0].top)} channels that are most important to each classifier, how many in a "
        "hundred draw a concept or go with it; mean over the seeds."
    )


def _sentence(comparison: Comparison, shown: list[Contender], position: int) -> str:
    """Who judges best, whose importance finds most, and whether the seeds tell them apart."""
    k = comparison.ks[position]
    best = max(shown, key=lambda contender: contender.estimate("accuracy").mean)
    finder = max(shown, key=lambda contender: contender.estimate_at("overlap", position).mean)
    accuracy, overlap = best.estimate("accuracy"), finder.estimate_at("overlap", position)
    near = [other.title for other in shown if other is not finder and _alike(finder, other, "overlap", position)]
    close = sorted(
        {KINDS[other.kind].title for other in shown if other.kind != best.kind and _alike(best, other, "accuracy")}
    )
    words = (
        f"**{KINDS[best.kind].title}** judges best, {page_words.percent(accuracy.mean)} of the test faces"
        + (f"; seed by seed it cannot be told from {_list(close)}" if close else "")
        + ". "
        f"**{finder.title}**’s importance finds most: {page_words.percent(overlap.mean, 0)} of the {k} channels "
        f"farthest "
        f"apart are among its top {k}; a random ranking would find "
        f"{100 * comparison.chance[position]:.2g}\N{NO-BREAK SPACE}%. "
    )
    if overlap.low is None:
        return words + "One seed gives no interval: take three or more before you trust a difference."
    if near:
        return words + f"Seed by seed, over {len(comparison.seeds)} seeds, it cannot be told from {_list(near)}."
    apart = "it finds more than every other, beyond what the seed changes"
    return words + f"Seed by seed, over {len(comparison.seeds)} seeds, {apart}." if len(shown) > 1 else words


def _alike(contender: Contender, other: Contender, name: str, position: int | None = None) -> bool:
    """Whether the seeds cannot tell two apart: the interval of their differences holds 0."""
    difference = contender.difference(other, name, position)
    return difference.low is not None and difference.low <= 0


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _numbers(comparison: Comparison, position: int) -> None:
    k = comparison.ks[position]
    frame = comparison.frame()
    columns = ["classifier", "accuracy", "AUC", "training seconds"]
    columns += [f"overlap of top {number}" for number in comparison.ks]
    columns += ["rank correlation", f"mean distance of top {k}", f"stability of top {k}", "concepts used"]
    shown = frame[columns].copy()
    for column in columns[1:]:
        digits, scale = _written(column)
        half = frame.get(f"{column} ±")
        shown[column] = [
            ""
            if pd.isna(value)
            else f"{scale * value:.{digits}f}"
            + ("" if half is None or pd.isna(half[row]) else f" ± {scale * half[row]:.{digits}f}")
            for row, value in enumerate(frame[column])
        ]
    best = f"{comparison.best_distance[position]:.2f}"
    st.dataframe(
        shown,
        key="compare.numbers",
        hide_index=True,
        height="content",
        column_config={
            "classifier": "Classifier",
            "accuracy": st.column_config.TextColumn("Accuracy, %", help="Of the test faces judged as labelled."),
            "AUC": st.column_config.TextColumn("AUC", help="0.5 is chance, 1 is perfect."),
            "training seconds": st.column_config.TextColumn("Seconds", help="Training alone, on this computer."),
            "rank correlation": st.column_config.TextColumn(
                "Rank corr.", help="Spearman, of importance with distance over all concepts: 1 is the same order."
            ),
            f"mean distance of top {k}": st.column_config.TextColumn(
                f"Distance of top {k}", help=f"Mean, in standard deviations; {best} is the most any ranking reaches."
            ),
            f"stability of top {k}": st.column_config.TextColumn(
                f"Same top {k}, %", help="Share that two seeds have in common: whether the ranking repeats itself."
            ),
            "concepts used": st.column_config.TextColumn("Used", help="Concepts with an importance above zero."),
            **{f"overlap of top {number}": f"Top {number}, %" for number in comparison.ks},
        },
    )
    st.caption(
        f"Mean over {page_words.count(len(comparison.seeds), 'seed')}, ± half of the 95\N{NO-BREAK SPACE}% interval "
        "over the seeds, all on the same test faces. Each seed "
        f"trained on {comparison.faces:,} faces with all {comparison.channels:,} channels on offer, and was "
        f"measured on {comparison.test_faces:,} faces. Top: share of the concepts farthest apart that are among the "
        "most important."
    )
    st.download_button(
        "Download numbers",
        data=csv(frame),
        file_name=f"img2tab-compare-{comparison.table}-{comparison.target}.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key="compare.download",
    )


def _written(column: str) -> tuple[int, float]:
    """Digits and scale of a column."""
    if column.startswith(("overlap", "stability")):
        return 0, 100
    if column == "accuracy":
        return 1, 100
    if column == "AUC":
        return 4, 1
    return {"training seconds": 1, "concepts used": 0, "rank correlation": 3}.get(column, 2), 1


if __name__ == "__main__":
    page()
