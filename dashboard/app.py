"""The dashboard's frame: the pages, what stands around every page, and the one place that shows a mistake."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from dashboard.components import page_words, progress
from dashboard.components.held import held
from dashboard.parts import class_choice, standing, try_it
from dashboard.state import (
    address,
    private,
    sign_in,
    visit,
)
from dashboard.state import attributes as attribute_state
from dashboard.state import (
    faces as face_state,
)
from dashboard.state import (
    refinement as refinement_state,
)
from dashboard.state import (
    session as session_state,
)
from dashboard.state import (
    training as training_state,
)
from dashboard.state.turns import turn
from img2tab_core.base.errors import Img2TabError

if TYPE_CHECKING:
    from img2tab_core.base.records import Target
    from img2tab_core.classifiers.runs import Run
    from img2tab_core.sessions.session_records import SessionInfo

ICON = Path(__file__).parents[1] / "assets" / "icon.svg"  # a named one would be fetched from a font host
DATA = "Data"  # the one page that needs no table
INSPECT = "Inspect"
YOURS = "Your classifier"  # needs no run: it brings its own
PURPOSE = {
    INSPECT: "See which concepts drove the decision about a face, then move one and watch it change.",
    "Concepts": "Rank every concept of the target, see what it draws, and give it a name.",
    "Exclude and retrain": "Tick concepts, train again without them, and compare before and after.",
    "Audit": "Groups of faces side by side: how often the classifier is right about each, and how far apart they are.",
    "Behind the gap": "What a gap is made of: the concepts that carry an attribute, and what happens without them.",
    YOURS: "What does a classifier of your own react to? Bring it, and see it proved by moving one concept at a time.",
    "Sessions": "An audit that is kept: its question, every run and why, what was found, and a report to hand over.",
    "Compare": "Train several kinds of classifier on the same faces: which one finds the concepts that matter?",
    DATA: "Whether it is right about photos of yours; which backbones and tables there are, and how to bring your own.",
}


def main() -> None:
    st.set_page_config(page_title="Img2Tab Studio", page_icon=str(ICON), layout="wide", initial_sidebar_state=272)
    pages = [
        st.Page("views/inspect.py", title=INSPECT, icon=":material/face:", url_path="inspect", default=True),
        st.Page("views/concepts.py", title="Concepts", icon=":material/scatter_plot:", url_path="concepts"),
        st.Page("views/exclude.py", title="Exclude and retrain", icon=":material/rule:", url_path="exclude"),
        st.Page("views/audit.py", title="Audit", icon=":material/balance:", url_path="audit"),
        st.Page("views/gap.py", title="Behind the gap", icon=":material/search_insights:", url_path="gap"),
        st.Page("views/yours.py", title=YOURS, icon=":material/psychology_alt:", url_path="yours"),
        st.Page("views/sessions.py", title="Sessions", icon=":material/history_edu:", url_path="sessions"),
        st.Page("views/compare.py", title="Compare", icon=":material/leaderboard:", url_path="compare"),
        st.Page("views/data.py", title=DATA, icon=":material/database:", url_path="data"),
    ]
    sign_in.gate()
    page = st.navigation(pages, position="hidden")
    with turn():
        _run(page, pages)


def _run(page, pages: list) -> None:
    """The page with what stands around each."""
    visit.begin_run()
    st.html(Path(__file__).parent / "components" / "frame.css")
    links = st.sidebar.empty()
    header = st.container()
    notices = st.container()
    ended = training_state.collect()
    lost = session_state.refresh()
    refinement_state.collect_refinements()
    card = None
    try:
        if visit.table_names():
            address.read()
        _links(links, pages)
        _header(header, page.title)
        card = _sidebar(page.title)
        if page.title == DATA:
            page.run()
        elif not visit.table_names():
            _no_table()
        elif page.title in (INSPECT, YOURS) or standing.ready():  # a face can be chosen before a run is there
            page.run()
    except Img2TabError as error:
        visit.notice(str(error))
        st.caption(
            "Everything from before is kept. `img2tab doctor` in a terminal says whether something is missing "
            "and the command that fixes it."
        )
    if address.write():
        _links(links, pages)
    if card is not None and visit.standing_job().state == "done":  # it came while the page was drawn
        with card.container():
            _run_card(visit.active_run())
    with notices:
        if lost:
            st.error(page_words.prose(lost), icon=":material/error:")
        if ended is not None and ended.state == "failed":
            st.error(page_words.prose(f"The training stopped: {ended.error}"), icon=":material/error:")
        if ended is not None and ended.state == "cancelled":
            st.info("The training was cancelled. The active run is unchanged.", icon=":material/info:")
        for sentence in visit.take_notices():
            st.error(sentence, icon=":material/error:")
    st.html(Path(__file__).parent / "components" / "keep_focus.html", unsafe_allow_javascript=True)


def _links(place, pages: list) -> None:
    """The pages, each by a link that keeps the view: Streamlit's own menu drops it, and Back then needs two presses."""
    with place.container(gap="small"):
        st.caption("**Img2Tab Studio**")
        for page in pages:
            st.page_link(page, query_params=address.view(), width="stretch")


