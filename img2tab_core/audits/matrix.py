"""The audit matrix: how far every target's classifier sets the groups of every other label apart, and what is luck."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.stats import false_discovery_control, fisher_exact

from img2tab_core.audits.audit_record import SMALL, Measure
from img2tab_core.audits.bootstrap import confusions_of, gap_alone
from img2tab_core.audits.groups import STANDARD, Groups, faces_of
from img2tab_core.audits.metrics import HEADLINE, rate_of
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import home, keep_json, plain, read_json
from img2tab_core.base.records import StyleTable, Target
from img2tab_core.base.words import percent

LEVEL = 0.05  # share of the pairs called beyond chance that may be luck
REPEATS = 1000  # as `Auditor.audit` takes, so that a cell says what the page of its pair says
METHOD = (
    "equalised odds, 1000 resamples, Fisher in each class; 2"  # rows that were measured otherwise are measured anew
)

HOW = (
    "Gap: the larger of the differences between the two groups in true and in false positive rate, on test faces, with "
    f"its 95 % interval. Beyond chance: the interval is above 0, and of all pairs called so at most about "
    f"{percent(LEVEL, 0)} are luck. Too few: under {SMALL} faces in a group and class."
)

Confusion = tuple[int, int, int, int]  # faces: tn, fp, fn, tp


@dataclass(frozen=True)
class Pair:
    """A target's classifier and the two groups of one attribute, on the test faces whose label and group are known.

    confusions: of each group. gap: the equalised odds difference with its 95 % interval, to the bit that of
    `Auditor.audit`. chances: probability of so clear a difference in false and in true positive rate where the groups
    are equal; controlled: that of the clearer one, with false discoveries controlled over all pairs of a matrix. Both
    are None where there are too few faces to say.
    """

    target: str
    attribute: str
    confusions: tuple[Confusion, Confusion]
    gap: Measure
    chances: tuple[float, float] | None
    controlled: float | None = None

    @property
    def counts(self) -> tuple[int, int]:
        """Faces of each group."""
        return sum(self.confusions[0]), sum(self.confusions[1])

    @property
    def smallest(self) -> int:
        """Faces in the smallest of the four cells of group and class: the gap rests on all of them."""
        return min(min(tn + fp, fn + tp) for tn, fp, fn, tp in self.confusions)

    @property
    def too_small(self) -> bool:
        """Whether a cell of group and class has too few faces to say anything of the pair."""
        return self.smallest < SMALL

    @property
    def chance(self) -> float | None:
        """Probability of so clear a difference where the groups are equal: the smaller of the two, doubled as either of
        them may be the clearer one (Bonferroni)."""
        return None if self.chances is None else min(1.0, 2 * min(self.chances))

    @property
    def beyond_chance(self) -> bool:
        """Whether the groups differ: the interval is above 0 and the pair passes the control of false discoveries."""
        return self.controlled is not None and self.controlled <= LEVEL and bool(self.gap.low)

    @property
    def wider(self) -> int:
        """The class, 0 or 1, whose faces are judged wrongly most unequally: the gap is the difference in it."""
        return int(abs(float(np.diff(self.wrong(1))[0])) > abs(float(np.diff(self.wrong(0))[0])))

    @property
    def clear(self) -> tuple[bool, bool]:
        """Of each class whether the difference in it is hardly luck, before false discoveries are controlled."""
        first, second = (2 * chance <= LEVEL for chance in self.chances or (1.0, 1.0))
        return first, second

    def wrong(self, label: int) -> tuple[float, float]:
        """Share of the faces of a class that are given the other one, in each group; NaN where it has no faces.

        Of class 0 that is the false positive rate, of class 1 what the true positive rate lacks.
        """
        rates = rate_of(np.array(self.confusions), "true_positive_rate" if label else "false_positive_rate")  # (2,)
        first, second = 1 - rates if label else rates
        return float(first), float(second)

    @property
    def base_rates(self) -> tuple[float, float]:
        """How often the label itself is the second class, in each group; NaN where it has no faces."""
        shares = [
            (fn + tp) / (tn + fp + fn + tp) if tn + fp + fn + tp else np.nan for tn, fp, fn, tp in self.confusions
        ]
        return shares[0], shares[1]


@dataclass(frozen=True)
class Row:
    """A target by every attribute; run: the id of its standing run, which was measured."""

    target: str
    run: str
    pairs: tuple[Pair, ...]

    def to_json(self) -> dict:
        """As `row_from_json` reads it; what is controlled rests on the other rows and is found anew from them."""
        return plain(asdict(self))


@dataclass(frozen=True)
class Matrix:
    """Every target of a table by every attribute, as far as it is measured; made by `matrix_of`.

    targets: all of them, in the table's order; the attributes are the same ones. rows: of the targets measured so far,
    in that order.
    """

    table: str
    table_key: str
    targets: tuple[Target, ...]
    rows: tuple[Row, ...]

    @property
    def complete(self) -> bool:
        """Whether every target is measured."""
        return len(self.rows) == len(self.targets)

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Every pair that is measured: those beyond chance first, then by the size of the gap."""
        return tuple(
            sorted(
                (pair for row in self.rows for pair in row.pairs),
                key=lambda pair: (not pair.beyond_chance, pair.too_small, -(pair.gap.value or 0.0)),
            )
        )

    @property
    def beyond_chance(self) -> tuple[Pair, ...]:
        """Those that differ beyond chance, the largest gap first."""
        return tuple(pair for pair in self.pairs if pair.beyond_chance)

    def pair(self, target: str, attribute: str) -> Pair | None:
        """The pair of these names; None where it is not measured yet."""
        named = (pair for pair in self.pairs if (pair.target, pair.attribute) == (target, attribute))
        return next(named, None)

    def about(self, name: str) -> Target:
        """The target of this name. Raises Img2TabError where the matrix has none."""
        for target in self.targets:
            if target.name == name:
                return target
        raise Img2TabError(f"A target must be one of {', '.join(each.name for each in self.targets)}, got {name!r}.")

    def title(self, pair: Pair) -> str:
        """ "young by gender"."""
        return f"{short_title(self.about(pair.target))} by {short_title(self.about(pair.attribute))}"

    def direction(self, pair: Pair) -> str:
        """Which group is judged wrongly more often and in what, in a sentence with both shares.

        A second sentence where the widest difference may be luck and the other one is not.
        """
        if pair.gap.value is None:
            return f"Not measured: {pair.gap.note}."
        text = self._wrong(pair, pair.wider)
        if pair.beyond_chance and not pair.clear[pair.wider]:
            text += f" That may be luck, this is not: {self._wrong(pair, 1 - pair.wider)}"
        return text

    def labels(self, pair: Pair) -> str:
        """How often the label itself is the second class in each group, in a sentence."""
        groups, (first, second) = [short(name) for name in self.about(pair.attribute).classes], pair.base_rates
        if np.isnan(first) or np.isnan(second):
            return f"No face is labelled {groups[int(np.isnan(second))]}."
        return (
            f"Labelled {short(self.about(pair.target).classes[1])}: {percent(first)} of the faces labelled "
            f"{groups[0]}, {percent(second)} of those labelled {groups[1]}."
        )

    @property
    def sentence(self) -> str:
        """How many pairs differ beyond chance and which differs most, first; then what was left out."""
        wanted = len(self.targets) * (len(self.targets) - 1)
        if not self.rows:
            return f"None of {wanted} pairs of a target and an attribute is measured yet."
        beyond, few = self.beyond_chance, sum(pair.too_small for pair in self.pairs)
        whole = "" if self.complete else " measured so far"
        text = (
            f"Of {len(self.pairs)} pairs of a target and an attribute{whole}, {len(beyond) or 'none'} "
            f"{'differs' if len(beyond) == 1 else 'differ'} beyond chance"
        )
        if beyond:
            text += f"; most: {self.title(beyond[0])}, {in_points(beyond[0].gap)}. {self.direction(beyond[0])}"
        else:
            text += "."
        if few:
            text += f" {few} {'has' if few == 1 else 'have'} too few faces to say."
        return text

    def _wrong(self, pair: Pair, label: int) -> str:
        shares, classes = pair.wrong(label), [short(name) for name in self.about(pair.target).classes]
        groups = [short(name) for name in self.about(pair.attribute).classes]
        worse = int(shares[1] > shares[0])
        return (
            f"{percent(shares[worse])} of the faces labelled {classes[label]} and {groups[worse]} are called "
            f"{classes[1 - label]}, against {percent(shares[1 - worse])} of those labelled {classes[label]} and "
            f"{groups[1 - worse]}."
        )

    def to_json(self) -> dict:
        """As `matrix_from_json` reads it, with the sentences."""
        return {
            "table": self.table,
            "table_key": self.table_key,
            "sentence": self.sentence,
            "complete": self.complete,
            "targets": [plain(target.to_json()) for target in self.targets],
            "rows": [row.to_json() for row in self.rows],
            "pairs": [
                {
                    "target": pair.target,
                    "attribute": pair.attribute,
                    "points": None if pair.gap.value is None else 100 * pair.gap.value,
                    "beyond_chance": pair.beyond_chance,
                    "too_small": pair.too_small,
                    "smallest": pair.smallest,
                    "direction": self.direction(pair),
                    "labels": self.labels(pair),
                }
                for pair in self.pairs
            ],
        }


