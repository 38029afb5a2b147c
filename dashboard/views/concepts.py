"""Concepts: what the classifier of the target looks at, as families that people can see, and channel by channel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from dashboard.charts import classifiers as classifier_charts
from dashboard.charts import concepts as concept_charts
from dashboard.components import clicks, page_words
from dashboard.parts import families
from dashboard.state import address, visit
from img2tab_core.base.records import ConceptScores, Target
from img2tab_core.base.words import listed
from img2tab_core.classifiers.runs import Run
from img2tab_core.concepts.description import REGIONS, Description
from img2tab_core.concepts.names import NAME_LENGTH

if TYPE_CHECKING:
    from img2tab_core.concepts.ranking import RankedFamily

SHIFTS = (-8, 0, 8)
USED_ONLY = "Used only"
ANY = "Any"
ORDERS: dict[str, Callable[[RankedFamily], float]] = {
    "Effect": lambda row: -abs(row.effect.mean) if row.effect else 0.0,
    "Used": lambda row: -(row.importance + row.by_stand_ins),
    "Distance": lambda row: -row.distance,
}


def page() -> None:
    run, target = visit.active_run(), visit.target()
    described = visit.description()
    if described is not None:
        if families.shown("Show", "concepts.view") == families.CONCEPTS:
            _gallery(run, target, described)
            return
    _channels(run, target)


# ---- families


def _gallery(run: Run, target: Target, described: Description) -> None:
    ranked = visit.families(run)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        text, handed = address.choice("concepts.words", str, "")
        st.text_input("Find", text, placeholder="Beard, hair, smile…", width=180, icon=":material/search:", **handed)
        parts, orders = [ANY, *_parts(ranked)], list(ORDERS)
        part, handed = address.choice("concepts.part", address.among(parts), ANY)
        st.selectbox("Part", parts, parts.index(part), width=180, **handed)
        order, handed = address.choice("concepts.order", address.among(orders), orders[0])
        st.selectbox("Order", orders, orders.index(order), width=180, help=families.MEANING, **handed)
        used, handed = address.choice("concepts.families.used", address.among((False, True)), False)
        st.checkbox(USED_ONLY, used, help="Only concepts the classifier uses.", **handed)
    wanted = text.strip().casefold()
    kept = [
        row
        for row in sorted(ranked, key=ORDERS[order])
        if (wanted in f"{row.family.name} {row.family.sentence}".casefold())
        and (part in (ANY, row.family.place))
        and (not used or row.importance + row.by_stand_ins > 0)
    ]
    moving = sum(row.verdict == "moves it" for row in ranked)
    st.markdown(
        f"**{moving} of {page_words.count(len(ranked), 'concept')} move {page_words.plain(target.title.lower())}** "
        "when they alone are changed in a picture. "
        + (f"First of all {_names(row for row in ranked if row.verdict == 'moves it')}." if moving else "")
    )
    st.caption(
        f"{page_words.count(len(kept), 'concept')} shown; each is a family of channels that draw the same thing, found "
        f"by moving every channel on {described.faces} faces. Pictures: at −8, as it is, at +8."
    )
    if not kept:
        st.info("No concept passes these filters. Widen one of them.", icon=":material/filter_alt_off:")
        return
    number = address.page_number("concepts.page", -(-len(kept) // families.PER_PAGE))
    grid = st.grid(4, min_column_width=220, gap="small")
    for row in kept[(number - 1) * families.PER_PAGE : number * families.PER_PAGE]:
        with grid.cell(), st.container(border=True, gap="xsmall", height="stretch"):
            families.picture(described, row)
            st.markdown(f"**{page_words.plain(row.family.name)}**", help=families.about(row))
            families.facts(row, target.title.lower())
            _actions(row)
    _map(run, kept, described)


def _map(run: Run, kept: Sequence[RankedFamily], described: Description) -> None:
    """The same concepts by distance and use; a click finds one."""
    key = f"concepts.map.{run.id}"
    st.header("Which of them sets the classes apart, and which is used?", anchor=False)
    st.plotly_chart(
        concept_charts.family_map(kept, [row.distance for row in kept], title="Distance between the classes, SD"),
        alt="Every concept by how far it sets the classes apart and by its importance.",
        key=key,
        on_select=lambda: _find(key, described),
        selection_mode="points",
        config={"displayModeBar": False},
    )
    st.caption(
        "Each dot is a concept. Right: sets the classes apart. Up: used, by its channels and by those that go with it. "
        "Click one to find it above."
    )


def _find(key: str, described: Description) -> None:
    if (number := clicks.clicked(key)) is not None:
        family = described.families[number]
        st.session_state["concepts.words"] = family.name
        visit.choose_concept(family.id)


def _actions(row: RankedFamily) -> None:
    """Move it on the face of the visit, or tick it to be excluded."""
    channels = frozenset(row.family.channels.tolist())
    ticked = channels <= visit.ticked()
    with st.container(horizontal=True, gap="xsmall"):
        if st.button(
            "Try it",
            key=f"concepts.try.{row.family.id}",
            type="tertiary",
            help="Move it on the face that is open on the page Inspect.",
        ):
            visit.choose_concept(row.family.id)
            st.switch_page("views/inspect.py")
        st.button(
            "Ticked" if ticked else "Exclude",
            type="tertiary",
            key=f"concepts.tick.{row.family.id}",
            icon=":material/check:" if ticked else None,
            help=f"Ticks its {page_words.count(len(channels), 'channel')} on the page Exclude and retrain; again takes "
            "that back.",
            on_click=visit.set_ticked,
            args=(channels, not ticked),
        )
        _rename(row)


def _rename(row: RankedFamily) -> None:
    """A name of one's own, for everyone who uses this machine."""
    key = f"concepts.family.{row.family.id}"

    def save() -> None:
        with visit.noticing():
            visit.name_family(row.family.id, st.session_state[key].strip())

    with st.popover("Name", type="tertiary", help="Give it a name of your own."), st.form(f"{key}.form", border=False):
        st.text_input("Name", key=key, max_chars=NAME_LENGTH, placeholder=row.family.name)
        st.caption("Shows on every page, beside what was measured; save an empty name to take it back.")
        st.form_submit_button("Save name", on_click=save)