def _header(place, title: str) -> None:
    with place, st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
        with st.container(width="stretch", gap="xsmall"):
            st.title(title, anchor=False)
            if title != INSPECT or not visit.table_names():
                st.caption(PURPOSE[title])
        if not visit.table_names():
            return
        answered = visit.current_table().answered
        table, whole, fixed = visit.current_table(), visit.whole_target(), session_state.opened() is not None
        targets = {target.name: target for target in (*table.targets, *table.many)}
        st.selectbox(
            "Target",
            list(targets),
            index=list(targets).index(whole.name),
            format_func=lambda name: targets[name].title + (" (yours)" if name in answered else ""),
            **held("frame.target", whole.name, visit.choose_target),
            help=f"The label the classifier predicts. {page_words.prose(whole.how)}",
            disabled=fixed,
            width=260,
        )
        class_choice.choose(disabled=fixed)
    if title == INSPECT:
        with place:
            _questions()


def _questions() -> None:
    """What a stranger asks first; each goes to where it is answered."""
    with st.container(horizontal=True, gap="medium", key="questions"):
        st.button(
            "Why this decision?",
            key="frame.why",
            type="tertiary",
            icon=":material/touch_app:",
            on_click=try_it.turn_over,
            help="Moves the concept that pushed most until the decision turns.",
        )
        gender = next((target for target in visit.current_table().targets if _tells_men(target)), None)
        if st.button(
            "Is it the same for women and men?" if gender else "Is it the same for every group?",
            key="frame.same",
            type="tertiary",
            icon=":material/balance:",
            help="Opens the Audit: how often the classifier is right about each group, and how far apart they are.",
        ):
            _compare(gender)
        if st.button(
            "What does my own classifier look at?",
            key="frame.own",
            type="tertiary",
            icon=":material/psychology_alt:",
            help="Opens the page where you bring an image classifier of your own.",
        ):
            st.switch_page("views/yours.py")


def _tells_men(target: Target) -> bool:
    return any("male" in name.split() for name in target.classes)


def _compare(gender: Target | None) -> None:
    """Go to the Audit with women and men as the groups; a classifier that tells them apart is not the one asked for."""
    if gender is not None:
        if visit.target().name == gender.name and session_state.opened() is None:
            others = [target.name for target in visit.current_table().targets if target.name != gender.name]
            visit.choose_target("young" if "young" in others else others[0])
        attribute_state.choose_attributes([gender.name])
    st.switch_page("views/audit.py")


def _no_table() -> None:
    """A backbone that was added has no labelled faces yet: what to do."""
    backbone = visit.backbone_name()
    if backbone == visit.DEFAULT_BACKBONE:
        raise Img2TabError(
            "A style table must be built before anything can be shown, and there is none. Run `make run`."
        )
    with st.container(border=True):
        st.markdown(f"**The backbone {page_words.plain(backbone)} has no table yet**")
        st.caption(
            "A classifier is trained on a table: the style codes of labelled faces, encoded by this backbone. Make one "
            "in a terminal, from a folder of photos with labels or from the faces that come with Img2Tab Studio:"
        )
        if not visit.has_encoder():
            st.caption("It has no encoder, so it cannot read photos: bring style codes that were encoded elsewhere.")
            st.code(f"img2tab import psi CODES LABELS --backbone {backbone} --name NAME", language="bash")
            return
        st.code(
            f"img2tab import folder DIR --labels labels.csv --backbone {backbone}\n"
            f"img2tab import population --backbone {backbone} --count 1000 --name {backbone}-faces",
            language="bash",
        )
        st.caption("Then reload this page. Both go on where they were stopped.")


