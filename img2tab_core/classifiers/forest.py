"""A random forest: many deep trees, each on its own sample of the faces, which vote."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from img2tab_core.base.foreign import read_arrays
from img2tab_core.classifiers.base import Cancel, ConceptClassifier, Report, check_whole, stop_if, two_columns

BATCH = 10  # trees grown between two looks at `cancelled`
VOTES = 2_000_000  # faces x trees walked down at once; bounds the working memory to about 100 MB


class Trees(NamedTuple):
    """All trees of a forest, one node after the other; m nodes, t trees.

    roots int64 (t,); channel int32 (m,), -1 in a leaf; threshold float64 (m,): a code at or below it goes left; left
    and right int32 (m,) node numbers; share float64 (m,) of class 1, of several classes (m, K) of each; importance
    float64 (k,).
    """

    roots: np.ndarray
    channel: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    share: np.ndarray
    importance: np.ndarray


class ForestConcepts(ConceptClassifier):
    """scikit-learn's random forest, kept as plain arrays: saving and opening it runs no code.

    After `fit` also trees_. Importance is the mean decrease in impurity (Breiman 2001).

    The defaults: every split chooses from the square root of the number of channels, every leaf holds two faces or
    more; 500 trees took 2.5 times as long and were no better than 200 (0.917 and 0.914 on smiling).
    """

    kind, file, library, measures = "forest", "model.npz", "scikit-learn", ("impurity",)

    def __init__(
        self,
        *,
        trees: int = 200,
        leaf: int = 2,
        excluded: frozenset[int] = frozenset(),
        screen: int | None = 2048,
        random_state: int = 0,
        thread_count: int = -1,
    ) -> None:
        self.trees = trees
        self.leaf = leaf
        self.excluded = excluded
        self.screen = screen
        self.random_state = random_state
        self.thread_count = thread_count

    def _check_parameters(self) -> None:
        check_whole(self, "trees", 1, 10_000)
        check_whole(self, "leaf", 1, 1_000_000)
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
        from sklearn.ensemble import RandomForestClassifier

        forest = RandomForestClassifier(
            n_estimators=0,
            max_features="sqrt",
            min_samples_leaf=self.leaf,
            warm_start=True,
            random_state=self.random_state,
            n_jobs=self.thread_count,
        )
        for done in range(0, self.trees, BATCH):
            stop_if(cancelled)
            forest.set_params(n_estimators=min(done + BATCH, self.trees)).fit(codes, y, weights)
            report(0.05 + 0.94 * forest.n_estimators / self.trees, f"Tree {forest.n_estimators} of {self.trees}")
        self.trees_ = _flattened([tree.tree_ for tree in forest.estimators_], forest.feature_importances_)

    def _probabilities(self, codes: np.ndarray) -> np.ndarray:
        at_once = max(1, VOTES // len(self.trees_.roots))
        parts = [_voted(self.trees_, codes[start : start + at_once]) for start in range(0, len(codes), at_once)]
        voted = np.concatenate(parts)
        return two_columns(voted) if voted.ndim == 1 else voted

    def importances(self, by: str) -> np.ndarray:
        return np.array(self.trees_.importance)

    def write(self, file: Path) -> None:
        with file.open("wb") as stream:
            np.savez_compressed(stream, **self.trees_._asdict())

    def read(self, file: Path) -> None:
        stored = read_arrays(file)
        trees = Trees(*(stored[name] for name in Trees._fields))
        whole, shares = (trees.roots, trees.channel, trees.left, trees.right), (trees.threshold, trees.share)
        if any(a.dtype.kind != "i" or a.ndim != 1 for a in whole) or any(a.dtype.kind != "f" for a in shares):
            raise ValueError("its trees are not numbers")
        count = len(trees.channel)
        if not len(trees.roots) or trees.roots.min() < 0 or trees.roots.max() >= count:
            raise ValueError("its trees begin nowhere")
        inner = trees.channel >= 0
        if any(len(array) != count for array in (trees.threshold, trees.left, trees.right, trees.share)):
            raise ValueError("its trees do not fit together")
        if len(trees.importance) != len(self.screened_) or trees.channel.max() >= len(self.screened_):
            raise ValueError("its trees have other channels")
        if trees.share.shape[1:] != (() if len(self.classes_) == 2 else self.classes_.shape):
            raise ValueError("its trees have other classes")
        # a child stands behind its parent, so that every walk down ends
        nodes = np.flatnonzero(inner)
        for child in (trees.left[inner], trees.right[inner]):
            if (child <= nodes).any() or (child >= count).any():
                raise ValueError("its trees lead nowhere")
        self.trees_ = trees


def _flattened(trees: list, importance: np.ndarray) -> Trees:
    """scikit-learn's trees one after the other."""
    roots = np.cumsum([0, *(tree.node_count for tree in trees)])[:-1]
    leaf = np.concatenate([tree.children_left for tree in trees]) < 0
    offset = np.repeat(roots, [tree.node_count for tree in trees])
    value = np.concatenate([tree.value[:, 0] for tree in trees])  # (m, K)
    shares = value / value.sum(axis=1, keepdims=True)

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(tree, name) for tree in trees])

    return Trees(
        roots=roots,
        channel=np.where(leaf, -1, joined("feature")).astype(np.int32),
        threshold=joined("threshold"),
        left=np.where(leaf, -1, joined("children_left") + offset).astype(np.int32),
        right=np.where(leaf, -1, joined("children_right") + offset).astype(np.int32),
        share=shares[:, 1] if shares.shape[1] == 2 else shares,
        importance=np.asarray(importance, np.float64),
    )


def _voted(trees: Trees, codes: np.ndarray) -> np.ndarray:
    """Mean share of class 1 in the leaves that faces reach; codes (n, k) -> float64 (n,), or of each class (n, K)."""
    leaves = np.empty((len(codes), len(trees.roots)), np.int64)  # (n, t)
    leaves[:] = trees.roots
    face, tree = np.nonzero(trees.channel[leaves] >= 0)  # the walkers that are not in a leaf yet
    while len(face):
        node = leaves[face, tree]
        low = codes[face, trees.channel[node]] <= trees.threshold[node]
        node = np.where(low, trees.left[node], trees.right[node])
        leaves[face, tree] = node
        walking = trees.channel[node] >= 0
        face, tree = face[walking], tree[walking]
    return trees.share[leaves].mean(axis=1)