def _parts(ranked: Sequence[RankedFamily]) -> list[str]:
    """The parts of a face that some family changes most."""
    places = {row.family.place for row in ranked}
    return [region for region in REGIONS if region in places]


def _names(rows: Iterable[RankedFamily]) -> str:
    return page_words.prose(listed([row.family.name for row in rows][:3]))


# ---- channels


def _channels(run: Run, target: Target) -> None:
    scores = visit.scores(run)
    everything = _table(run, scores)
    grid = st.grid(5, min_column_width=130, gap="large")
    with grid.cell(column_span=3):
        shown = _filters(everything)
        picked = visit.concept()
        if picked is None and len(shown):
            picked = int(shown["index"].iloc[0])
        _list(run, shown, picked)
        _scatter(run, target, scores, shown, picked)
    with grid.cell(column_span=2):
        if picked is None:
            st.info("Choose a concept in the table to see what it draws.", icon=":material/arrow_back:")
        else:
            _detail(run, target, scores, everything, picked)


def _table(run: Run, scores: ConceptScores) -> pd.DataFrame:
    """One row per channel, the most important first."""
    layout, names, published = visit.layout(), visit.names(), visit.suggestions()
    order = np.lexsort((-scores.distance, -scores.importance))
    starts = np.repeat(np.arange(layout.layers), layout.sizes)
    return pd.DataFrame(
        {
            "rank": np.arange(1, layout.total + 1),
            "index": order,
            "layer": starts[order],
            "channel": (np.arange(layout.total) - np.repeat(layout.offsets[:-1], layout.sizes))[order],
            "name": [names.get(int(index), "") for index in order],
            "published": [published[int(index)].name if int(index) in published else "" for index in order],
            "distance": scores.distance[order],
            "importance": 100 * scores.importance[order],
            "excluded": np.isin(order, list(run.excluded)),
        }
    )