def _session(session: SessionInfo) -> None:
    """What the visitor is in: target, table and backbone are the session's until it is closed."""
    with st.container(border=True, gap="xsmall"):
        st.caption("Open session")
        st.markdown(f"**{page_words.plain(session.name)}**")
        st.button(
            "Close session",
            key="frame.close",
            type="tertiary",
            icon=":material/close:",
            on_click=session_state.close,
            help="Nothing is lost: open it again on the Sessions page.",
        )


def _sidebar(title: str):
    """What stands at the left of every page; an empty place for the card of the run, where that is not there yet."""
    now = session_state.opened()
    with st.sidebar:
        sign_in.card()
        if now is not None:
            _session(now.session)
        backbones, tables = visit.backbone_names(), visit.table_names()
        if len(backbones) > 1:
            st.selectbox(
                "Backbone",
                backbones,
                index=backbones.index(visit.backbone_name()),
                **held("frame.backbone", visit.backbone_name(), visit.choose_backbone),
                disabled=now is not None,
                help="The generator and encoder that read and draw every face. Each has its own concepts and tables.",
            )
        if len(tables) > 1:
            st.selectbox(
                "Table",
                tables,
                index=tables.index(visit.table_name()),
                **held("frame.table", visit.table_name(), visit.choose_table),
                disabled=now is not None,
                help="The style codes of many faces, with labels, that classifiers are trained on.",
            )
        job = visit.standing_job() if tables else None
        card = None
        if job is not None and job.state == "done":
            _run_card(visit.active_run())
        elif job is not None and job.state == "running" and title == INSPECT and face_state.face() is None:
            with st.container(border=True, gap="small"):
                standing.wait(job, key="sidebar-standing")
        elif job is not None:
            card = st.empty()
        job = training_state.retraining()
        if job is not None and title != "Exclude and retrain":
            progress.watch(job, key="sidebar", waiting="Training…")
        if private.holds_photos():
            st.button(
                "Forget my photos",
                key="frame.forget",
                type="tertiary",
                icon=":material/delete_forever:",
                on_click=private.forget,
                help="Removes the photos of this visit and all that was worked out of them from this server's memory, "
                "now rather than two minutes after you close the page.",
            )
        st.caption(
            "For non-commercial research only: the face models were trained on FFHQ and 300-W. "
            "Labels say how a face is perceived, not who a person is."
        )
    return card


def _run_card(run: Run) -> None:
    """The run that every page shows, and how right it is; of somebody's own classifier what it answers."""
    low, high = run.metrics.interval
    table, target = visit.current_table(), visit.target()
    answered = target.name in table.answered
    with st.container(border=True, gap="small"):
        of = " of this session" if session_state.opened() is not None else ""
        st.caption(f"Run {visit.number_of(run)}{of} · {page_words.plain(target.title)}")
        if answered and run.own:
            labels = table.labels[target.name]
            asked = int((labels >= 0).sum())
            st.metric(
                page_words.plain(page_words.sentence(target.classes[1])),
                page_words.percent(int((labels == 1).sum()) / asked),
                help=f"Share of {asked:,} faces of the table that your classifier takes for it.",
            )
            st.caption(f"Your classifier  \nTable “{page_words.plain(run.table)}”, asked about {asked:,} faces")
            return
        st.metric(
            "Agreement" if answered else "Accuracy",
            page_words.percent(run.metrics.accuracy),
            help=f"Share of {run.metrics.count:,} test faces judged as "
            + ("your classifier judges them" if answered else "labelled")
            + "; the interval holds the true share 95 times in 100.",
        )
        if run.whole is not None:
            st.caption(f"All {len(run.whole.each)} classes: {page_words.percent(run.whole.metrics.accuracy)}")
        done = [page_words.count(len(run.excluded), "channel") + " excluded"] if run.excluded else []
        done += [f"{page_words.count(len(run.treatment.names), 'attribute')} erased"] if run.treatment else []
        without = ", ".join(done) or "Nothing excluded"
        st.caption(
            f"95\N{NO-BREAK SPACE}% interval {page_words.percent(low)} to {page_words.percent(high)}  "
            f"\n{'Your classifier' if run.own else without}  \n"
            f"Table “{page_words.plain(run.table)}”, {len(table.split):,} faces"
        )


if __name__ == "__main__":
    main()
