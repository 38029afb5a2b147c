"""What a gap is made of: which channels carry the sensitive attribute, what to exclude, and what stands in for it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from img2tab_core import scoring, tables
from img2tab_core.classifiers.catboost import CatBoostConcepts
from img2tab_core.comparison import Estimate, estimate
from img2tab_core.errors import Cancelled, Img2TabError
from img2tab_core.fairness import gaps_of
from img2tab_core.records import StyleTable, read_only

COUNTS = (0, 10, 100, 500, 1500, 3000, 4500, 5500, 6000, 6250, 6500)
THRESHOLD = 0.05         # standard deviations, see `suggest`
RATIO = 0.15             # of the distance between the target's classes, see `suggest`
LEAST_KEPT = 0.03        # share of the channels that a suggestion leaves
QUICK_COLUMNS, QUICK_TREES, QUICK_DEPTH, QUICK_RATE = 512, 200, 6, 0.1
PROBE_FACES = 2500       # a probe on more is hardly better and takes the square of the time
PENALTY = 0.01           # of the probe, in multiples of what one face adds to its own row
FAMILY_FACES = 1000      # a correlation is then known to about 0.03
CORRELATED_FACES = 3000
FAMILY_LIKENESS = 0.5    # mean absolute correlation
CELLS = ((0, 0), (0, 1), (1, 0), (1, 1))  # (class of the target, group)

_BLOCK = 256             # channels looked at in one go

Progress = Callable[[float, str], None]


# --- what carries the attribute -------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Carried:
    """How much every channel carries the sensitive attribute, and the target; float64 (D,), standard deviations.

    overall: Wasserstein-1 between the groups over all faces; within: between the groups within a class of the target,
    mean over the two classes; between: between the classes of the target within a group, mean over the two groups.
    shift: mean of group 1 minus mean of group 0 within a class, mean over the two classes; its size ranks for
    exclusion, its sign says which way to move a face. target_shift: mean of class 1 minus mean of class 0 within a
    group, mean over the two groups. error: what chance alone makes of a shift (one standard error,
    median over the channels). counts[class][group]: faces.

    Wasserstein-1 is never 0 between two samples: in a cell of 150 faces chance alone makes it 0.08. Signs let the two
    classes cancel chance, so the shift ranks better what carries little (measured on smile against perceived gender,
    6,250 excluded: 80 % of a gap closed where the ranking by `within` closed 66 %).
    """

    target: str
    sensitive: str
    overall: np.ndarray
    within: np.ndarray
    between: np.ndarray
    shift: np.ndarray
    target_shift: np.ndarray
    error: float
    counts: tuple[tuple[int, int], tuple[int, int]]

    @property
    def ranking(self) -> np.ndarray:
        """All channels, the largest shift first, ties by the lower index; int64 (D,)."""
        return scoring.top(np.abs(self.shift), len(self.shift))


@dataclass(frozen=True)
class Suggestion:
    """Channels to exclude, the first first, the rule that found them in words, and how many remain.

    ranking: all channels in the order in which the rule would exclude more; `excluded` is its beginning, so a curve
    over the ranking passes through the suggestion.
    """

    excluded: tuple[int, ...]
    rule: str
    kept: int
    ranking: tuple[int, ...]


def carried(
    table: StyleTable,
    target: str,
    sensitive: str,
    *,
    rows: np.ndarray | None = None,
    progress: Callable[[float], None] | None = None,
) -> Carried:
    """How far apart the groups are in every channel, overall and within the classes of the target.

    rows: (n,) row numbers of training and validation faces, None for all of these; faces without both labels are left
    out. Where the training faces are few in a cell, validation faces make the shifts surer, and how often each cell
    occurs changes none of them. Rows of the test split are refused: what is excluded must not be chosen by what it is
    judged on.
    """
    if rows is None:
        rows = np.sort(np.concatenate([table.rows("train"), table.rows("validation")]))
    rows, labels, groups = _known(table, target, sensitive, rows)
    if (table.split[rows] == 2).any():
        raise Img2TabError(
            "What to exclude must be found on training and validation faces, got faces of the test split. "
            "Leave those out."
        )
    width, std = table.psi.shape[1], np.asarray(table.stats.std, np.float64)
    cells = {(c, g): np.flatnonzero((labels == c) & (groups == g)) for c, g in CELLS}
    overall, within, between, shift, target_shift, error = (np.zeros(width) for _ in range(6))
    for part in _parts(width):
        codes = table.psi.T[part].take(rows, axis=1).T               # (n, b), column-major
        sd = std[part]
        overall[part] = scoring.wasserstein(codes, groups, std=sd)
        for one in (0, 1):
            for values, of, mask in ((within, groups, labels == one), (between, labels, groups == one)):
                here = np.flatnonzero(mask)
                values[part] += 0.5 * scoring.wasserstein(codes, of[here], std=sd, rows=here)
        means = {cell: codes[at].mean(axis=0, dtype=np.float64) for cell, at in cells.items()}
        noise = sum(codes[at].var(axis=0, dtype=np.float64) / len(at) for at in cells.values())
        scale = np.divide(1, sd, out=np.zeros(len(sd)), where=sd > 0)
        shift[part] = scale * (means[0, 1] - means[0, 0] + means[1, 1] - means[1, 0]) / 2
        target_shift[part] = scale * (means[1, 0] - means[0, 0] + means[1, 1] - means[0, 1]) / 2
        error[part] = scale * np.sqrt(noise) / 2
        if progress is not None:
            progress(part.stop / width)
    counts = tuple(tuple(len(cells[c, g]) for g in (0, 1)) for c in (0, 1))
    arrays = (read_only(values) for values in (overall, within, between, shift, target_shift))
    return Carried(target, sensitive, *arrays, float(np.median(error[std > 0])) if (std > 0).any() else 0.0, counts)


def suggest(found: Carried, *, threshold: float = THRESHOLD, ratio: float = RATIO) -> Suggestion:
    """Every channel whose shift is above `threshold` standard deviations or above `ratio` times its target shift.

    The ranking has the first kind, the largest shift first, then the others, the largest ratio first; 3 % of all
    channels stay. So much goes because each of thousands of weak proxies would otherwise stand in for the excluded
    ones. The threshold may lie below what chance makes of a shift: what is left is then what differs least, for the
    most it says about the target. Rankings by the ratio or the difference of the two distances alone closed less of a
    gap at every count: what tells the target's classes apart well does not become harmless by that.
    """
    for name, value in (("threshold", threshold), ("ratio", ratio)):
        if not (np.isfinite(value) and value >= 0):
            raise Img2TabError(f"The {name} must be a finite number of at least 0, got {value}.")
    size, of_target = np.abs(found.shift), np.abs(found.target_shift)
    share = np.divide(size, of_target, out=np.where(size > 0, np.inf, 0.0), where=of_target > 0)
    far = size > threshold
    ranking = np.lexsort((-np.where(far, size, share), ~far))        # lexsort is stable: ties by the lower index
    width, over = len(size), int((far | (share > ratio)).sum())
    least = max(1, int(np.ceil(LEAST_KEPT * width)))
    count = min(over, width - least)
    rule = (
        f"Exclude every channel in which the groups differ, within the classes of the target, by more than "
        f"{threshold:g} standard deviations or by more than {100 * ratio:g} % of what the classes differ by within the "
        f"groups (differences of means, averaged): {over:,} of {width:,} channels. "
    )
    if count < over:
        rule += f"At least {least:,} stay, those in which the groups differ least, so {count:,} are excluded. "
    faces = sum(map(sum, found.counts))
    rule += (
        f"Measured on {faces:,} training and validation faces, none of the test split; chance alone makes a difference "
        f"of about {found.error:.2f}."
    )
    return Suggestion(tuple(map(int, ranking[:count])), rule, width - count, tuple(map(int, ranking)))


# --- what stands in -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gain:
    """A channel whose importance grew; shares of the whole."""

    index: int
    before: float
    after: float


@dataclass(frozen=True)
class TookOver:
    """After a retrain: freed, the importance that channels lost altogether, and who gained, the largest gain first."""

    freed: float
    gains: tuple[Gain, ...]


@dataclass(frozen=True)
class Link:
    """A channel that is left, the excluded one it goes with most, and their correlation within the target's classes."""

    index: int
    partner: int
    correlation: float


