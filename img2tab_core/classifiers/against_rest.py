"""One class of a classifier of several, against the rest: a view of it, so that nothing is trained again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from img2tab_core.base.errors import Img2TabError
from img2tab_core.classifiers.base import ConceptClassifier, two_columns


class AgainstRest(ConceptClassifier):
    """A classifier of K classes asked whether it is this one; trained it was before, and saved it is not.

    The probability of class 1 is what the classifier gives to its class `which`; of class 0, to all others together.

    Contributions. The classifier has a raw score s_c = base_c + sum of contributions for every class c, and softmax
    makes probabilities of them. The log-odds of class k are s_k - log(sum over the others of exp s_c), and that
    logarithm is, exactly, the mean of the others' scores weighted by w_c plus the entropy H of w, where w_c is how
    likely class c is among the others for this very face. So a channel's contribution is its contribution to s_k minus
    the w-weighted mean of its contributions to the other scores, and the baseline takes the same of the baselines, less
    H. They add up to the log-odds exactly, as everywhere; but the baseline differs from face to face, and w is read at
    the face, so that "what if this channel were not there" is answered by moving it, not by subtracting.
    """

    def __init__(self, model: ConceptClassifier, which: int) -> None:
        self.model, self.which = model, which
        self.kind, self.file, self.library = model.kind, model.file, model.library  # type: ignore[misc]
        self.measures, self.explains = model.measures, model.explains  # type: ignore[misc]
        self.excluded, self.screen = model.excluded, model.screen
        self.random_state, self.thread_count = model.random_state, model.thread_count
        self.screened_, self.classes_ = model.screened_, np.array([0, 1])
        self.n_features_in_, self.erasure_ = model.n_features_in_, model.erasure_

    def _train(self, *_: Any, **__: Any) -> None:
        raise Img2TabError("One class against the rest is not trained: train the classifier of all classes.")

    def _probabilities(self, codes: np.ndarray) -> np.ndarray:
        return two_columns(self.model._probabilities(codes)[:, self.which])

    def importances(self, by: str) -> np.ndarray:
        return self.model.importances(by)

    def contributions(self, codes: np.ndarray) -> np.ndarray:
        return one_against_rest(self.model.scores_by_class(codes), self.which)

    def write(self, file: Path) -> None:
        raise Img2TabError("One class against the rest is not saved: save the classifier of all classes.")

    def read(self, file: Path) -> None:
        raise Img2TabError("One class against the rest is not opened: open the classifier of all classes.")


def one_against_rest(added: np.ndarray, which: int) -> np.ndarray:
    """Contributions to the raw scores (n, K, k + 1), baseline last, -> to the log-odds of a class, (n, k + 1).

    See `AgainstRest`.
    """
    others = np.delete(added, which, axis=1)  # (n, K - 1, k + 1)
    share = softmax(others.sum(axis=2), axis=1)  # (n, K - 1), how likely each is among the others
    entropy = -(share * np.log(np.clip(share, np.finfo(np.float64).tiny, None))).sum(axis=1)  # (n,)
    log_odds = added[:, which] - np.einsum("nc,nck->nk", share, others)
    log_odds[:, -1] -= entropy
    return log_odds
