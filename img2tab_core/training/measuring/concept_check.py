"""Is a description of concepts true? They matter, leave alone what they should, and half the faces say the same.

Everything is asked of test faces that no description moved and of judges that did not help to make one: linear probes
fitted on training faces that the description's probes have not seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from img2tab_core.backbones.backbone import Backbone
from img2tab_core.base.intervals import wilson
from img2tab_core.base.jobs import Report
from img2tab_core.base.records import StyleCode, StyleTable
from img2tab_core.classifiers.runs import Run
from img2tab_core.concepts import describing, measuring, naming, ranking, readings
from img2tab_core.concepts.description import NONE, Description, leading, parts_of
from img2tab_core.concepts.moving import SHIFT, Direction, Moved, Subject
from img2tab_core.studio import Studio

DECISIONS, SEED = 300, 11  # test faces whose decisions are told; of every sample of them
FACES, SINGLE_FACES = 48, 16  # test faces on which families and single channels are moved
LEADING = 10
CONFIRMED = 3.1  # mean over its standard error


@dataclass(frozen=True)
class OfTarget:
    """How many of the ten families, and of the ten channels, farthest apart for a target move it; and by how much.

    said: the families of which the product says that they move the classifier, and how many of them the judge confirms.
    moved: mean change of the judge's log-odds towards class 1 when moved there, over its spread in the table.
    dependency: how far the other labels move, on average, for a change of the target by one standard deviation.
    """

    families: int
    channels: int
    of: int
    said: tuple[int, int]
    moved_by_families: float
    moved_by_channels: float
    dependency_of_families: float | None
    dependency_of_channels: float | None
    dependency_of_difference: float | None
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Check:
    """What was measured; shares are of 1, with the 95 % Wilson interval of how many.

    else_largest: by target, for how many decisions about test faces "everything else" is the largest part, and of how
    many.
    """

    targets: dict[str, OfTarget]
    else_largest: dict[str, tuple[int, int]]
    same_region: tuple[float, tuple[float, float], int]
    same_name: tuple[float, tuple[float, float], int]
    faces: int
    described_on: int


def check(studio: Studio, table: StyleTable, description: Description, *, progress: Report | None = None) -> Check:
    """Ask all of it; ten minutes on two cores for the default backbone."""
    report = progress or (lambda share, text: None)
    backbone = studio.backbone(table.backbone)
    judge = readings.probes(table, rows=_unseen(table))
    codes = describing.sampled(table, "test", FACES, seed=SEED)
    runs = {target.name: studio.run(table, target.name) for target in table.targets}
    leading = {name: _leading(studio.families(run)) for name, run in runs.items()}
    said = {name: _said(studio.families(run)) for name, run in runs.items()}
    report(0.05, f"{len(description.families)} families on {FACES} faces")
    groups = [Direction(family.channels, family.parts) for family in description.families]
    by_family = _odds(backbone, judge, codes, groups)  # (K, F, 2, T)
    single = {name: _single(studio, run) for name, run in runs.items()}
    channels = sorted({index for rows in single.values() for index, _ in rows})
    report(0.5, f"{len(channels)} channels on {SINGLE_FACES} faces")
    by_channel = _odds(
        backbone, judge, codes[:SINGLE_FACES], [Direction(np.array([index]), np.ones(1)) for index in channels]
    )
    report(0.7, "The difference of the classes")
    differences = {name: _difference(studio, run) for name, run in runs.items()}
    by_difference = _odds(backbone, judge, codes[:SINGLE_FACES], list(differences.values()), shift=1.0)
    targets = {}
    for number, name in enumerate(runs):
        of_families = [(by_family[n], sign) for n, sign in leading[name]]
        of_said = [(by_family[n], sign) for n, sign in said[name]]
        of_channels = [(by_channel[channels.index(index)], sign) for index, sign in single[name]]
        confirmed, moved = _confirmed(of_families, number, judge.spread)
        alone, moved_alone = _confirmed(of_channels, number, judge.spread)
        targets[name] = OfTarget(
            int(confirmed.sum()),
            int(alone.sum()),
            len(of_families),
            (len(of_said), int(_confirmed(of_said, number, judge.spread)[0].sum())),
            float(moved.mean()),
            float(moved_alone.mean()),
            _dependency([rows for (rows, _), yes in zip(of_families, confirmed, strict=True) if yes], number, judge),
            _dependency([rows for (rows, _), yes in zip(of_channels, alone, strict=True) if yes], number, judge),
            _dependency([by_difference[number]], number, judge),
            [description.families[n].name for n, _ in leading[name]],
        )
    report(0.75, "Decisions of the test faces")
    rest = {name: _else_largest(studio, run, description, table) for name, run in runs.items()}
    report(0.8, "Two halves of the faces")
    subjects = measuring.varied(backbone, table, count=description.about.get("asked", description.faces))
    moved_faces = measuring.measure(backbone, subjects, only_finished=True)[: description.faces]
    subjects = subjects[: len(moved_faces)]
    region = _same_region(subjects, moved_faces)
    name_share = _same_name(backbone, table, description, subjects)
    return Check(targets, rest, region, name_share, FACES, description.faces)


def card(
    made: Check, description: Description, table: StyleTable, *, blind: str, made_by: str, day: str, machine: str
) -> str:
    """The card of a description, Markdown."""
    titles = {target.name: target.title for target in table.targets}
    moving = list(made.targets.values())
    good = sum(of.families >= 8 for of in moving)
    lines = [
        f"# What the concepts of {description.backbone} are, and whether that is true",
        "",
        f"{len(description.families)} families of {sum(len(f.channels) for f in description.families):,} channels; "
        f"{description.about['channels_seen']:,} of {description.about['of']:,} channels change a picture by "
        f"{description.about['visible']:g} of 255 levels or more between -8 and +8 standard deviations. Measured on "
        f"{description.faces} faces of nobody. Made by `{made_by}` on {day}, {machine}.",
        "",
        "## They matter",
        "",
        f"Of the ten families, and of the ten single channels, farthest apart by Wasserstein-1, how many move the "
        f"label they should when they are moved from -8 to +8 (t over {CONFIRMED:g}): drawn, read again by the "
        "encoder, and judged by a probe that was fitted on other training faces than any description used. Families on "
        f"{made.faces} test faces, channels on {SINGLE_FACES}. Moved: by how many standard deviations of the label. "
        "Others: how far the other labels move for one standard deviation of the label (families; channels; the 1,500 "
        f"channels that differ most together). The goal of 8 of 10 is reached for {good} of {len(moving)} targets.",
        "",
        "Said: the families of which the product says *moves it* for the classifier (asked on other faces), and how "
        f"many of them the probe confirms on these faces, in the same direction: {_confirmed_of_said(moving)}.",
        "",
        "| target | families of 10 | channels of 10 | said, confirmed | moved | others |",
        "|---|---|---|---|---|---|",
    ]
    for name, of in made.targets.items():
        others = "; ".join(
            "none" if value is None else f"{value:.2f}"
            for value in (of.dependency_of_families, of.dependency_of_channels, of.dependency_of_difference)
        )
        lines.append(
            f"| {titles[name]} | {of.families} | {of.channels} | {of.said[0]}, {of.said[1]} | "
            f"{of.moved_by_families:+.2f}; {of.moved_by_channels:+.2f} | {others} |"
        )
    lines += [
        "",
        "## A decision is told whole",
        "",
        f'Bars of a decision add up to it. "Everything else" is the largest of them for {_worst(made, titles)} '
        "(goal: at most one face in ten).",
        "",
        "## Named rightly",
        "",
        blind or "Not looked at by somebody who does not know the names.",
        "",
        "## Half the faces say the same",
        "",
        f"- the region with most of the change, where both halves name one: {_of(made.same_region)} channels "
        f"(goal 95 %); of the {description.about['channels_seen']:,} visible channels the others have no clear place",
        f"- the name: {_of(made.same_name)} of the families (goal 85 %)",
        "",
        "## The families",
        "",
        "| family | id | channels | trust | what was measured |",
        "|---|---|---|---|---|",
        *(
            f"| {family.name} | `{family.id}` | {len(family.channels)} | {family.trust} | {family.sentence} |"
            for family in description.families
        ),
        "",
    ]
    return "\n".join(lines)


def _worst(made: Check, titles: dict[str, str]) -> str:
    every = sum(count for count, _ in made.else_largest.values()) / sum(of for _, of in made.else_largest.values())
    name, (count, of) = max(made.else_largest.items(), key=lambda item: item[1][0] / item[1][1])
    return f"{100 * every:.1f} % of the test faces over all targets, at most {100 * count / of:.1f} % ({titles[name]})"


def _confirmed_of_said(targets: Sequence[OfTarget]) -> str:
    said, confirmed = (sum(of.said[n] for of in targets) for n in (0, 1))
    return _of((confirmed / max(1, said), wilson(confirmed, max(1, said)), said)) + " over all targets"


def _of(measured: tuple[float, tuple[float, float], int]) -> str:
    share, (low, high), count = measured
    return f"{100 * share:.0f} % (95 % interval {100 * low:.0f} to {100 * high:.0f}) of {count:,}"


def _unseen(table: StyleTable) -> np.ndarray:
    """Training faces on which the description's probes were not fitted."""
    rows = table.rows("train")
    seen = (
        np.random.default_rng(0).choice(rows, readings.ROWS, replace=False) if len(rows) > readings.ROWS else rows[::2]
    )
    return np.setdiff1d(rows, seen)


