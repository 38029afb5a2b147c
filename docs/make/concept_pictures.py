"""One picture for each idea that the documentation explains, from the default table and its classifiers.

Part of `make pictures`. Every number in a picture is measured when it is drawn; nothing is written by hand.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")

import numpy as np
from matplotlib import pyplot
from PIL import Image

from img2tab_core import Auditor, Edit, Studio, StyleCode
from img2tab_core.audits import audit
from img2tab_core.audits.audit_record import Measure
from img2tab_core.audits.linear_probe import readable
from img2tab_core.audits.stand_ins import took_over
from img2tab_core.concepts.description import Family
from img2tab_core.concepts.erasing import typical_rows

OUT = Path(__file__).resolve().parents[2] / "assets" / "pictures" / "concepts"
FIRST, SECOND, GREY = "#2f5d8a", "#c0632f", "#8b949a"  # class 0 and class 1, or before and after, as in the app
STRENGTH = 8.0  # standard deviations a family is moved by
FACE = 256  # px


def distance(studio: Studio) -> pyplot.Figure:
    """Two channels: the classes of perceived gender far apart in one, nearly equal in the other."""
    table = studio.table()
    apart = studio.scores(studio.run(table, "perceived_gender")).distance
    chosen = [int(np.argmax(apart)), int(np.argsort(apart)[len(apart) // 10])]
    truth, std = table.labels["perceived_gender"].to_numpy(), table.stats.std
    classes = next(target.classes for target in table.targets if target.name == "perceived_gender")
    figure, axes = _figure(1, 2)
    for axis, index in zip(axes, chosen, strict=True):
        values = (table.psi[:, index] - table.stats.mean[index]) / std[index]
        edges = np.linspace(-4, 4, 65)
        for number, colour in enumerate((FIRST, SECOND)):
            axis.hist(values[truth == number], edges, density=True, color=colour, alpha=0.55, label=classes[number])
        axis.set_title(f"Channel {index}: distance {apart[index]:.2f} SD")
        axis.set_xlabel("value of the channel, standard deviations")
        axis.set_yticks([])
    axes[0].set_ylabel("share of faces")
    axes[0].legend(frameon=False, loc="upper left", fontsize=9)
    return figure


def importance(studio: Studio) -> pyplot.Figure:
    """Every channel: how far the classes are apart in it, and what share of the decisions it has."""
    scores = studio.scores(studio.run(studio.table(), "smiling"))
    used = scores.importance > 0
    top = np.argsort(-scores.importance)[:20]
    far = np.argsort(-scores.distance)[:20]
    both = sorted(set(top.tolist()) & set(far.tolist()))
    figure, (axis,) = _figure(1, 1)
    axis.scatter(scores.distance, 100 * scores.importance, s=8, color=GREY, label="every channel")
    axis.scatter(scores.distance[top], 100 * scores.importance[top], s=36, color=SECOND, label="20 most important")
    axis.scatter(
        scores.distance[far], 100 * scores.importance[far], s=70, facecolor="none", edgecolor=FIRST,
        linewidth=1.4, label="20 farthest apart",
    )  # fmt: skip
    axis.set_xlabel("distance between smiling and not smiling, standard deviations")
    axis.set_ylabel("importance, %")
    axis.set_title(
        f"Perceived smile: {used.sum():,} of {len(used):,} channels are used at all;\n"
        f"of the 20 most important {len(both)} are among the 20 farthest apart",
        fontsize=10,
    )
    axis.legend(frameon=False, loc="upper left", fontsize=9)
    return figure


def effect(studio: Studio) -> pyplot.Figure:
    """One family moved alone in one face, drawn, and read again: the answer under every picture."""
    run = studio.run(studio.table(), "perceived_gender")
    ranked = {row.family.id: row for row in studio.families(run)}
    row = ranked["chin-facial-hair"]
    code = studio.encode(studio.samples()[8])
    steps = np.linspace(-STRENGTH, STRENGTH, 5)
    figure, axes = _figure(1, len(steps), height=2.75)
    for axis, step in zip(axes, steps, strict=True):
        moved = studio.edited(code, row.family.edits(float(step)))
        again = studio.probability(run, studio.reread(moved))
        axis.imshow(studio.render(moved, size=FACE))
        axis.set_title(f"{step:+.0f}" if step else "as it is", fontsize=10)
        axis.set_xlabel(f"male: {again:.0%}")
        axis.set_xticks([])
        axis.set_yticks([])
    figure.suptitle(f"{row.family.name}, moved alone: effect {row.effect.text()} log-odds over 24 faces", fontsize=10)
    return figure


def gap(studio: Studio) -> pyplot.Figure:
    """How often each group is wrongly called young, and how often rightly, with intervals and the gaps."""
    audited = Auditor(studio).audit(studio.run(studio.table(), "young"), ["perceived_gender"])
    names = {"false_positive_rate": "older faces called young", "true_positive_rate": "young faces called young"}
    figure, axes = _figure(1, 2, height=2.6)
    for axis, (name, title) in zip(axes, names.items(), strict=True):
        measures = [group.measures[name] for group in audited.by_group]
        _bars(axis, [group.name for group in audited.by_group], measures, (FIRST, SECOND))
        apart = abs(measures[0].value - measures[1].value)
        axis.set_title(f"{title}: {100 * apart:.1f} points apart", fontsize=10)
        axis.set_xlabel("share, %")
    axes[1].set_yticklabels([])
    widest = audited.gaps["equalised_odds"]
    figure.suptitle(
        f"Young, by perceived gender: the equalised-odds gap is the wider of the two, {100 * widest.value:.1f} points "
        f"({100 * widest.low:.1f} to {100 * widest.high:.1f})",
        fontsize=10,
    )
    return figure


def exclude(studio: Studio) -> pyplot.Figure:
    """What a classifier uses before and after it is trained without three families."""
    table, described = studio.table(), studio.described()
    families = [described.find(name) for name in ("hair-long", "chin-facial-hair", "brows-younger")]
    before = studio.run(table, "young")
    after = studio.train(table, "young", excluded=frozenset(i for family in families for i in family.channels.tolist()))
    shares = [studio.scores(run).importance for run in (before, after)]
    gains = took_over(*shares, count=5).gains
    rows = [(family.name, *(100 * share[family.channels].sum() for share in shares)) for family in families]
    rows += [(f"channel {gain.index}", *(100 * share[gain.index] for share in shares)) for gain in gains]
    figure, (axis,) = _figure(1, 1, height=3.4)
    place = np.arange(len(rows))
    for number, (colour, label) in enumerate(((FIRST, "before"), (SECOND, "trained without the first three"))):
        values = [row[1 + number] for row in rows]
        axis.barh(place + 0.2 * (2 * number - 1), values, 0.38, color=colour, label=label)
    axis.set_yticks(place, [row[0] for row in rows])
    axis.invert_yaxis()
    axis.set_xlabel("importance, %")
    axis.legend(frameon=False, loc="lower right", fontsize=9)
    axis.set_title(
        f"Perceived as young: {len(after.excluded)} channels excluded, accuracy {before.metrics.accuracy:.1%} then "
        f"{after.metrics.accuracy:.1%}",
        fontsize=10,
    )
    return figure


def erase(studio: Studio) -> pyplot.Figure:
    """A typical test face of either group, as it is and erased, and what each is read as."""
    table = studio.table()
    erasure = studio.trainer.erasure(table, "smiling", ("perceived_gender",))
    reader, rows = studio.run(table, "perceived_gender"), list(typical_rows(erasure, table))
    codes = table.psi[rows]
    figure, axes = _figure(1, 4, height=2.75)
    for place, values in enumerate(np.stack([codes, erasure.erased(codes)], axis=1).reshape(4, -1)):
        code = StyleCode.of(values, table.backbone)
        axes[place].imshow(studio.render(code, size=FACE))
        axes[place].set_title("erased" if place % 2 else "as it is", fontsize=10)
        axes[place].set_xlabel(f"male: {studio.probability(reader, code):.0%}")
        axes[place].set_xticks([])
        axes[place].set_yticks([])
    before, after = (readable(table, "perceived_gender", erasure=way).auc for way in (None, erasure))
    figure.suptitle(
        f"Perceived gender erased: a linear probe reads it with AUC {before:.2f} before and {after:.2f} after",
        fontsize=10,
    )
    return figure


def stand_in(studio: Studio) -> pyplot.Figure:
    """A channel that draws, one that goes with it and draws nothing, and both moved as far."""
    table, described = studio.table(), studio.described()
    beard = described.find("chin-facial-hair")
    run = studio.run(table, "perceived_gender")
    code = studio.encode(studio.samples()[8])
    plain = studio.render(code, size=FACE).astype(float)
    changes = [np.abs(_moved(studio, code, {int(i): np.sign(part)}) - plain).mean() for i, part in _members(beard)]
    drawn, direction = _members(beard)[int(np.argmax(changes))]
    values = (table.psi[:4000] - table.stats.mean) / table.stats.std
    likeness = values.T @ values[:, drawn] / len(values)
    likeness[beard.channels] = 0
    candidates = np.argsort(-np.abs(likeness))[:40]
    changes = [np.abs(_moved(studio, code, {int(i): np.sign(likeness[i])}) - plain).mean() for i in candidates]
    other = int(candidates[int(np.argmin(changes))])
    figure, axes = _figure(1, 4, height=2.75, ratios=(1.5, 1, 1, 1))
    axes[0].scatter(values[:, drawn], values[:, other], s=3, color=GREY, alpha=0.5)
    axes[0].set_xlabel(f"channel {drawn}, SD")
    axes[0].set_ylabel(f"channel {other}, SD")
    axes[0].set_title(f"They go together: correlation {likeness[other]:+.2f}", fontsize=9)
    sign = float(np.sign(direction))
    for axis, (title, moved) in zip(
        axes[1:],
        {
            "as it is": {},
            f"{drawn} moved by 8": {drawn: sign},
            f"{other} moved by 8": {other: sign * float(np.sign(likeness[other]))},
        }.items(),
        strict=True,
    ):
        picture = _moved(studio, code, moved)
        axis.imshow(picture.astype(np.uint8))
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("" if not moved else f"changes {np.abs(picture - plain).mean():.1f} of 255 levels", fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
    share = studio.scores(run).importance[[drawn, other]]
    figure.suptitle(f"Importance for perceived gender: {share[0]:.2%} and {share[1]:.2%}", fontsize=10)
    return figure


def interval(studio: Studio) -> pyplot.Figure:
    """The same gap measured on fewer and more faces: the interval narrows, and small samples mislead."""
    run = studio.run(studio.table(), "young")
    auditor = Auditor(studio)
    rows, labels, probability = studio.trainer.test_answers(run)
    order = np.random.default_rng(0).permutation(len(rows))
    counts = [150, 300, 600, 1200, len(rows)]
    gaps = []
    for count in counts:
        some = order[:count]
        groups = auditor.groups(run, ["perceived_gender"], rows[some])
        gaps.append(audit.audit(labels[some], probability[some], groups, repeats=500).gaps["equalised_odds"])
    figure, (axis,) = _figure(1, 1, height=2.8)
    _bars(axis, [f"{count:,} test faces" for count in counts], gaps, (FIRST,), dots=True)
    axis.axvline(100 * gaps[-1].value, color=GREY, linewidth=1, linestyle=":")
    axis.set_xlabel("equalised-odds gap of young by perceived gender, points, with its 95 % interval")
    axis.set_xlim(left=0)
    return figure


PICTURES: dict[str, Callable[[Studio], pyplot.Figure]] = {
    "distance": distance,
    "importance": importance,
    "effect": effect,
    "gap": gap,
    "exclude": exclude,
    "erase": erase,
    "stand-in": stand_in,
    "interval": interval,
}


def _figure(rows: int, columns: int, *, height: float = 3.2, ratios: tuple[float, ...] | None = None) -> tuple:
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(8.6, height), layout="constrained", width_ratios=ratios, squeeze=False
    )
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes.ravel()


def _bars(
    axis: Any, names: list[str], measures: list[Measure], colours: tuple[str, ...], *, dots: bool = False
) -> None:
    """A bar or a dot with a whisker for each measure, in percent, the first on top."""
    longest = max(100 * measure.high for measure in measures)
    for place, measure in enumerate(measures):
        value, low, high = (100 * number for number in (measure.value, measure.low, measure.high))
        colour = colours[place % len(colours)]
        if not dots:
            axis.barh(place, value, 0.55, color=colour)
        axis.errorbar(
            value, place, xerr=[[value - low], [high - value]], color="#1f2529" if not dots else colour,
            fmt="o" if dots else "none", capsize=4,
        )  # fmt: skip
        axis.text(high + 0.02 * longest, place, f"{value:.1f} ({low:.1f} to {high:.1f})", va="center", fontsize=9)
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_xlim(0, longest * 1.6)
    axis.set_xticks([tick for tick in axis.get_xticks() if tick <= 100])


def _members(family: Family) -> list[tuple[int, float]]:
    """The channels of a family, each with how far it moves where the family moves by 1."""
    return list(zip(family.channels.tolist(), family.parts.tolist(), strict=True))


def _moved(studio: Studio, code: StyleCode, signs: dict[int, float]) -> np.ndarray:
    """The picture of a face with channels moved by the strength, float (FACE, FACE, 3), 0 to 255."""
    edits = [Edit(index, STRENGTH * sign) for index, sign in signs.items()]
    return studio.render(code, edits, size=FACE).astype(float)


def main() -> None:
    """Draw those that are named on the command line, or all."""
    OUT.mkdir(parents=True, exist_ok=True)
    matplotlib.rcParams.update({"font.size": 10, "axes.titlesize": 10, "text.color": "#1f2529"})
    studio = Studio()
    for name in sys.argv[1:] or PICTURES:
        figure, drawn = PICTURES[name](studio), io.BytesIO()
        figure.savefig(drawn, dpi=150)
        pyplot.close(figure)
        picture = Image.open(drawn).convert("RGB")
        picture.save(OUT / f"{name}.webp", quality=86, method=6)
        print(f"{name}: {picture.size}, {(OUT / f'{name}.webp').stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
