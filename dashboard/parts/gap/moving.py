"""Move only what carries the attribute, keep everything else of a face, and count the decisions that flip."""

from __future__ import annotations

import streamlit as st
from PIL import Image

from dashboard.charts import proxies as proxy_charts
from dashboard.components import page_words, pictures
from dashboard.parts.gap import shared
from dashboard.state import address, visit
from dashboard.state import audits as audit_state
from img2tab_core.audits.carriers import Carried
from img2tab_core.audits.intervention import COUNT, STRENGTHS, Checked, Flip, Intervention, Moved
from img2tab_core.base.intervals import wilson
from img2tab_core.base.records import Target
from img2tab_core.classifiers.runs import Run

STRONGEST = 3.0  # multiples of what the groups differ by


def show(run: Run, target: Target, about: Target) -> None:
    carried = shared.carried(about)
    if carried is None:
        return
    answer = st.container()
    channels, strength = _movers(carried, about)
    moved = audit_state.intervention(run, about.name, channels, strength)
    waiting: shared.Waiting = []
    with answer:
        _answer(moved, target, about)
    if moved.seen != 0:
        _sentences(moved, target, about)
        _moves(moved, target, about)
    towards = _direction(about)
    if moved.seen != 0:
        _first(run, target, about, moved, towards, waiting)
    _check(run, target, about, moved, channels, strength, towards, waiting)
    shared.draw(waiting)


def _movers(carried: Carried, about: Target) -> tuple[audit_state.Channels, float]:
    """What is moved, and how far."""
    picked = visit.concept()  # only where one was picked: finding what goes together takes seconds
    width = len(carried.shift)
    ways: dict[str, tuple[str, audit_state.Channels]] = {
        "all": (f"The {min(COUNT, width):,} channels that carry it most", None)
    }
    if picked is not None:
        family = audit_state.families().of(picked)
        ways["channel"] = (shared.name_text(picked), (picked,))
        if family.size > 1:
            size = page_words.count(family.size, "channel")
            ways["family"] = (f"Family of {shared.name_text(picked)} ({size})", family.members)
    grid = st.grid(2, min_column_width=300, gap=("small", "large"))
    with grid.cell():
        what, handed = address.choice("gap.move", address.among(ways), "all")
        st.selectbox(
            "What to move",
            list(ways),
            list(ways).index(what),
            format_func=lambda way: ways[way][0],
            help="A single channel is the one you picked under “Which concepts differ?” or on the Concepts page.",
            **handed,
        )
    with grid.cell():
        far = [quarter / 4 for quarter in range(1, round(4 * STRONGEST) + 1)]
        strength, handed = address.choice("gap.strength", address.among(far), STRENGTHS[-1])
        st.slider(
            "How far",
            far[0],
            far[-1],
            strength,
            far[0],
            format="%.2f×",
            help=f"In multiples of what {' and '.join(map(page_words.plain, about.classes))} differ by in each concept "
            "among faces of the same class. 1 moves a face as far as the other group is away; 1.5, a bit beyond it.",
            **handed,
        )
    return ways[what][1], strength


def _answer(moved: Intervention, target: Target, about: Target) -> None:
    """Whether the decision hangs on what is moved, in one sentence."""
    if moved.seen == 0:
        number = len(moved.channels)
        which = "does not look at the channel" if number == 1 else f"looks at none of the {number:,} channels"
        st.info(
            f"The active run {which} moved here, so on style codes no decision can flip. In a picture, what stands in "
            "moves as well: check on pictures below.",
            icon=":material/info:",
        )
        return
    across = [row for row in moved.by if row.towards != row.group]
    flips, faces = sum(row.flips for row in across), sum(row.faces for row in across)
    low, high = wilson(flips, faces)
    what, decided = page_words.plain(about.title.lower()), page_words.plain(target.title.lower())
    if flips == 0:
        st.markdown(f"**Moving {what} alone changes none of {faces:,} decisions about {decided}.**")
        return
    st.markdown(
        f"**Moving {what} alone changes {page_words.percent(flips / faces)} of the decisions about {decided}** "
        f"({page_words.percent(low)} to {page_words.percent(high)}): "
        + ", and ".join(_flipped(row, target, about) for row in sorted(across, key=lambda row: -row.share))
        + "."
    )


