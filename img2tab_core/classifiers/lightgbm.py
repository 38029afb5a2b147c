"""Boosted trees by LightGBM, which grows a tree leaf by leaf."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from img2tab_core.classifiers.base import (
    Cancel,
    ConceptClassifier,
    Report,
    check_share,
    check_whole,
    imported,
    stop_if,
    two_columns,
)

TITLE = "LightGBM"
MOST_LEAVES, DEEPEST = 65_536, 1000  # of a tree that is opened
_WHOLE = ("split_feature", "decision_type", "left_child", "right_child", "leaf_count", "internal_count")
_OF_NODES = (*_WHOLE[:4], "split_gain", "threshold", "internal_value", "internal_weight", "internal_count")
_OF_LEAVES = ("leaf_value", "leaf_weight", "leaf_count")
BINS = 32  # values a channel is quantized to while training


class LightGBMConcepts(ConceptClassifier):
    """After `fit` also booster_, the LightGBM model over the k screened channels.

    Importance is LightGBM's own "gain": the sum of the gains of all splits on a channel.

    The defaults: as many leaves as three levels can have and a tenth of the channels for each tree, like the other
    boosted trees.
    """

    kind, file, library, measures, explains = "lightgbm", "model.txt", "lightgbm", ("total_gain",), True

    def __init__(
        self,
        *,
        iterations: int = 600,
        leaves: int = 8,
        learning_rate: float = 0.1,
        columns: float = 0.1,
        excluded: frozenset[int] = frozenset(),
        screen: int | None = 2048,
        random_state: int = 0,
        thread_count: int = -1,
    ) -> None:
        self.iterations = iterations
        self.leaves = leaves
        self.learning_rate = learning_rate
        self.columns = columns
        self.excluded = excluded
        self.screen = screen
        self.random_state = random_state
        self.thread_count = thread_count

    def _check_parameters(self) -> None:
        check_whole(self, "iterations", 1, 100_000)
        check_whole(self, "leaves", 2, 65_536)
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
        lightgbm = imported("lightgbm", title=TITLE)
        params = {
            **({"objective": "binary"} if y.max() < 2 else {"objective": "multiclass", "num_class": int(y.max()) + 1}),
            "num_leaves": self.leaves,
            "learning_rate": self.learning_rate,
            "max_bin": BINS,
            "feature_fraction": self.columns,
            "lambda_l2": 1.0,
            # both are needed for the same bits each time; by columns is faster where channels outnumber faces
            "deterministic": True,
            "force_col_wise": True,
            "seed": int(self.random_state),
            "num_threads": _count(self.thread_count),
            "verbosity": -1,
        }
        booster = lightgbm.Booster(
            params, lightgbm.Dataset(codes, y, weight=weights, params=params, free_raw_data=True)
        )
        for done in range(self.iterations):
            stop_if(cancelled)
            finished = booster.update()
            report(0.05 + 0.94 * (done + 1) / self.iterations, f"Tree {done + 1} of {self.iterations}")
            if finished:  # no split is worth anything any more
                break
        self.booster_ = lightgbm.Booster(model_str=booster.model_to_string())  # without the training data

    def _probabilities(self, codes: np.ndarray) -> np.ndarray:
        chance = np.asarray(self.booster_.predict(codes, num_threads=_count(self._threads(len(codes)))))
        return two_columns(chance) if chance.ndim == 1 else chance

    def importances(self, by: str) -> np.ndarray:
        return np.asarray(self.booster_.feature_importance("gain"), np.float64)

    def contributions(self, codes: np.ndarray) -> np.ndarray:
        threads = _count(self._threads(len(codes)))
        return np.asarray(self.booster_.predict(codes, pred_contrib=True, num_threads=threads), np.float64)

    def scores_by_class(self, codes: np.ndarray) -> np.ndarray:
        return self.contributions(codes).reshape(len(codes), len(self.classes_), -1)

    def write(self, file: Path) -> None:
        file.write_text(self.booster_.model_to_string(), encoding="utf-8")

    def read(self, file: Path) -> None:
        lightgbm = imported("lightgbm", title=TITLE)
        try:
            booster = lightgbm.Booster(model_str=checked(file.read_text(encoding="utf-8")))
        except lightgbm.basic.LightGBMError as error:
            raise ValueError(str(error)) from error
        if booster.num_feature() != len(self.screened_):
            raise ValueError("its trees have other channels")
        self.booster_ = booster


def checked(text: str) -> str:
    """A model as LightGBM writes it, with nothing but what predicts: its classes, its channels and its trees.

    LightGBM trusts the numbers in its trees and ends the whole process over wrong ones; so they are checked first. Its
    parameters, some of which name files, are left out. Raises ValueError where it is something else, or no tree.
    """
    head, *trees = text.partition("\nend of trees")[0].split("\nTree=")
    about = dict(line.partition("=")[::2] for line in head.splitlines())
    try:
        width, classes = int(about["max_feature_idx"]) + 1, int(about["num_class"])
        objective = "binary sigmoid:1" if classes == 1 else f"multiclass num_class:{classes}"
        if (about["version"], about["objective"], about["num_tree_per_iteration"]) != ("v4", objective, str(classes)):
            raise ValueError("it is not a classifier that was trained here")
        infos = about["feature_infos"].split(" ")
        if not 0 < width <= 10_000_000 or len(infos) != width or not 0 < classes < 1000 or len(trees) % classes:
            raise ValueError("its channels or classes do not fit together")
        if not all(re.fullmatch(r"none|\[[-+.e\d]+:[-+.e\d]+\]", info) for info in infos):
            raise ValueError("its channels are not numbers")
        made = [f"Tree={number}\n{_checked_tree(tree, width)}\n\n" for number, tree in enumerate(trees)]
    except KeyError as error:
        raise ValueError(f"it has no {error}") from error
    names = " ".join(f"Column_{number}" for number in range(width))
    return (
        f"tree\nversion=v4\nnum_class={classes}\nnum_tree_per_iteration={classes}\nlabel_index=0\n"
        f"max_feature_idx={width - 1}\nobjective={objective}\nfeature_names={names}\nfeature_infos={' '.join(infos)}\n"
        f"\n{''.join(made)}end of trees\n\nend of parameters\n"
    )


def _checked_tree(text: str, width: int) -> str:
    """The lines of a tree over so many channels; every inner node stands behind the one above it."""
    lines = dict(line.partition("=")[::2] for line in text.splitlines()[1:] if line)
    leaves = int(lines["num_leaves"])
    if not 0 < leaves <= MOST_LEAVES or lines["num_cat"] != "0" or lines.get("is_linear", "0") != "0":
        raise ValueError("its trees are of another kind")
    kept = {"num_leaves": str(leaves), "num_cat": "0"}
    of_leaves = _OF_LEAVES if leaves > 1 else _OF_LEAVES[:1]
    sizes = dict.fromkeys(_OF_NODES if leaves > 1 else (), leaves - 1) | dict.fromkeys(of_leaves, leaves)
    numbers: dict[str, list[float]] = {}
    for name, size in sizes.items():
        words = lines[name].split(" ")
        numbers[name] = [
            (int if name in _WHOLE else float)(word) for word in words if word.isascii() and "_" not in word
        ]
        if len(numbers[name]) != size:
            raise ValueError("its trees do not fit together")
        kept[name] = " ".join(words)
    if leaves > 1:
        pairs, depth = list(zip(numbers["left_child"], numbers["right_child"], strict=True)), [0] * leaves
        if sorted(child for pair in pairs for child in pair) != [*range(-leaves, 0), *range(1, leaves - 1)]:
            raise ValueError("its trees are not trees")
        for node, pair in enumerate(pairs):
            for child in (int(child) for child in pair if child >= 0):
                depth[child] = depth[node] + 1 if child > node else leaves
        if max(depth) > min(DEEPEST, leaves - 1) or not all(0 <= c < width for c in numbers["split_feature"]):
            raise ValueError("its trees lead nowhere")
        if set(numbers["decision_type"]) - {0, 2, 4, 6, 8, 10}:
            raise ValueError("its trees ask for something else than numbers")
    return "\n".join(f"{name}={value}" for name, value in (kept | {"is_linear": "0", "shrinkage": "1"}).items())


def _count(threads: int) -> int:
    """LightGBM says 0 for all cores."""
    return max(0, int(threads))