def matrix_of(table: StyleTable, rows: Iterable[Row]) -> Matrix:
    """The matrix of a table with the rows measured so far, false discoveries controlled over all of their pairs.

    Source: Benjamini and Hochberg 1995, "Controlling the false discovery rate". Pairs with too few faces take no part;
    that is decided by counts of labels, which know nothing of the decisions. A matrix with fewer rows controls over
    fewer pairs, so a pair near the border may change sides as it fills.
    """
    return _controlled(table.name, table.key, labelled_targets(table), rows)


def matrix_from_json(content: dict) -> Matrix:
    """The matrix that `Matrix.to_json` wrote. Raises Img2TabError where it is none."""
    try:
        targets = tuple(Target.from_json(about) for about in content["targets"])
        rows = [row_from_json(row) for row in content["rows"]]
        return _controlled(str(content["table"]), str(content["table_key"]), targets, rows)
    except (KeyError, TypeError, ValueError) as error:
        raise Img2TabError(f"This is no audit matrix ({error!r}). Write one: img2tab matrix --json.") from error


def row_from_json(content: dict) -> Row:
    """The row that `Row.to_json` wrote. Raises KeyError, TypeError or ValueError where it is none."""
    pairs = []
    for pair in content["pairs"]:
        first, second = (tuple(int(count) for count in confusion) for confusion in pair["confusions"])
        if len(first) != 4 or len(second) != 4:
            raise ValueError(f"a confusion has 4 counts, got {first} and {second}")
        chances = pair["chances"]
        if chances is not None:
            negatives, positives = map(float, chances)
            chances = negatives, positives
        pairs.append(
            Pair(
                target=str(pair["target"]),
                attribute=str(pair["attribute"]),
                confusions=(first, second),
                gap=Measure(**pair["gap"]),
                chances=chances,
            )
        )
    return Row(str(content["target"]), str(content["run"]), tuple(pairs))


