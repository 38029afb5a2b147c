"""Boosted trees by XGBoost, also those that the Img2Tab authors published."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.foreign import DAMAGED, parsed_json, reason
from img2tab_core.base.records import read_only
from img2tab_core.classifiers.base import (
    Cancel,
    ConceptClassifier,
    Report,
    check_share,
    check_whole,
    gathered,
    imported,
    must_differ,
    stop_if,
    two_columns,
)

Booster = Any  # xgboost.Booster; the library says nothing of its types
TITLE = "XGBoost"
GAMMA, ROWS, ALPHA, LAMBDA = 0.3, 0.74, 10.0, 0.1  # of the published classifier
BINS = 32  # values a channel is quantized to while training
HELD = 1_000_000_000  # bytes of codes; more are read in parts and quantized on the disk
PART = 128_000_000  # bytes of such a part
# what XGBoost keeps of every node of a tree
TREE = (
    "left_children",
    "right_children",
    "split_indices",
    "split_conditions",
    "parents",
    "base_weights",
    "default_left",
    "loss_changes",
    "sum_hessian",
    "split_type",
)


class XGBoostConcepts(ConceptClassifier):
    """After `fit` also booster_, the XGBoost model over the k screened channels.

    Importance, as XGBoost itself and so the Img2Tab authors: "gain", the average gain of the splits on a channel; or
    "total_gain", their sum, which does not favour a channel that was split once and well.

    The defaults: regularised like the published classifier (gamma, row share, alpha, lambda), but with trees as shallow
    as those of the standing classifier and a tenth of the channels for each. The published settings (415 rounds, depth
    6, 0.6 of the channels) took twelve times as long on 4,000 faces and were no better (smiling: 0.929, these 0.932).

    More than a gigabyte of codes (`HELD`) is never held: XGBoost reads the table in parts and keeps them quantized in a
    temporary folder, two bytes a value (its external memory). Where a channel's values are parted is then decided by a
    summary of each part, and which faces a tree is grown on by other random numbers: other trees than from memory.
    """

    kind, file, library, measures, explains = "xgboost", "model.xgb.json", "xgboost-cpu", ("gain", "total_gain"), True

    def __init__(
        self,
        *,
        iterations: int = 600,
        depth: int = 3,
        learning_rate: float = 0.1,
        columns: float = 0.1,
        excluded: frozenset[int] = frozenset(),
        screen: int | None = 2048,
        random_state: int = 0,
        thread_count: int = -1,
    ) -> None:
        self.iterations = iterations
        self.depth = depth
        self.learning_rate = learning_rate
        self.columns = columns
        self.excluded = excluded
        self.screen = screen
        self.random_state = random_state
        self.thread_count = thread_count

    def _check_parameters(self) -> None:
        check_whole(self, "iterations", 1, 100_000)
        check_whole(self, "depth", 1, 16)
        check_share(self, "learning_rate")
        check_share(self, "columns")
        super()._check_parameters()

    def _train(
        self,
        codes: np.ndarray,
        y: np.ndarray,
        weights: np.ndarray | None,
        used: np.ndarray,
        width: int,
        report: Report,
        cancelled: Cancel,
    ) -> None:
        xgboost = imported("xgboost", title=TITLE)
        data = xgboost.QuantileDMatrix(codes, y, weight=weights, max_bin=BINS, nthread=self.thread_count)
        self._grow(data, int(y.max()) + 1, report, cancelled)

    def _in_parts(self, count: int, channels: int) -> bool:
        return 4 * count * channels > HELD

    def _train_in_parts(
        self, X: np.ndarray, rows: np.ndarray, y: np.ndarray, used: np.ndarray, report: Report, cancelled: Cancel
    ) -> None:
        xgboost = imported("xgboost", title=TITLE)
        with tempfile.TemporaryDirectory(prefix="img2tab-xgboost-") as folder:
            parts = _parts(xgboost, X, rows, y, used, Path(folder) / "codes", cancelled)
            data = xgboost.ExtMemQuantileDMatrix(parts, max_bin=BINS, nthread=self.thread_count)
            must_differ(parts.differs)
            self._grow(data, int(y.max()) + 1, report, cancelled)

    def _grow(self, data: Any, classes: int, report: Report, cancelled: Cancel) -> None:
        """Train on XGBoost's own form of the codes, with their labels."""
        xgboost = imported("xgboost", title=TITLE)
        task: dict[str, object] = {"objective": "binary:logistic"}
        if classes > 2:
            task = {"objective": "multi:softprob", "num_class": classes}
        booster = xgboost.Booster(
            {
                **task,
                "tree_method": "hist",
                "max_bin": BINS,
                "max_depth": self.depth,
                "learning_rate": self.learning_rate,
                "gamma": GAMMA,
                "subsample": ROWS,
                "colsample_bytree": self.columns,
                "alpha": ALPHA,
                "lambda": LAMBDA,
                "seed": self.random_state,
                "nthread": self.thread_count,
                "verbosity": 0,
            },
            [data],
        )
        for done in range(self.iterations):
            stop_if(cancelled)
            booster.update(data, done)
            report(0.05 + 0.94 * (done + 1) / self.iterations, f"Tree {done + 1} of {self.iterations}")
        self.booster_ = booster

    def _probabilities(self, codes: np.ndarray) -> np.ndarray:
        chance = self.booster_.predict(self._data(codes), iteration_range=_best(self.booster_))
        if chance.ndim == 1:
            return two_columns(chance)
        chance = chance.astype(np.float64)
        return chance / chance.sum(axis=1, keepdims=True)

    def importances(self, by: str) -> np.ndarray:
        values = np.zeros(len(self.screened_))
        for name, value in self.booster_.get_score(importance_type=by).items():
            values[int(name[1:])] = value  # XGBoost calls its columns f0, f1, ...
        return values

    def contributions(self, codes: np.ndarray) -> np.ndarray:
        added = self.booster_.predict(self._data(codes), pred_contribs=True, iteration_range=_best(self.booster_))
        return added.astype(np.float64)

    def scores_by_class(self, codes: np.ndarray) -> np.ndarray:
        return self.contributions(codes)  # (n, K, k + 1) of trees for several classes

    def _data(self, codes: np.ndarray) -> Any:
        return imported("xgboost", title=TITLE).DMatrix(codes, nthread=self._threads(len(codes)))

    def write(self, file: Path) -> None:
        file.write_bytes(self.booster_.save_raw("json"))  # exact, and unlike its other format checked below

    def read(self, file: Path) -> None:
        booster = _opened(file.read_bytes(), threads=self.thread_count)
        if booster.num_features() != len(self.screened_):
            raise ValueError("its trees have other channels")
        self.booster_ = booster


