"""What can be said of a face beside its target: labels, measures in thirds, and how much it has of a concept."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import rankdata

from img2tab_core.audits.matrix import short
from img2tab_core.base.records import StyleTable, Target
from img2tab_core.base.words import listed
from img2tab_core.concepts import ranking
from img2tab_core.concepts.description import Description

FAR = 1.0  # standard deviations from the mean, from which a face has much or little of a concept
SAME = 0.95  # AUC from which a measure tells the target itself in other words
BINS = 3  # of a measure, equally many training faces in each
Kind = Literal["label", "measure", "concept"]


@dataclass(frozen=True)
class Condition:
    """What holds for some faces: its kind, the column or the family's id it is read from, and its words.

    words: as they follow "faces": "labelled glasses", "with perceived age under 24.3", "with much “Hair: long”".
    """

    kind: Kind
    name: str
    words: str


@dataclass(frozen=True, eq=False)
class Conditions:
    """All conditions of a table's faces. holds: bool (n, P), false where it is not known; left_out: columns that tell
    the target in other words."""

    conditions: tuple[Condition, ...]
    holds: np.ndarray
    left_out: tuple[str, ...]


def in_words(conditions: Sequence[Condition]) -> str:
    """ "labelled glasses and long hair, with much “Hair: long”": as it follows "faces"."""
    labels = [condition.words.removeprefix(_LABELLED) for condition in conditions if condition.kind == "label"]
    others = [condition.words.removeprefix(_WITH) for condition in conditions if condition.kind != "label"]
    parts = [f"{_LABELLED}{listed(labels)}"] if labels else []
    return " and ".join([*parts, *([f"{_WITH}{' and '.join(others)}"] if others else [])])


def labelled_so(target: Target, number: int) -> Condition:
    """That a face is labelled this class of a target, from 0 on."""
    return Condition("label", target.name, f"{_LABELLED}{short(target.classes[number])}")


def conditions_of(table: StyleTable, target: str, description: Description | None, rows: np.ndarray) -> Conditions:
    """Every condition that can be read of these faces of a table, int64 (n,), for a classifier of this target.

    Labels: each class of every other target, not what a classifier answers. Measures: the numeric columns of the
    labels, in thirds of the training faces. Concepts: a family's mean shift in standard deviations, at least 1 above or
    below the mean, or between; none where the concepts of the backbone are not described. Bands of a column and the
    column itself are left out where it tells the target in other words (AUC of 0.95 or more on training faces).
    """
    own, labels = target.partition(":")[0], table.labels
    targets = [each for each in (*table.targets, *table.many) if each.name not in table.answered]
    known = {each.name for each in (*table.targets, *table.many, *table.against_rest)}
    columns = [name for name in labels.columns if name not in known and labels[name].dtype.kind == "f"]
    training = table.rows("train")
    truth = labels[target].to_numpy()[training]
    sources = {each.of for each in (*table.targets, *table.many) if each.of and each.name == own}
    left_out = [
        name
        for name in columns
        if name in sources or _tells(labels[name].to_numpy(np.float64)[training], truth) >= SAME
    ]
    made: list[tuple[Condition, np.ndarray]] = []
    for each in targets:
        if each.name == own or each.of in left_out:
            continue
        known_so = labels[each.name].to_numpy(np.float64)[training]
        if _tells(np.where(known_so < 0, np.nan, known_so), truth) >= SAME:  # another word for the target
            left_out.append(each.name)
        else:
            values = labels[each.name].to_numpy()[rows]
            made += [(labelled_so(each, number), values == number) for number in range(len(each.classes))]
    for name in columns:
        if name not in left_out:
            values = labels[name].to_numpy(np.float64)
            made += _thirds(name, values[training], values[rows])
    if description is not None:
        made += _much_or_little(description, ranking.scores(description, table, rows))
    holds = np.stack([held for _, held in made], axis=1) if made else np.zeros((len(rows), 0), bool)
    return Conditions(tuple(condition for condition, _ in made), holds, tuple(left_out))


# --- inside ------------------------------------------------------------------------------------------------

_LABELLED, _WITH = "labelled ", "with "


def _tells(values: np.ndarray, truth: np.ndarray) -> float:
    """The largest AUC with which numbers (n,) tell one class of labels (n,) from the others, either way round."""
    known = np.isfinite(values) & (truth >= 0)
    ranks, truth, best = rankdata(values[known]), truth[known], 0.0
    for number in np.unique(truth):
        ones = int((truth == number).sum())
        zeros = len(truth) - ones
        if zeros:
            auc = (ranks[truth == number].sum() - ones * (ones + 1) / 2) / (ones * zeros)
            best = max(best, auc, 1 - auc)
    return float(best)


def _thirds(name: str, training: np.ndarray, values: np.ndarray) -> list[tuple[Condition, np.ndarray]]:
    """Bins of a column by the quantiles of its training values, a number on a border in the upper bin."""
    finite = training[np.isfinite(training)]
    if not len(finite):
        return []
    cuts = np.quantile(finite, np.arange(1, BINS) / BINS)
    whole = bool((finite == np.round(finite)).all())
    borders = sorted({math.ceil(cut) if whole else _short(cut, cuts) for cut in cuts if finite.min() < cut})
    title, edges = name.replace("_", " "), [-np.inf, *borders, np.inf]
    made = []
    for low, high in itertools.pairwise(edges):
        if low == -np.inf and high == np.inf:
            continue
        words = f"under {high:.10g}" if low == -np.inf else f"from {low:.10g}"
        if -np.inf < low < high < np.inf:
            words += f" to {high:.10g}"
        made.append((Condition("measure", name, f"{_WITH}{title} {words}"), (values >= low) & (values < high)))
    return made


def _short(cut: float, cuts: np.ndarray) -> float:
    """A border with as few digits as leave it where it is, told by how far apart the borders are: 1994.67 is 1995."""
    apart = float(np.ptp(cuts)) or abs(cut) or 1.0
    return float(round(cut, 1 - math.floor(math.log10(apart))))


def _much_or_little(description: Description, scores: np.ndarray) -> list[tuple[Condition, np.ndarray]]:
    """scores: float64 (n, K), standard deviations of each family."""
    made = []
    for number, family in enumerate(description.families):
        value = scores[:, number]
        for words, held in (
            ("much", value >= FAR),
            ("an average amount of", np.abs(value) < FAR),
            ("little", value <= -FAR),
        ):
            made.append((Condition("concept", family.id, f"{_WITH}{words} “{family.name}”"), held))
    return made