@dataclass(frozen=True, eq=False)
class Probe:
    """A linear reading of the sensitive attribute from style codes: about 0 in group 0, about 1 in group 1.

    weights: float64 (D,), per style unit, 0 where a channel is excluded.
    """

    weights: np.ndarray
    offset: float

    def read(self, codes: np.ndarray) -> np.ndarray:
        """codes: (n, D) style units -> float64 (n,)."""
        codes = np.asarray(codes)
        if codes.ndim != 2 or codes.shape[1] != len(self.weights):
            raise Img2TabError(f"Style codes must have shape (faces, {len(self.weights)}), got {codes.shape}.")
        return codes.astype(np.float64) @ self.weights + self.offset


@dataclass(frozen=True)
class Readable:
    """How well the attribute can still be read from what is left: AUC of a probe with its 95 % interval, a sentence.

    faces: the probe was fitted on and measured on.
    """

    auc: float
    low: float
    high: float
    excluded: int
    faces: tuple[int, int]
    sentence: str


def took_over(before: np.ndarray, after: np.ndarray, *, count: int = 20) -> TookOver:
    """Importances (D,) before and after a retrain -> whose grew, up to `count`."""
    before, after = np.asarray(before, np.float64), np.asarray(after, np.float64)
    if before.shape != after.shape or before.ndim != 1:
        raise Img2TabError(
            f"Both importances must be of the same channels, got {before.shape} and {after.shape}. "
            "Compare two classifiers of one table."
        )
    growth = after - before
    first = [int(index) for index in scoring.top(growth, count) if growth[index] > 0]
    gains = tuple(Gain(index, float(before[index]), float(after[index])) for index in first)
    return TookOver(float(before[(after == 0) & (before > 0)].sum()), gains)