def _filters(everything: pd.DataFrame) -> pd.DataFrame:
    layout = visit.layout()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        text, handed = address.choice("concepts.find", str, "")
        st.text_input("Find", text, placeholder="Name or index", width=134, icon=":material/search:", **handed)
        layer = address.among(range(layout.layers))
        layers, handed = address.choice("concepts.layers", lambda text: [layer(part) for part in text.split(",")], [])
        st.multiselect(
            "Layers",
            range(layout.layers),
            layers,
            placeholder="All",
            width=134,
            help="Early layers draw shape and pose, late layers draw colour and texture.",
            **handed,
        )
        least, handed = address.choice("concepts.distance", _distance, 0.0)
        st.number_input(
            "Least distance",
            min_value=0.0,
            value=least,
            step=0.1,
            format="%.1f",
            width=134,
            help="Show only concepts that set the two classes at least this many standard deviations apart.",
            **handed,
        )
        used, handed = address.choice("concepts.used", address.among((False, True)), False)
        st.checkbox(
            USED_ONLY, used, help="Show only concepts that the classifier uses: importance above zero.", **handed
        )
    keep = everything["distance"] >= least
    if used:
        keep &= everything["importance"] > 0
    if layers:
        keep &= everything["layer"].isin(layers)
    wanted = text.strip().casefold()
    if wanted:
        keep &= (everything["index"].astype(str) == wanted) | np.logical_or.reduce(
            [everything[column].str.casefold().str.contains(wanted, regex=False) for column in ("name", "published")]
        )
    return everything[keep].reset_index(drop=True)


def _distance(text: str) -> float:
    if not 0 <= (distance := float(text)) < np.inf:
        raise ValueError(text)
    return distance


def _list(run: Run, shown: pd.DataFrame, picked: int | None) -> None:
    st.caption(
        f"{page_words.count(len(shown), 'channel')} of {visit.layout().total:,}. Click a heading to sort, "
        "the left edge of a row to see the concept."
    )
    if shown.empty:
        st.info("No concept passes these filters. Widen one of them.", icon=":material/filter_alt_off:")
        return
    rows = np.flatnonzero(shown["index"].to_numpy() == picked).tolist()
    key = f"concepts.list.{run.id}.{picked}.{len(shown)}"
    st.dataframe(
        shown,
        key=key,
        hide_index=True,
        height=385,
        on_select=lambda: _choose_row(key, shown),
        selection_mode="single-row",
        selection_default={"selection": {"rows": rows}},
        column_order=[
            "rank",
            "name",
            *(["published"] if visit.suggestions() else []),
            "layer",
            "channel",
            "index",
            "distance",
            "importance",
            *(["excluded"] if run.excluded else []),
        ],
        column_config={
            "rank": st.column_config.NumberColumn("Rank", help="Place by importance, then by distance.", width=50),
            "name": st.column_config.TextColumn("Name", help="The name a person gave; empty until then.", width=100),
            "published": st.column_config.TextColumn(
                "Published name",
                help="What others called it, found on StyleGAN2 trained on FFHQ: look before you take it over.",
                width=110,
            ),
            "layer": st.column_config.NumberColumn("Layer", help="Layer of the generator.", width=50),
            "channel": st.column_config.NumberColumn("Channel", help="Channel within its layer.", width=66),
            "index": st.column_config.NumberColumn("Index", help="Number among all channels.", format="%d", width=56),
            "distance": st.column_config.NumberColumn(
                "Distance, SD",
                format="%.2f",
                width=84,
                help=page_words.DISTANCE,
            ),
            "importance": st.column_config.ProgressColumn(
                "Importance, %",
                format="%.2f",
                width=120,
                min_value=0,
                max_value=float(max(shown["importance"].max(), 1e-9)),
                help="Share of what the classifier uses; all concepts add up to 100 %.",
            ),
            "excluded": st.column_config.CheckboxColumn("Excluded", help="Left out of the active run.", width=80),
        },
    )


def _choose_row(key: str, shown: pd.DataFrame) -> None:
    rows = st.session_state[key]["selection"]["rows"]
    if rows:
        visit.choose_concept(int(shown["index"].iloc[rows[0]]))


def _scatter(run: Run, target: Target, scores: ConceptScores, shown: pd.DataFrame, picked: int | None) -> None:
    if shown.empty:
        return
    layout, names = visit.layout(), visit.names()
    key = f"concepts.scatter.{run.id}.{picked}"
    st.plotly_chart(
        classifier_charts.concept_scatter(
            scores,
            lambda index: page_words.concept_text(index, layout, names),
            shown["index"].to_numpy(),
            names,
            target.classes,
            picked=picked,
        ),
        alt="Every channel by how far it sets the classes apart and by its importance.",
        key=key,
        on_select=lambda: _choose_point(key),
        selection_mode="points",
        config={"displayModeBar": False, "scrollZoom": True},
    )
    st.caption(
        "Right: sets the classes apart. Up: used by the classifier. Far right but unused concepts are stand-ins: "
        "exclude one and they may take over. Click a point to see it."
    )