def _flipped(row: Moved, target: Target, about: Target) -> str:
    """ "18.2 % of the perceived male faces, most of them to perceived young"."""
    group = page_words.plain(about.classes[row.group])
    if row.flips == 0:
        return f"none of the {group} faces"
    to_one = 2 * row.to_one >= row.flips
    whole = row.to_one in (0, row.flips)
    return (
        f"{page_words.percent(row.share)} of the {group} faces, {'all' if whole else 'most'} of them to "
        f"{page_words.plain(target.classes[int(to_one)])}"
    )


def _sentences(moved: Intervention, target: Target, about: Target) -> None:
    """What moving a face to the other group does, in words and numbers."""
    lines = [
        _sentence(row, target, about)
        for row in sorted(moved.by, key=lambda row: -row.towards)
        if row.towards != row.group
    ]
    st.markdown("  \n".join(lines))
    looks = "" if moved.seen is None else f" The classifier looks at {moved.seen:,} of them."
    st.caption(
        f"{page_words.count(len(moved.rows), 'test face')}, {page_words.count(len(moved.channels), 'channel')} moved "
        f"and all "
        f"others kept.{looks} In brackets 95\N{NO-BREAK SPACE}% intervals."
    )


def _sentence(row: Moved, target: Target, about: Target) -> str:
    to_one, to_zero = row.to_one, row.flips - row.to_one
    zero_class, one_class = map(page_words.plain, target.classes)
    from_group, to_group = page_words.sentence(about.classes[row.group]), about.classes[row.towards]
    into = f", {to_one:,} to {one_class} and {to_zero:,} to {zero_class}" if row.flips else ""
    low, high = (None, None) if row.move.low is None else (100 * row.move.low, 100 * row.move.high)
    between = "" if low is None else f" ({page_words.signed(low)} to {page_words.signed(high)})"
    return (
        f"**{page_words.plain(from_group)} faces moved towards {page_words.plain(to_group)}:** "
        f"{row.flips:,} of {row.faces:,} decisions flip, {page_words.percent(row.share)} "
        f"({page_words.percent(row.low)} to "
        f"{page_words.percent(row.high)}){into}. The probability of {one_class} moves by "
        f"{page_words.points(row.move.mean)}{between} on average, {100 * row.size.mean:.1f} points without its sign."
    )


def _moves(moved: Intervention, target: Target, about: Target) -> None:
    st.header("How often a decision flips", anchor=False)
    st.plotly_chart(
        proxy_charts.flip_dots(moved, about.classes, target.classes),
        alt="How often a decision flips in each group, either way.",
        key="gap.flips",
        config=shared.CHARTS,
    )
    st.caption(
        "Each group moved in both directions: towards the other group, and further into its own. Were the attribute no "
        "part of the decisions, all would lie at 0."
    )
    st.header("How far the probability moves", anchor=False)
    grid = st.grid(2, min_column_width=360, gap=("small", "large"))
    for towards in (1, 0):
        with grid.cell():
            st.markdown(f"**Towards {page_words.plain(about.classes[towards])}**")
            st.plotly_chart(
                proxy_charts.move_histogram(moved, towards, about.classes, target.classes),
                alt="How far the probability moves in either group, as shares of faces.",
                key=f"gap.moves.{towards}",
                config=shared.CHARTS,
            )


def _direction(about: Target) -> int:
    st.header("Faces, before and after", anchor=False)
    towards, handed = address.choice("gap.towards", address.among((1, 0)), 1)
    st.segmented_control(
        "Direction",
        [1, 0],
        default=towards,
        required=True,
        format_func=lambda value: f"Towards {page_words.plain(about.classes[value])}",
        label_visibility="collapsed",
        **handed,
    )
    return towards


