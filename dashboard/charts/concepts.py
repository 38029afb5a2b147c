"""Figures about families of channels: what each added to one decision, and where they stand for a classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from dashboard.charts.classifiers import BLUE, GREY, ORANGE, name_the_ways, new_figure
from dashboard.components.page_words import in_figure, signed
from img2tab_core.concepts.description import Description, Part, leading

if TYPE_CHECKING:
    from img2tab_core.concepts.ranking import RankedFamily

ELSE = -1  # customdata of the bar of everything else
THUMBNAIL = 28  # px
NAMED = 6  # families of a map whose names stand beside them
VERDICTS = {"moves it": "#2E8B57", "goes with it": ORANGE, "not seen": GREY}


def family_bars(
    parts: Sequence[Part],
    rest: float,
    description: Description,
    classes: tuple[str, str],
    *,
    picked: int | None = None,
    thumbnails: Mapping[int, str] | None = None,
) -> go.Figure:
    """What the families added to a decision, log-odds: solid by their own channels, pale by those that go with them.

    Orange pushes towards class 1, blue towards class 0. customdata of a bar is the family's number, -1 of everything
    else. All bars add up to the sum of the contributions.
    """
    shown, others = leading(parts, rest)
    names = [in_figure(description.families[part.number].name) for part in shown]
    count = len(description.families) - len(shown)
    texts = [signed(part.total, 2) for part in shown]
    figure = new_figure(height=98 + 28 * (len(shown) + 1))
    for values, opacity, words in (
        ([*(part.drawn for part in shown), others], 1.0, "by channels that draw it"),
        ([*(part.by_stand_ins for part in shown), 0.0], 0.45, "by channels that go with it"),
    ):
        figure.add_bar(
            x=values,
            y=list(range(len(shown) + 1)),
            orientation="h",
            customdata=[*(part.number for part in shown), ELSE],
            marker={
                "color": [*(ORANGE if value > 0 else BLUE for value in values[:-1]), GREY],
                "opacity": opacity,
            },
            selected_marker_opacity=opacity,
            unselected_marker_opacity=opacity,
            hovertext=[
                *(f"{name}<br>{signed(value, 2)} {words}" for name, value in zip(names, values, strict=False)),
                "",
            ],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    ends = [
        (max(0.0, part.drawn) + max(0.0, part.by_stand_ins), min(0.0, part.drawn) + min(0.0, part.by_stand_ins))
        for part in shown
    ]
    ends.append((max(0.0, others), min(0.0, others)))
    reach = 1.45 * max((max(high, -low) for high, low in ends), default=1.0)  # room for the number before the picture
    for row, (text, value, (high, low)) in enumerate(
        zip([*texts, signed(others, 2)], [*(part.total for part in shown), others], ends, strict=True)
    ):
        figure.add_annotation(
            x=high if value > 0 else low,
            y=row,
            text=text,
            showarrow=False,
            xanchor="left" if value > 0 else "right",
            xshift=4 if value > 0 else -4,
        )
    figure.update_layout(
        barmode="relative", showlegend=False, clickmode="event+select", margin={"l": 0, "r": 8, "t": 26, "b": 44}
    )
    figure.update_xaxes(title_text="Push, log-odds", range=[-reach, reach], zeroline=True, zerolinecolor=GREY, nticks=5)
    figure.update_yaxes(
        tickvals=list(range(len(shown) + 1)),
        ticktext=[
            *(f"<b>{name}</b>" if part.number == picked else name for part, name in zip(shown, names, strict=True)),
            f"Everything else ({count} more)",
        ],
        range=[len(shown) + 0.5, -0.5],
        showgrid=False,
        automargin=True,
    )
    for row, part in enumerate(shown):
        if thumbnails and part.number in thumbnails:
            figure.add_layout_image(
                source=thumbnails[part.number], xref="paper", yref="y", x=1.0, y=row, sizex=0.2, sizey=0.92,
                xanchor="left", yanchor="middle",
            )  # fmt: skip
    if thumbnails:
        figure.update_layout(margin_r=THUMBNAIL + 6)
    name_the_ways(figure, classes)
    return figure


def family_map(
    rows: Sequence[RankedFamily], across: Sequence[float], *, title: str, picked: str | None = None
) -> go.Figure:
    """Families by a number (x) and by how much the classifier uses them, with what goes with them (y, per cent).

    Coloured by whether moving one moves the answer; customdata is the family's number. The names of the most used.
    """
    used = np.array([100 * (row.importance + row.by_stand_ins) for row in rows])
    across = np.asarray(across, float)
    names = [in_figure(row.family.name) for row in rows]
    figure = new_figure(height=360)
    for verdict, colour in VERDICTS.items():
        at = [number for number, row in enumerate(rows) if row.verdict == verdict]
        if at:
            figure.add_scatter(
                x=across[at],
                y=used[at],
                mode="markers",
                name=verdict,
                customdata=[rows[number].number for number in at],
                marker={"color": colour, "size": 10, "opacity": 0.75},
                unselected_marker_opacity=0.75,
                hovertext=[f"{names[n]}<br>{across[n]:.2f} SD, used {used[n]:.1f}\N{NO-BREAK SPACE}%" for n in at],
                hovertemplate="%{hovertext}<extra></extra>",
            )
    far = used / max(used.max(initial=0), 1e-9) + across / max(across.max(initial=0), 1e-9)
    told = [n for n, row in enumerate(rows) if row.family.id == picked]
    wide, high = max(across.max(initial=0), 1e-9), max(used.max(initial=0), 1e-9)
    for n in np.argsort(-far).tolist():
        free = all(abs(used[n] - used[m]) > 0.06 * high or abs(across[n] - across[m]) > 0.5 * wide for m in told)
        if len(told) < NAMED and n not in told and free:
            told.append(n)
    middle = float(across.max(initial=0)) / 2
    for n in told:
        figure.add_annotation(
            x=across[n], y=used[n], text=f"<b>{names[n]}</b>" if rows[n].family.id == picked else names[n],
            showarrow=False, xanchor="left" if across[n] < middle else "right", xshift=8 if across[n] < middle else -8,
            font_size=11,
        )  # fmt: skip
    figure.update_layout(
        clickmode="event+select",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        margin={"l": 0, "r": 8, "t": 36, "b": 44},
    )
    figure.update_xaxes(title_text=title, rangemode="tozero")
    figure.update_yaxes(title_text="Used, %", rangemode="tozero")
    return figure


def leanings(titles: Sequence[str], names: Sequence[str], shares: np.ndarray) -> go.Figure:
    """What each of several classifiers leans on: a row for each concept, a column for each classifier, per cent.

    shares: float (concepts, classifiers).
    """
    percent = 100 * np.asarray(shares, float)
    figure = new_figure(height=110 + 26 * len(names))
    figure.add_heatmap(
        z=percent,
        x=[in_figure(title).replace(", ", ",<br>").replace(" · ", "<br>") for title in titles],
        y=[in_figure(name) for name in names],
        colorscale=[[0, "rgba(232,119,34,0.04)"], [1, "rgba(232,119,34,0.85)"]],
        zmin=0,
        text=np.round(percent).astype(int),
        texttemplate="%{text}",
        showscale=False,
        xgap=2,
        ygap=2,
        hovertemplate="%{y}, %{x}: %{z:.0f}\N{NO-BREAK SPACE}%<extra></extra>",
    )
    figure.update_layout(margin={"l": 0, "r": 0, "t": 8, "b": 60})
    figure.update_yaxes(autorange="reversed", automargin=True, showgrid=False)
    figure.update_xaxes(showgrid=False, side="bottom", tickangle=0)
    return figure


def effect_rows(
    rows: Sequence[RankedFamily], classes: tuple[str, str], *, picked: str | None = None, most: int = 16
) -> go.Figure:
    """Change of the log-odds when a family is moved from down to up, with its 95 % interval over faces.

    Orange towards class 1, blue towards class 0, grey where it does not move the classifier beyond chance. customdata
    of a point is the family's number.
    """
    shown = [row for row in rows if row.effect is not None][:most]
    figure = new_figure(height=98 + 26 * max(1, len(shown)))
    means = [row.effect.mean for row in shown if row.effect is not None]
    colours = [
        GREY if row.verdict != "moves it" else ORANGE if mean > 0 else BLUE
        for row, mean in zip(shown, means, strict=True)
    ]
    names = [in_figure(row.family.name) for row in shown]
    for y, (row, colour) in enumerate(zip(shown, colours, strict=True)):
        if row.effect is not None:
            figure.add_shape(
                type="line", x0=row.effect.low, x1=row.effect.high, y0=y, y1=y, line={"color": colour, "width": 3}
            )
    figure.add_scatter(
        x=means,
        y=list(range(len(shown))),
        mode="markers",
        marker={"color": colours, "size": 11},
        selected_marker_opacity=1.0,
        unselected_marker_opacity=1.0,
        customdata=[row.number for row in shown],
        hovertext=[
            f"{name}<br>{row.effect.text() if row.effect else ''} log-odds<br>{row.verdict}"
            for name, row in zip(names, shown, strict=True)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )
    reach = 1.1 * max(
        (max(abs(row.effect.low), abs(row.effect.high)) for row in shown if row.effect is not None), default=1.0
    )
    figure.update_layout(showlegend=False, clickmode="event+select", margin={"l": 0, "r": 8, "t": 26, "b": 44})
    figure.update_xaxes(
        title_text="Change of the answer, log-odds", range=[-reach, reach], zeroline=True, zerolinecolor=GREY, nticks=7
    )
    figure.update_yaxes(
        tickvals=list(range(len(shown))),
        ticktext=[
            f"<b>{name}</b>" if row.family.id == picked else name for row, name in zip(shown, names, strict=True)
        ],
        range=[len(shown) - 0.5, -0.5],
        showgrid=False,
        automargin=True,
    )
    name_the_ways(figure, classes)
    return figure
