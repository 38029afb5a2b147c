"""Erase instead of exclude: an attribute, or a concept, whose direction is taken out of every code."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from dashboard.components import page_words, pictures, progress
from dashboard.components.held import held
from dashboard.state import attributes as attribute_state
from dashboard.state import erasing, visit
from img2tab_core.base.errors import Img2TabError
from img2tab_core.classifiers.preparation import titles_of
from img2tab_core.classifiers.treatment import Treatment
from img2tab_core.concepts.erasing import CONCEPT

MEANING = (
    "Nothing is withheld: the one direction that tells the groups apart, among faces of the same class, is taken out "
    "of every style code, in training and of every photo that is judged. Every concept stays, but for that."
)


def show() -> None:
    """What to erase, and what that does to a face."""
    st.caption(MEANING)
    target, wanted = visit.target(), visit.treatment()
    others = {other.name: other.title for other in visit.current_table().targets if other.name != target.name}
    if not others:
        st.caption("This table has no other label. A described concept can be erased all the same.")
    audited = attribute_state.attributes()
    grid = st.grid(2, min_column_width=150, gap="small")
    for name in sorted(others, key=lambda name: name not in audited):
        ticked = name in wanted.erased
        grid.cell().checkbox(
            page_words.plain(others[name]),
            value=ticked,
            help="The attribute that the audit is about." if name in audited else None,
            **held(f"exclude.erase.{name}", ticked, lambda now, name=name: erase(name, now)),
        )
    _concepts(wanted)
    balanced = wanted.balanced != () or not wanted.erased
    st.toggle(
        "Balance the training faces too",
        value=balanced,
        disabled=not wanted.erased,
        help="Each training face counts so much that what is erased says nothing of the class (Kamiran and Calders "
        "2012): the few faces that go against the rule count more. Without it a classifier has seen too few of them.",
        **held("exclude.balance", balanced, _balance),
    )
    if wanted.erased:
        _pictures(wanted.erased)


def _concepts(wanted: Treatment) -> None:
    described = visit.description()
    if described is None:
        return
    names = {f"{CONCEPT}{family.id}": family.name for family in described.families}
    chosen = [name for name in wanted.erased if name in names]
    st.multiselect(
        "Or a concept that has no label",
        list(names),
        default=chosen,
        format_func=lambda name: names.get(name, name),
        placeholder="none",
        help="How far a face is moved along the concept is then what every code loses.",
        **held("exclude.erase_concepts", chosen, _erase_concepts),
    )


def erase(name: str, now: bool) -> None:
    """Erase this too, or no more."""
    wanted = visit.treatment()
    _set((*wanted.erased, name) if now else tuple(other for other in wanted.erased if other != name))


def _erase_concepts(names: list[str]) -> None:
    _set((*(name for name in visit.treatment().erased if not name.startswith(CONCEPT)), *names))


def _set(erased: tuple[str, ...]) -> None:
    """Balanced is what is erased, unless the person switched that off."""
    wanted = visit.treatment()
    balanced = wanted.balanced != () or not wanted.erased
    visit.treat(replace(wanted, erased=erased, balanced=erased if balanced else ()))


def _balance(now: bool) -> None:
    wanted = visit.treatment()
    visit.treat(replace(wanted, balanced=wanted.erased if now else ()))


def _pictures(names: tuple[str, ...]) -> None:
    """A typical face of each group before and after, at a place that is there from the first moment."""
    job = erasing.pictures(names)
    if job.state == "running":

        @st.fragment(run_every=progress.pace(0.5), key="exclude-erasing")
        def waiting() -> None:
            if job.state != "running":
                st.rerun()
            st.image(pictures.placeholder(524, 256), width="stretch", alt="Being drawn")
            st.caption(page_words.prose(f"{job.text or 'Measuring what is erased'}…"))

        waiting()
        return
    if job.error is not None:
        if not isinstance(job.error, Img2TabError):
            raise job.error
        st.error(page_words.prose(str(job.error)), icon=":material/error:")
        return
    grid = st.grid(2, min_column_width=200, gap="small")
    for before, after in job.result or ():
        with grid.cell():
            st.image(
                pictures.side_by_side([before, after]),
                width="stretch",
                alt=f"A face as it is, and after {words(names)} was erased",
            )
    st.caption(
        f"A typical test face of either group as it is, and after {words(names)} was erased: what the classifier "
        "is shown of it."
    )


def words(names: tuple[str, ...]) -> str:
    """ "perceived gender and chin: facial hair"."""
    titles = titles_of(visit.current_table(), visit.description())
    return page_words.plain(" and ".join(titles.get(name, name).lower() for name in names))