def correlated(
    table: StyleTable,
    target: str,
    excluded: Collection[int],
    *,
    rows: np.ndarray | None = None,
    count: int = 20,
    seed: int = 0,
) -> tuple[Link, ...]:
    """The channels left that go most with an excluded one, by the size of the partial correlation given the target.

    rows: as for `carried`; of more than 3,000 faces so many are drawn.
    """
    out, left = _divided(excluded, table.psi.shape[1])
    if not len(out):
        return ()
    rows, labels = _labelled(table, target, rows)
    rows, labels = _drawn(rows, CORRELATED_FACES, seed=seed, beside=labels)
    codes = table.psi.T.take(rows, axis=1)                           # (D, n)
    gone = _standardised(codes[out], labels)                         # (e, n), rows of length 1
    best, partner = np.zeros(len(left)), np.zeros(len(left), np.int64)
    for start in range(0, len(left), 1024):
        part = slice(start, start + 1024)
        found = _standardised(codes[left[part]], labels) @ gone.T    # (b, e)
        most = np.abs(found).argmax(axis=1)
        best[part], partner[part] = found[np.arange(len(most)), most], out[most]
    return tuple(
        Link(int(left[at]), int(partner[at]), float(np.clip(best[at], -1, 1)))
        for at in scoring.top(np.abs(best), count)
    )


def probe(
    table: StyleTable,
    sensitive: str,
    *,
    excluded: Collection[int] = (),
    rows: np.ndarray | None = None,
    seed: int = 0,
) -> Probe:
    """Ridge regression of the group on the channels left, standardised; of more than 2,500 faces so many are drawn.

    rows: (n,) row numbers, None for all training faces.
    """
    rows, groups = _labelled(table, sensitive, rows)
    return _fitted(table, *_drawn(rows, PROBE_FACES, seed=seed, beside=groups), excluded=excluded)