def _leading(ranked: Sequence[ranking.RankedFamily]) -> list[tuple[int, int]]:
    """The families farthest apart: (number, sign towards class 1)."""
    rows = sorted(ranked, key=lambda row: -row.distance)[:LEADING]
    return [(row.number, 1 if row.direction > 0 else -1) for row in rows]


def _said(ranked: Sequence[ranking.RankedFamily]) -> list[tuple[int, int]]:
    """The families that are said to move the classifier: (number, sign towards class 1)."""
    return [
        (row.number, 1 if row.effect.mean > 0 else -1) for row in ranked if row.verdict == "moves it" and row.effect
    ]


def _else_largest(studio: Studio, run: Run, description: Description, table: StyleTable) -> tuple[int, int]:
    codes = [StyleCode.of(values, table.backbone) for values in describing.sampled(table, "test", DECISIONS, seed=SEED)]
    count = 0
    for prediction in studio.predict_all(run, codes):
        told, others = leading(*parts_of(description, prediction.contributions))
        count += abs(others) > max((abs(part.total) for part in told), default=0.0)
    return count, len(codes)


def _single(studio: Studio, run: Run) -> list[tuple[int, int]]:
    scores = studio.scores(run)
    order = np.argsort(-scores.distance, kind="stable")[:LEADING]
    return [(int(index), 1 if scores.direction[index] > 0 else -1) for index in order]


