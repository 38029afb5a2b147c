"""How the labels' networks and rules do on real photos: for every label, against what was recorded or seen of
people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score

from img2tab_core.base.intervals import wilson
from img2tab_core.training.population.label_networks import LabelNetworks, scores
from img2tab_core.training.real_photos import People

FEWEST = 10  # people of each class from which on a border is looked for


@dataclass(frozen=True)
class OnPeople:
    """One label on photos of people.

    zeros, ones: of what was recorded or seen; recorded: of these as recorded; auc: of the number behind the label, None
    with one class missing; border: where it parts the photos training may see best (both classes weigh the same), None
    where a class has fewer than ten of them; agree of known: photos with a label that say the same; the same on the
    third held out.
    """

    label: str
    zeros: int
    ones: int
    recorded: int
    auc: float | None
    border: float | None
    agree: int
    known: int
    agree_held_out: int
    known_held_out: int


def on_people(networks: LabelNetworks, people: People) -> tuple[list[OnPeople], np.ndarray]:
    """Every label on photos of people, and the perceived age of each in years, float64 (n,)."""
    measured, opinions = networks.labeller.measure(people.faces), networks.network.look(people.faces)
    labels = networks.decided(measured, opinions)
    numbers = scores(labels, opinions, networks.probes)
    rows = []
    for name in numbers:
        truth = people.answers.get(name, np.full(len(people.faces), -1))
        label, clear, held_out = labels[name].to_numpy(), truth >= 0, people.third == 0
        both = clear & (label >= 0)
        seen = clear & ~held_out
        zeros, ones = int((truth == 0).sum()), int((truth == 1).sum())
        enough = min((truth[seen] == 0).sum(), (truth[seen] == 1).sum()) >= FEWEST
        rows.append(
            OnPeople(
                name,
                zeros,
                ones,
                int((people.recorded.get(name, clear & False) & clear).sum()),
                float(roc_auc_score(truth[clear], numbers[name][clear])) if min(zeros, ones) else None,
                best_border(truth[seen], numbers[name].to_numpy()[seen]) if enough else None,
                int((label == truth)[both].sum()),
                int(both.sum()),
                int((label == truth)[both & held_out].sum()),
                int((both & held_out).sum()),
            )
        )
    return rows, opinions.age.astype(np.float64)


def best_border(truth: np.ndarray, number: np.ndarray) -> float:
    """The number above which to say 1 so that the mean share right of both classes is largest; the middle of a tie."""
    values = np.unique(number)
    middles = (values[1:] + values[:-1]) / 2 if len(values) > 1 else values
    right = [((number[truth == 1] > at).mean() + (number[truth == 0] <= at).mean()) / 2 for at in middles]
    best = np.flatnonzero(np.isclose(right, max(right)))
    return float(middles[best[len(best) // 2]])


def measured_on_people(networks: LabelNetworks, people: People) -> dict:
    """For the card: {"folders", "rows": [[label, people, AUC, best border, agreement, on the held-out third], ...],
    "age": [people, mean difference, mean absolute difference in years]}."""
    rows, age = on_people(networks, people)
    known = ~np.isnan(people.age)
    off = (age - people.age)[known]
    return {
        "folders": list(people.of),
        "rows": as_rows(rows),
        "age": [int(known.sum()), round(float(off.mean()), 1), round(float(np.abs(off).mean()), 1)] if len(off) else [],
    }


def as_rows(rows: list[OnPeople]) -> list[list[str]]:
    """What `measured_on_people` says of each label."""
    return [
        [
            row.label,
            f"{row.zeros} / {row.ones}" + (f", {row.recorded} recorded" if row.recorded else ""),
            "" if row.auc is None else f"{row.auc:.3f}",
            "" if row.border is None else f"{row.border:.2f}",
            _share(row.agree, row.known),
            _share(row.agree_held_out, row.known_held_out),
        ]
        for row in rows
    ]


def _share(right: int, count: int) -> str:
    if not count:
        return ""
    low, high = wilson(right, count)
    return f"{right} of {count}, {right / count:.1%} ({low:.1%} to {high:.1%})"