def readable(
    table: StyleTable,
    sensitive: str,
    *,
    excluded: Collection[int] = (),
    rows: np.ndarray | None = None,
    test_rows: np.ndarray | None = None,
    seed: int = 0,
) -> Readable:
    """Whether the attribute can still be read from the channels left.

    rows: the probe is fitted on, None for all training faces; test_rows: it is measured on, None for validation.
    """
    rows, groups = _drawn_of(table, sensitive, rows, seed)
    test_rows, test_groups = _labelled(
        table, sensitive, table.rows("validation") if test_rows is None else test_rows)
    if np.isin(test_rows, rows).any():
        raise Img2TabError("A probe must be measured on other faces than it was fitted on. Give other rows.")
    fitted = _fitted(table, rows, groups, excluded=excluded)
    said = np.full(len(test_rows), fitted.offset)
    for part in _parts(table.psi.shape[1]):
        said += fitted.weights[part] @ table.psi.T[part].take(test_rows, axis=1)
    auc = float(roc_auc_score(test_groups, said))
    low, high = _auc_interval(auc, int(test_groups.sum()), int((test_groups == 0).sum()))
    number = len({int(index) for index in excluded})
    name = tables.target_of(table, sensitive).title.lower()
    what = f"You excluded {number:,} channel{'' if number == 1 else 's'}; " if number else "Nothing is excluded; "
    if low <= 0.5:
        told = f"a linear probe reads {name} no better than chance: AUC"
    else:
        told = f"{name} can " + ("still be read from the rest with AUC" if number else "be read with AUC")
    sentence = f"{what}{told} {auc:.2f} ({low:.2f} to {high:.2f})."
    return Readable(auc, low, high, number, (len(rows), len(test_rows)), sentence)


# --- families -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Family:
    """Channels that go together: members, the one most like all others first; likeness: mean absolute correlation."""

    members: tuple[int, ...]
    likeness: float

    @property
    def size(self) -> int:
        return len(self.members)


@dataclass(frozen=True)
class Families:
    """All families of a table, the largest first (channels that go with no other are families of one), and how."""

    families: tuple[Family, ...]
    method: str

    def of(self, index: int) -> Family:
        """The family that a channel belongs to."""
        for family in self.families:
            if index in family.members:
                return family
        raise Img2TabError(f"Channel {index} is in no family of this table. Choose a channel of its backbone.")


def families(
    table: StyleTable, *, rows: np.ndarray | None = None, likeness: float = FAMILY_LIKENESS, seed: int = 0
) -> Families:
    """Channels grouped by average linkage on 1 - |correlation|, joined while the mean |correlation| is at `likeness`.

    rows: (n,) row numbers, None for training faces; of more than 1,000 so many are drawn.
    """
    if not 0 < likeness <= 1:
        raise Img2TabError(f"likeness must be above 0 and at most 1, got {likeness}.")
    (rows,) = _drawn(table.rows("train") if rows is None else np.asarray(rows), FAMILY_FACES, seed=seed)
    unit = _standardised(table.psi.T.take(rows, axis=1), np.zeros(len(rows), np.int8))
    like = np.abs(unit @ unit.T)                                     # (D, D) float32, 0 for a channel without spread
    width = len(like)
    if width == 1:
        numbers = np.ones(1, np.int64)
    else:
        far = np.concatenate([1 - like[i, i + 1 :] for i in range(width - 1)]).clip(0, 1)
        numbers = fcluster(linkage(far, "average"), 1 - likeness + 1e-6, "distance")
    order = np.argsort(numbers, kind="stable")
    found = []
    for members in np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1):
        inner = like[np.ix_(members, members)].astype(np.float64)
        np.fill_diagonal(inner, 0)
        to_others = inner.sum(axis=1) / max(1, len(members) - 1)
        ranked = members[np.argsort(-to_others, kind="stable")]
        found.append(Family(tuple(map(int, ranked)), float(to_others.mean()) if len(members) > 1 else 1.0))
    method = (
        f"Average linkage over 1 − |correlation| of all {width:,} channels on {len(rows):,} faces; two groups of "
        f"channels are joined while the mean |correlation| between them is at least {likeness:g}."
    )
    return Families(tuple(sorted(found, key=lambda one: (-one.size, one.members))), method)


