"""What a table is made of: faces of both classes, how far its labels can be trusted, groups too small for an audit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import streamlit as st

from dashboard.components import page_words, pictures
from dashboard.state import visit
from dashboard.state.doors import studio
from img2tab_core.audits.audit_record import SMALL
from img2tab_core.base.records import StyleCode, StyleTable, Target
from img2tab_core.tables.population import label_checks

FACES = 6  # of each class
SIZE = 128  # px

Waiting = list[tuple[int, "st.delta_generator.DeltaGenerator"]]  # rows still to be drawn, and their places


def faces(table: StyleTable, target: Target) -> Waiting:
    """A few faces of each class of a target, sampled at random, the same ones each time; their places, still empty."""
    st.markdown(f"**What it holds: {page_words.plain(target.title.lower())}**")
    labels, waiting = table.labels[target.name].to_numpy(), []
    for value, name in enumerate(target.classes):
        rows = np.flatnonzero(labels == value)
        st.caption(f"{page_words.sentence(page_words.plain(name))}: {page_words.count(len(rows), 'face')}")
        chosen = np.random.default_rng(0).permutation(len(rows))[:FACES]
        grid = st.grid(FACES, min_column_width=90, gap="small")
        for row in rows[chosen].tolist():
            with grid.cell():
                waiting.append((row, st.empty()))
                waiting[-1][1].image(pictures.placeholder(SIZE, SIZE), width="stretch", alt="Being drawn")
    st.caption(
        f"{FACES} of each class, sampled at random and drawn from their style codes: what the classifier is handed, "
        "not the photos themselves."
    )
    return waiting


def draw(waiting: Waiting, table: StyleTable, target: Target) -> None:
    """Fill the faces in, each into its place, after everything else on the page is there."""
    for row, place in waiting:
        value = int(table.labels[target.name].to_numpy()[row])
        place.image(
            _drawn(table.key, table.name, row),
            width="stretch",
            alt=f"Face {row + 1} of the table, labelled {page_words.plain(target.classes[value])}",
        )


@st.cache_data(show_spinner=False, max_entries=512)
def _drawn(table_key: str, table_name: str, row: int) -> np.ndarray:
    table = visit.table(table_name)
    code = StyleCode.of(np.array(table.psi[row]), table.backbone)
    return studio().render(code, size=SIZE, stats=table.stats)


def checked(table: StyleTable) -> Callable[[Target], str]:
    """How often a target's label is what a reviewer saw, in words; "" where nobody looked."""
    checks = label_checks() if table.name == "default" else {}

    def told(target: Target) -> str:
        check = checks.get(target.name)
        return "" if check is None else f"{page_words.percent(check.agree / check.known)} of {check.known}"

    return told


def small_groups(table: StyleTable) -> None:
    """The smallest of the four counts of every pair of labels among the test faces, and which are too few."""
    if len(table.targets) < 2:
        return
    counts = _smallest(table.key_for(*(target.name for target in table.targets)), table.name)
    few = int((counts < SMALL).to_numpy()[np.triu_indices(len(counts), 1)].sum())
    pairs = len(counts) * (len(counts) - 1) // 2
    st.markdown("**Which groups are too small for an audit?**")
    st.markdown(
        f"{few} of {pairs} pairs of labels have a group with fewer than {SMALL} test faces of a class: a gap there "
        "says little."
        if few
        else f"None: every group of every pair of labels has at least {SMALL} test faces of each class."
    )
    # a text column: what is too few is said in words, not in a colour alone
    shown = counts.map(lambda count: f"{count:,}" + (" too few" if count < SMALL else ""))
    for name in shown.columns:
        shown.loc[name, name] = ""
    st.dataframe(
        shown.style.map(
            lambda text: "background-color: rgba(232, 119, 34, 0.18); font-weight: 600" if "few" in text else ""
        ),
        key=f"data.small.{table.name}",
        height="content" if len(counts) <= 14 else 460,
    )
    st.caption(
        "Rows: the target; columns: the label that forms the groups. Each number is the smallest of the four counts "
        "of test faces, class by group."
    )


@st.cache_data(show_spinner=False, max_entries=16)
def _smallest(labels_key: str, table_name: str) -> pd.DataFrame:
    """int, titles of targets by titles: the smallest count of test faces of a class in a group."""
    table = visit.table(table_name)
    test = table.rows("test")
    labels = [table.labels[target.name].to_numpy()[test] for target in table.targets]
    titles = [target.title for target in table.targets]  # of imported labels two may be alike
    titles = [
        f"{title} ({target.name})" if titles.count(title) > 1 else title
        for title, target in zip(titles, table.targets, strict=True)
    ]
    return pd.DataFrame(
        [[_least(rows, columns) for columns in labels] for rows in labels], index=titles, columns=titles
    )


def _least(labels: np.ndarray, groups: np.ndarray) -> int:
    return min(int(((labels == c) & (groups == g)).sum()) for c in (0, 1) for g in (0, 1))