def _choose_point(key: str) -> None:
    if (index := clicks.clicked(key)) is not None:
        visit.choose_concept(index)


def _detail(run: Run, target: Target, scores: ConceptScores, everything: pd.DataFrame, picked: int) -> None:
    layout, names = visit.layout(), visit.names()
    st.header(page_words.concept(picked, layout, names), anchor=False)
    towards = target.classes[int(scores.direction[picked] > 0)]
    place = f"{page_words.place(picked, layout)} · index {picked}" if names.get(picked) else f"Index {picked}"
    st.caption(f"{place}. Higher on faces labelled {page_words.plain(towards)}.")
    rank = int(everything.loc[everything["index"] == picked, "rank"].iloc[0])
    grid = st.grid(3, min_column_width=90, gap="small")
    grid.metric("Rank", f"{rank:,}", help="Place by importance, then by distance, among all concepts.")
    grid.metric(
        "Distance, SD",
        f"{scores.distance[picked]:.2f}",
        help=page_words.DISTANCE,
    )
    grid.metric(
        "Importance",
        page_words.percent(scores.importance[picked], 1 if scores.importance[picked] >= 0.1 else 2),
        help="Share of what the classifier uses; 0 means it never looks at this concept.",
    )
    if picked in run.excluded:
        st.caption("Excluded from the active run, so its importance is 0.")
    _effect(run, target, picked)
    _name(picked, names)
    st.markdown("**What it draws**")
    sheet = visit.contact_sheet(picked)
    columns = st.grid(len(SHIFTS), min_column_width=64, wrap=False, gap="xsmall")
    for shift in SHIFTS:
        columns.caption(page_words.deviations(shift) if shift else "as is", text_alignment="center")
    for number, row in enumerate(sheet):
        for shift, pixels in zip(SHIFTS, row, strict=True):
            columns.image(pixels, width="stretch", alt=f"Sample {number + 1} at {page_words.deviations(shift)}")
    st.caption("Each row is one generated face with only this concept moved. A single concept is subtle below 8 SD.")


def _effect(run: Run, target: Target, picked: int) -> None:
    """Where the channel belongs, and on demand whether moving it alone moves the answer."""
    described = visit.description()
    if described is not None:
        st.caption(page_words.prose(described.place_of(picked)))
    if not visit.has_encoder():
        return
    key = f"concepts.asked.{run.id}"
    asked = st.session_state.setdefault(key, set())
    if picked not in asked:
        st.button(
            "Does it move the answer?",
            key="concepts.effect",
            icon=":material/science:",
            on_click=asked.add,
            args=(picked,),
            help="Moves this channel alone on 24 other faces, draws them, lets the encoder read the pictures, and asks "
            "the classifier; a few seconds.",
        )
        return
    effect = visit.effect(run, picked)
    st.badge("Moves it" if effect.moves else "Does not move it alone", color="green" if effect.moves else "gray")
    st.caption(
        f"Effect on {page_words.plain(target.title.lower())} {effect.change.text()}: change of the log-odds from −8 to "
        f"+8, drawn on {effect.faces} other faces and read again, with its 95 % interval."
    )


def _name(picked: int, names: dict[int, str]) -> None:
    key = f"concepts.name.{picked}"
    with st.form(f"concepts.naming.{picked}", border=False):
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            st.text_input(
                "Name",
                value=names.get(picked, ""),
                key=key,
                max_chars=NAME_LENGTH,
                placeholder="What does it draw?",
                help="The name shows on every page; save an empty name to remove it.",
            )
            st.form_submit_button("Save name", on_click=lambda: _save(picked, st.session_state[key].strip()))
    suggestion = visit.suggestions().get(picked)
    if suggestion is not None and names.get(picked) != suggestion.name:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.button(
                f"Take “{page_words.plain(suggestion.name)}”",
                key=f"concepts.suggested.{picked}",
                icon=":material/lightbulb:",
                on_click=_save,
                args=(picked, suggestion.name),
            )
            st.caption(
                f"A suggestion: {page_words.plain(suggestion.source)}. Found on weights trained on FFHQ; look whether "
                "it holds."
            )


def _save(picked: int, name: str) -> None:
    with visit.noticing():
        visit.name_concept(picked, name)
        st.toast(f"Saved “{page_words.plain(name)}”." if name else "Name removed.", icon=":material/check:")


if __name__ == "__main__":
    page()
