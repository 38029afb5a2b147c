"""Where a person's own classifier disagrees with another one: in a sentence, in faces, in concepts."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.components import page_words, progress
from dashboard.state import own_models, visit
from img2tab_core.base.words import chance

SHOWN = 8  # faces


def show(name: str) -> None:
    """A choice of the other one, and the answer once it was asked for."""
    titles = {
        target.name: target.title + (" (yours)" if target.name in visit.current_table().answered else "")
        for target in visit.current_table().targets
        if target.name != name
    }
    with st.expander("Where does it disagree with another one?"):
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            judged = visit.judged_by(name)
            other = st.selectbox(
                "The other one",
                list(titles),
                index=list(titles).index(judged.name) if judged is not None else 0,
                key=f"yours.other.{name}",
                format_func=lambda word: titles.get(word, word),
                width=320,
                help="The classifier that is trained here for a target, or another one of yours.",
            )
            job = own_models.disagreement(name, other)
            st.button(
                "Compare",
                key="yours.compare",
                icon=":material/compare_arrows:",
                on_click=own_models.compare,
                args=(name, other),
                disabled=job is not None and job.state in ("running", "done"),
            )
        if job is None:
            return
        if job.state == "running":
            progress.watch(job, key="disagree", waiting="Asking both…")
        elif job.state == "failed":
            st.error(page_words.prose(f"The comparison stopped: {job.error}"), icon=":material/error:")
        elif job.result is not None:
            made, pictures = job.result
            st.markdown(page_words.prose(made.sentence))
            grid = st.grid(SHOWN, min_column_width=96, gap="small")
            for face, picture in zip(made.top, pictures, strict=True):
                with grid.cell():
                    st.image(picture, width="stretch", alt="A face they disagree about")
                    st.caption(
                        f"{page_words.plain(made.classes[0])} {chance(face.first)}  \n"
                        f"{page_words.plain(made.classes[1])} {chance(face.second)}"
                    )
            st.dataframe(
                pd.DataFrame(
                    [
                        {
                            "Concept": concept.family.name,
                            "Yours": concept.first.mean,
                            "The other": concept.second.mean,
                            "Difference": concept.difference.mean,
                            "": "beyond chance" if concept.differ else "",
                        }
                        for concept in made.concepts
                    ]
                ),
                key=f"yours.disagree.{name}.{other}",
                hide_index=True,
                column_config={
                    column: st.column_config.NumberColumn(format="%+.2f", help="Log-odds, from 8 down to 8 up.")
                    for column in ("Yours", "The other", "Difference")
                },
            )
            st.caption(page_words.prose(made.basis))
