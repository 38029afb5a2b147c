"""Own photos become a table from the page: uploaded, or a folder of this computer; watched, stopped and taken up."""

from __future__ import annotations

import streamlit as st

from dashboard.components import page_words, pictures, progress
from dashboard.state import imports, sign_in, visit
from img2tab_core.base.jobs import Job
from img2tab_core.tables.brought import Brought
from img2tab_core.tables.imports import Imported
from img2tab_core.tables.store import LEAST_FACES

UPLOADED, FOLDER = "Upload photos", "A folder on this computer"
LISTED = 8  # skipped photos that are named


def show() -> None:
    """What is running or has ended, what waits, and the form."""
    st.header("Bring your own photos", anchor=False)
    st.caption(
        f"At least {LEAST_FACES} photos and a CSV file: a column of file names, then a column for each label (0 and 1, "
        "no and yes, or two words). They become a table to train and audit on. Photos stay on the computer this page "
        "runs on, and what was uploaded is removed once the table is made."
    )
    now = imports.importing()
    if now.job is not None and now.request is not None:
        _status(now.request, now.job)
    for request in imports.waiting():
        _waiting(request)
    if not now.running:
        _form()


def _status(request: Brought, job: Job[Imported]) -> None:
    name = page_words.plain(request.name)
    if job.state == "running":
        st.markdown(f"**Importing “{name}”**")
        progress.watch(
            job,
            key="data.importing",
            waiting="Opening the backbone…",
            cancel=sign_in.may_change(),
            label="Stop",
            help="Ends after the photos being encoded; all that is done is kept, and it goes on from there.",
        )
    elif job.state == "failed":
        st.error(page_words.prose(f"“{request.name}” was not imported. {job.error}"), icon=":material/error:")
    elif job.result is not None:
        _made(job.result)


def _made(imported: Imported) -> None:
    """How many photos became faces of the table, and what was left out and why."""
    table, facts = imported.table, imported.facts
    with st.container(border=True):
        st.markdown(
            f"**Table “{page_words.plain(table.name)}” is there: {len(table.labels):,} of {facts.photos:,} photos, "
            f"{page_words.count(len(table.targets), 'target')}.**"
        )
        notes = []
        if facts.several:
            notes.append(f"In {page_words.count(facts.several, 'photo')} with several faces the biggest was taken.")
        if facts.unlabelled:
            notes.append(f"{page_words.count(facts.unlabelled, 'photo')} without a label: of unknown class.")
        if facts.unmatched:
            notes.append(f"{page_words.count(facts.unmatched, 'label')} without a photo: left out.")
        notes += [f"No target {column}: {why}." for column, why in facts.no_target.items()]
        notes += [f"Left out {photo}: {why}" for photo, why in list(facts.skipped.items())[:LISTED]]
        if len(facts.skipped) > LISTED:
            notes.append(f"And {len(facts.skipped) - LISTED:,} more, listed with the table below.")
        if notes:
            st.caption("  \n".join(page_words.prose(note) for note in notes))
        if table.name in visit.table_names() and visit.table_name() == table.name:
            st.caption("It is chosen: every page shows it.")
        elif table.name in visit.table_names():
            st.button(
                "Use it",
                key="data.import.use",
                icon=":material/database:",
                on_click=visit.choose_table,
                args=(table.name,),
            )


def _waiting(request: Brought) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center", gap="small"):
        what = request.folder or page_words.count(len(request.names), "uploaded photo")
        st.markdown(f"“{page_words.plain(request.name)}” waits: {page_words.plain(what)}", width="stretch")
        st.button(
            "Go on",
            key=f"data.import.go_on.{request.name}",
            icon=":material/play_arrow:",
            on_click=imports.go_on,
            args=(request,),
            help="What is encoded already is kept and not done again.",
        )
        st.button(
            "Remove",
            key=f"data.import.forget.{request.name}",
            icon=":material/delete:",
            type="tertiary",
            on_click=imports.forget,
            args=(request,),
            help="Removes what was uploaded. Photos of a folder stay where they are.",
        )


def _form() -> None:
    readers = [each["name"] for each in visit.studio().backbones() if each["encoder"]]
    where = UPLOADED
    if imports.only_here():
        where = st.segmented_control(
            "Where the photos are",
            [UPLOADED, FOLDER],
            key="data.import.where",
            default=UPLOADED,
            required=True,
            label_visibility="collapsed",
        )
    with st.form("data.import", border=True):
        left, right = st.columns(2)
        folder, photos = "", []
        if where == UPLOADED:
            photos = left.file_uploader(
                "Photos",
                type=pictures.FORMATS,
                accept_multiple_files=True,
                key="data.import.photos",
                max_upload_size=30,
            )
        else:
            folder = left.text_input(
                "Folder",
                key="data.import.folder",
                placeholder="/home/me/photos",
                help="Its photos and those of the folders in it. They are read where they are, and not copied.",
            )
        labels = right.file_uploader("Labels", type=["csv", "txt"], key="data.import.labels", max_upload_size=30)
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            name = st.text_input(
                "Name of the table",
                key="data.import.name",
                placeholder="mine",
                help="One word of letters, digits, dots, dashes and underscores.",
                width=240,
            )
            backbone = readers[0]
            if len(readers) > 1:
                backbone = st.selectbox(
                    "Backbone",
                    readers,
                    index=readers.index(visit.backbone_name()) if visit.backbone_name() in readers else 0,
                    key="data.import.backbone",
                    help="Its encoder reads the faces.",
                    width=240,
                )
            aligned = st.checkbox(
                "They are aligned faces already", key="data.import.aligned", help="Then no face is looked for."
            )
            anew = st.checkbox(
                "Replace a table of that name",
                key="data.import.anew",
                help="Begins with the first photo. What `--anew` does in a terminal.",
            )
        asked = st.form_submit_button("Import", type="primary", icon=":material/upload:")
    if not imports.only_here():
        st.caption(
            "A folder path can be given only where the page is open to this computer alone; this one is reached over "
            "a network."
        )
    if not asked:
        return
    if labels is None or not name.strip() or not (photos or folder.strip()):
        st.warning("Choose photos and a file with their labels, and give the table a name.", icon=":material/info:")
        return
    options = {"backbone": backbone, "aligned": aligned, "anew": anew}
    if where == UPLOADED:
        uploaded = [(file.name, file.getvalue()) for file in photos]
        imports.begin_uploads(name.strip(), uploaded, labels.getvalue(), **options)
    else:
        imports.begin_folder(name.strip(), folder, labels.getvalue(), **options)
    st.rerun()
