"""Behind the gap: what it is made of, what excluding or moving it does, and what others do about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from dashboard.components.held import held
from dashboard.parts.gap import beside, how_much, moving, stand_ins, where
from dashboard.state import address, visit
from dashboard.state import attributes as attribute_state
from img2tab_core.base.records import Target
from img2tab_core.classifiers.runs import Run


@dataclass(frozen=True)
class Part:
    """A part of the page: the question it answers, how it goes about it, and what draws it."""

    question: str
    about: str
    show: Callable[[Run, Target, Target], None]


MOVE = "move"  # the names stand in the address
PARTS = {
    MOVE: Part(
        "What if it alone changes?",
        "Every test face is moved only in what carries the attribute, all else of it kept, and asked again.",
        moving.show,
    ),
    "differ": Part(
        "Which concepts differ?",
        "A concept can add to a gap where it does both: it differs between the groups, and the classifier uses it.",
        where.show,
    ),
    "amount": Part(
        "How much must go?",
        "Every concept has stand-ins, so excluding ten changes little and excluding thousands can change much. The "
        "curve says what it costs.",
        how_much.show,
    ),
    "instead": Part(
        "What takes its place?",
        "What the classifier uses instead after an exclusion, and whether the attribute can still be read.",
        stand_ins.show,
    ),
    "else": Part(
        "What else helps?",
        "What others do about a gap, trained on the same faces, beside what this run excludes.",
        beside.show,
    ),
}


def page() -> None:
    run, target = visit.active_run(), visit.target()
    others = {other.name: other for other in visit.current_table().targets if other.name != target.name}
    if not others:
        st.info("This table has one target only; an attribute is another one.", icon=":material/info:")
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        about = others[_choose({name: other.title for name, other in others.items()})]
        name, handed = address.choice("gap.part", address.among(PARTS), MOVE)
        st.segmented_control(
            "Question",
            list(PARTS),
            default=name,
            required=True,
            format_func=lambda name: PARTS[name].question,
            label_visibility="collapsed",
            wrap=True,
            **handed,
        )
    st.caption(PARTS[name].about)
    PARTS[name].show(run, target, about)


def _choose(titles: dict[str, str]) -> str:
    """The one attribute: the first one of the Audit page, and the other way round."""
    chosen = next(iter(attribute_state.attributes()), next(iter(titles)))
    st.selectbox(
        "Attribute",
        list(titles),
        index=list(titles).index(chosen),
        **held(f"gap.sensitive.{visit.target().name}", chosen, lambda name: attribute_state.choose_attributes([name])),
        format_func=titles.get,
        width=260,
        help="Its two classes are the groups. The target is chosen at the top of the page.",
    )
    return chosen


if __name__ == "__main__":
    page()
