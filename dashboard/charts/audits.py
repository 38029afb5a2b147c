"""An audit becomes figures: groups, gaps, thresholds and remedies, each value with its interval and its count."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from dashboard.charts.classifiers import BLUE, GREY, ORANGE, new_figure
from dashboard.components.page_words import count, in_figure, percent, sentence
from img2tab_core.audits.audit_record import SMALL, Audit, GroupAudit, Measure
from img2tab_core.audits.changes import Change
from img2tab_core.audits.group_differences import FALSE_ALARMS, MISSES, group_words
from img2tab_core.audits.matrix import Matrix, Pair, in_points, short, short_title
from img2tab_core.audits.metrics import GAPS, METRICS
from img2tab_core.audits.remedies import Outcome, Remedies
from img2tab_core.audits.thresholds import ThresholdCost
from img2tab_core.base.intervals import Estimate

# Okabe and Ito 2008, without yellow, which is lost on white; lines also differ by dash and points by symbol
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
_DASHES = ("solid", "dash", "dot", "dashdot")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
_LINE = "rgba(128,132,149,0.35)"
_ROW = 34  # px
_CLASS_OF = {FALSE_ALARMS: 0, MISSES: 1}  # the label of the faces that a rate is about


def group_dots(audit: Audit, metric: str) -> go.Figure:
    """One metric of every group: a dot and its 95 % interval, and a dotted line where everyone together is.

    Groups of fewer than 30 faces are open circles; a group in which it cannot be measured says why.
    """
    groups = audit.by_group
    figure = _figure(height=70 + _ROW * len(groups))
    shown = [row for row, group in enumerate(groups) if group.measures[metric].value is not None]
    figure.add_scatter(
        x=[groups[row].measures[metric].value for row in shown],
        y=shown,
        error_x=_bars([groups[row].measures[metric] for row in shown], BLUE),
        mode="markers",
        marker={
            "color": BLUE,
            "size": 11,
            "line": {"width": 2, "color": BLUE},
            "symbol": ["circle-open" if groups[row].small else "circle" for row in shown],
        },
        hovertext=[_hover(groups[row], metric) for row in shown],
        hovertemplate="%{hovertext}<extra></extra>",
        showlegend=False,
    )
    overall = audit.overall.measures[metric].value
    if overall is not None:
        figure.add_scatter(
            x=[overall, overall],
            y=[-0.5, len(groups) - 0.5],
            mode="lines",
            showlegend=False,
            line={"color": GREY, "width": 2, "dash": "dot"},
            hovertext=[_hover(audit.overall, metric)] * 2,
            hovertemplate="%{hovertext}<extra></extra>",
        )
    for row, group in enumerate(groups):
        if group.measures[metric].value is None:
            figure.add_annotation(
                x=0,
                xref="paper",
                xanchor="left",
                xshift=4,
                y=row,
                showarrow=False,
                text=in_figure(f"not measured: {group.measures[metric].note}"),
            )
    figure.update_xaxes(
        title_text=METRICS[metric],
        tickformat=None if metric == "auc" else ".0%",
        gridcolor=_LINE,
        zeroline=False,
        nticks=6,
    )
    _rows(figure, [_label(group) for group in groups])
    return figure


def group_bars(audit: Audit, classes: tuple[str, str], rates: Sequence[str]) -> go.Figure:
    """Some rates of every group as bars with their 95 % intervals, each in the colour of the class that is called.

    rates: of `group_differences.RATES_TOLD`, misses among them as what the true positive rate lacks. classes: names of
    class 0 and 1. Groups of fewer than 30 faces are hatched; a rate that cannot be measured says so.
    """
    groups = audit.by_group
    figure = _figure(height=max(76 + (14 + 26 * len(rates)) * len(groups), 300 if len(rates) > 1 else 0))
    for place, rate in enumerate(rates):
        measures = [_as_told(group, rate) for group in groups]
        figure.add_bar(
            x=[0 if measure.value is None else measure.value for measure in measures],
            y=list(range(len(groups))),
            orientation="h",
            name=_bar_title(rate, classes),
            marker={
                "color": BLUE if rate == MISSES else ORANGE,
                "pattern_shape": ["/" if group.small else "" for group in groups],
            },
            error_x=_bars([Measure(0, None, None) if each.value is None else each for each in measures], GREY),
            hovertext=[
                f"{_named(group)}<br>{_bar_title(rate, classes)}: {_written(measure)}"
                for group, measure in zip(groups, measures, strict=True)
            ],
            hovertemplate="%{hovertext}<extra></extra>",
        )
        for row, measure in enumerate(measures):
            if measure.value is None:
                figure.add_annotation(
                    x=0,
                    xanchor="left",
                    xshift=4,
                    y=row,
                    yshift=0 if len(rates) == 1 else 13 * (1 - 2 * place),
                    showarrow=False,
                    text="no face"
                    if rate not in _CLASS_OF
                    else f"no face labelled {in_figure(short(classes[_CLASS_OF[rate]]))}",
                )
    figure.update_layout(barmode="group", bargap=0.25, bargroupgap=0.1, legend_traceorder="normal", showlegend=True)
    figure.update_xaxes(tickformat=".0%", rangemode="tozero", gridcolor=_LINE, zeroline=False, nticks=6)
    _rows(figure, [f"{sentence(in_figure(group_words(group.name)))} ({group.count:,})" for group in groups])
    return figure


def roc_curves(audit: Audit) -> go.Figure:
    """The ROC curve of every group; the marker is where its threshold puts it, the dotted line is chance."""
    figure = _figure(height=400)
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", line={"color": GREY, "dash": "dot"}, hoverinfo="skip", showlegend=False
    )
    for number, group in enumerate(audit.by_group):
        if group.roc is None:
            continue
        figure.add_scatter(
            x=group.roc.false_positive_rate,
            y=group.roc.true_positive_rate,
            mode="lines",
            name=_label(group),
            line=_stroke(number),
            legendgroup=str(number),
            hovertemplate=f"{_named(group)}<br>false positives %{{x:.1%}}, true positives %{{y:.1%}}<extra></extra>",
        )
        figure.add_scatter(
            x=[group.measures["false_positive_rate"].value],
            y=[group.measures["true_positive_rate"].value],
            mode="markers",
            marker=_point(number, small=group.small),
            legendgroup=str(number),
            showlegend=False,
            hovertext=[
                f"{_named(group)}<br>at its threshold, {group.threshold:.2f}<br>"
                f"{_said(group, 'false_positive_rate')}<br>{_said(group, 'true_positive_rate')}"
            ],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    _square(figure, "False positive rate", "True positive rate")
    return figure


def reliability(audit: Audit) -> go.Figure:
    """Of every group: how often a probability came true, by tenths, with Wilson intervals; the dotted line is ideal."""
    figure = _figure(height=400)
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", line={"color": GREY, "dash": "dot"}, hoverinfo="skip", showlegend=False
    )
    for number, group in enumerate(audit.by_group):
        if not group.reliability:
            continue
        bins = group.reliability
        figure.add_scatter(
            x=[bin.probability for bin in bins],
            y=[bin.share for bin in bins],
            error_y={
                "type": "data",
                "symmetric": False,
                "thickness": 1,
                "width": 2,
                "array": [bin.high - bin.share for bin in bins],
                "arrayminus": [bin.share - bin.low for bin in bins],
            },
            mode="lines+markers",
            name=_label(group),
            line=_stroke(number),
            marker=_point(number, small=group.small),
            hovertext=[
                f"{_named(group)}<br>{count(bin.count, 'face')} with a mean probability of "
                f"{percent(bin.probability)}<br>{percent(bin.share)} are of class 1 "
                f"({percent(bin.low)} to {percent(bin.high)})"
                for bin in bins
            ],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    _square(figure, "Probability", "Share of class 1")
    return figure


def group_dumbbell(before: Audit, after: Audit, metric: str) -> go.Figure:
    """One metric of every group before (open, grey) and after (orange), each with its 95 % interval."""
    later = {group.name: group for group in after.by_group}
    groups = [group for group in before.by_group if group.name in later]
    figure = _dumbbell(
        [_label(group) for group in groups],
        [group.measures[metric] for group in groups],
        [later[group.name].measures[metric] for group in groups],
        [(_hover(group, metric), _hover(later[group.name], metric)) for group in groups],
    )
    figure.update_xaxes(title_text=METRICS[metric], tickformat=None if metric == "auc" else ".0%")
    return figure


def gap_dumbbell(before: Audit, after: Audit) -> go.Figure:
    """Every gap, and the worst group's accuracy, before (open, grey) and after (orange) with 95 % intervals."""
    faces = (before.faces, after.faces)
    figure = _dumbbell(
        list(GAPS.values()),
        [before.gaps[name] for name in GAPS],
        [after.gaps[name] for name in GAPS],
        [
            tuple(
                _gap_hover(title, audit.gaps[name], number)
                for audit, number in zip((before, after), faces, strict=True)
            )
            for name, title in GAPS.items()
        ],
    )
    figure.update_xaxes(tickformat=".0%", rangemode="tozero")
    return figure


