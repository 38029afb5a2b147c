"""Boosted trees by CatBoost, the standing classifier: many shallow trees that look at a few channels each."""

from __future__ import annotations

import json
import mmap
import os
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from img2tab_core import tables
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.foreign import parsed_json
from img2tab_core.base.jobs import silent
from img2tab_core.base.records import read_only
from img2tab_core.classifiers import cbm_trial
from img2tab_core.classifiers.base import (
    BLOCK,
    Cancel,
    ConceptClassifier,
    Report,
    check_share,
    check_whole,
    imported,
    must_differ,
    stop_if,
)

TRIED_PER_SPLIT = 100  # channels each split chooses from, sampled anew
BINS = 32  # values a channel is quantized to while training
# what decides a model beside its parameters
RECIPE = f"catboost {version('catboost')}, {TRIED_PER_SPLIT} tried, {BINS} bins"
TITLE = "CatBoost"
GPU_WISH = "IMG2TAB_GPU_TRAINING"  # an environment variable: anything but "" and "0" is a yes


def gpu_wished() -> bool:
    """Whether the person who runs this wants training on a graphics card, and there is a card."""
    if os.environ.get(GPU_WISH, "0") in ("", "0"):
        return False
    return imported("catboost.utils", title=TITLE).get_gpu_device_count() > 0


CatBoostPool = Any  # catboost.Pool; the library says nothing of its types
Booster = Any  # catboost.CatBoostClassifier


