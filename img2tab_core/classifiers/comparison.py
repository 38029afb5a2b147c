"""Several classifiers on the same faces: how each predicts, and whether its importance finds what sets them apart."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from numbers import Integral

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from img2tab_core import __version__
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.files import plain
from img2tab_core.base.intervals import Estimate, estimate
from img2tab_core.base.jobs import silent
from img2tab_core.base.records import Metrics, StyleTable
from img2tab_core.classifiers import kinds as classifiers
from img2tab_core.classifiers import measures as classifiers_measures
from img2tab_core.classifiers.base import likeliest
from img2tab_core.concepts import scores
from img2tab_core.tables import TargetFaces

KS = (5, 10, 20, 50)
HELD = 1_000_000_000  # bytes of style codes that every kind is handed; of more each reads its own from the table
BYTES = "bytes:"


@dataclass(frozen=True)
class Trial:
    """One classifier trained with one seed and measured on the test split.

    seconds: training alone, the faces already in memory. rank_correlation: Spearman's, of importance with distance
    over all channels that are not excluded; None where all importances are the same. used: channels with an importance
    above 0. top: the first of these, as many as the largest k, by importance, ties by the lower index. For each k:
    overlap, the share of k that is among the first k by importance and by distance; top_distance, the mean distance of
    the first k by importance, in standard deviations (of those there are; None where there is none). decided: the class
    given to every test face, in their order, one bit each, as hexadecimal digits (of
    more than two classes BYTES, then a byte each); "" of a comparison that kept none.
    """

    seed: int
    accuracy: float
    auc: float
    log_loss: float
    seconds: float
    rank_correlation: float | None
    used: int
    top: tuple[int, ...]
    overlap: tuple[float, ...]
    top_distance: tuple[float | None, ...]
    decided: str = ""

    def decisions(self, faces: int) -> np.ndarray | None:
        """The class given to each of so many test faces, uint8 (faces,) from 0; None where it was not kept."""
        if self.decided.startswith(BYTES):
            classes = np.frombuffer(bytes.fromhex(self.decided[len(BYTES) :]), np.uint8)
            return classes if len(classes) == faces else None
        bits = np.unpackbits(np.frombuffer(bytes.fromhex(self.decided), np.uint8))
        return bits[:faces] if self.decided and 0 <= len(bits) - faces < 8 else None


@dataclass(frozen=True)
class Contender:
    """One classifier of a comparison, with one measure of importance.

    A kind with several measures is there once for each; what it predicts is then the same, as it was trained once.
    reason: why it has no trials (not installed, failed), None where it has; measure: one of its `measures`, "" then.
    """

    kind: str
    title: str
    trials: tuple[Trial, ...]
    reason: str | None = None
    measure: str = ""

    def estimate(self, name: str) -> Estimate:
        """Of accuracy, auc, log_loss, seconds, rank_correlation or used."""
        return estimate([getattr(trial, name) for trial in self.trials])

    def estimate_at(self, name: str, position: int) -> Estimate:
        """Of overlap or top_distance at the k with this position in the comparison's ks."""
        return estimate([getattr(trial, name)[position] for trial in self.trials])

    def difference(self, other: Contender, name: str, position: int | None = None) -> Estimate:
        """This classifier minus another, seed by seed: each seed gave both the same faces to learn from.

        name: of a number of `Trial`; position: of a k in the comparison's ks, for those that have one for each. The
        interval is of the differences; two intervals that overlap say little about trials that belong in pairs.
        """

        def number_of(trial: Trial) -> float | None:
            value = getattr(trial, name)
            return value if position is None else value[position]

        pairs = [(number_of(mine), number_of(theirs)) for mine, theirs in zip(self.trials, other.trials, strict=True)]
        return estimate([None if first is None or second is None else first - second for first, second in pairs])

    def stability(self, k: int) -> float | None:
        """Share of k that is among the first k of two seeds, mean over all pairs of seeds; None for one seed."""
        tops = [set(trial.top[:k]) for trial in self.trials]
        shared = [len(first & second) / k for first, second in itertools.combinations(tops, 2)]
        return float(np.mean(shared)) if shared else None