# --- accuracy and gap against how much is excluded --------------------------------------------------------


@dataclass(frozen=True)
class CurveTrial:
    """One quick retrain; gap: the larger of |TPR difference| and |FPR difference| between the groups."""

    seed: int
    accuracy: float
    gap: float


@dataclass(frozen=True)
class CurvePoint:
    """The first `count` channels of the ranking are excluded; one trial for each seed."""

    count: int
    trials: tuple[CurveTrial, ...]

    def estimate(self, name: str) -> Estimate:
        """Of accuracy or gap: mean over the trials and its 95 % t-interval."""
        return estimate([getattr(trial, name) for trial in self.trials])


@dataclass(frozen=True)
class ExclusionCurve:
    """Accuracy and gap against how many channels are excluded, by ascending count.

    faces: trained on and measured on. how: the quick retrain in words; its numbers are not those of a full retrain.
    """

    points: tuple[CurvePoint, ...]
    faces: tuple[int, int]
    how: str

    def at(self, count: int) -> CurvePoint:
        """The point with the nearest count."""
        return min(self.points, key=lambda point: abs(point.count - count))

    def least_gap(self, *, lost: float = 0.01) -> CurvePoint:
        """The smallest mean gap among the points whose mean accuracy is at most `lost` below the first point's."""
        bar = self.points[0].estimate("accuracy").mean - lost
        able = [point for point in self.points if point.estimate("accuracy").mean >= bar - 1e-12]
        return min(able, key=lambda point: (point.estimate("gap").mean, point.count))