@dataclass(frozen=True, eq=False)
class QuantizedPool:
    """Style codes as CatBoost trains on them: a channel's values quantized to at most 33, one byte each.

    train, unseen: CatBoost pools, of the training rows with their labels from 0, and of other rows. Where the
    values of a channel are parted is decided by the training rows alone. known: bool (D,), the channels that were
    quantized; differs: bool (D,), those of them with more than one value among the training rows.
    """

    train: CatBoostPool
    unseen: CatBoostPool
    known: np.ndarray
    differs: np.ndarray

    @classmethod
    def of(
        cls,
        psi: np.ndarray,
        labels: np.ndarray,
        *,
        train: np.ndarray,
        unseen: np.ndarray,
        channels: np.ndarray | None = None,
        cancelled: Cancel = None,
    ) -> QuantizedPool:
        """Quantize style codes psi (N, D), style units; a column-major float32 memory map is not copied.

        labels: (N,) of whole numbers, from 0 in the rows `train`. train, unseen: row numbers. channels: those to
        quantize, None for all; a channel with a number that is not finite is left out. Raises Img2TabError where none
        is left, and Cancelled once `cancelled` says so.
        """
        catboost = imported("catboost", title=TITLE)
        wanted = np.ones(psi.shape[1], bool)
        if channels is not None:
            wanted[:] = False
            wanted[channels] = True
        with np.errstate(over="ignore"):  # too large for float32: seen just below
            psi = np.asfortranarray(psi, np.float32)
        finite = _finite(psi)
        known = wanted & finite
        if not known.any():
            raise Img2TabError("At least one channel must be finite in every face, got none. Encode again.")
        if not finite.all():  # CatBoost refuses a gap in ignored channels too
            whole_channels = _zeros(*psi.shape)
            for index in np.flatnonzero(known):  # one after the other: what is not wanted need not be copied
                whole_channels[:, index] = psi[:, index]
            psi = whole_channels
        whole = catboost.Pool(psi, np.asarray(labels, np.int64))
        stop_if(cancelled)
        # parts of an unquantized pool are views: what is quantized is read straight from the memory map
        first, second = whole.slice(train), whole.slice(unseen)
        first.quantize(border_count=BINS, ignored_features=np.flatnonzero(~known).tolist())
        stop_if(cancelled)
        with tempfile.TemporaryDirectory() as folder:
            borders = Path(folder) / "borders.tsv"
            first.save_quantization_borders(str(borders))
            differs = np.zeros_like(known)
            differs[np.loadtxt(borders, usecols=0, dtype=np.int64, ndmin=1)] = True
            # a channel without borders would get new ones from the unseen rows, so it is left out there
            second.quantize(
                border_count=BINS, input_borders=str(borders), ignored_features=np.flatnonzero(~differs).tolist()
            )
        return cls(first, second, read_only(known), read_only(differs))

    def write(self, folder: Path) -> None:
        """Write both pools and their channels into a folder that exists. Raises OSError where that cannot be."""
        catboost = imported("catboost", title=TITLE)
        try:
            self.train.save(str(folder / "train.pool"))
            self.unseen.save(str(folder / "unseen.pool"))
        except catboost.CatBoostError as error:
            raise OSError(str(error)) from error
        channels = {
            "count": len(self.known),
            "unknown": np.flatnonzero(~self.known).tolist(),
            "constant": np.flatnonzero(self.known & ~self.differs).tolist(),
        }
        (folder / "channels.json").write_text(json.dumps(channels), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> QuantizedPool:
        """What `write` wrote. Raises ValueError or OSError where it is not there or damaged."""
        catboost = imported("catboost", title=TITLE)
        try:
            channels = parsed_json((folder / "channels.json").read_bytes())
            known = np.ones(channels["count"], bool)
            known[channels["unknown"]] = False
            differs = known.copy()
            differs[channels["constant"]] = False
            train, unseen = (catboost.Pool(f"quantized://{folder / name}") for name in ("train.pool", "unseen.pool"))
        except (catboost.CatBoostError, KeyError, TypeError, IndexError) as error:
            raise ValueError(str(error)) from error
        return cls(train, unseen, read_only(known), read_only(differs))


class CatBoostConcepts(ConceptClassifier):
    """The same classifier bit for bit on any number of threads.

    After `fit` also booster_, the CatBoost model, whose channels keep their numbers 0 .. D - 1. Importance is
    CatBoost's PredictionValuesChange: how much the prediction changes on average when the channel does.

    The defaults: labels of faces are nearly linear in w, and many shallow trees that look at a few channels each suit
    that better, and train faster, than a few deep ones that look at all.
    """

    kind, file, library, measures, explains = "catboost", "model.cbm", "catboost", ("prediction_values_change",), True
    tried: ClassVar[int] = TRIED_PER_SPLIT

    def __init__(
        self,
        *,
        iterations: int = 1000,
        depth: int = 3,
        learning_rate: float = 0.05,
        excluded: frozenset[int] = frozenset(),
        screen: int | None = 2048,
        random_state: int = 0,
        thread_count: int = -1,
    ) -> None:
        self.iterations = iterations
        self.depth = depth
        self.learning_rate = learning_rate
        self.excluded = excluded
        self.screen = screen
        self.random_state = random_state
        self.thread_count = thread_count

    def _check_parameters(self) -> None:
        check_whole(self, "iterations", 1, 100_000)
        check_whole(self, "depth", 1, 16)
        check_share(self, "learning_rate")
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
        catboost = imported("catboost", title=TITLE)
        # At full width and with the others ignored, channels keep their numbers in the saved model. Measured on
        # 8,000 x 6,752: CatBoost takes a column-major float32 matrix without copying it (0.01 s) and trains as
        # fast as on the 1,024 used columns alone, to the same bits.
        self._grow(catboost.Pool(_widened(codes, used, width), y, weight=weights), used, width, report, cancelled)

    def fit_quantized(
        self, pool: QuantizedPool, *, order: np.ndarray, progress: Report | None = None, cancelled: Cancel = None
    ) -> CatBoostConcepts:
        """`fit` on style codes that were quantized before: the same classifier to the last bit, and no code is read.

        order, progress, cancelled: as for `fit`, and what is raised. Img2TabError also where a channel to train on was
        not quantized, see `chosen`.
        """
        report = progress or silent
        report(0.0, "Ranking concepts")
        width = len(pool.known)
        used = self.chosen(order, width)
        if not pool.known[used].all():
            raise Img2TabError(
                f"Every channel to train on must have been quantized, got channel {used[~pool.known[used]][0]} that "
                "was not. Train on the style codes themselves."
            )
        must_differ(pool.differs[used].any())
        stop_if(cancelled)
        report(0.02, "Preparing the table")
        self._grow(pool.train, used, width, report, cancelled)
        self._trained_on(used, width, _classes_in(pool.train))
        report(1.0, "Trained")
        return self

    def probabilities_quantized(self, pool: QuantizedPool) -> np.ndarray:
        """Of every class for the unseen rows of what it was trained on; float64 (n, K).

        The same to the last bit as for the style codes themselves: a tree parts a channel only where quantizing did.
        """
        return self.booster_.predict_proba(pool.unseen, thread_count=self.thread_count)

    def _grow(self, pool: CatBoostPool, used: np.ndarray, width: int, report: Report, cancelled: Cancel) -> None:
        """Train on the channels `used` of a pool of full width."""
        booster = imported("catboost", title=TITLE).CatBoostClassifier(
            loss_function="Logloss" if _classes_in(pool) == 2 else "MultiClass",
            iterations=self.iterations,
            depth=self.depth,
            learning_rate=self.learning_rate,
            random_seed=self.random_state,
            thread_count=self.thread_count,
            border_count=BINS,
            leaf_estimation_iterations=1,  # ten, the default here, cost up to a third more and were no better
            ignored_features=np.setdiff1d(np.arange(width), used).tolist(),
            boosting_type="Plain",
            allow_writing_files=False,
            verbose=False,
            **self._device(len(used)),
        )
        self._run(booster, pool, report, cancelled)
        self.booster_ = booster

    def _device(self, count: int) -> dict:
        """The settings that depend on where it is trained, for so many channels."""
        return {"rsm": min(1.0, self.tried / count)}

    def _run(self, booster: Booster, pool: CatBoostPool, report: Report, cancelled: Cancel) -> None:
        watcher = _Watcher(self.iterations, report, cancelled)
        booster.fit(pool, callbacks=[watcher])
        if watcher.failure is not None:
            raise watcher.failure
        if watcher.stopped:
            raise Cancelled("Training was stopped; the classifier before it is unchanged.")

    def _probabilities(self, codes: np.ndarray) -> np.ndarray:
        return self.booster_.predict_proba(self._pool(codes), thread_count=self._threads(len(codes)))

    def importances(self, by: str) -> np.ndarray:
        values = self.booster_.get_feature_importance(type="PredictionValuesChange")
        return np.asarray(values, np.float64)[self.screened_]

    def contributions(self, codes: np.ndarray) -> np.ndarray:
        shap = self.booster_.get_feature_importance(
            self._pool(codes), type="ShapValues", thread_count=self._threads(len(codes))
        )  # (n, D + 1), the last column is the baseline
        return shap[:, [*self.screened_, shap.shape[1] - 1]]

    def scores_by_class(self, codes: np.ndarray) -> np.ndarray:
        shap = self.booster_.get_feature_importance(
            self._pool(codes), type="ShapValues", thread_count=self._threads(len(codes))
        )  # (n, K, D + 1), the last column is the baseline
        return shap[:, :, [*self.screened_, shap.shape[2] - 1]]

    def _pool(self, codes: np.ndarray) -> CatBoostPool:
        pool = imported("catboost", title=TITLE).Pool
        return pool(_widened(codes, self.screened_, self.n_features_in_))

    def write(self, file: Path) -> None:
        catboost = imported("catboost", title=TITLE)
        try:
            self.booster_.save_model(str(file), format="cbm")
        except catboost.CatBoostError as error:
            raise OSError(str(error)) from error
        cbm_trial.remember(file)

    def read(self, file: Path) -> None:
        catboost = imported("catboost", title=TITLE)
        cbm_trial.must_open(file, self.n_features_in_)
        booster = catboost.CatBoostClassifier()
        try:
            booster.load_model(str(file), format="cbm")
        except catboost.CatBoostError as error:
            raise ValueError(str(error)) from error
        self.booster_ = booster


class GpuConcepts(CatBoostConcepts):
    """The same on a graphics card: not the same twice to the last bit, since sums are added in any order there.

    Every split looks at all channels (CatBoost samples them only on the processor), and CatBoost reports nothing
    before the end, so that training can be stopped only before it begins. Saved and opened as any other.
    """

    def _device(self, count: int) -> dict:
        return {"task_type": "GPU"}

    def _run(self, booster: Booster, pool: CatBoostPool, report: Report, cancelled: Cancel) -> None:
        stop_if(cancelled)
        report(0.05, "Training on the graphics card")
        booster.fit(pool)


class _Watcher:
    """CatBoost's callback: reports how far training is, and stops it once `cancelled` says so."""

    def __init__(self, iterations: int, report: Report, cancelled: Cancel) -> None:
        self.iterations, self.report, self.cancelled = iterations, report, cancelled
        self.stopped = False
        self.failure: Exception | None = None

    def after_iteration(self, info: Any) -> bool:
        """Whether to go on; CatBoost calls it with the number of the tree in `info.iteration`."""
        try:
            self.stopped = self.cancelled is not None and self.cancelled()
            if not self.stopped:
                done = 0.05 + 0.94 * info.iteration / self.iterations
                self.report(done, f"Tree {info.iteration} of {self.iterations}")
        # whatever it is, CatBoost would lose it and train on; `fit` raises it once CatBoost has stopped
        except Exception as error:  # noqa: BLE001
            self.failure = error
        return not self.stopped and self.failure is None


def _classes_in(pool: CatBoostPool) -> int:
    """How many classes the labels of a pool have; one that was read from a file has them as text."""
    return int(np.asarray(pool.get_label(), np.float64).max()) + 1


def _widened(codes: np.ndarray, used: np.ndarray, width: int) -> np.ndarray:
    """(n, k) -> (n, width) with every channel that is not used 0; float32, column-major."""
    if len(used) == width:
        return codes
    wide = _zeros(len(codes), width)
    wide.T[used] = codes.T
    return wide


def _zeros(count: int, width: int) -> np.ndarray:
    """float32 (n, D), column-major, all 0; a channel takes memory once it is written to.

    Fresh pages of the system, not of malloc, which `img2tab serve` tells to keep what it has: a page of zeros that
    nobody writes to takes no memory, and CatBoost does not read what is ignored.
    """
    pages = mmap.mmap(-1, max(1, width * count) * 4)
    return np.frombuffer(pages, np.float32, width * count).reshape(width, count).T


def _finite(psi: np.ndarray) -> np.ndarray:
    """Which channels of (N, D) have finite numbers only; bool (D,)."""
    finite = np.empty(psi.shape[1], bool)
    for start in range(0, psi.shape[1], BLOCK):
        part = slice(start, start + BLOCK)
        finite[part] = np.isfinite(psi.T[part]).all(axis=1)
        tables.let_go(psi)
    return finite