def _parts(
    xgboost: Any,
    X: np.ndarray,
    rows: np.ndarray,
    y: np.ndarray,
    used: np.ndarray,
    prefix: Path,
    cancelled: Cancel,
) -> Any:
    """What XGBoost's external memory reads codes from, the same several times over: `PART` bytes at once.

    prefix: how the names of the files begin that it keeps them in. differs: whether a channel has more than one value.
    """
    first, at_once = gathered(X, rows[:1], used), max(1, PART // (4 * len(used)))

    class Parts(xgboost.DataIter):
        def __init__(self) -> None:
            super().__init__(cache_prefix=str(prefix))
            self.start, self.differs = 0, False

        def reset(self) -> None:
            self.start = 0

        def next(self, input_data: Any) -> bool:
            if self.start >= len(rows):
                return False
            stop_if(cancelled)
            part = slice(self.start, self.start + at_once)
            low, high = rows[part].min(), rows[part].max() + 1
            codes = gathered(X[low:high], rows[part] - low, used)
            self.differs = self.differs or bool((codes != first).any())
            input_data(data=codes, label=y[part])
            self.start = part.stop
            return True

    return Parts()


def open_published(file: Path, *, excluded: frozenset[int] = frozenset()) -> XGBoostConcepts:
    """A classifier of two classes that XGBoost saved as JSON, such as the Img2Tab authors' own for FFHQ.

    As in XGBoost itself, it predicts with the trees up to its best round, and importance counts all of them. The
    published one asks for style units as the backbone gives them, not standardised: its thresholds are around 4 and
    as wide as 7 in some layers, around 0 and 0.3 in others. What a classifier was trained on cannot be taken from it
    afterwards: an excluded channel that it uses is refused.

    Raises Img2TabError where the file cannot be read, holds something else, or uses an excluded channel.
    """
    file = Path(file)
    advice = "Choose a file that XGBoost's save_model wrote as JSON."
    try:
        stored = file.read_bytes()
        learner = parsed_json(stored, strict=False)["learner"]
        objective, trees = learner["objective"]["name"], learner["gradient_booster"]["name"]
        width = int(learner["learner_model_param"]["num_feature"])
    except OSError as error:
        raise Img2TabError(f"{file} cannot be read ({reason(error)}). {advice}") from error
    except DAMAGED as error:
        raise Img2TabError(f"{file} is not an XGBoost classifier. {advice}") from error
    if objective != "binary:logistic" or trees != "gbtree":
        raise Img2TabError(
            f"{file} must be boosted trees for two classes (gbtree, binary:logistic), got {trees!r:.40}, "
            f"{objective!r:.40}. {advice}"
        )
    model = XGBoostConcepts(excluded=excluded, screen=None)
    try:
        model.booster_ = _opened(stored, threads=model.thread_count)
        if not 0 <= _best(model.booster_)[1] <= model.booster_.num_boosted_rounds():
            raise ValueError("its best round is not among its rounds")
    except ValueError as error:
        raise Img2TabError(f"{file} is not a whole XGBoost classifier. {advice}") from error
    model.screened_ = read_only(np.arange(width))
    model.classes_, model.n_features_in_ = np.array([0, 1]), width
    used = np.flatnonzero(model.importances("total_gain"))
    forbidden = sorted(set(used.tolist()) & set(excluded))
    if forbidden:
        raise Img2TabError(
            f"{file.name} was trained with {len(forbidden)} of the excluded channels, such as {forbidden[0]}, and "
            "cannot forget them. Train a classifier of your own without them."
        )
    return model


def _best(booster: Booster) -> tuple[int, int]:
    """The rounds to predict with, as XGBoost writes them: (0, 0) is all."""
    best = booster.attr("best_iteration")
    return (0, 0) if best is None else (0, int(best) + 1)


def _opened(stored: bytes, *, threads: int) -> Booster:
    """XGBoost's own model from the bytes of its JSON. Raises ValueError (as XGBoost itself does) where they are none.

    XGBoost trusts the numbers in its trees and would end the whole process over wrong ones; so they are checked first.
    """
    xgboost = imported("xgboost", title=TITLE)
    try:
        learner = parsed_json(stored, strict=False)["learner"]
        width = int(learner["learner_model_param"]["num_feature"])
        for tree in learner["gradient_booster"]["model"]["trees"]:
            left, right = np.array(tree["left_children"]), np.array(tree["right_children"])
            channel, inner = np.array(tree["split_indices"]), np.array(tree["left_children"]) >= 0
            lengths = {len(tree[name]) for name in TREE} | {int(tree["tree_param"]["num_nodes"])}
            children = np.concatenate([left[inner], right[inner]])
            if lengths != {len(left)} or not _within(children, 1, len(left)) or not _within(channel[inner], 0, width):
                raise ValueError("its trees lead nowhere")
            if len(np.unique(children)) != len(children):
                raise ValueError("its trees are not trees")
    except DAMAGED as error:
        raise ValueError(f"it is not an XGBoost classifier: {reason(error)}") from error
    booster = xgboost.Booster({"nthread": threads, "verbosity": 0})
    booster.load_model(bytearray(stored))
    return booster


def _within(values: np.ndarray, low: int, high: int) -> bool:
    """Whether all are whole numbers in low .. high - 1."""
    return not values.size or (values.dtype.kind == "i" and values.min() >= low and values.max() < high)