def labelled_targets(table: StyleTable) -> tuple[Target, ...]:
    """The targets of a matrix: a table's labels, not what a classifier of somebody's own answers.

    Raises Img2TabError where there are fewer than two.
    """
    targets = tuple(target for target in table.targets if target.name not in table.answered)
    if len(targets) < 2:
        raise Img2TabError(
            "A matrix needs two labels, a target and what forms the groups; the table "
            f"{table.name!r} has {len(targets)}. Choose another table."
        )
    return targets


def row_of(
    table: StyleTable, target: str, run_id: str, rows: np.ndarray, labels: np.ndarray, probability: np.ndarray
) -> Row:
    """One target by every attribute.

    rows: int64 (n,), row numbers of the faces; labels: (n,) of 0 and 1; probability: float64 (n,) of class 1, what the
    run of this id says of them. Raises Img2TabError where they do not go together.
    """
    return Row(
        target,
        run_id,
        tuple(
            pair_of(
                target,
                attribute.name,
                labels,
                probability,
                Groups(attribute.title, attribute.classes, table.labels[attribute.name].to_numpy()[rows]),
            )
            for attribute in labelled_targets(table)
            if attribute.name != target
        ),
    )


def pair_of(target: str, attribute: str, labels: np.ndarray, probability: np.ndarray, groups: Groups) -> Pair:
    """One cell: labels (n,) of 0 and 1, probability float64 (n,) of class 1, and two groups of the n faces.

    Its chances: within each class of the label the groups are exchangeable where there is no gap (DiCiccio et al. 2020,
    "Evaluating fairness using permutation tests"); with two groups and two decisions all permutations are known, which
    is Fisher's exact test. Raises Img2TabError where there are not two groups, or the arrays do not go together.
    """
    if len(groups.names) != 2:
        raise Img2TabError(f"An attribute of the matrix must form two groups, got {'; '.join(groups.names)}.")
    if not (groups.codes >= 0).any():
        return Pair(
            target, attribute, ((0, 0, 0, 0), (0, 0, 0, 0)), Measure(None, None, None, "no face has a group"), None
        )
    faces = faces_of(labels, probability, [groups], STANDARD)
    counts = confusions_of(faces)  # (2, 4)
    first, second = (tuple(int(count) for count in confusion) for confusion in counts)
    pair = Pair(target, attribute, (first, second), gap_alone(faces, HEADLINE, repeats=REPEATS), None)  # type: ignore[arg-type]
    if pair.too_small:
        return pair
    negatives, positives = (float(fisher_exact(counts[:, columns]).pvalue) for columns in ((0, 1), (2, 3)))
    return replace(pair, chances=(negatives, positives))


