"""Behind the gap: what it is made of, what excluding or moving it does, and what others do about it."""

from __future__ import annotations

import streamlit as st

from dashboard.components.held import held
from dashboard.parts.gap import beside, how_much, moving, stand_ins, where
from dashboard.state import audits as audit_state
from dashboard.state import visit

WHERE, HOW_MUCH, STAND_INS, MOVE, REMEDIES = (
    "Where to look",
    "How much",
    "What stands in",
    "Move it",
    "Other remedies",
)
PARTS = {
    WHERE: where.show,
    HOW_MUCH: how_much.show,
    STAND_INS: stand_ins.show,
    MOVE: moving.show,
    REMEDIES: beside.show,
}
ABOUT = {
    WHERE: "A concept can add to a gap where it does both: it differs between the groups, and the classifier uses it.",
    HOW_MUCH: "Every concept has stand-ins, so excluding ten changes little and excluding thousands can change much. "
    "The curve says what it costs.",
    STAND_INS: "What the classifier uses instead after an exclusion, and whether the attribute can still be read.",
    MOVE: "Move only the concepts that carry the attribute, keep everything else of a face, and count the decisions "
    "that flip.",
    REMEDIES: "What others do about a gap, trained on the same faces, beside what this run excludes.",
}


def page() -> None:
    run, target = visit.active_run(), visit.target()
    others = {other.name: other for other in visit.current_table().targets if other.name != target.name}
    if not others:
        st.info("This table has one target only; an attribute is another one.", icon=":material/info:")
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        about = others[_choose({name: other.title for name, other in others.items()})]
        part = st.segmented_control(
            "Question",
            list(PARTS),
            key="gap.part",
            default=WHERE,
            required=True,
            persist_state="session",
            label_visibility="collapsed",
            wrap=True,
        )
    st.caption(ABOUT[part])
    PARTS[part](run, target, about)


def _choose(titles: dict[str, str]) -> str:
    """The one attribute: the first one of the Audit page, and the other way round."""
    chosen = next(iter(audit_state.attributes()), next(iter(titles)))
    st.selectbox(
        "Attribute",
        list(titles),
        index=list(titles).index(chosen),
        **held(f"gap.sensitive.{visit.target().name}", chosen, lambda name: audit_state.choose_attributes([name])),
        format_func=titles.get,
        width=320,
        help="Its two classes are the groups. The target is chosen at the top of the page.",
    )
    return chosen


if __name__ == "__main__":
    page()
