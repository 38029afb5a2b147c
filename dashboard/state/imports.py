"""Photos brought from the page: one import at a time in the background, seen by every visitor, stopped and taken up."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from dashboard.state import session as session_state
from dashboard.state import sign_in, visit
from dashboard.state.doors import studio
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.jobs import Job
from img2tab_core.tables import brought
from img2tab_core.tables.brought import Brought

if TYPE_CHECKING:
    from img2tab_core.tables.imports import Imported

MINE = "data.import_mine"  # in the session state: the name of the import that this visit began
HERE = ("127.0.0.1", "localhost", "::1")  # what a server is bound to that only this computer can reach


class Importing:
    """The latest import of this process, whoever began it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.request: Brought | None = None
        self.job: Job[Imported] | None = None

    @property
    def running(self) -> bool:
        return self.job is not None and self.job.state == "running"


@st.cache_resource(show_spinner=False)
def importing() -> Importing:
    return Importing()


def only_here() -> bool:
    """Whether the page can be reached from this computer alone, so that a path typed there is its owner's own.

    Not where people sign in, or a proxy passes requests on: a browser elsewhere can say any Host.
    """
    if sign_in.is_required() or any(name.lower().startswith("x-forwarded") for name in st.context.headers):
        return False
    host = st.context.headers.get("Host", "localhost").rpartition("]")[2].partition(":")[0]
    return st.get_option("server.address") in HERE and host in ("", *HERE)


def begin_uploads(
    name: str, photos: list[tuple[str, bytes]], labels: bytes, *, backbone: str, aligned: bool, anew: bool
) -> None:
    """Keep what was uploaded and import it; a mistake is a notice."""
    with visit.noticing():
        _refuse_second()
        begin(brought.bring_uploads(name, photos, labels, backbone=backbone, aligned=aligned), anew=anew)


def begin_folder(name: str, folder: str, labels: bytes, *, backbone: str, aligned: bool, anew: bool) -> None:
    """Import a folder of this computer; a mistake is a notice."""
    with visit.noticing():
        if not only_here():
            raise Img2TabError("A folder can be named only where the page is open to this computer alone. Upload.")
        _refuse_second()
        place = Path(folder.strip()).expanduser()
        begin(brought.bring_folder(name, place, labels, backbone=backbone, aligned=aligned), anew=anew)


def begin(request: Brought, *, anew: bool = False) -> None:
    """Import what was brought, or go on where it was stopped. Raises Img2TabError where another import is running."""
    if request.folder and not only_here():
        raise Img2TabError("A folder of that computer can be imported only from a page on it. Go on there.")
    door, now = studio(), importing()

    def work(progress, cancelled) -> Imported:
        model = door.backbone(request.backbone)
        return brought.import_brought(
            request, model, door.aligner(aligned=request.aligned), anew=anew, progress=progress, stopped=cancelled
        )

    with now.lock:
        _refuse_second()
        now.request, now.job = request, Job.start(work)
    st.session_state[MINE] = request.name


def go_on(request: Brought) -> None:
    with visit.noticing():
        begin(request)


def forget(request: Brought) -> None:
    """Remove what was uploaded and not imported, and leave the message about it behind."""
    now = importing()
    with visit.noticing():
        if now.running and now.request is not None and now.request.name == request.name:
            raise Img2TabError(f"The import {request.name!r} is running. Stop it first.")
        brought.forget(request.name)
        if now.request is not None and now.request.name == request.name:
            now.request = now.job = None


def waiting() -> list[Brought]:
    """What was brought and is neither whole nor being imported."""
    now = importing()
    return [
        request
        for request in brought.waiting()
        if not (now.running and now.request is not None and now.request.name == request.name)
    ]


def take_up() -> bool:
    """Choose the table that this visit's import has made, once; whether it was chosen just now."""
    now = importing()
    if now.job is None or now.job.state != "done" or now.request is None:
        return False
    if st.session_state.get(MINE) != now.request.name or session_state.opened() is not None:
        return False
    del st.session_state[MINE]
    visit.choose_backbone(now.request.backbone)
    visit.choose_table(now.request.name)
    return True


def _refuse_second() -> None:
    now = importing()
    if now.running and now.request is not None:
        raise Img2TabError(f"The import {now.request.name!r} is running. Wait for it, or stop it first.")
