"""Faces of a group that are judged wrongly, the surest mistakes first, each with what spoke for it and a way to it."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from dashboard.components import page_words, pictures
from dashboard.components.held import held
from dashboard.state import misjudged as misjudged_state
from dashboard.state import visit
from img2tab_core.audits.audit_record import Audit
from img2tab_core.audits.group_differences import FALSE_ALARMS, MISSES, GroupDifference, group_words
from img2tab_core.audits.matrix import short
from img2tab_core.audits.misjudged import Misjudged, MisjudgedFace
from img2tab_core.base.records import Target
from img2tab_core.classifiers.runs import Run

ACROSS = 6
_LABEL_OF = {FALSE_ALARMS: 0, MISSES: 1}


def show(
    run: Run, target: Target, sensitive: tuple[str, ...], audited: Audit, differences: tuple[GroupDifference, ...]
) -> Callable[[], None]:
    """The faces with grey places for their pictures; what is returned draws them, so that the page stands first."""
    st.header("Faces it judges wrongly", anchor=False)
    group, label = _choice(target, sensitive, audited, differences)
    wrong = misjudged_state.misjudged(run, sensitive, group, label)
    st.markdown(page_words.plain(_sentence(wrong, target)))
    if not wrong.faces:
        return _nothing
    places = []
    grid = st.grid(ACROSS, min_column_width=128, gap="small")
    for face in wrong.faces:
        with grid.cell(), st.container(gap="xsmall"):
            places.append(st.empty())
            places[-1].image(pictures.placeholder(misjudged_state.SIDE, misjudged_state.SIDE), width="stretch")
            _under(run, target, face, label)
    if run.own:
        st.caption(
            "Why your classifier decided so is not listed: it reads pixels, and asking what decided takes some seconds "
            "a face. Inspect asks it."
        )
    elif visit.description() is None:
        st.caption("Why it decided so is not told: the concepts of this backbone are not described.")
    else:
        st.caption(
            "Under each face how sure it is of the wrong class, and the concepts that spoke most for it. Drawn from "
            "the style codes that were judged."
        )

    def draw() -> None:
        for place, face in zip(places, wrong.faces, strict=True):
            place.image(misjudged_state.picture(run, face.row), width="stretch", alt=f"Test face {face.row:,}")

    return draw


def _choice(
    target: Target, sensitive: tuple[str, ...], audited: Audit, differences: tuple[GroupDifference, ...]
) -> tuple[str, int]:
    """Whose mistakes are shown: until somebody chooses, those of the widest difference in errors."""
    names = [group.name for group in audited.by_group if group.count]
    errors = [each for each in differences if each.rate in _LABEL_OF and each.worse]
    widest = max(errors, key=lambda each: (each.clear, each.shares[0] - each.shares[1]), default=None)
    first = (names[0], 0) if widest is None else (widest.worse, _LABEL_OF[widest.rate])
    kept = visit.of_target("audit.misjudged", {})
    group, label = kept.get(sensitive, first)

    def choose(new_group: str, new_label: int) -> None:
        chosen = visit.of_target("audit.misjudged", {})
        visit.set_of_target("audit.misjudged", {**chosen, sensitive: (new_group, new_label)})

    place = f"{target.name}.{'.'.join(sensitive)}"
    zero, one = map(short, target.classes)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        st.selectbox(
            "Group",
            names,
            index=names.index(group),
            format_func=lambda name: page_words.sentence(group_words(name)),
            width=260,
            **held(f"audit.misjudged.group.{place}", group, lambda name: choose(name, label)),
        )
        st.selectbox(  # not segments: on a phone the second would be cut
            "Mistake",
            [0, 1],
            index=label,
            format_func=lambda number: (
                f"Labelled {zero}, called {one}" if number == 0 else f"Labelled {one}, called {zero}"
            ),
            width=320,
            **held(f"audit.misjudged.label.{place}", label, lambda number: choose(group, number)),
        )
    return group, label


def _sentence(wrong: Misjudged, target: Target) -> str:
    labelled, called = short(target.classes[wrong.label]), short(target.classes[1 - wrong.label])
    whom = f"labelled {group_words(wrong.group)} and {labelled}"
    if not wrong.of:
        return f"No test face is {whom}."
    if not wrong.wrong:
        return f"None of {page_words.count(wrong.of, 'test face')} {whom} is called {called}."
    shown = len(wrong.faces)
    text = f"{wrong.wrong:,} of {page_words.count(wrong.of, 'test face')} {whom} are called {called}"
    return f"{text}; the {shown} surest mistakes:" if shown < wrong.wrong else f"{text}:"


def _under(run: Run, target: Target, face: MisjudgedFace, label: int) -> None:
    called = short(target.classes[1 - label])
    st.markdown(page_words.plain(f"{page_words.sentence(called)} {page_words.chance(face.probability)}"))
    if face.reasons:
        st.caption(page_words.plain(f"For it: {'; '.join(face.reasons)}"))
    if st.button(
        "Inspect",
        key=f"audit.inspect.{face.row}",
        icon=":material/face:",
        type="tertiary",
        help=f"Open test face {face.row:,} on the Inspect page: why, and what would turn the decision.",
    ):
        misjudged_state.inspect(run, face.row, short(target.classes[label]))
        st.switch_page("views/inspect.py")


def _nothing() -> None:
    """No picture to draw."""