def _difference(studio: Studio, run: Run) -> Direction:
    edits = studio.family(run)
    return Direction(np.array([edit.index for edit in edits]), np.array([edit.shift for edit in edits]))


def _odds(
    backbone: Backbone, judge: readings.Probes, codes: np.ndarray, groups: Sequence[Direction], *, shift: float = SHIFT
) -> np.ndarray:
    """The judge's log-odds in the drawn pictures, read anew: float (K, F, 2, T)."""
    return ranking.answers(describing.read_moved(backbone, codes, groups, shift=shift), backbone, judge.log_odds)


def _confirmed(
    rows: Sequence[tuple[np.ndarray, int]], target: int, spread: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of each direction whether the label really moves that way, t above `CONFIRMED`; and by how many spreads."""
    yes, moved = [], []
    for odds, sign in rows:
        values = sign * (odds[:, 1, target] - odds[:, 0, target])
        error = values.std(ddof=1) / np.sqrt(len(values))
        yes.append(values.mean() > CONFIRMED * max(error, 1e-9))
        moved.append(values.mean() / spread[target])
    return np.array(yes, bool), np.array(moved)


def _dependency(rows: Sequence[np.ndarray], target: int, judge: readings.Probes) -> float | None:
    """How far the other labels move for a change of the target by one standard deviation; None where none moved it."""
    values = []
    for odds in rows:
        by = np.abs((odds[:, 1] - odds[:, 0]).mean(axis=0)) / judge.spread
        if by[target] > 1e-6:
            values.append(np.delete(by, target).mean() / by[target])
    return float(np.mean(values)) if values else None


def _same_region(subjects: Sequence[Subject], moved: Sequence[Moved]) -> tuple[float, tuple[float, float], int]:
    """For how many visible channels two halves of the faces name the same region, of those for which both name one."""
    seen = measuring.visible(list(moved))
    first, second = (measuring.places(subjects[half], moved[half], seen) for half in measuring.HALVES)
    named = (first != NONE) & (second != NONE)
    same, count = int((first == second)[named].sum()), max(1, int(named.sum()))
    return same / count, wilson(same, count), count


def _same_name(
    backbone: Backbone, table: StyleTable, description: Description, subjects: Sequence[Subject]
) -> tuple[float, tuple[float, float], int]:
    """How many families get the same name from two halves of the faces; without the numbers behind equal names."""
    groups = [Direction(family.channels, family.parts) for family in description.families]
    together = describing.move_families(backbone, subjects, groups)
    halves = describing.half_measures(together, subjects, describing.Reader(backbone, table), table.targets)
    first, second = (naming.named_alone(measured, table.targets) for measured in halves)
    same = sum(n in first and n in second and first[n].plain == second[n].plain for n in range(len(groups)))
    return same / max(1, len(groups)), wilson(same, max(1, len(groups))), len(groups)