# --- kept --------------------------------------------------------------------------------------------------


def keep_row(table: StyleTable, row: Row) -> None:
    """Write a row under the visitor's folder. Raises Img2TabError where it cannot be written."""
    keep_json(_file(table, row.run), row.to_json() | _made_of(table))


def kept_row(table: StyleTable, target: str, run_id: str) -> Row | None:
    """The row that was kept of this run; None where there is none, or it was measured otherwise."""
    content = read_json(_file(table, run_id))
    try:
        row = row_from_json(content)
    except (KeyError, TypeError, ValueError):
        return None
    of_this = {name: content.get(name) for name in _made_of(table)} == _made_of(table)
    return row if of_this and (row.target, row.run) == (target, run_id) else None


def _file(table: StyleTable, run_id: str) -> Path:
    return home() / "matrices" / f"{table.name}-{table.key[:12]}" / f"{run_id}.json"


def _made_of(table: StyleTable) -> dict[str, object]:
    return {
        "method": METHOD,
        "table_key": table.key,
        "attributes": [target.name for target in labelled_targets(table)],
    }


# --- words -------------------------------------------------------------------------------------------------


def short(name: str) -> str:
    """A class as it is written where all of them are perceived ones: "perceived beard" -> "beard"."""
    return name.removeprefix("perceived ")


def short_title(target: Target) -> str:
    """ "Perceived as young" -> "young", "Perceived hair length" -> "hair length"; another one as it is."""
    title = target.title
    for start in ("Perceived as ", "Perceived "):
        if title.startswith(start):
            return title.removeprefix(start)
    return title


def in_points(gap: Measure) -> str:
    """ "11.9 points (6.3 to 17.0)": a gap has no sign, the sentence beside it names the group."""
    if gap.value is None:
        return "not measured"
    text = f"{100 * gap.value:.1f}\N{NO-BREAK SPACE}points"
    return text if gap.low is None or gap.high is None else f"{text} ({100 * gap.low:.1f} to {100 * gap.high:.1f})"


# --- inside ------------------------------------------------------------------------------------------------


def _controlled(table: str, table_key: str, targets: Sequence[Target], rows: Iterable[Row]) -> Matrix:
    rows = tuple(rows)
    tested = [pair.chance for row in rows for pair in row.pairs if pair.chance is not None]
    controlled = iter(false_discovery_control(tested, method="bh").tolist() if tested else [])
    return Matrix(
        table,
        table_key,
        tuple(targets),
        tuple(
            replace(
                row,
                pairs=tuple(
                    pair if pair.chance is None else replace(pair, controlled=next(controlled)) for pair in row.pairs
                ),
            )
            for row in rows
        ),
    )
