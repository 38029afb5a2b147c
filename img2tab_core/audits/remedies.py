"""The standard remedies for a gap on the same style codes, with the same classifier: accuracy against gap."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from numbers import Integral

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from img2tab_core import __version__
from img2tab_core.audits.changes import Change, change
from img2tab_core.audits.groups import STANDARD, Groups
from img2tab_core.audits.metrics import gaps_of
from img2tab_core.audits.paired import Difference, paired_gaps
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.files import plain
from img2tab_core.base.intervals import Estimate, estimate
from img2tab_core.classifiers.catboost import BINS, TRIED_PER_SPLIT, CatBoostConcepts
from img2tab_core.classifiers.preparation import Preparation, cell_weights
from img2tab_core.concepts import scores, wasserstein

COLUMNS = 512
FOLDS = 5  # ThresholdOptimizer learns from probabilities of faces the classifier was not trained on
STRENGTH = 1e-2  # of the logistic regression's penalty, as in LogisticConcepts
SLACK = 0.01  # the equalised odds difference that ExponentiatedGradient allows on the training faces
NOTHING = "nothing"
MEASURES = {"accuracy": "accuracy", "equalised_odds": "equalised odds difference", "seconds": "seconds"}

_FAILURES = (Img2TabError, ValueError, RuntimeError, ArithmeticError, np.linalg.LinAlgError)
_BLOCK = 256  # channels copied at once


@dataclass(frozen=True)
class Remedy:
    """One remedy of several: its word, the title and the sentence a person reads.

    needs_group: the sensitive attribute of a face must be known when it is judged. random: two equal faces may be given
    different answers, by chance.
    """

    remedy: str
    title: str
    how: str
    needs_group: bool = False
    random: bool = False


REMEDIES: dict[str, Remedy] = {
    remedy.remedy: remedy
    for remedy in (
        Remedy(NOTHING, "Nothing", "The classifier as it is."),
        Remedy(
            "reweighing",
            "Reweighing",
            "Training faces are weighted so that group and label are independent (Kamiran and Calders 2012).",
        ),
        Remedy(
            "correlation_remover",
            "CorrelationRemover",
            "What the group explains linearly is taken out of every channel (Fairlearn).",
            needs_group=True,
        ),
        Remedy(
            "leace",
            "LEACE",
            "What tells the groups apart linearly, over all faces, is taken out of the channels (concept-erasure, "
            "Belrose et al. 2023).",
        ),
        Remedy(
            "exponentiated_gradient",
            "ExponentiatedGradient",
            "A lottery of classifiers trained until equalised odds hold on the training faces (Fairlearn).",
            random=True,
        ),
        Remedy(
            "threshold_optimizer",
            "ThresholdOptimizer",
            "A threshold for each group, drawn where one does not suffice, on top of the classifier as it is "
            "(Fairlearn).",
            needs_group=True,
            random=True,
        ),
    )
}


@dataclass(frozen=True)
class Base:
    """A classifier that all remedies share, with the settings a reader needs to repeat it."""

    base: str
    title: str


BASES: dict[str, Base] = {
    base.base: base
    for base in (
        Base("logistic", f"logistic regression (scikit-learn, C = {STRENGTH:g}, standardised channels)"),
        Base("catboost", "CatBoost (the settings of the standing classifier)"),
    )
}


@dataclass(frozen=True, eq=False)
class Task:
    """What a remedy is given for one seed.

    codes: (N, D) style units; train, test: row numbers, int64 (n,) and (m,); labels: int64 (n,) of the training faces;
    groups: of the training faces, int64 (n,); test_groups: int64 (m,), for those that need it. ranking: int64 (D,), all
    channels by Wasserstein-1 between the classes of the training faces, largest first. columns: how many of them are
    used; base: of BASES.
    """

    codes: np.ndarray
    train: np.ndarray
    test: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    test_groups: np.ndarray
    ranking: np.ndarray
    columns: int
    base: str
    seed: int
    tick: Callable[[], None]


@dataclass(frozen=True)
class Own:
    """A way of ours to stand beside the standard remedies.

    answers: for a Task, or for each seed, probabilities of class 1 or answers 0 and 1 for the test faces; float (m,).
    """

    title: str
    answers: Callable[[Task], np.ndarray] | Mapping[int, np.ndarray]
    how: str = ""
    needs_group: bool = False


@dataclass(frozen=True)
class Trial:
    """One remedy with one seed, on the test faces; gaps as in `metrics.GAPS`, seconds of training and predicting."""

    seed: int
    accuracy: float
    equalised_odds: float | None
    demographic_parity: float | None
    equal_opportunity: float | None
    worst_accuracy: float | None
    accuracy_gap: float | None
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """One remedy of a comparison. own: not a standard one. reason: why it has no trials, None where it has.

    faces: by "accuracy" and the names of `metrics.GAPS`, how far its mean over the seeds lies from that of nothing,
    with the interval of a paired bootstrap of the test faces; empty for nothing itself, and where there are no trials.
    to_reference: the same from the reference of the comparison; empty where it has none.
    """

    remedy: str
    title: str
    how: str
    needs_group: bool
    random: bool
    own: bool
    trials: tuple[Trial, ...]
    reason: str | None = None
    faces: dict[str, Difference | None] = field(default_factory=dict)
    to_reference: dict[str, Difference | None] = field(default_factory=dict)

    def estimate(self, name: str) -> Estimate:
        """Of a field of `Trial`: mean over the seeds and its 95 % t-interval."""
        return estimate([getattr(trial, name) for trial in self.trials])


@dataclass(frozen=True)
class Remedies:
    """What remedies reached; computed once, then only read.

    base: the classifier they all share; columns: how many channels it is trained on, the best by Wasserstein-1 between
    the classes of the training faces. train_faces: for each seed. Intervals over the seeds say how much the training
    faces matter, not what other test faces would give: `Outcome.faces` says that. reference: the title of the way that
    shows how small a gap can be, such as one trained on an unbiased draw; "" where there is none.
    """

    attribute: str
    base: str
    columns: int
    channels: int
    seeds: tuple[int, ...]
    train_faces: tuple[int, ...]
    test_faces: int
    outcomes: tuple[Outcome, ...]
    versions: dict[str, str] = field(default_factory=dict)
    reference: str = ""

    def outcome(self, remedy: str) -> Outcome:
        """The outcome of a remedy by its word, ours by its title; raises Img2TabError where there is none."""
        for outcome in self.outcomes:
            if outcome.remedy == remedy:
                return outcome
        raise Img2TabError(
            f"A remedy must be one of {', '.join(outcome.remedy for outcome in self.outcomes)}, got {remedy!r}."
        )

    def change(self, remedy: str, name: str = "equalised_odds", *, against: str = NOTHING) -> Change | None:
        """Against nothing, seed by seed: whether accuracy or a gap changed, beyond the seeds and beyond the faces.

        remedy: as for `outcome`; name: "accuracy" or one of `metrics.GAPS`; against: nothing, or the reference. None
        where one has no trials. Raises Img2TabError where there is no such remedy.
        """
        outcome = self.outcome(remedy)
        before, after = ([getattr(trial, name) for trial in side.trials] for side in (self.outcome(against), outcome))
        if not before or not after or None in before or None in after:
            return None
        larger = name in ("accuracy", "worst_accuracy")
        return change(
            before,
            after,
            smaller_is_better=not larger,
            what="accuracy" if larger else "gap",
            faces=(outcome.faces if against == NOTHING else outcome.to_reference).get(name),
        )

    def front(self) -> tuple[str, ...]:
        """The remedies that no other beats: none is at least as good in both mean accuracy and mean gap, better in one.

        The gap is the equalised odds difference. By means alone: where intervals overlap it may be luck.
        """
        at = {
            outcome.remedy: (outcome.estimate("accuracy").mean, outcome.estimate("equalised_odds").mean)
            for outcome in self.outcomes
        }
        known = {
            name: (accuracy, gap) for name, (accuracy, gap) in at.items() if accuracy is not None and gap is not None
        }
        return tuple(name for name, pair in known.items() if not any(_beats(other, pair) for other in known.values()))

    def to_json(self) -> dict:
        """Plain types: every seed, and for a reader the means and intervals."""
        stored = asdict(self)
        for outcome, row in zip(self.outcomes, stored["outcomes"], strict=True):
            row["estimates"] = {name: asdict(outcome.estimate(name)) for name in MEASURES}
        return plain(stored)

    @classmethod
    def from_json(cls, stored: dict) -> Remedies:
        """What `to_json` gave, as it was; raises Img2TabError where it is something else."""
        try:
            outcomes = tuple(
                Outcome(
                    **{name: value for name, value in row.items() if name != "estimates"}
                    | {
                        "trials": tuple(Trial(**trial) for trial in row["trials"]),
                        **{
                            which: {
                                name: None if difference is None else Difference(**difference)
                                for name, difference in row.get(which, {}).items()
                            }
                            for which in ("faces", "to_reference")
                        },
                    }
                )
                for row in stored["outcomes"]
            )
            return cls(
                **stored
                | {"outcomes": outcomes, "seeds": tuple(stored["seeds"]), "train_faces": tuple(stored["train_faces"])}
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise Img2TabError(f"This is not a comparison of remedies ({error}). Compare again.") from error

    def frame(self) -> pd.DataFrame:
        """One row per remedy for people to read: means, half-widths of the intervals (±), what it needs, a verdict."""
        return pd.DataFrame([self._row(outcome) for outcome in self.outcomes])

    def _row(self, outcome: Outcome) -> dict:
        row: dict[str, object] = {"remedy": outcome.title, "ours": outcome.own}
        for name, title in MEASURES.items():
            value = outcome.estimate(name)
            row[title] = np.nan if value.mean is None else value.mean
            row[f"{title} ±"] = np.nan if value.half is None else value.half
        against = None if outcome.remedy == NOTHING else self.change(outcome.remedy)
        return row | {
            "needs the group": outcome.needs_group,
            "answers by chance": outcome.random,
            "against nothing": against.verdict if against else "",
            "note": outcome.reason or outcome.how,
        }


def compare_remedies(
    codes: np.ndarray,
    labels: np.ndarray,
    groups: Groups,
    *,
    train: Mapping[int, np.ndarray],
    test: np.ndarray,
    remedies: Sequence[str] = tuple(REMEDIES),
    extra: Sequence[Own] = (),
    base: str = "catboost",
    columns: int = COLUMNS,
    reference: str = "",
    progress: Callable[[float, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Remedies:
    """Train the same classifier with every remedy and every seed, and measure it on the test faces.

    codes: (N, D) style units, a memory map is read only as far as needed. labels: (N,) of 0 and 1, -1 where unknown.
    groups: of the N faces. train: seed -> row numbers of its training faces; with the same faces for each seed a
    logistic regression repeats itself, and the interval of what is not left to chance has no width. test: row numbers;
    rows with unknown label or group are left out. columns: how many channels everyone uses, the best by Wasserstein-1
    between the classes of that seed's training faces (of those left, where channels are excluded). reference: the
    title of one of `extra` that all are held against as well.

    Accuracy and gaps are of answers, at the threshold 0.5 but for ThresholdOptimizer. A remedy that fails is listed
    with its reason. progress: a share that only grows and a text; cancelled: once true, Cancelled is raised. Raises
    Img2TabError where the arguments do not go together or the test faces lack a class or a second group.
    """
    codes, labels = np.asarray(codes), np.asarray(labels)
    remedies = tuple(dict.fromkeys((NOTHING, *remedies)))  # all are measured against it
    _check(
        codes,
        labels,
        groups,
        train=train,
        remedies=remedies,
        extra=extra,
        base=base,
        columns=columns,
        reference=reference,
    )
    known = (labels == 0) | (labels == 1)
    known &= groups.codes >= 0
    kept = known[np.asarray(test)]  # which of the test rows take part
    test = np.asarray(test)[kept]
    _check_test(test, labels, groups)
    ways = [REMEDIES[remedy] for remedy in remedies]
    trials: dict[str, list[Trial]] = {name: [] for name in (*remedies, *(way.title for way in extra))}
    decided: dict[str, list[np.ndarray]] = {name: [] for name in trials}  # of each seed, bool (m,)
    reasons: dict[str, str | None] = dict.fromkeys(trials)
    report, done, train_faces = progress or (lambda fraction, text: None), 0, []
    for number, (seed, given) in enumerate(train.items()):
        where = f"seed {number + 1} of {len(train)}"
        rows = np.asarray(given)[known[np.asarray(given)]]
        train_faces.append(len(rows))
        report(done / (len(trials) * len(train)), f"Ranking concepts, {where}")
        _stop_if(cancelled)
        task = _task(
            codes,
            labels,
            groups.codes,
            rows,
            test,
            columns=columns,
            base=base,
            seed=int(seed),
            tick=lambda: _stop_if(cancelled),
        )
        prepared: dict[str, np.ndarray] = {}
        for name in trials:
            report(done / (len(trials) * len(train)), f"{_title(name)}, {where}")
            _stop_if(cancelled)
            if reasons[name] is None:
                try:
                    own = next((way for way in extra if way.title == name), None)
                    if not prepared and own is None:
                        prepared["train"], prepared["test"] = _gathered(task, task.ranking[:columns])
                    started = time.perf_counter()
                    answers = _standard(name, task, prepared) if own is None else _answers(own, task, kept)
                    seconds = time.perf_counter() - started
                    decisions = np.asarray(answers) > STANDARD
                    decided[name].append(decisions)
                    trials[name].append(_trial(decisions, labels[test], groups.codes[test], task.seed, seconds))
                except Cancelled:
                    raise
                except _FAILURES as error:
                    reasons[name] = str(error) or type(error).__name__
            done += 1
    report(1.0, "Compared")
    outcomes = [Outcome(**asdict(way), own=False, trials=(), reason=reasons[way.remedy]) for way in ways]
    outcomes += [
        Outcome(way.title, way.title, way.how, way.needs_group, False, True, (), reasons[way.title]) for way in extra
    ]
    return Remedies(
        attribute=groups.attribute,
        base=BASES[base].title,
        columns=min(columns, codes.shape[1]),
        channels=codes.shape[1],
        seeds=tuple(map(int, train)),
        train_faces=tuple(train_faces),
        test_faces=len(test),
        outcomes=tuple(
            _measured(
                outcome,
                trials[outcome.remedy],
                *(
                    _of_faces(outcome, decided, against, reasons.get(against), labels[test], groups.codes[test])
                    for against in (NOTHING, reference)
                ),
            )
            for outcome in outcomes
        ),
        versions=_versions(base),
        reference=reference,
    )


def excluding(excluded: Collection[int], *, title: str = "Ours: exclusion", how: str = "") -> Own:
    """Train the same classifier without these channels, on as many of the best that remain."""
    excluded = frozenset(int(index) for index in excluded)
    words = how or f"{len(excluded):,} channels are excluded; the best of the others are used."
    return Own(title, lambda task: without(task, excluded), words)


def without(task: Task, excluded: Collection[int]) -> np.ndarray:
    """Probabilities of class 1 of the test faces by the shared classifier, trained without these channels; (m,).

    Raises Img2TabError where no channel is left.
    """
    left = task.ranking[~np.isin(task.ranking, list(excluded))][: task.columns]
    if not len(left):
        raise Img2TabError(f"At least one channel must remain, got {len(set(excluded))} excluded. Exclude fewer.")
    train, test = _gathered(task, left)
    return _fitted(task, train, task.labels).predict_proba(test)[:, 1]


def treated(task: Task, measured: Preparation) -> np.ndarray:
    """Probabilities of class 1 of the test faces by the shared classifier, trained on faces so prepared; (m,).

    measured: of the task's training faces.
    """
    channels = np.sort(measured.order[: task.columns])
    train = task.codes.T[channels].take(task.train, axis=1).T  # (n, k) column-major
    train, labels, weights = measured.applied(task.codes, task.train, task.labels, train, channels)
    test = task.codes.T[channels].take(task.test, axis=1).T
    if measured.erasure is not None:
        test = measured.erasure.taken_from(test, measured.erasure.readings(task.codes, task.test), channels)
    train, test = _standardised(train, test)
    return _fitted(task, train, labels, weights).predict_proba(test)[:, 1]


def reweighing(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """A weight for each training face with which group and label are independent; float64 (n,), mean 1."""
    return cell_weights(np.asarray(labels, np.int64), np.eye(int(np.max(groups)) + 1)[np.asarray(groups)])


# --- the remedies ----------------------------------------------------------------------------------------


class SharedClassifier(ClassifierMixin, BaseEstimator):
    """The classifier of every remedy, with sample weights, as scikit-learn and Fairlearn expect one.

    kind: of BASES; tick: called before each training, raises Cancelled where the person wants to stop.
    """

    def __init__(self, kind: str = "logistic", seed: int = 0, tick: Callable[[], None] | None = None) -> None:
        self.kind = kind
        self.seed = seed
        self.tick = tick

    def fit(self, X: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> SharedClassifier:
        """X: (n, k), standardised; y: (n,) of 0 and 1."""
        if self.tick is not None:
            self.tick()
        self.model_ = _made(self.kind, self.seed, X.shape[1]).fit(X, np.asarray(y), sample_weight=sample_weight)
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Probability of class 0 and of class 1; float64 (n, 2)."""
        return self.model_.predict_proba(X)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The likelier class; int64 (n,)."""
        return (self.predict_proba(X)[:, 1] > STANDARD).astype(np.int64)


def _made(kind: str, seed: int, width: int) -> ClassifierMixin:
    """A classifier for so many channels, as scikit-learn has them; CatBoostConcepts takes no sample weights."""
    if kind == "logistic":
        return LogisticRegression(C=STRENGTH, max_iter=1000)
    from catboost import CatBoostClassifier

    standing = CatBoostConcepts(random_state=seed)
    return CatBoostClassifier(
        iterations=standing.iterations,
        depth=standing.depth,
        learning_rate=standing.learning_rate,
        rsm=min(1.0, TRIED_PER_SPLIT / width),
        border_count=BINS,
        leaf_estimation_iterations=1,
        boosting_type="Plain",
        random_seed=seed,
        allow_writing_files=False,
        verbose=False,
    )


def _standard(name: str, task: Task, prepared: dict[str, np.ndarray]) -> np.ndarray:
    """Answers of a standard remedy for the test faces; probabilities, or 0 and 1; (m,)."""
    return _WORK[name](task, prepared["train"], prepared["test"])


def _nothing(task: Task, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    return _fitted(task, train, task.labels).predict_proba(test)[:, 1]


def _reweighed(task: Task, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    weights = reweighing(task.labels, task.groups)
    return _fitted(task, train, task.labels, weights).predict_proba(test)[:, 1]


def _linearly_erased(task: Task, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    try:
        from concept_erasure import LeaceEraser
        from torch import from_numpy
    except ImportError as error:
        raise Img2TabError(f"{error.name} is not installed: `pip install -e .[rivals]` in the folder.") from error
    eraser = LeaceEraser.fit(from_numpy(train), from_numpy(task.groups))
    cleaned, unseen = (eraser(from_numpy(codes)).numpy() for codes in (train, test))
    return _fitted(task, cleaned, task.labels).predict_proba(unseen)[:, 1]


def _correlation_removed(task: Task, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    from fairlearn.preprocessing import CorrelationRemover

    present = np.unique(task.groups)[1:]  # one column for each group but the first
    columns = [
        np.column_stack([codes, groups[:, None] == present])
        for codes, groups in ((train, task.groups), (test, task.test_groups))
    ]
    remover = CorrelationRemover(sensitive_feature_ids=list(range(train.shape[1], columns[0].shape[1])))
    cleaned = remover.fit_transform(columns[0])
    return _fitted(task, cleaned, task.labels).predict_proba(remover.transform(columns[1]))[:, 1]


def _exponentiated(task: Task, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    from fairlearn.reductions import EqualizedOdds, ExponentiatedGradient

    model = ExponentiatedGradient(
        SharedClassifier(task.base, task.seed, task.tick), EqualizedOdds(difference_bound=SLACK)
    )
    model.fit(train, task.labels, sensitive_features=task.groups)
    return model.predict(test, random_state=task.seed)


def _thresholds_optimised(task: Task, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    from fairlearn.postprocessing import ThresholdOptimizer

    # On the faces it was trained on a classifier is nearly always right: thresholds learnt there would mean nothing.
    unseen = np.empty(len(train))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=task.seed)
    for kept, left in folds.split(train, _cells(task.labels, task.groups)):
        unseen[left] = _fitted(task, train[kept], task.labels[kept]).predict_proba(train[left])[:, 1]
    model = ThresholdOptimizer(
        estimator=_AsItIs().fit(), constraints="equalized_odds", prefit=True, predict_method="predict_proba"
    )
    model.fit(unseen[:, None], task.labels, sensitive_features=task.groups)
    probability = _nothing(task, train, test)
    return model.predict(probability[:, None], sensitive_features=task.test_groups, random_state=task.seed)


_WORK = {
    NOTHING: _nothing,
    "reweighing": _reweighed,
    "correlation_remover": _correlation_removed,
    "leace": _linearly_erased,
    "exponentiated_gradient": _exponentiated,
    "threshold_optimizer": _thresholds_optimised,
}


class _AsItIs(ClassifierMixin, BaseEstimator):
    """Its one feature is the probability of class 1."""

    def fit(self, X: np.ndarray | None = None, y: np.ndarray | None = None) -> _AsItIs:
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return np.column_stack([1 - X[:, 0], X[:, 0]])


def _fitted(task: Task, codes: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> SharedClassifier:
    return SharedClassifier(task.base, task.seed, task.tick).fit(codes, labels, sample_weight=weights)


def _cells(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Label and group as one number, or the label alone where a cell has too few faces to be in every fold."""
    cells = 2 * groups + labels
    return cells if np.unique(cells, return_counts=True)[1].min() >= FOLDS else labels


