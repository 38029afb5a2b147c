"""Data: what the chosen table holds and cannot say, own photos, the tables and backbones there are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from dashboard.components import page_words
from dashboard.parts import bring_photos, photo_check, table_look
from dashboard.state import imports, visit
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.records import StyleTable, Target

OWN = """\
# a StyleGAN2 or e4e checkpoint becomes a backbone
img2tab backbone add e4e_ffhq_encode.pt --name e4e-ffhq

# photos with labels become a table, as above (CSV: a column of file names, then labels)
img2tab import folder PHOTOS --labels labels.csv --name mine

# CelebA as published, or style codes that were encoded before
img2tab import celeba CELEBA --backbone e4e-ffhq --name celeba
img2tab import psi codes.pt list_attr_celeba.txt --backbone e4e-ffhq --name celeba

# a published classifier becomes a run of a table
img2tab import classifier model.json --table celeba --target male
"""


def page() -> None:
    if imports.take_up():
        st.rerun()  # the frame has drawn the table chosen before
    waiting: table_look.Waiting = []
    if visit.table_names():
        waiting = _chosen(visit.current_table(), visit.target())
    bring_photos.show()
    if visit.table_names() and visit.has_encoder():
        photo_check.show()
    st.header("Tables", anchor=False)
    for name in visit.studio().table_names():
        _table(name)
    st.header("Backbones", anchor=False)
    _backbones()
    st.header("In a terminal", anchor=False)
    st.caption(
        "What is too large for a page: checkpoints, and whole data sets. Every import goes on where it was stopped. "
        "What was made shows here after a reload."
    )
    st.code(OWN, language="bash")
    if waiting:
        table_look.draw(waiting, visit.current_table(), visit.target())


def _chosen(table: StyleTable, target: Target) -> table_look.Waiting:
    """The chosen table's faces, and beside them what an audit on it could not say."""
    st.header(f"Table “{page_words.plain(table.name)}”", anchor=False)
    waiting: table_look.Waiting = []
    if table.backbone in visit.backbone_names():
        waiting = table_look.faces(table, target)
    table_look.small_groups(table)
    return waiting


def _table(name: str) -> None:
    with st.container(border=True):
        try:
            table = visit.table(name)
        except Img2TabError as error:
            st.markdown(f"**{page_words.plain(name)}**")
            st.error(page_words.prose(error), icon=":material/error:")
            return
        about = visit.studio().trainer.about_table(name)
        st.markdown(f"**{page_words.plain(name)}**")
        st.caption(
            f"{page_words.count(len(table.labels), 'face')} of {table.layout.total:,} channels, backbone "
            f"{page_words.plain(table.backbone)}. "
            + (_origin(about) if about else "Generated faces that come with Img2Tab Studio; nobody in it exists.")
        )
        told = table_look.checked(table)
        targets = (*table.targets, *table.many)
        rows = pd.DataFrame([_row(table, target) | {"Checked": told(target)} for target in targets])
        if not rows["Checked"].any():
            rows = rows.drop(columns="Checked")
        st.dataframe(
            rows,
            key=f"data.targets.{name}",
            hide_index=True,
            height="content" if len(targets) <= 12 else 420,
            column_config={
                "Known": st.column_config.NumberColumn(format="localized", help="Faces with this label."),
                "Test": st.column_config.NumberColumn(
                    format="localized", help="Faces kept for measuring; never trained on."
                ),
                "Share": st.column_config.ProgressColumn(
                    "Second class, %",
                    format="%.1f",
                    min_value=0,
                    max_value=100,
                    help="Share of the faces that are not of the first class; far from 50 the accuracy of a coin "
                    "is high too.",
                ),
                "Checked": st.column_config.TextColumn(
                    "Label right",
                    help="How often the label is what one reviewer, an AI model, saw in generated faces sampled at "
                    "random and looked at blind; of those that were clear to it.",
                ),
            },
        )
        left_out = {"photo": about.get("skipped", {}), "column": about.get("no_target", {})}
        for kind, reasons in left_out.items():
            if reasons:
                with st.expander(f"{page_words.count(len(reasons), kind)} left out"):
                    st.dataframe(
                        pd.DataFrame({kind.capitalize(): list(reasons), "Why": list(reasons.values())}),
                        hide_index=True,
                        key=f"data.{kind}.{name}",
                    )


def _origin(about: dict) -> str:
    if about.get("kind") == "population":
        return "Faces of the default table, drawn again and encoded by this backbone; nobody in it exists."
    if about.get("kind") == "worked-example":
        return page_words.prose(about["note"])
    sentences = [
        f"Imported from {page_words.plain(about.get('origin', 'a file'))}: {len(about.get('skipped', {})):,} of "
        f"{about.get('photos', 0):,} photos were left out."
    ]
    if about.get("several"):
        sentences.append(f"In {page_words.count(about['several'], 'photo')} with several faces the biggest was taken.")
    if about.get("note"):
        sentences.append(page_words.prose(about["note"]))
    return " ".join(sentences)


def _row(table, target) -> dict:
    values = table.labels[target.name].to_numpy()
    known = values >= 0
    return {
        "Target": target.title,
        "First class": target.classes[0],
        "Second class": target.classes[1] if len(target.classes) == 2 else f"{', '.join(target.classes[1:])}",
        "Known": int(known.sum()),
        "Test": int(known[table.rows("test")].sum()),
        "Share": 100 * float(np.mean(values[known] > 0)) if known.any() else 0.0,
    }


def _backbones() -> None:
    st.dataframe(
        pd.DataFrame(
            [
                {
                    "Name": backbone["name"],
                    "Pictures, px": backbone["size"],
                    "Channels": backbone["channels"],
                    "Encoder": backbone["encoder"] or "none",
                    "From": backbone["file"],
                }
                for backbone in visit.studio().backbones()
            ]
        ),
        key="data.backbones",
        hide_index=True,
        height="content",
        column_config={
            "Channels": st.column_config.NumberColumn(format="localized", help="Numbers in a style code."),
            "Encoder": st.column_config.TextColumn(help="What turns a photo into a style code; without one it draws."),
        },
    )


if __name__ == "__main__":
    page()