def change_dumbbell(changes: Mapping[str, Change]) -> go.Figure:
    """Numbers by their title over several seeds: means before and after, 95 % t-intervals; hover has the verdict."""
    figure = _dumbbell(
        list(changes),
        [_as_measure(change.before) for change in changes.values()],
        [_as_measure(change.after) for change in changes.values()],
        [(f"{title}<br>{in_figure(change.sentence)}",) * 2 for title, change in changes.items()],
    )
    figure.update_xaxes(tickformat=".0%")
    return figure


def threshold_curve(cost: ThresholdCost, gap: str = "equalised_odds") -> go.Figure:
    """Accuracy and one gap over the threshold, the same for all groups; the chosen thresholds are marked.

    One threshold for all is one line; thresholds of their own are a line for each group, and the stars are what they
    come to together.
    """
    figure = _figure(height=360)
    lines = (
        ("Accuracy", BLUE, "solid", [point.accuracy for point in cost.curve]),
        (GAPS[gap], ORANGE, "dash", [point.gaps[gap] for point in cost.curve]),
    )
    for title, colour, dash, values in lines:
        figure.add_scatter(
            x=cost.grid,
            y=values,
            mode="lines",
            name=title,
            line={"color": colour, "width": 2, "dash": dash},
            hovertemplate=f"{title} %{{y:.1%}}<br>at %{{x:.2f}} for all, {count(cost.faces, 'face')}<extra></extra>",
        )
    chosen = cost.chosen.thresholds
    cuts = sorted(set(chosen.values()))
    for number, cut in enumerate(cuts):
        names = [in_figure(name) for name, value in chosen.items() if value == cut]
        figure.add_vline(
            x=cut,
            line={"color": GREY, "width": 2, "dash": "dot"},
            annotation_text="chosen" if len(cuts) == 1 else "<br>".join(names),
            annotation_position="top right" if cut < 0.7 else "top left",
            annotation_yshift=-20 * number,
        )  # names of near thresholds do not cover each other
    middle = sum(cuts) / len(cuts)
    for title, colour, value in (("Accuracy", BLUE, cost.chosen.accuracy), (GAPS[gap], ORANGE, cost.chosen.gaps[gap])):
        if value is not None:
            figure.add_scatter(
                x=[middle],
                y=[value],
                mode="markers",
                showlegend=False,
                marker={"color": colour, "size": 13, "symbol": "star", "line": {"width": 1, "color": GREY}},
                hovertext=[
                    f"{title} {percent(value)} with the chosen thresholds<br>"
                    + "<br>".join(f"{in_figure(name)}: {cut:.2f}" for name, cut in chosen.items())
                ],
                hovertemplate="%{hovertext}<extra></extra>",
            )
    figure.update_xaxes(title_text="Threshold", range=[0, 1], gridcolor=_LINE, zeroline=False)
    figure.update_yaxes(range=[0, 1.02], tickformat=".0%", gridcolor=_LINE, zeroline=False)
    return figure


