"""What a gap is made of becomes figures: concepts to look at, who flips and how far they move."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import plotly.graph_objects as go
from scipy.stats import rankdata

from dashboard.charts.classifiers import BLUE, GREY, ORANGE, new_figure
from dashboard.components.page_words import count, in_figure, percent, signed
from img2tab_core.audits.carriers import Carried
from img2tab_core.audits.intervention import Intervention

_LINE = "rgba(128,132,149,0.35)"
_SHADE = "rgba(232,119,34,0.10)"
_FLOOR = 0.3  # where "not used" sits on a logarithmic axis: this share of the smallest value above zero
_ROW = 38  # px
_BINS = 41  # an odd number: the middle one is around no move at all


def corner(carried: Carried, importance: np.ndarray, count: int) -> list[int]:
    """The concepts deepest in the upper right corner: of those the classifier uses, by the lower of their two ranks.

    Ties by the product of distance and importance; up to `count`.
    """
    importance = np.asarray(importance, np.float64)
    used = np.flatnonzero(importance > 0)
    lower = np.minimum(rankdata(carried.within[used]), rankdata(importance[used]))
    order = np.lexsort((-carried.within[used] * importance[used], -lower))
    return used[order[:count]].tolist()


def carried_scatter(
    carried: Carried,
    importance: np.ndarray,
    name_of: Callable[[int], str],
    *,
    excluded: Collection[int] = (),
    picked: int | None = None,
    top: int = 10,
    most: int = 2000,
) -> go.Figure:
    """Concepts by how far apart the groups are within a class (x) and how much the classifier uses them (y).

    The upper right corner is shaded: it is where to look, and holds the `top` deepest in it. Excluded ones are open,
    others full; customdata is the channel. Drawn are all that the classifier uses, and of the others those furthest
    apart, up to `most` together.
    """
    importance = np.asarray(importance, np.float64)
    used = np.flatnonzero(importance > 0)
    rest = np.setdiff1d(carried.ranking[: most + len(used)], used)
    rest = rest[np.argsort(-np.abs(carried.shift[rest]), kind="stable")][: max(0, most - len(used))]
    used = used[np.argsort(-importance[used], kind="stable")][:most]
    shown = np.concatenate([used, rest]).astype(int)
    share = 100 * importance
    floor = _FLOOR * float(share[used].min()) if len(used) else 1e-3
    y = np.where(share > 0, share, floor)
    figure = _figure(height=520)
    if len(used):
        deepest = corner(carried, importance, top)
        left, bottom = carried.within[deepest].min() - 0.01 * carried.within[shown].max(), share[deepest].min() / 1.15
        right, top = 1.08 * carried.within[shown].max(), 1.6 * y[shown].max()
        figure.add_shape(
            type="rect",
            x0=left,
            x1=right,
            y0=bottom,
            y1=top,
            fillcolor=_SHADE,
            layer="below",
            line={"color": ORANGE, "width": 1, "dash": "dot"},
        )
        figure.add_annotation(
            x=right,
            y=np.log10(top),
            xanchor="right",
            yanchor="bottom",
            text="where to look",
            showarrow=False,
        )
    out = np.isin(shown, list(excluded))
    for mask, name, symbol, colour in (
        (~out, "not excluded", "circle", BLUE),
        (out, "excluded", "circle-open", ORANGE),
    ):
        if mask.any():
            at = shown[mask]
            figure.add_scattergl(
                x=carried.within[at],
                y=y[at],
                mode="markers",
                name=name,
                customdata=at.tolist(),
                showlegend=bool(out.any()),
                marker={"color": colour, "size": 7, "opacity": 0.6, "symbol": symbol},
                unselected_marker_opacity=0.6,
                hovertext=[
                    f"{in_figure(name_of(int(index)))}<br>between the groups {carried.within[index]:.2f} SD, "
                    f"between the classes {carried.between[index]:.2f} SD<br>importance {percent(importance[index], 2)}"
                    for index in at
                ],
                hovertemplate="%{hovertext}<extra></extra>",
            )
    if picked is not None and picked in shown:
        figure.add_scatter(
            x=[carried.within[picked]],
            y=[y[picked]],
            mode="markers+text",
            text=[in_figure(name_of(picked))],
            textposition="top left" if carried.within[picked] > carried.within[shown].max() / 2 else "top right",
            customdata=[picked],
            hoverinfo="skip",
            showlegend=False,
            marker={"symbol": "circle-open", "size": 16, "color": GREY, "line_width": 2},
        )
    figure.update_layout(clickmode="event+select", dragmode="pan", legend=_legend())
    figure.update_xaxes(
        title_text="Distance between the groups, SD", gridcolor=_LINE, zeroline=False, rangemode="tozero"
    )
    ticks = [10.0**power for power in range(-4, 3) if 2 * floor < 10.0**power <= 1.2 * y.max()]
    figure.update_yaxes(
        title_text="Importance, %",
        type="log",
        gridcolor=_LINE,
        tickvals=[floor, *ticks],
        ticktext=["not used", *(f"{tick:g}" for tick in ticks)],
        automargin=True,
    )
    return figure


def flip_dots(intervention: Intervention, groups: tuple[str, str], classes: tuple[str, str]) -> go.Figure:
    """Share of decisions that flip, by group and direction: a dot and its 95 % Wilson interval."""
    groups, classes = tuple(map(in_figure, groups)), tuple(map(in_figure, classes))
    rows = sorted(intervention.by, key=lambda row: (row.group, row.towards))
    figure = _figure(height=80 + _ROW * len(rows))
    for towards, colour, symbol in ((0, BLUE, "circle"), (1, ORANGE, "square")):
        mine = [(place, row) for place, row in enumerate(rows) if row.towards == towards]
        figure.add_scatter(
            x=[row.share for _, row in mine],
            y=[place for place, _ in mine],
            mode="markers",
            name=f"moved towards {groups[towards]}",
            marker={"color": colour, "size": 11, "symbol": symbol},
            error_x={
                "type": "data",
                "symmetric": False,
                "color": colour,
                "thickness": 2,
                "width": 5,
                "array": [row.high - row.share for _, row in mine],
                "arrayminus": [row.share - row.low for _, row in mine],
            },
            hovertext=[
                f"{row.flips:,} of {count(row.faces, 'face')} flip: {percent(row.share)} "
                f"({percent(row.low)} to {percent(row.high)})<br>{row.to_one:,} to {classes[1]}, "
                f"{row.flips - row.to_one:,} to {classes[0]}<br>probability of {classes[1]} moves by "
                f"{signed(100 * row.move.mean)} points on average"
                for _, row in mine
            ],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    figure.update_layout(legend=_legend())
    figure.update_xaxes(
        title_text=f"Decisions that flip at strength {intervention.strength:g}",
        tickformat=".0%",
        gridcolor=_LINE,
        zeroline=False,
        rangemode="tozero",
    )
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[f"{groups[row.group]} (n = {row.faces:,})" for row in rows],
        range=[len(rows) - 0.5, -0.5],
        showgrid=False,
        zeroline=False,
        automargin=True,
    )
    return figure


def move_histogram(
    intervention: Intervention, towards: int, groups: tuple[str, str], classes: tuple[str, str]
) -> go.Figure:
    """How far the probability of class 1 moves when all faces are moved towards one group: shares of each group."""
    groups, classes = tuple(map(in_figure, groups)), tuple(map(in_figure, classes))
    moves = 100 * (intervention.after[towards] - intervention.before)
    reach = max(1.0, float(np.abs(moves).max()))
    edges = np.linspace(-reach, reach, _BINS + 1)
    figure = _figure(height=300)
    for group, colour, dash in ((0, BLUE, "solid"), (1, ORANGE, "dash")):
        mine = moves[intervention.groups == group]
        if not len(mine):
            continue
        share = np.histogram(mine, edges)[0] / len(mine)
        figure.add_scatter(
            x=(edges[:-1] + edges[1:]) / 2,
            y=share,
            mode="lines",
            line={"color": colour, "shape": "hvh", "dash": dash},
            fill="tozeroy",
            fillcolor=f"rgba({','.join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))},0.2)",
            name=f"{groups[group]} (n = {len(mine):,})",
            hovertemplate="%{y:.1%} of the faces move by about %{x:.0f} points<extra></extra>",
        )
    figure.add_vline(x=0, line={"color": GREY, "width": 1})
    figure.update_layout(legend=_legend() | {"itemsizing": "trace"})
    figure.update_xaxes(title_text=f"Move of the probability of {classes[1]}, points", gridcolor=_LINE, zeroline=False)
    figure.update_yaxes(
        title_text="Share of faces", tickformat=".0%", gridcolor=_LINE, zeroline=False, rangemode="tozero"
    )
    return figure


def _figure(*, height: int) -> go.Figure:
    figure = new_figure(height=height)
    figure.update_layout(margin={"l": 0, "r": 8, "t": 40, "b": 44})
    return figure


def _legend() -> dict:
    return {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "itemsizing": "constant"}
