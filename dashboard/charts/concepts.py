"""Figures about families of channels: what each added to one decision, and where they stand for a classifier."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from dashboard.charts.classifiers import BLUE, GREY, ORANGE, name_the_ways, new_figure
from dashboard.components.page_words import in_figure, signed
from img2tab_core.concepts.description import Description, Part, leading

ELSE = -1  # customdata of the bar of everything else


def family_bars(
    parts: Sequence[Part],
    rest: float,
    description: Description,
    classes: tuple[str, str],
    *,
    picked: int | None = None,
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
    reach = 1.3 * max((max(high, -low) for high, low in ends), default=1.0)
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
    name_the_ways(figure, classes)
    return figure