def exclusion_curve(
    table: StyleTable,
    target: str,
    sensitive: str,
    ranking: np.ndarray,
    *,
    counts: Sequence[int] = COUNTS,
    train_rows: np.ndarray | None = None,
    test_rows: np.ndarray | None = None,
    seeds: Sequence[int] = (0,),
    columns: int = QUICK_COLUMNS,
    trees: int = QUICK_TREES,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> ExclusionCurve:
    """Exclude the first so many channels of a ranking, retrain quickly, and measure; once for every count and seed.

    ranking: channel indices, what to exclude first at the front, each once. counts: those that leave no channel are
    left out. train_rows: None for all training faces. test_rows: None for validation faces drawn equally from the four
    cells, on which accuracy does not reward going by the group. seeds: of the classifier; rows are the same for all,
    so intervals say what the seed does (join the curves of several draws for more). The quick retrain: the best
    `columns` of the channels left by Wasserstein-1 between the classes of the training faces, `trees` CatBoost trees.
    """
    rows, labels, _ = _known(table, target, sensitive, train_rows)
    if test_rows is None:
        columns_of = (table.labels[name].to_numpy() for name in (target, sensitive))
        test_rows = balanced_rows(*columns_of, table.rows("validation"), seed=0)
    test_rows, test_labels, test_groups = _known(table, target, sensitive, test_rows)
    if np.isin(test_rows, rows).any():
        raise Img2TabError("A curve must be measured on other faces than it was trained on. Give other rows.")
    width = table.psi.shape[1]
    ranking, counts, seeds = _checked_ranking(ranking, width), _checked_counts(counts, width), tuple(seeds)
    if not seeds:
        raise Img2TabError("A curve needs at least one seed, got none.")
    report, count, done = progress or (lambda fraction, text: None), len(counts) * len(seeds), 0
    report(0.0, "Ranking concepts")
    codes = table.psi.T.take(rows, axis=1)                           # (D, n)
    test_codes = table.psi.T.take(test_rows, axis=1)                 # (D, m)
    distance = scoring.wasserstein(codes.T, labels, std=table.stats.std)
    order = scoring.top(distance, width)
    points = []
    for number in counts:
        used = order[~np.isin(order, ranking[:number])][:columns]
        train, test = codes[used].T, test_codes[used].T              # (n, k), (m, k), column-major
        trials = []
        for seed in seeds:
            if cancelled is not None and cancelled():
                raise Cancelled("The curve was stopped; nothing was changed.")
            model = CatBoostConcepts(
                iterations=trees, depth=QUICK_DEPTH, learning_rate=QUICK_RATE, screen=None, random_state=seed)
            model.fit(train, labels, cancelled=cancelled)
            decided = model.predict(test)
            trials.append(CurveTrial(
                int(seed), float((decided == test_labels).mean()),
                gaps_of(test_labels, decided, test_groups)["equalised_odds"]))
            done += 1
            report(done / count, f"{number:,} excluded, seed {len(trials)} of {len(seeds)}")
        points.append(CurvePoint(number, tuple(trials)))
    how = (
        f"{trees} CatBoost trees of depth {QUICK_DEPTH} on the {min(columns, width):,} channels left that tell the "
        f"classes of {len(rows):,} training faces apart best; measured on {len(test_rows):,} other faces."
    )
    return ExclusionCurve(tuple(points), (len(rows), len(test_rows)), how)


def joined(curves: Sequence[ExclusionCurve]) -> ExclusionCurve:
    """Curves over the same counts, such as of several draws of training faces, as one with all their trials."""
    if not curves or len({tuple(point.count for point in curve.points) for curve in curves}) != 1:
        raise Img2TabError("Curves to join must be of the same counts, and there must be one. Compute them again.")
    points = tuple(
        CurvePoint(same[0].count, tuple(trial for point in same for trial in point.trials))
        for same in zip(*(curve.points for curve in curves), strict=True)
    )
    return ExclusionCurve(points, curves[0].faces, curves[0].how)


# --- draws ----------------------------------------------------------------------------------------------


def biased_rows(
    labels: np.ndarray,
    sensitive: np.ndarray,
    rows: np.ndarray,
    *,
    share: float = 0.9,
    count: int | None = None,
    group: int | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Rows in which class 1 goes with one group, and class 0 with the other, in `share` of the faces; ascending.

    labels, sensitive: (N,) of 0, 1 and -1 (unknown, left out), of the whole table; rows: the row numbers to draw from,
    without replacement. Half the faces drawn are of class 1 and half of group 1. group: the one that class 1 goes with,
    None for the one in which it is more common. count: about so many faces, None for as many as there can be.
    """
    if not 0.5 <= share < 1:
        raise Img2TabError(f"share must be at least 0.5 and below 1, got {share}.")
    cells = _cells(labels, sensitive, rows)
    if group is None:
        in_one = [len(cells[1, g]) / max(1, len(cells[1, g]) + len(cells[0, g])) for g in (0, 1)]
        group = int(in_one[1] > in_one[0])
    with_it = [(1, group), (0, 1 - group)]
    shares = {cell: (share if cell in with_it else 1 - share) / 2 for cell in CELLS}
    most = min(len(cells[cell]) / shares[cell] for cell in CELLS)
    wanted = {cell: round(shares[cell] * (most if count is None else count) - 1e-9) for cell in CELLS}
    return _draw(cells, wanted, seed)


def balanced_rows(
    labels: np.ndarray, sensitive: np.ndarray, rows: np.ndarray, *, count: int | None = None, seed: int = 0
) -> np.ndarray:
    """Rows with as many faces of each class in each group, ascending; arguments as for `biased_rows`."""
    cells = _cells(labels, sensitive, rows)
    each = min(map(len, cells.values())) if count is None else count // 4
    return _draw(cells, dict.fromkeys(CELLS, each), seed)


def _cells(labels: np.ndarray, sensitive: np.ndarray, rows: np.ndarray) -> dict[tuple[int, int], np.ndarray]:
    labels, sensitive, rows = np.asarray(labels), np.asarray(sensitive), np.asarray(rows)
    return {(c, g): rows[(labels[rows] == c) & (sensitive[rows] == g)] for c, g in CELLS}


def _draw(cells: dict[tuple[int, int], np.ndarray], wanted: dict[tuple[int, int], int], seed: int) -> np.ndarray:
    _must_be_filled(wanted)
    for (c, g), number in wanted.items():
        if number > len(cells[c, g]):
            raise Img2TabError(
                f"{number:,} faces of class {c} in group {g} are needed, there are {len(cells[c, g]):,}. Draw fewer."
            )
    rng = np.random.default_rng(seed)
    return np.sort(np.concatenate([rng.choice(cells[cell], wanted[cell], replace=False) for cell in CELLS]))


# --- shared ---------------------------------------------------------------------------------------------


def _known(
    table: StyleTable, target: str, sensitive: str, rows: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows whose two labels are known, their classes and their groups, every cell filled; int64 (n,) each."""
    if target == sensitive:
        raise Img2TabError(f"The target and the sensitive attribute must differ, got {target!r} twice.")
    rows, labels = _labelled(table, target, rows)
    tables.target_of(table, sensitive)
    groups = table.labels[sensitive].to_numpy()[rows].astype(np.int64)
    known = groups >= 0
    rows, labels, groups = rows[known], labels[known], groups[known]
    _must_be_filled({(c, g): int(((labels == c) & (groups == g)).sum()) for c, g in CELLS})
    return rows, labels, groups


def _must_be_filled(counts: dict[tuple[int, int], int]) -> None:
    for (c, g), number in counts.items():
        if number < 1:
            raise Img2TabError(
                f"There must be faces of both classes in both groups, got none of class {c} in group {g}. "
                "Take more faces, or another target or attribute."
            )


def _labelled(table: StyleTable, name: str, rows: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers whose label is known, and the labels; None for all training faces; int64 (n,)."""
    tables.target_of(table, name)
    rows = table.rows("train") if rows is None else np.asarray(rows)
    if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer) or (
        rows.size and not (0 <= rows.min() and rows.max() < len(table.psi))
    ):
        raise Img2TabError(f"Rows must be whole numbers between 0 and {len(table.psi) - 1}, got {rows.dtype}.")
    labels = table.labels[name].to_numpy()[rows].astype(np.int64)
    rows, labels = rows[labels >= 0], labels[labels >= 0]
    if len(np.unique(labels)) != 2:
        raise Img2TabError(f"Both classes of {name!r} must be among the faces, got {len(rows):,} faces. Take others.")
    return rows, labels


def _drawn(
    rows: np.ndarray, count: int, *, seed: int, beside: np.ndarray | None = None
) -> tuple[np.ndarray, ...]:
    """At most so many rows, ascending positions, and what lies beside them."""
    at = np.arange(len(rows))
    if len(rows) > count:
        at = np.sort(np.random.default_rng(seed).choice(len(rows), count, replace=False))
    return (rows[at],) if beside is None else (rows[at], beside[at])


def _drawn_of(table: StyleTable, name: str, rows: np.ndarray | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rows, groups = _labelled(table, name, rows)
    return _drawn(rows, PROBE_FACES, seed=seed, beside=groups)


def _parts(width: int) -> Iterator[slice]:
    return (slice(start, min(start + _BLOCK, width)) for start in range(0, width, _BLOCK))


def _standardised(codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(b, n) channels -> the class means taken out, every row of length 1 (0 where nothing is left); float32."""
    result = np.array(codes, np.float32)
    for c in np.unique(labels):
        here = labels == c
        result[:, here] -= result[:, here].mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    length = np.sqrt(np.einsum("bn,bn->b", result, result, dtype=np.float64))
    scale = np.abs(codes).max(axis=1) * np.sqrt(codes.shape[1])      # what rounding leaves of a constant is no spread
    return result * np.divide(1, length, out=np.zeros(len(length)), where=length > 1e-6 * scale)[:, None].astype("f4")


def _fitted(table: StyleTable, rows: np.ndarray, groups: np.ndarray, *, excluded: Collection[int]) -> Probe:
    """Ridge in its dual form, n x n: there are fewer faces than channels."""
    _, left = _divided(excluded, table.psi.shape[1])
    mean = table.stats.mean[left].astype(np.float64)
    std = table.stats.std[left].astype(np.float64)
    scale = np.divide(1, std, out=np.zeros(len(std)), where=std > 0)
    unit = table.psi.T[left].take(rows, axis=1)                      # (k, n) float32
    unit -= mean[:, None].astype(np.float32)
    unit *= scale[:, None].astype(np.float32)
    middle = unit.mean(axis=1, dtype=np.float64)
    unit -= middle[:, None].astype(np.float32)
    kernel = (unit.T @ unit).astype(np.float64)                      # (n, n)
    kernel[np.diag_indices_from(kernel)] += PENALTY * max(float(np.trace(kernel)) / len(rows), 1e-12)
    y = groups - groups.mean()
    dual = np.linalg.solve(kernel, y)
    per_unit = scale * (unit.astype(np.float32) @ dual.astype(np.float32)).astype(np.float64)
    weights = np.zeros(table.psi.shape[1])
    weights[left] = per_unit
    centre = mean + np.where(scale > 0, middle * std, 0)
    return Probe(read_only(weights), float(groups.mean() - per_unit @ centre))


def _divided(excluded: Collection[int], width: int) -> tuple[np.ndarray, np.ndarray]:
    """Channels excluded and left, both ascending; int64."""
    if not all(isinstance(index, Integral) and 0 <= index < width for index in excluded):
        raise Img2TabError(f"Excluded channels must be whole numbers between 0 and {width - 1}. Choose others.")
    out = np.array(sorted({int(index) for index in excluded}), np.int64)
    if len(out) == width:
        raise Img2TabError(f"At least one channel must remain, got {width} of {width} excluded. Exclude fewer.")
    return out, np.setdiff1d(np.arange(width), out)


def _auc_interval(auc: float, ones: int, zeros: int) -> tuple[float, float]:
    """95 %. Source: Hanley and McNeil 1982, "The meaning and use of the area under a ROC curve"."""
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = (auc * (1 - auc) + (ones - 1) * (q1 - auc**2) + (zeros - 1) * (q2 - auc**2)) / (ones * zeros)
    half = float(norm.ppf(0.975)) * float(np.sqrt(max(variance, 0)))
    return max(0.0, auc - half), min(1.0, auc + half)


def _checked_ranking(ranking: np.ndarray, width: int) -> np.ndarray:
    ranking = np.asarray(ranking)
    whole = ranking.ndim == 1 and np.issubdtype(ranking.dtype, np.integer)
    if not whole or len(np.unique(ranking)) != len(ranking) or not (0 <= ranking.min() and ranking.max() < width):
        raise Img2TabError(f"The ranking must name channels between 0 and {width - 1}, each at most once.")
    return ranking


def _checked_counts(counts: Sequence[int], width: int) -> tuple[int, ...]:
    if not all(isinstance(count, Integral) and count >= 0 for count in counts):
        raise Img2TabError(f"Counts must be whole numbers of at least 0, got {list(counts)}.")
    kept = tuple(sorted({int(count) for count in counts if count < width}))
    if not kept:
        raise Img2TabError(f"A curve needs a count below {width}, the number of channels, got {list(counts)}.")
    return kept
