"""Records become figures: pure functions, blue and orange for the two classes, see-through so any theme fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from dashboard.components.page_words import in_figure, percent, signed
from img2tab_core.base.records import ConceptScores, Metrics, Prediction

if TYPE_CHECKING:
    from img2tab_core.base.intervals import Estimate
    from img2tab_core.classifiers.comparison import Comparison, Contender

BLUE, ORANGE, GREY = (
    "#3B86C8",
    "#E87722",
    "#8A8F98",
)  # told apart with every common colour blindness, on white and black
INK = "#000037"  # what Streamlit's browser part replaces by the strong text of its theme, light or dark
_KIND_COLOURS = {  # Okabe and Ito 2008, without yellow, which is lost on white
    "catboost": "#E69F00",
    "xgboost": "#0072B2",
    "lightgbm": "#009E73",
    "tabnet": "#CC79A7",
    "forest": "#D55E00",
    "logistic": "#56B4E9",
}
_CLEAR = "rgba(0,0,0,0)"
_LINE = "rgba(128,132,149,0.35)"
_FLOOR = 0.3  # where "not used" sits on a logarithmic axis: this share of the smallest value above zero

NameOf = Callable[[int], str]


def contribution_bars(
    prediction: Prediction, name_of: NameOf, classes: tuple[str, str], *, picked: int | None = None, count: int = 8
) -> go.Figure:
    """The concepts that pushed this decision most, up to `count` each way, and the sum of all others in words.

    Orange pushes towards class 1, blue towards class 0. customdata of a bar is its channel. The sum of the
    others is written, not drawn: hundreds of small pushes would make every single bar a sliver.
    """
    indexes = strongest(prediction, count)
    values = prediction.contributions[indexes].tolist()
    others = int(np.count_nonzero(prediction.contributions)) - len(indexes)
    rest = float(prediction.contributions.sum() - sum(values))
    names = [in_figure(name_of(index)) for index in indexes]
    figure = new_figure(height=98 + 26 * len(indexes))
    figure.add_bar(
        x=values,
        y=list(range(len(indexes))),
        orientation="h",
        customdata=indexes,
        marker={
            "color": [ORANGE if value > 0 else BLUE for value in values],
            "opacity": [1.0 if picked in (None, index) or picked not in indexes else 0.55 for index in indexes],
        },
        text=[signed(value, 2) for value in values],
        textposition="outside",
        cliponaxis=False,
        selected_marker_opacity=1.0,
        unselected_marker_opacity=1.0,
        hovertext=names,
        hovertemplate="%{hovertext}<br>%{text} log-odds<extra></extra>",
    )
    reach = 1.25 * max((abs(value) for value in values), default=1.0)
    figure.update_layout(showlegend=False, clickmode="event+select", margin={"l": 0, "r": 8, "t": 26, "b": 44})
    figure.update_xaxes(
        title_text="Push, log-odds",
        range=[-reach, reach],
        zeroline=True,
        zerolinecolor=GREY,
        gridcolor=_LINE,
        nticks=5,
    )
    figure.update_yaxes(
        tickvals=list(range(len(indexes) + 1)),
        ticktext=[
            *(f"<b>{name}</b>" if index == picked else name for index, name in zip(indexes, names, strict=True)),
            f"{others:,} others",
        ],
        range=[len(indexes) + 0.5, -0.5],
        showgrid=False,
        automargin=True,
    )
    figure.add_annotation(
        x=0,
        y=len(indexes),
        xanchor="left",
        xshift=4,
        text=f"{signed(rest, 2)} together (not drawn)",
        showarrow=False,
    )
    name_the_ways(figure, classes)
    return figure


def name_the_ways(figure: go.Figure, classes: tuple[str, str]) -> None:
    """Above bars of pushes: which class the left and which the right side speaks for."""
    first, second = (in_figure(name.removeprefix("perceived ")) for name in classes)
    for x, anchor, text in (
        (0, "left", f'<span style="color:{BLUE}">◀</span> {first}'),
        (1, "right", f'{second} <span style="color:{ORANGE}">▶</span>'),
    ):  # the words in the colour of text: no blue and no orange can be read on light and on dark
        figure.add_annotation(
            x=x,
            y=1,
            xref="paper",
            yref="paper",
            xanchor=anchor,
            yanchor="bottom",
            text=text,
            showarrow=False,
            font={"size": 13},
        )


def strongest(prediction: Prediction, count: int) -> list[int]:
    """The channels with the largest pushes, up to `count` up and `count` down, from most up to most down."""
    order = np.argsort(-prediction.contributions, kind="stable")
    up = [int(index) for index in order[:count] if prediction.contributions[index] > 0]
    down = [int(index) for index in order[-count:] if prediction.contributions[index] < 0]
    return up + down


def concept_scatter(
    scores: ConceptScores,
    name_of: NameOf,
    shown: Sequence[int],
    names: Mapping[int, str],
    classes: tuple[str, str],
    *,
    picked: int | None = None,
) -> go.Figure:
    """Every shown concept by how far it sets the classes apart (x) and how much the classifier uses it (y).

    Both axes are logarithmic; concepts the classifier does not use lie on a line of their own at the bottom.
    """
    shown = np.asarray(shown, int)
    x = np.maximum(scores.distance[shown], 1e-3)
    share = 100 * scores.importance[shown]
    positive = share[share > 0]
    floor = float(positive.min() * _FLOOR) if positive.size else 1e-3
    y = np.where(share > 0, share, floor)
    towards_one = scores.direction[shown] > 0
    figure = new_figure(height=380)
    for mask, colour, name in ((~towards_one, BLUE, classes[0]), (towards_one, ORANGE, classes[1])):
        figure.add_scattergl(
            x=x[mask],
            y=y[mask],
            mode="markers",
            name=f"higher when {in_figure(name)}",
            customdata=shown[mask],
            marker={"color": colour, "size": 6, "opacity": 0.55},
            hovertext=[
                f"{in_figure(name_of(int(index)))}<br>distance {scores.distance[index]:.2f} SD, "
                f"importance {percent(scores.importance[index], 2)}"
                for index in shown[mask]
            ],
            hovertemplate="%{hovertext}<extra></extra>",
            unselected_marker_opacity=0.55,
        )
    visible = set(shown.tolist())
    middle = float(np.sqrt(x.min() * x.max()))  # on a logarithmic axis; names point inwards, so none is cut off
    marked = [index for index in names if index in visible and index != picked]
    for indexes, symbol, size in (
        (marked, "circle-open", 11),
        ([picked] if picked in visible else [], "circle-open", 16),
    ):
        if indexes:
            at = np.asarray(indexes, int)
            figure.add_scatter(
                x=np.maximum(scores.distance[at], 1e-3),
                y=np.where(scores.importance[at] > 0, 100 * scores.importance[at], floor),
                mode="markers+text",
                text=[in_figure(name_of(index)) for index in indexes],
                textposition=["top left" if scores.distance[index] > middle else "top right" for index in indexes],
                customdata=indexes,
                marker={"symbol": symbol, "size": size, "color": GREY, "line_width": 2},
                hoverinfo="skip",
                showlegend=False,
            )
    figure.update_layout(
        clickmode="event+select",
        dragmode="pan",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "itemsizing": "constant"},
        margin={"l": 0, "r": 8, "t": 32, "b": 44},
    )
    figure.update_xaxes(title_text="Distance, SD", type="log", gridcolor=_LINE, **_decades(x))
    values, texts = _decades(y).values()
    kept = [(value, text) for value, text in zip(values, texts, strict=True) if value > 2 * floor]
    figure.update_yaxes(
        title_text="Importance, %",
        type="log",
        gridcolor=_LINE,
        tickvals=[floor, *(value for value, _ in kept)],
        ticktext=["not used", *(text for _, text in kept)],
        automargin=True,
    )
    return figure


def confusion(metrics: Metrics, classes: tuple[str, ...]) -> go.Figure:
    """How the test faces of each class were judged: rows are labels, columns answers; share of the row and count."""
    counts = np.asarray(metrics.confusion, float)  # (label, answer)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    places = list(range(len(classes)))
    cells = [(row, column) for row in places for column in places]
    figure = new_figure(height=130 + 60 * len(classes))
    figure.add_heatmap(
        z=share,
        x=places,
        y=places,
        colorscale=[[0, "rgba(59,134,200,0.06)"], [1, "rgba(59,134,200,0.38)"]],
        zmin=0,
        zmax=1,
        showscale=False,
        xgap=3,
        ygap=3,
        hoverinfo="skip",
    )
    # Text of its own trace takes the theme's colour; a heatmap's text guesses one and is lost on dark.
    figure.add_scatter(
        x=[column for _, column in cells],
        y=[row for row, _ in cells],
        mode="text",
        text=[f"<b>{percent(share[cell])}</b><br>{int(counts[cell]):,}" for cell in cells],
        hoverinfo="skip",
        showlegend=False,
    )
    figure.update_layout(margin={"l": 0, "r": 0, "t": 0, "b": 44})
    figure.update_xaxes(
        title_text="Answer",
        tickvals=places,
        ticktext=[in_figure(name) if len(classes) == 2 else _wrapped(name) for name in classes],
        showgrid=False,
        zeroline=False,
    )
    figure.update_yaxes(
        title_text="Label",
        tickvals=places,
        ticktext=[_wrapped(name) for name in classes],
        autorange="reversed",
        showgrid=False,
        zeroline=False,
        automargin=True,
    )
    return figure


def took_over(
    before: ConceptScores, after: ConceptScores, name_of: NameOf, *, picked: int | None = None, count: int = 10
) -> go.Figure:
    """The concepts whose importance grew most, from before (grey) to after (orange)."""
    indexes = gains(before, after, count)
    start, end = 100 * before.importance[indexes], 100 * after.importance[indexes]
    rows = list(range(len(indexes)))
    figure = new_figure(height=92 + 26 * max(len(rows), 1))
    for row, low, high in zip(rows, start, end, strict=True):
        figure.add_scatter(
            x=[low, high],
            y=[row, row],
            mode="lines",
            line={"color": _LINE, "width": 3},
            hoverinfo="skip",
            showlegend=False,
        )
    for values, colour, title, symbol in ((start, GREY, "before", "circle-open"), (end, ORANGE, "after", "circle")):
        figure.add_scatter(
            x=values,
            y=rows,
            mode="markers",
            name=title,
            customdata=indexes,
            marker={"color": colour, "size": 10, "symbol": symbol, "line": {"width": 2, "color": colour}},
            hovertext=[
                f"{in_figure(name_of(index))}<br>{title} {value:.2f} %"
                for index, value in zip(indexes, values, strict=True)
            ],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    figure.update_layout(
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        margin={"l": 0, "r": 8, "t": 32, "b": 44},
    )
    figure.update_xaxes(title_text="Importance, %", rangemode="tozero", gridcolor=_LINE, zeroline=False, nticks=6)
    figure.update_yaxes(
        tickvals=rows,
        ticktext=[in_figure(name_of(index)) for index in indexes],
        autorange="reversed",
        showgrid=False,
        zeroline=False,
        automargin=True,
    )
    return figure


def overlaps(comparison: Comparison) -> go.Figure:
    """For each k, the share of the k concepts farthest apart that each classifier has among its k most important.

    Intervals are 95 % over the seeds; the dotted line is what a random ranking would reach.
    """
    figure = new_figure(height=360)
    shown = [contender for contender in comparison.contenders if contender.trials]
    at = np.arange(len(comparison.ks))
    for number, contender in enumerate(shown):
        values = [contender.estimate_at("overlap", position) for position in range(len(comparison.ks))]
        halves = [100 * (value.half or 0) for value in values]
        means = [100 * value.mean for value in values]
        colour, offset = _colour_of(contender.kind), 0.08 * (number - (len(shown) - 1) / 2)
        again = contender.kind in {before.kind for before in shown[:number]}  # the same classifier, another importance
        figure.add_scatter(
            x=at + offset,
            y=means,
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [min(half, 100 - mean) for mean, half in zip(means, halves, strict=True)],
                "arrayminus": [min(half, mean) for mean, half in zip(means, halves, strict=True)],
                "thickness": 1.5,
                "width": 3,
            },
            mode="lines+markers",
            name=contender.title,
            line={"color": colour, "width": 2, "dash": "dash" if again else "solid"},
            marker={"color": colour, "size": 8, "symbol": "circle-open" if again else "circle"},
            hovertext=[
                f"{contender.title}, top {k}: {value.text(100, 0)}\N{NO-BREAK SPACE}%"
                for k, value in zip(comparison.ks, values, strict=True)
            ],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    figure.add_scatter(
        x=at,
        y=[100 * share for share in comparison.chance],
        mode="lines",
        name="by chance",
        line={"color": GREY, "width": 2, "dash": "dot"},
        hovertext=[f"By chance: {100 * share:.2g}\N{NO-BREAK SPACE}%" for share in comparison.chance],
        hovertemplate="%{hovertext}<extra></extra>",
    )
    figure.update_layout(
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        margin={"l": 0, "r": 8, "t": 64, "b": 44},
    )
    figure.update_xaxes(
        title_text="How many concepts",
        tickvals=at,
        ticktext=[f"top {k}" for k in comparison.ks],
        showgrid=False,
        zeroline=False,
    )
    figure.update_yaxes(title_text="Found, %", rangemode="tozero", gridcolor=_LINE, zeroline=False)
    return figure


def accuracies(comparison: Comparison) -> go.Figure:
    """How well each kind of classifier judges the test faces: a dot and its 95 % interval over the seeds."""
    kinds = by_accuracy(comparison)
    return _dots(
        [(kind, title, contender.estimate("accuracy")) for kind, title, contender in kinds], "Accuracy, %", "%"
    )


def gaps(comparison: Comparison, gap_of: Mapping[str, Estimate]) -> go.Figure:
    """How far apart the groups are for each kind of classifier, by kind, share of 1; in the order of `accuracies`."""
    from img2tab_core.base.intervals import Estimate  # brings SciPy, which the first page does without

    none = Estimate(None, None, None)
    return _dots(
        [(kind, title, gap_of.get(kind, none)) for kind, title, _ in by_accuracy(comparison)], "Gap, points", "points"
    )


def by_accuracy(comparison: Comparison) -> list[tuple[str, str, Contender]]:
    """Kind, title and contender of every kind that was trained, the most accurate first; one of a kind: it judges the
    same, whatever its importance."""
    shown = {contender.kind: contender for contender in comparison.contenders if contender.trials}
    rows = sorted(shown.values(), key=lambda contender: -contender.estimate("accuracy").mean)
    return [(contender.kind, contender.title.split(",")[0], contender) for contender in rows]


def _dots(rows: Sequence[tuple[str, str, Estimate]], title: str, unit: str) -> go.Figure:
    """A row for each kind: the mean of a share of 1, in per cent, with a whisker that stays between 0 and 100."""
    figure, edges = new_figure(height=92 + 34 * len(rows)), []
    for row, (kind, name, value) in enumerate(rows):
        if value.mean is None:
            continue
        mean, half = 100 * value.mean, 100 * (value.half or 0)
        low, high = max(0.0, mean - half), min(100.0, mean + half)
        edges += [low, high]
        figure.add_scatter(
            x=[mean],
            y=[row],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [high - mean],
                "arrayminus": [mean - low],
                "thickness": 2,
                "width": 5,
            },
            mode="markers",
            marker={"color": _colour_of(kind), "size": 11},
            hovertext=[f"{name}: {value.text(100, 1)}\N{NO-BREAK SPACE}{unit}"],
            hovertemplate="%{hovertext}<extra></extra>",
            showlegend=False,
        )
    figure.update_layout(margin={"l": 0, "r": 8, "t": 8, "b": 44})
    figure.update_xaxes(title_text=title, gridcolor=_LINE, zeroline=False, nticks=6, range=_span(edges))
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[name for _, name, _ in rows],
        range=[len(rows) - 0.5, -0.5],
        showgrid=False,
        zeroline=False,
        automargin=True,
    )
    return figure


def _span(values: Sequence[float]) -> list[float]:
    """What an axis of per cent shows: all values with some room, at least two points wide, nothing that cannot be."""
    low, high = min(values, default=0.0), max(values, default=100.0)
    room = max(0.08 * (high - low), (2 - (high - low)) / 2, 0.1)
    return [max(-0.5, low - room), min(100.5, high + room)]


def _colour_of(kind: str) -> str:
    """The same colour for a kind of classifier in every figure."""
    return _KIND_COLOURS.get(kind, GREY)


def gains(before: ConceptScores, after: ConceptScores, count: int) -> list[int]:
    """The channels whose importance grew most, largest gain first; only real gains."""
    growth = after.importance - before.importance
    return [int(index) for index in np.argsort(-growth, kind="stable")[:count] if growth[index] > 0]


def new_figure(*, height: int) -> go.Figure:
    """An empty figure, see-through so that any theme fits; height in px."""
    figure = go.Figure()
    figure.update_layout(
        height=height,
        paper_bgcolor=_CLEAR,
        plot_bgcolor=_CLEAR,
        font={"size": 13, "color": INK},
        legend={"font": {"color": INK}, "title": {"font": {"color": INK}}},
        xaxis={"tickfont": {"color": INK}, "title": {"font": {"color": INK}}},
        yaxis={"tickfont": {"color": INK}, "title": {"font": {"color": INK}}},
        hoverlabel={"align": "left"},
        separators=". ",
    )
    return figure


def _decades(values: np.ndarray) -> dict[str, list]:
    """Ticks at 1, 2 and 5 of each power of ten that the values span, as plain numbers."""
    low, high = float(np.min(values, initial=np.inf)), float(np.max(values, initial=0))
    if not 0 < low <= high:
        return {"tickvals": [], "ticktext": []}
    wide = high / low > 300
    steps = (1,) if wide else (1, 2, 5)
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks = [step * 10.0**power for power in powers for step in steps if low * 0.9 <= step * 10.0**power <= high * 1.1]
    return {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def _wrapped(text: str) -> str:
    """Two words on two lines, so that an axis stays narrow."""
    return "<br>".join(map(in_figure, text.split(" ", 1)))