def _first(run: Run, target: Target, about: Target, moved: Intervention, towards: int, waiting: shared.Waiting) -> None:
    """The faces that flip first, each before and after."""
    flips = moved.first[towards]
    if not flips:
        st.caption(
            f"No decision flips when faces are moved towards {page_words.plain(about.classes[towards])} up to "
            f"{moved.strength:g}× what the groups differ by."
        )
        return
    st.markdown(f"**The {len(flips)} that flip first**" if len(flips) > 1 else "**The one that flips**")
    grid = st.grid(3, min_column_width=220, gap="small")
    for flip in flips:
        with grid.cell(), st.container(border=True, gap="xsmall", height="stretch"):
            shared.later(
                waiting,
                lambda flip=flip: _pair_of(run, flip),
                f"Face {flip.row} before and after",
                width=516,
                height=256,
            )
            st.markdown(_probability(target, flip.probability_before, flip.probability_after))
            group = page_words.plain(page_words.sentence(about.classes[flip.group]))
            st.caption(f"{group}, flips at {round(flip.strength, 2):g}×")
    st.caption(
        f"Left as it is, right moved just far enough; the smallest move first. The probability of "
        f"{page_words.plain(target.classes[1])} before and after: the decision flips at "
        f"{page_words.percent(moved.threshold, 0)}."
    )


def _probability(target: Target, before: float, after: float) -> str:
    return (
        f"{page_words.plain(page_words.sentence(target.classes[1]))} {page_words.percent(before, 0)} → "
        f"**{page_words.percent(after, 0)}**"
    )


def _pair_of(run: Run, flip: Flip) -> Image.Image:
    return pictures.side_by_side([visit.render(run, flip.before), visit.render(run, flip.after)])


def _check(
    run: Run,
    target: Target,
    about: Target,
    moved: Intervention,
    channels: audit_state.Channels,
    strength: float,
    towards: int,
    waiting: shared.Waiting,
) -> None:
    """The same edit through pictures: drawn, encoded again, judged again."""
    st.markdown("**Does the picture show it?**")
    if not visit.has_encoder():
        st.caption("This backbone has no encoder, so a picture cannot be read again.")
        return
    job = audit_state.checking(run, about.name, channels, strength, towards)
    if shared.idle(job):
        st.button(
            "Check on pictures",
            key="gap.check",
            icon=":material/image_search:",
            on_click=audit_state.check,
            args=(run, about.name, channels, strength, towards),
            help=f"In the background, about a minute: {audit_state.CHECKED} faces are moved, drawn, encoded again and "
            "judged again.",
        )
    if job is None:
        st.caption(
            f"The numbers above are of style codes. This draws {audit_state.CHECKED} faces moved towards "
            f"{page_words.plain(about.classes[towards])}, encodes the pictures again, and reads "
            f"{page_words.plain(about.title.lower())} and the decision."
        )
        return
    checked = shared.result(job, key="gap-check", waiting="Choosing faces…")
    if checked is not None:
        _checked(target, about, moved, checked)


def _checked(target: Target, about: Target, moved: Intervention, checked: Checked) -> None:
    before, after = checked.probability_again
    left, right = map(page_words.plain, about.classes)
    flips = int(((before > moved.threshold) != (after > moved.threshold)).sum())
    low, high = wilson(flips, len(checked.rows))
    st.markdown(
        f"{page_words.prose(checked.sentence)} {flips:,} of {len(checked.rows)} decisions about the pictures flip "
        f"({page_words.percent(low, 0)} to {page_words.percent(high, 0)})."
    )
    grid = st.grid(4, min_column_width=220, gap="small")
    for number, row in enumerate(checked.rows):
        with grid.cell(), st.container(border=True, gap="xsmall", height="stretch"):
            st.image(
                pictures.side_by_side(list(checked.pictures[:, number])),
                width="stretch",
                alt=f"Face {row} as it is and moved",
            )
            st.markdown(_probability(target, before[number], after[number]))
            was, now = (page_words.signed(value, 2).lstrip("+") for value in checked.reading_again[:, number])
            st.caption(f"{page_words.plain(about.title)} reads {was} → {now}")
    st.caption(
        f"Faces drawn at random from those labelled {left if checked.towards else right}. Probability and reading are "
        f"of the pictures, encoded again; a reading near 0 is {left}, near 1 {right}. So few faces "
        "say whether the edit does what it should, not how often a decision flips."
    )