def gap_matrix(matrix: Matrix, *, chosen: tuple[str, str] | None = None) -> go.Figure:
    """Targets as rows by attributes as columns, in whole points; customdata of a cell: its row times columns + column.

    Orange, the stronger the larger, and bold: differs beyond chance. Grey: may be chance; a dash: too few faces.
    chosen: the target and attribute that are framed. What is not measured yet is empty.
    """
    names = [target.name for target in matrix.targets]
    titles = [in_figure(sentence(short_title(target))) for target in matrix.targets]
    cells = [(names.index(pair.target), names.index(pair.attribute), pair) for pair in matrix.pairs]
    figure = new_figure(height=124 + _ROW * len(names))
    for clear, scale in (
        (False, [[0, "rgba(128,132,149,0.13)"], [1, "rgba(128,132,149,0.13)"]]),
        (True, [[0, "rgba(232,119,34,0.22)"], [1, "rgba(232,119,34,0.72)"]]),
    ):
        values: list[list[float | None]] = [[None] * len(names) for _ in names]
        for row, column, pair in cells:
            if pair.beyond_chance == clear and not pair.too_small:
                values[row][column] = pair.gap.value
        figure.add_heatmap(
            z=values, zmin=0, zmax=0.25, colorscale=scale, showscale=False, xgap=2, ygap=2, hoverinfo="skip"
        )
    # of its own trace: a heat map can neither be clicked nor take the theme's colour for its text
    figure.add_scatter(
        x=[column for _, column, _ in cells],
        y=[row for row, _, _ in cells],
        mode="markers+text",
        marker={"size": 24, "symbol": "square", "opacity": 0},
        text=[_cell(pair) for _, _, pair in cells],
        customdata=[row * len(names) + column for row, column, _ in cells],
        hovertext=[_pair_hover(matrix, pair) for _, _, pair in cells],
        hovertemplate="%{hovertext}<extra></extra>",
        selected_marker_opacity=0,
        unselected_marker_opacity=0,
        showlegend=False,
    )
    for row, name in enumerate(names):
        if chosen is not None and name == chosen[0] and chosen[1] in names:
            column = names.index(chosen[1])
            figure.add_shape(
                type="rect",
                x0=column - 0.48,
                x1=column + 0.48,
                y0=row - 0.47,
                y1=row + 0.47,
                line={"color": BLUE, "width": 2},
            )
    figure.update_layout(clickmode="event+select", margin={"l": 0, "r": 40, "t": 84, "b": 0}, hoverdistance=24)
    places = list(range(len(names)))
    figure.update_xaxes(
        tickvals=places, ticktext=titles, side="top", tickangle=-45, range=[-0.5, len(names) - 0.5],
        showgrid=False, zeroline=False,
    )  # fmt: skip
    _rows(figure, titles)
    return figure


