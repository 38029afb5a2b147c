"""Your classifier: bring one that reads pixels, see at once whether it is handed its pictures rightly, and read what it
reacts to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from dashboard.charts import concepts as concept_charts
from dashboard.components import clicks, page_words, progress
from dashboard.components.held import held
from dashboard.parts import bring, disagree
from dashboard.state import own_models, sign_in, visit
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.jobs import Job
from img2tab_core.base.words import listed

if TYPE_CHECKING:
    from img2tab_core.classifiers.pixel_models import PixelModel
    from img2tab_core.classifiers.reactions import Pair, Reactions
    from img2tab_core.concepts.ranking import RankedFamily

GALLERY = 6  # families whose before and after are shown


def page() -> None:
    if not visit.has_encoder() and visit.description() is None:
        raise Img2TabError("The concepts of this backbone are not described yet (`img2tab describe-concepts`).")
    model = own_models.chosen()
    if model is None:
        st.markdown(
            "**Bring an image classifier of your own and ask what it reacts to.** It is tried on twelve faces first, "
            "then every concept is moved on other faces, one at a time, and the classifier asked about each picture."
        )
        _bring(expanded=True)
        return
    _choose(model)
    _reactions(model)
    st.divider()
    _bring(expanded=False)


def _bring(*, expanded: bool) -> None:
    if sign_in.may_change():
        bring.show(expanded=expanded)
    else:
        st.caption("Bringing a classifier needs the role auditor.")


def _choose(model: PixelModel) -> None:
    names = own_models.names()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.selectbox(
            "Classifier",
            names,
            index=names.index(model.name),
            **held("yours.which", model.name, own_models.choose),
            width=320,
        )
        st.button(
            "Remove",
            key="yours.remove",
            type="tertiary",
            icon=":material/delete:",
            on_click=own_models.remove,
            args=(model.name,),
            help="Forget it, its copy and its answers. The file you brought it from stays.",
        )
    zero, one = (page_words.plain(word) for word in model.classes)
    st.caption(
        f"{zero} or {one}; from {page_words.plain(model.origin)}; handed {page_words.prose(model.input.sentence)}."
    )


def _reactions(model: PixelModel) -> None:
    job, known = own_models.job(model.name), own_models.reactions(model.name)
    if job is not None and job.state == "failed":
        st.error(page_words.prose(f"The asking stopped: {job.error}"), icon=":material/error:")
    running = job is not None and job.state == "running"
    if running and job is not None:
        _watch(job, model, known)
    if known is None:
        if not running:
            st.button(
                "Ask what it reacts to",
                key="yours.ask",
                type="primary",
                icon=":material/psychology_alt:",
                on_click=own_models.begin,
                args=(model.name,),
            )
            st.caption("A first answer takes about a minute; it then goes on in the background and gets sharper.")
        return
    st.markdown(f"## {page_words.prose(_headline(known))}")
    _fidelity(known)
    rows = list(known.families)
    picked = _picked(rows)
    left, right = st.columns([5, 4], gap="large")
    with left:
        key = f"yours.effects.{known.key}.{picked.family.id}"
        st.plotly_chart(
            concept_charts.effect_rows(rows, model.classes, picked=picked.family.id),
            alt="How far the answer changes when one concept is moved, concept by concept, with intervals.",
            key=key,
            on_select=lambda: _pick(key, rows),
            selection_mode="points",
            config={"displayModeBar": False},
        )
        st.caption(
            "Each concept alone moved from 8 standard deviations down to 8 up, drawn, and the classifier asked; lines "
            "are 95 % intervals over faces. First what moves it and differs between the faces it tells apart. Grey: no "
            "change beyond chance. Click a point to see it.",
            help=page_words.prose(own_models.blind()),
        )
    with right:
        _pair(known, picked)
    _gallery(known)
    _further(model, known, running=running)
    _all(known)
    if known.fidelity is not None:
        disagree.show(model.name)


def _watch(job: Job[Reactions], model: PixelModel, known: Reactions | None) -> None:
    """The asking as it goes on; the page runs again at every better answer."""
    before = own_models.state(model.name)

    def look() -> None:
        if own_models.state(model.name) != before:
            st.rerun()

    begun = "**It is being asked.** What is below gets sharper." if known else "**The first answer is coming.**"
    with st.container(border=True):
        st.markdown(begun)
        progress.watch(
            job,
            key="yours",
            waiting="Drawing the first faces…",
            cancel=True,
            label="Stop",
            help="What was answered is kept.",
            meanwhile=look,
        )


def _headline(known: Reactions) -> str:
    names = [row.family.name for row in known.movers[:3]]
    if not names:
        return f"None of the {known.moved.families} concepts moves it beyond chance, on {known.moved.faces} faces."
    return f"Reacts most to {listed(names)}."


def _fidelity(known: Reactions) -> None:
    """What else there is to say in words, and how far one may trust it."""
    st.markdown(page_words.prose(known.others))
    if known.fidelity is not None:
        st.caption(page_words.prose(known.fidelity.sentence), help=page_words.prose(known.basis))
    else:
        st.warning(page_words.prose(known.why), icon=":material/warning:")
        st.caption(page_words.prose(known.basis))


def _picked(rows: list[RankedFamily]) -> RankedFamily:
    asked = [row for row in rows if row.effect is not None]
    chosen = visit.chosen_family()
    return next((row for row in asked if row.family.id == chosen), asked[0])


def _pick(key: str, rows: list[RankedFamily]) -> None:
    number = clicks.clicked(key)
    row = next((row for row in rows if row.number == number), None)
    if row is not None:
        visit.choose_concept(row.family.id)


def _pair(known: Reactions, row: RankedFamily) -> None:
    """One face with the concept moved down, as it is, and up, and what the classifier says of each."""
    pair = own_models.pair(known, row.number)
    st.markdown(f"**{page_words.plain(row.family.name)}**")
    _three(pair, known.model.classes)
    turned = int(known.moved.turned[row.number])
    colours = {"moves it": "green", "goes with it": "orange"}
    st.badge(page_words.sentence(row.verdict), color=colours.get(row.verdict, "gray"))
    effect = "" if row.effect is None else f"{row.effect.text()} log-odds; "
    st.caption(
        f"{effect}turns the decision on {turned} of {page_words.count(known.moved.faces, 'face')}; the classes are "
        f"{row.distance:.1f} SD apart. {page_words.prose(page_words.sentence(row.family.sentence))}"
    )


def _three(pair: Pair, classes: tuple[str, str]) -> None:
    grid = st.grid(3, min_column_width=60, gap="small")
    for picture, value, word in zip(
        pair.pictures, pair.probability, ("moved down", "as it is", "moved up"), strict=True
    ):
        with grid.cell():
            st.image(picture, width="stretch", alt=f"The face {word}")
            st.caption(f"{word}  \n{page_words.decided(classes, value)}")


def _gallery(known: Reactions) -> None:
    movers = known.movers[:GALLERY]
    if len(movers) < 2:
        return
    st.markdown("### What it looks like")
    grid = st.grid(3, min_column_width=300, gap="medium")
    for row in movers:
        with grid.cell(), st.container(border=True):
            st.markdown(f"**{page_words.plain(row.family.name)}**")
            _three(own_models.pair(known, row.number), known.model.classes)
            st.caption(page_words.prose(known.in_words(row)))


def _further(model: PixelModel, known: Reactions, *, running: bool) -> None:
    """Where to go from here."""
    total = len(visit.current_table().split)
    st.markdown("### Go on")
    with st.container(horizontal=True, gap="small"):
        if known.fidelity is not None:
            st.button(
                "Use it on every page",
                key="yours.everywhere",
                type="primary",
                icon=":material/arrow_forward:",
                on_click=visit.choose_target,
                args=(model.name,),
                disabled=visit.target().name == model.name,
                help="Choose its answers as the target: Inspect a photo with it, audit groups, see what is behind a "
                "gap, train a concept classifier on its answers, keep it as a session.",
            )
        st.button(
            f"Ask about all {total:,} faces",
            key="yours.all",
            icon=":material/all_inclusive:",
            on_click=own_models.begin,
            args=(model.name, total),
            disabled=running or known.asked >= total,
            help=f"So far {known.asked:,}. In the background, about "
            f"{max(1, round((total - known.asked) * (0.06 if model.face_size <= 128 else 0.13) / 60)):,} minutes on "
            f"two "
            "cores; it can be stopped and goes on from there.",
        )
        st.download_button(
            "Report",
            data=lambda: own_models.report(known).encode(),
            file_name=f"what-{model.name}-reacts-to.html",
            mime="text/html",
            icon=":material/description:",
            on_click="ignore",
            key="yours.report",
            help="Everything here and more in one HTML file, to hand over.",
        )
    if visit.target().name == model.name:
        st.caption("Its answers are the chosen target now: the other pages are about this classifier.")


def _all(known: Reactions) -> None:
    with st.expander(f"All {len(known.families)} concepts"):
        st.dataframe(
            pd.DataFrame(
                [
                    {
                        "Concept": row.family.name,
                        "Verdict": row.verdict,
                        "Effect": None if row.effect is None else row.effect.mean,
                        "Low": None if row.effect is None else row.effect.low,
                        "High": None if row.effect is None else row.effect.high,
                        "Turns": int(known.moved.turned[row.number]),
                        "Apart, SD": row.distance,
                        "Used, %": 100 * row.importance,
                    }
                    for row in known.families
                ]
            ),
            key="yours.table",
            hide_index=True,
            column_config={
                "Effect": st.column_config.NumberColumn(format="%+.2f", help="Change of the log-odds, down to up."),
                "Low": st.column_config.NumberColumn(format="%+.2f", help="95 % interval over faces."),
                "High": st.column_config.NumberColumn(format="%+.2f"),
                "Turns": st.column_config.NumberColumn(help=f"Faces whose decision turns, of {known.moved.faces}."),
                "Apart, SD": st.column_config.NumberColumn(format="%.2f", help=page_words.DISTANCE),
                "Used, %": st.column_config.NumberColumn(
                    format="%.1f", help="By the concept classifier trained on its answers."
                ),
            },
        )


if __name__ == "__main__":
    page()