@dataclass(frozen=True)
class Comparison:
    """What several classifiers reached on one table and target; computed once, then only read.

    faces and test_faces: trained on by each seed, measured on. channels: those not excluded. For each k of ks: chance,
    the overlap a random ranking would reach (k / channels); best_distance, the mean distance of the k concepts furthest
    apart, the most that any ranking can reach. versions: of the libraries that took part.
    """

    table: str
    table_key: str
    target: str
    faces: int
    test_faces: int
    channels: int
    excluded: tuple[int, ...]
    seeds: tuple[int, ...]
    ks: tuple[int, ...]
    chance: tuple[float, ...]
    best_distance: tuple[float, ...]
    contenders: tuple[Contender, ...]
    versions: dict[str, str]

    def to_json(self) -> dict:
        """Plain types: every value of every seed, and for a reader the means, intervals and stabilities."""
        stored = asdict(self)
        for contender, row in zip(self.contenders, stored["contenders"], strict=True):
            row["estimates"] = {name: asdict(value) for name, value in self._estimates(contender).items()}
            row["stability"] = {str(k): contender.stability(k) for k in self.ks}
        return plain(stored)

    @classmethod
    def from_json(cls, stored: dict) -> Comparison:
        """What `to_json` gave, as it was. Raises Img2TabError where it is something else."""
        try:
            contenders = tuple(
                Contender(
                    kind=row["kind"],
                    title=row["title"],
                    reason=row["reason"],
                    measure=row["measure"],
                    trials=tuple(Trial(**_tuples(trial)) for trial in row["trials"]),
                )
                for row in stored["contenders"]
            )
            return cls(**_tuples(stored) | {"contenders": contenders})
        except (KeyError, TypeError, AttributeError) as error:
            raise Img2TabError(f"This is not a comparison ({error}). Compare again.") from error

    def frame(self) -> pd.DataFrame:
        """One row per classifier for people to read: means, half-widths of the intervals (±), why one is missing."""
        return pd.DataFrame([self._row(contender) for contender in self.contenders])

    def _row(self, contender: Contender) -> dict:
        row: dict[str, object] = {"classifier": contender.title}
        for name, value in self._estimates(contender).items():
            row[name] = np.nan if value.mean is None else value.mean
            row[f"{name} ±"] = np.nan if value.half is None else value.half
        for k in self.ks:
            stability = contender.stability(k)
            row[f"stability of top {k}"] = np.nan if stability is None else stability
        return row | {"note": contender.reason or ""}

    def _estimates(self, contender: Contender) -> dict[str, Estimate]:
        """Every estimate under the name a person reads."""
        estimates = {
            "accuracy": contender.estimate("accuracy"),
            "AUC": contender.estimate("auc"),
            "log-loss": contender.estimate("log_loss"),
            "training seconds": contender.estimate("seconds"),
            "rank correlation": contender.estimate("rank_correlation"),
            "concepts used": contender.estimate("used"),
        }
        for position, k in enumerate(self.ks):
            estimates[f"overlap of top {k}"] = contender.estimate_at("overlap", position)
        for position, k in enumerate(self.ks):
            estimates[f"mean distance of top {k}"] = contender.estimate_at("top_distance", position)
        return estimates