# --- the faces -------------------------------------------------------------------------------------------


def _task(
    codes: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    rows: np.ndarray,
    test: np.ndarray,
    *,
    columns: int,
    base: str,
    seed: int,
    tick: Callable[[], None],
) -> Task:
    """The training faces of one seed, and the channels ranked by them."""
    of_train, width = labels[rows].astype(np.int64), codes.shape[1]
    std = np.empty(width)
    for start in range(0, width, _BLOCK):
        part = slice(start, start + _BLOCK)
        std[part] = codes.T[part].take(rows, axis=1).std(axis=1, dtype=np.float64)
    distance = wasserstein.wasserstein(codes, of_train, std=std, rows=rows)
    return Task(
        codes, rows, test, of_train, groups[rows], groups[test], scores.top(distance, width), columns, base, seed, tick
    )


def _gathered(task: Task, channels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Channels of the training and the test faces, standardised by the training faces; float64 (n, k), (m, k)."""
    train, test = (
        task.codes.T[np.sort(channels)].take(rows, axis=1).T.astype(np.float64, order="C")
        for rows in (task.train, task.test)
    )
    return _standardised(train, test)


def _standardised(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both by the mean and the standard deviation of the first; float64."""
    mean, std = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
    std[std == 0] = 1
    return (train - mean) / std, (test - mean) / std


def _answers(own: Own, task: Task, kept: np.ndarray) -> np.ndarray:
    """Ours for the test faces that take part; (m,). kept: bool, which of the given test rows do."""
    if callable(own.answers):
        answers, count = np.asarray(own.answers(task)), int(kept.sum())
    else:
        if task.seed not in own.answers:
            raise Img2TabError(f"There are no answers for seed {task.seed}. Predict with every seed.")
        answers, count = np.asarray(own.answers[task.seed]), len(kept)
    if answers.shape != (count,) or not ((answers >= 0) & (answers <= 1)).all():
        raise Img2TabError(f"There must be one probability for each of {count} test faces, got shape {answers.shape}.")
    return answers if callable(own.answers) else answers[kept]


def _trial(decisions: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int, seconds: float) -> Trial:
    gaps = gaps_of(labels, decisions, groups)
    return Trial(seed=seed, accuracy=float((decisions == labels).mean()), seconds=seconds, **gaps)


def _of_faces(
    outcome: Outcome,
    decided: Mapping[str, Sequence[np.ndarray]],
    against: str,
    against_failed: str | None,
    labels: np.ndarray,
    groups: np.ndarray,
) -> dict[str, Difference | None]:
    """What other test faces would change of how far a remedy lies from another; decided: bool (m,) for each seed."""
    if not against or outcome.remedy == against or outcome.reason or against_failed:
        return {}
    return paired_gaps(labels, np.stack(decided[against]), np.stack(decided[outcome.remedy]), groups)


def _measured(
    outcome: Outcome,
    trials: Sequence[Trial],
    faces: dict[str, Difference | None],
    to_reference: dict[str, Difference | None],
) -> Outcome:
    """Seeds of a remedy that failed later are dropped: its interval would be over others than its neighbours'."""
    return replace(outcome, trials=() if outcome.reason else tuple(trials), faces=faces, to_reference=to_reference)


def _title(name: str) -> str:
    return REMEDIES[name].title if name in REMEDIES else name


def _beats(mine: tuple[float, float], theirs: tuple[float, float]) -> bool:
    """Whether (accuracy, gap) is at least as good in both and better in one."""
    return mine[0] >= theirs[0] and mine[1] <= theirs[1] and mine != theirs


def _stop_if(cancelled: Callable[[], bool] | None) -> None:
    if cancelled is not None and cancelled():
        raise Cancelled("The comparison of remedies was stopped; nothing was changed.")


def _check(
    codes: np.ndarray,
    labels: np.ndarray,
    groups: Groups,
    *,
    train: Mapping[int, np.ndarray],
    remedies: tuple[str, ...],
    extra: Sequence[Own],
    base: str,
    columns: int,
    reference: str,
) -> None:
    if codes.ndim != 2 or labels.shape != codes.shape[:1] or groups.codes.shape != codes.shape[:1]:
        raise Img2TabError(
            "There must be one style code, one label and one group for each face, got "
            f"{codes.shape}, {labels.shape} and {groups.codes.shape}."
        )
    if not train or not all(isinstance(seed, Integral) and seed >= 0 for seed in train):
        raise Img2TabError(f"Seeds must be whole numbers of at least 0 with training faces each, got {list(train)}.")
    if not set(remedies) <= set(REMEDIES):
        wrong = next(way for way in remedies if way not in REMEDIES)
        raise Img2TabError(f"Remedies must be some of {', '.join(REMEDIES)}, got {wrong!r}.")
    titles = [way.title for way in extra]
    if len(set(titles)) != len(titles) or set(titles) & set(REMEDIES):
        raise Img2TabError(f"Ways beside the remedies must have titles of their own, got {', '.join(titles)}.")
    if reference and reference not in titles:
        raise Img2TabError(f"The reference must be one of {', '.join(titles)}, got {reference!r}.")
    if base not in BASES:
        raise Img2TabError(f"The shared classifier must be one of {', '.join(BASES)}, got {base!r}.")
    if not isinstance(columns, Integral) or columns < 1:
        raise Img2TabError(f"columns must be a whole number of at least 1, got {columns}.")


def _check_test(test: np.ndarray, labels: np.ndarray, groups: Groups) -> None:
    if len(np.unique(groups.codes[test])) < 2 or len(np.unique(labels[test])) < 2:
        raise Img2TabError(
            f"The test faces must have two groups of {groups.attribute!r} and both classes, got {len(test):,} faces "
            "with known label and group that do not. Choose another table or attribute."
        )


def _versions(base: str) -> dict[str, str]:
    packages = ("fairlearn", "numpy", "scikit-learn", *(("catboost",) if base == "catboost" else ()))
    return {"img2tab": __version__} | {package: version(package) for package in packages}