def pareto(remedies: Remedies) -> go.Figure:
    """Every remedy by its equalised odds gap (x) and its accuracy (y), means with 95 % intervals over the seeds.

    Better is up and left; the line joins those that no other beats. Ours are orange stars, what needs the group when
    it judges is open. A remedy that failed is not drawn: the table says why.
    """
    figure = _figure(height=420)
    shown = [
        outcome
        for outcome in remedies.outcomes
        if outcome.trials and outcome.estimate("equalised_odds").mean is not None
    ]
    front = sorted(
        (outcome.estimate("equalised_odds").mean, outcome.estimate("accuracy").mean)
        for outcome in shown
        if outcome.remedy in remedies.front()
    )
    figure.add_scatter(
        x=[gap for gap, _ in front],
        y=[accuracy for _, accuracy in front],
        mode="lines",
        line={"color": GREY, "width": 2, "dash": "dot"},
        hoverinfo="skip",
        showlegend=False,
    )
    others = 0
    for outcome in shown:
        gap, accuracy = outcome.estimate("equalised_odds"), outcome.estimate("accuracy")
        colour, symbol = ORANGE, "star"
        if not outcome.own:
            colour, symbol = _COLOURS[0], _SYMBOLS[others % len(_SYMBOLS)]
            others += 1
        figure.add_scatter(
            x=[gap.mean],
            y=[accuracy.mean],
            error_x=_bars([_as_measure(gap)], colour),
            error_y=_bars([_as_measure(accuracy)], colour),
            mode="markers",
            name=in_figure(outcome.title),
            marker={
                "color": colour,
                "size": 15 if outcome.own else 11,
                "line": {"width": 2, "color": colour},
                "symbol": f"{symbol}-open" if outcome.needs_group else symbol,
            },
            hovertext=[_remedy_hover(outcome, remedies)],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    figure.update_layout(legend={"y": 1.02, "yanchor": "bottom"})
    figure.update_xaxes(
        title_text=GAPS["equalised_odds"], tickformat=".0%", rangemode="tozero", gridcolor=_LINE, zeroline=False
    )
    figure.update_yaxes(
        title_text="Accuracy", tickformat=".0%", gridcolor=_LINE, zeroline=False, automargin=True, title_standoff=8
    )
    return figure


# --- parts of figures ------------------------------------------------------------------------------------


def _dumbbell(
    titles: Sequence[str], before: Sequence[Measure], after: Sequence[Measure], hovers: Sequence[tuple[str, str]]
) -> go.Figure:
    """One row per title; before a little above after, so that intervals do not cover each other."""
    figure = _figure(height=100 + (_ROW + 10) * len(titles))
    for row, (old, new) in enumerate(zip(before, after, strict=True)):
        if old.value is not None and new.value is not None:
            figure.add_scatter(
                x=[old.value, new.value],
                y=[row - 0.13, row + 0.13],
                mode="lines",
                hoverinfo="skip",
                line={"color": _LINE, "width": 4},
                showlegend=False,
            )
    for at, measures, colour, title, symbol in (
        (0, before, GREY, "before", "circle-open"),
        (1, after, ORANGE, "after", "circle"),
    ):
        shown = [row for row, measure in enumerate(measures) if measure.value is not None]
        figure.add_scatter(
            x=[measures[row].value for row in shown],
            y=[row + (0.13 if at else -0.13) for row in shown],
            error_x=_bars([measures[row] for row in shown], colour),
            mode="markers",
            name=title,
            marker={"color": colour, "size": 10, "symbol": symbol, "line": {"width": 2, "color": colour}},
            hovertext=[f"{title}: {hovers[row][at]}" for row in shown],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    for row, pair in enumerate(zip(before, after, strict=True)):
        missing = next((measure for measure in pair if measure.value is None), None)
        if missing is not None:
            figure.add_annotation(
                x=0,
                xref="paper",
                xanchor="left",
                xshift=4,
                y=row,
                showarrow=False,
                text=in_figure(f"not measured: {missing.note}"),
            )
    figure.update_xaxes(gridcolor=_LINE, zeroline=False, nticks=6)
    _rows(figure, titles)
    return figure


def _figure(*, height: int) -> go.Figure:
    """See-through, so that any theme fits; the legend lies above, from the left."""
    figure = new_figure(height=height)
    figure.update_layout(
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        margin={"l": 0, "r": 8, "t": 32, "b": 44},
    )
    return figure


def _rows(figure: go.Figure, titles: Sequence[str]) -> None:
    """One row per title, the first on top."""
    figure.update_yaxes(
        tickvals=list(range(len(titles))),
        ticktext=list(titles),
        range=[len(titles) - 0.5, -0.5],
        showgrid=False,
        zeroline=False,
        automargin=True,
    )


def _square(figure: go.Figure, x: str, y: str) -> None:
    """Both axes from 0 to 1, in per cent."""
    figure.update_xaxes(title_text=x, range=[-0.02, 1.02], tickformat=".0%", gridcolor=_LINE, zeroline=False)
    figure.update_yaxes(
        title_text=y,
        range=[-0.02, 1.02],
        tickformat=".0%",
        gridcolor=_LINE,
        zeroline=False,
        automargin=True,
        title_standoff=8,
    )


def _bars(measures: Sequence[Measure], colour: str) -> dict:
    """Error bars down to low and up to high; none where there is no interval."""
    return {
        "type": "data",
        "symmetric": False,
        "color": colour,
        "thickness": 2,
        "width": 4,
        "array": [0 if measure.high is None else measure.high - measure.value for measure in measures],
        "arrayminus": [0 if measure.low is None else measure.value - measure.low for measure in measures],
    }


def _stroke(number: int) -> dict:
    return {"color": _COLOURS[number % len(_COLOURS)], "width": 2, "dash": _DASHES[number % len(_DASHES)]}


def _point(number: int, *, small: bool) -> dict:
    colour, symbol = _COLOURS[number % len(_COLOURS)], _SYMBOLS[number % len(_SYMBOLS)]
    return {
        "color": colour,
        "size": 10,
        "symbol": f"{symbol}-open" if small else symbol,
        "line": {"width": 2, "color": colour},
    }


def _as_measure(value: Estimate) -> Measure:
    return Measure(value.mean, value.low, value.high)


# --- words -----------------------------------------------------------------------------------------------


def _label(group: GroupAudit) -> str:
    """ "perceived male (1,234)", with a warning where the group is small."""
    return f"{in_figure(group.name)} ({group.count:,}{f', under {SMALL}' if group.small else ''})"


def _bar_title(rate: str, classes: tuple[str, str]) -> str:
    first, second = (in_figure(short(name)) for name in classes)
    titles = {FALSE_ALARMS: f"Labelled {first}, called {second}", MISSES: f"Labelled {second}, called {first}"}
    return titles.get(rate, f"Called {second}")


def _as_told(group: GroupAudit, rate: str) -> Measure:
    """A rate of a group with its interval; misses as what the true positive rate lacks."""
    measure = group.measures[rate]
    if measure.value is None or measure.low is None or measure.high is None or rate != MISSES:
        return measure
    return Measure(1 - measure.value, 1 - measure.high, 1 - measure.low, measure.note)


def _named(group: GroupAudit) -> str:
    """The group with its counts: the first line of every hover text."""
    few = f"<br>fewer than {SMALL} faces: read with care" if group.small else ""
    zeros, ones = group.by_class
    return f"{in_figure(group.name)}: {count(group.count, 'face')}, {zeros:,} of class 0 and {ones:,} of class 1{few}"


def _said(group: GroupAudit, metric: str) -> str:
    """ "Accuracy 91.2 % (89.9 % to 92.4 %)", and its note."""
    return f"{METRICS[metric]} {_written(group.measures[metric], as_share=metric != 'auc')}"


def _hover(group: GroupAudit, metric: str) -> str:
    return f"{_named(group)}<br>{_said(group, metric)}"


def _gap_hover(title: str, measure: Measure, faces: int) -> str:
    return f"{title} {_written(measure)}<br>{count(faces, 'face')}"


def _written(measure: Measure, *, as_share: bool = True) -> str:
    """A value with its interval and note."""
    if measure.value is None:
        return in_figure(f"not measured: {measure.note}")
    write = percent if as_share else "{:.3f}".format
    text = write(measure.value)
    if measure.low is not None:
        text += f" ({write(measure.low)} to {write(measure.high)})"
    return f"{text}<br>{in_figure(measure.note)}" if measure.note else text


def _cell(pair: Pair) -> str:
    """A gap in whole points, bold where it is beyond chance; a dash where too few faces say anything."""
    if pair.too_small or pair.gap.value is None:
        return "–"
    points = f"{100 * pair.gap.value:.0f}"
    return f"<b>{points}</b>" if pair.beyond_chance else points


def _pair_hover(matrix: Matrix, pair: Pair) -> str:
    lines = [f"<b>{in_figure(sentence(matrix.title(pair)))}: {in_figure(in_points(pair.gap))}</b>"]
    if pair.too_small:
        lines.append(f"too few faces to say: {pair.smallest} in the smallest group and class")
    else:
        lines.append("differs beyond chance" if pair.beyond_chance else "may be chance")
    for text in (matrix.direction(pair), matrix.labels(pair)):
        lines += map(in_figure, textwrap.wrap(text, 64))
    return "<br>".join(lines)


def _remedy_hover(outcome: Outcome, remedies: Remedies) -> str:
    lines = [
        in_figure(outcome.title),
        f"accuracy {_written(_as_measure(outcome.estimate('accuracy')))}",
        f"equalised odds difference {_written(_as_measure(outcome.estimate('equalised_odds')))}",
        f"{count(len(outcome.trials), 'seed')}, {count(remedies.test_faces, 'test face')}, "
        f"{outcome.estimate('seconds').mean:.1f} s a seed",
    ]
    if outcome.needs_group:
        lines.append("needs each face's group when it judges")
    if outcome.random:
        lines.append("equal faces may get different answers, by chance")
    return "<br>".join(lines)