def compare(
    target_faces: TargetFaces,
    distance: np.ndarray,
    *,
    kinds: Sequence[str] = tuple(classifiers.KINDS),
    seeds: Sequence[int] = (0, 1, 2),
    faces: int | None = 4000,
    excluded: frozenset[int] = frozenset(),
    ks: Sequence[int] = KS,
    progress: Callable[[float, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Comparison:
    """Train every kind of classifier with every seed on the same faces and measure it on the test split.

    distance: float (D,), Wasserstein-1 between the classes on the training rows, in standard deviations. faces: how
    many training faces each seed samples anew, without replacement and with the classes in proportion; None, or more
    than there are, takes all. A seed decides the faces and the classifier's own random numbers, so that an interval
    means something for a classifier without any; it says how much the choice among these training faces matters, not
    what other test faces would give. With all faces, a classifier without random numbers repeats itself.

    Every classifier sees all channels that are not excluded: screening them by distance, as the standing classifier
    does, would decide the overlap with the distance in advance.

    A kind that is not installed, or fails, is listed with its reason. progress: a share that only grows and a text;
    cancelled: once true, Cancelled is raised. Raises Img2TabError where an argument is out of its range, or no face of
    the target has a known label.
    """
    ks, seeds, kinds, excluded = tuple(ks), tuple(seeds), tuple(dict.fromkeys(kinds)), frozenset(map(int, excluded))
    table, target, distance = target_faces.table, target_faces.target, np.asarray(distance, np.float64)
    width = table.psi.shape[1]
    _check(distance, width, seeds=seeds, faces=faces, excluded=excluded, ks=ks, kinds=kinds)
    remaining = np.setdiff1d(np.arange(width), list(excluded))
    reasons = {kind: classifiers.absent(kind) for kind in kinds}
    measures = {kind: classifiers.KINDS[kind].estimator.measures for kind in kinds}
    trials: dict[tuple[str, str], list[Trial]] = {(kind, by): [] for kind in kinds for by in measures[kind]}
    (rows, labels), (test_rows, test_labels) = target_faces.train, target_faces.test
    if not (len(rows) and len(test_rows)):
        raise Img2TabError(f"The table {table.name!r} has no faces with a known label for {target!r}. Choose another.")
    test_codes = _codes(table, test_rows)
    furthest = scores.top(distance, max(ks), exclude=excluded)
    report, count, done = progress or silent, len(seeds) * len(kinds), 0
    taken = len(rows)
    for number, seed in enumerate(seeds):
        chosen = sampled(labels, faces, seed=seed)  # (taken,) positions in rows
        taken, held = len(chosen), 4 * len(chosen) * width <= HELD
        codes = _codes(table, rows[chosen]) if held else table.psi
        for kind in kinds:
            where = f"{classifiers.KINDS[kind].title}, seed {number + 1} of {len(seeds)}"
            if reasons[kind] is None:
                try:
                    trained = _trial(
                        kind,
                        seed,
                        codes,
                        labels[chosen],
                        None if held else rows[chosen],
                        test_codes,
                        test_labels,
                        excluded=excluded,
                        progress=_within(report, done, count, where),
                        cancelled=cancelled,
                    )
                    for by, importance in trained.importance.items():
                        trials[kind, by].append(
                            _questioned(trained, importance, seed, distance, remaining, furthest, ks)
                        )
                except Cancelled:
                    raise
                # a library's own failure costs its own row only, not what the others have trained for minutes
                except Exception as error:  # noqa: BLE001
                    reason = str(error) or type(error).__name__
                    ours = isinstance(error, Img2TabError)
                    reasons[kind] = reason if ours else f"It failed: {reason.splitlines()[0]}"
            done += 1
            report(done / count, where)
    return Comparison(
        table=table.name,
        table_key=table.key,
        target=target,
        faces=taken,
        test_faces=len(test_rows),
        channels=len(remaining),
        excluded=tuple(sorted(excluded)),
        seeds=tuple(map(int, seeds)),
        ks=ks,
        chance=tuple(min(k / len(remaining), 1.0) for k in ks),
        best_distance=tuple(float(distance[furthest[:k]].mean()) for k in ks),
        contenders=tuple(
            # seeds of a kind that failed later are dropped: its interval would be over others than its neighbours'
            Contender(kind, classifiers.KINDS[kind].title, (), reasons[kind])
            if reasons[kind]
            else Contender(kind, _title(kind, by), tuple(trials[kind, by]), None, by)
            for kind in kinds
            for by in measures[kind][: 1 if reasons[kind] else None]
        ),
        versions=_versions([kind for kind in kinds if classifiers.absent(kind) is None]),
    )


def sampled(labels: np.ndarray, faces: int | None, *, seed: int) -> np.ndarray:
    """Positions of so many faces, without replacement, the classes in proportion, ascending; int64 (<= faces,).

    labels: (n,) from 0. None, or more than there are, takes all; each class keeps at least one face.
    """
    if faces is None or faces >= len(labels):
        return np.arange(len(labels))
    rng = np.random.default_rng(seed)
    if labels.max(initial=0) > 1:
        share = faces * np.bincount(labels) / len(labels)  # (K,)
        counts = np.maximum(np.floor(share), 1).astype(np.int64)
        counts[np.argsort(-(share - counts), kind="stable")[: max(faces - counts.sum(), 0)]] += 1
        parts = [rng.choice(np.flatnonzero(labels == k), count, replace=False) for k, count in enumerate(counts)]
        return np.sort(np.concatenate(parts))
    ones = np.flatnonzero(labels == 1)
    zeros = np.flatnonzero(labels == 0)
    wanted = int(np.clip(round(faces * len(ones) / len(labels)), min(1, len(ones)), max(faces - 1, 1)))
    return np.sort(
        np.concatenate([rng.choice(ones, wanted, replace=False), rng.choice(zeros, faces - wanted, replace=False)])
    )


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Spearman's, -1 to 1, ties at their mean rank; None where one of the two (n,) is constant."""
    first, second = rankdata(first), rankdata(second)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.corrcoef(first, second)[0, 1])


@dataclass(frozen=True, eq=False)
class _Trained:
    """What a classifier reached on the test faces, the seconds of training, importance float64 (D,) by each measure.

    decided: as of `Trial`.
    """

    metrics: Metrics
    seconds: float
    importance: dict[str, np.ndarray]
    decided: str = ""


def _title(kind: str, by: str) -> str:
    """A kind with several measures names the one meant."""
    about = classifiers.KINDS[kind]
    return about.title if len(about.estimator.measures) == 1 else f"{about.title}, {by.replace('_', ' ')}"


def _trial(
    kind: str,
    seed: int,
    codes: np.ndarray,
    labels: np.ndarray,
    rows: np.ndarray | None,
    test_codes: np.ndarray,
    test_labels: np.ndarray,
    *,
    excluded: frozenset[int],
    progress: Callable[[float, str], None],
    cancelled: Callable[[], bool] | None,
) -> _Trained:
    model = classifiers.make(kind, excluded=excluded, screen=None, random_state=seed)
    progress(0.0, "training")
    started = time.perf_counter()
    model.fit(
        codes,
        labels,
        rows=rows,
        progress=lambda share, text: progress(0.9 * share, "training"),
        cancelled=cancelled,
    )
    seconds = time.perf_counter() - started
    progress(0.9, "measuring")
    importance = {by: classifiers_measures.importance(model, by=by) for by in model.measures}
    probability = model.probabilities(test_codes)
    given = likeliest(probability).astype(np.uint8)
    several = probability.shape[1] > 2
    decided = BYTES + given.tobytes().hex() if several else np.packbits(given).tobytes().hex()
    return _Trained(classifiers_measures.metrics_of_answers(probability, test_labels), seconds, importance, decided)


def _questioned(
    trained: _Trained,
    importance: np.ndarray,
    seed: int,
    distance: np.ndarray,
    remaining: np.ndarray,
    furthest: np.ndarray,
    ks: tuple[int, ...],
) -> Trial:
    """How well the importance finds what is far apart; furthest: the first channels by distance, (max(ks),)."""
    first = scores.top(importance, max(ks))
    first = first[importance[first] > 0]  # a channel it does not use does not count
    heads = [first[:k] for k in ks]
    return Trial(
        seed=int(seed),
        accuracy=trained.metrics.accuracy,
        auc=trained.metrics.auc,
        log_loss=trained.metrics.log_loss,
        seconds=trained.seconds,
        rank_correlation=rank_correlation(importance[remaining], distance[remaining]),
        used=int((importance > 0).sum()),
        top=tuple(map(int, first)),
        overlap=tuple(float(np.isin(head, furthest[:k]).sum() / k) for k, head in zip(ks, heads, strict=True)),
        top_distance=tuple(float(distance[head].mean()) if len(head) else None for head in heads),
        decided=trained.decided,
    )


def _within(report: Callable[[float, str], None], done: int, count: int, where: str) -> Callable[[float, str], None]:
    """Reports the share of one trial as a share of all of them."""
    return lambda share, text: report((done + share) / count, f"{where}: {text}")


def _codes(table: StyleTable, rows: np.ndarray) -> np.ndarray:
    """Rows of the table in memory, read-only for those who share them; float32 (n, D), column-major."""
    codes = table.psi.T.take(rows, axis=1).T
    codes.setflags(write=False)
    return codes


def _check(
    distance: np.ndarray,
    width: int,
    *,
    seeds: Sequence[int],
    faces: int | None,
    excluded: frozenset[int],
    ks: Sequence[int],
    kinds: Sequence[str],
) -> None:
    """Raise Img2TabError where an argument of `compare` is out of its range."""
    if distance.shape != (width,) or not np.isfinite(distance).all():
        raise Img2TabError(f"There must be one finite distance for each of the {width} channels, got {distance.shape}.")
    if not kinds or not set(kinds) <= set(classifiers.KINDS):
        choice, got = ", ".join(classifiers.KINDS), ", ".join(kinds) or "none"
        raise Img2TabError(f"Classifiers must be some of {choice}, got {got}.")
    whole = all(isinstance(seed, Integral) and int(seed) >= 0 for seed in seeds)
    if not seeds or not whole or len(set(seeds)) != len(seeds):
        raise Img2TabError(f"Seeds must be different whole numbers of at least 0, got {list(seeds)}.")
    if faces is not None and (not isinstance(faces, Integral) or faces < 2):
        raise Img2TabError(f"faces must be a whole number of at least 2, or None for all, got {faces}.")
    if not all(0 <= index < width for index in excluded):
        raise Img2TabError(f"Excluded channels must be between 0 and {width - 1}, got {sorted(excluded)[-1]}.")
    left = width - len(excluded)
    if not ks or not all(isinstance(k, Integral) and 1 <= k <= left for k in ks):
        raise Img2TabError(f"Every k must be a whole number from 1 to {left}, the channels there are, got {list(ks)}.")


def _versions(kinds: Sequence[str]) -> dict[str, str]:
    packages = {name: version(name) for name in ("numpy", "scikit-learn")}
    packages |= {classifiers.KINDS[kind].package: classifiers.library_version(kind) for kind in kinds}
    return {"img2tab": __version__} | dict(sorted(packages.items()))


def _tuples(record: dict) -> dict:
    """A record's lists become tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in record.items()}
