"""What a network reacts to, by several methods: each ranks the families of concepts, and some say which are causes.

Sources: TCAV, Kim et al. 2018, "Interpretability beyond feature attribution"; Grad-CAM, Selvaraju et al. 2017;
integrated gradients, Sundararajan et al. 2017, "Axiomatic attribution for deep networks"; RISE, Petsiuk et al. 2018.
"""

from __future__ import annotations

import importlib.util
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import false_discovery_control, ttest_1samp, ttest_ind
from sklearn.linear_model import LogisticRegression
from torch import nn

from img2tab_core import tables
from img2tab_core.backbones.backbone import Backbone
from img2tab_core.base.records import StyleTable
from img2tab_core.classifiers import answers, kinds, measures, reactions
from img2tab_core.classifiers.pixel_models import PixelModel
from img2tab_core.classifiers.runs import DEFAULT_KIND
from img2tab_core.concepts import ranking, wasserstein
from img2tab_core.concepts.description import MAP, REGIONS, Description
from img2tab_core.training.measuring.planted_networks import SIZE, SmallNetwork, tensor_of

NAMED = 3  # families that a method names where it has no test of its own
CAVS, RANDOM_CAVS = 10, 30  # of a concept, each on half of the faces; of none
FAITHFUL = 0.05  # share of false discoveries
IG_STEPS, IG_BATCH = 16, 64
MASKS, MASK_CELLS, MASK_KEPT, MASKED_FACES = 400, 8, 0.5, 16
FIRST_FACES, FIRST_MOVED, LEADING = answers.FIRST, reactions.FIRST_FACES, reactions.LEADING


@dataclass(frozen=True, eq=False)
class Subjects:
    """What methods work with, the same for every network.

    rows: int64 (n,) of the table, and pictures uint8 (n, SIZE, SIZE, 3) of them, in the order in which they are asked.
    moved: uint8 (F, 2 K + 1, SIZE, SIZE, 3), F faces with every family moved down and up (`moved_pictures`). regions:
    float (R, MAP, MAP), by `REGIONS`, the share of faces that have this region at this place.
    """

    table: StyleTable
    backbone: Backbone
    description: Description
    rows: np.ndarray
    pictures: np.ndarray
    moved: np.ndarray
    regions: np.ndarray


@dataclass(frozen=True, eq=False)
class Question:
    """One network: itself, the same as a classifier of somebody's own, and faces uint8 (n, SIZE, SIZE, 3) of the kind
    it was made for, held out, four kinds in turn, for methods that look at single pictures."""

    network: SmallNetwork
    model: PixelModel
    faces: np.ndarray


@dataclass(frozen=True)
class Ranking:
    """What a method answers: numbers of families, the first the most likely cause; those it reports as causes, in that
    order; how many pictures the network was asked about, gradients counted as pictures; and seconds."""

    order: tuple[int, ...]
    reported: tuple[int, ...]
    queries: int
    seconds: float


Numbers = Sequence[int] | np.ndarray
Answer = tuple[Numbers, Numbers, int]  # the order, what is reported, queries; see `Ranking`
Method = Callable[[Question, Subjects], Answer]


def methods() -> dict[str, Method | None]:
    """Every method by its name; None where its package is not installed (`pip install -e .[rivals]`)."""
    has_captum = importlib.util.find_spec("captum") is not None
    return {
        "ours": by_weight,
        "ours: effect alone": by_effect,
        "ours: first answer": by_first_answer,
        "ours: distance alone": by_distance,
        "ours: importance alone": by_importance,
        "TCAV": by_tcav,
        "Grad-CAM": by_grad_cam if has_captum else None,
        "integrated gradients": by_integrated_gradients if has_captum else None,
        "RISE": by_rise,
    }


def ask(method: Method, question: Question, subjects: Subjects) -> Ranking:
    """Ask a method, on the clock."""
    began = time.perf_counter()
    order, reported, queries = method(question, subjects)
    seconds = time.perf_counter() - began
    return Ranking(tuple(map(int, order)), tuple(map(int, reported)), queries, seconds)


# --- ours ------------------------------------------------------------------------------------------------------------


def by_weight(question: Question, subjects: Subjects) -> Answer:
    """As the product has it: families moved on every face, drawn, and the network asked; ranked by effect times
    distance, then by effect; reported: those with a weight, see `ranking.weights`."""
    moved = _moved(question, subjects)
    taken = question.network.log_odds(subjects.pictures)[:, 0] > 0
    order, reported = _by_weights(moved, subjects, taken)
    return order, reported, int(np.isfinite(moved.log_odds).sum()) + len(taken)


def by_effect(question: Question, subjects: Subjects) -> Answer:
    """The same by the effect alone; reported: those of verdict "moves it"."""
    moved = _moved(question, subjects)
    order, reported = _by_effects(moved)
    return order, reported, int(np.isfinite(moved.log_odds).sum())


def by_first_answer(question: Question, subjects: Subjects) -> Answer:
    """What is said first: the 40 families furthest apart over 200 faces, moved on ten faces.

    Families that were not moved come last, by how far apart they are.
    """
    log_odds = question.network.log_odds(subjects.pictures[:FIRST_FACES])[:, 0]
    distance = _distances(subjects, FIRST_FACES, log_odds > 0)
    leading = np.argsort(-distance, kind="stable")[:LEADING]
    moved = _moved_answers(question, subjects, FIRST_MOVED)
    places = np.concatenate([2 * leading, 2 * leading + 1, [moved.shape[1] - 1]])
    known = np.full(moved.shape, np.nan)
    known[:, places] = moved[:, places]
    order, reported = _by_weights(reactions.Moved(SIZE, known), subjects, log_odds > 0)
    asked = [number for number in order if number in set(leading.tolist())]
    rest = [number for number in np.argsort(-distance, kind="stable").tolist() if number not in set(asked)]
    return asked + rest, reported, FIRST_FACES + FIRST_MOVED * len(places)


def by_distance(question: Question, subjects: Subjects) -> Answer:
    """Wasserstein-1 of every family's score between the two answers; reported: those that go with the answer."""
    taken = question.network.log_odds(subjects.pictures)[:, 0] > 0
    distance = _distances(subjects, len(taken), taken)
    order = np.argsort(-distance, kind="stable")
    return order, [number for number in order if distance[number] >= ranking.APART][:NAMED], len(taken)


def by_importance(question: Question, subjects: Subjects) -> Answer:
    """What a concept classifier trained on the answers uses: by a family's members and what goes with them."""
    taken = question.network.log_odds(subjects.pictures)[:, 0] > 0
    if taken.all() or not taken.any():
        return range(len(subjects.description.families)), (), len(taken)
    stand_in = kinds.make(DEFAULT_KIND, random_state=0, thread_count=1)
    order = np.argsort(subjects.rows)
    stand_in.fit(subjects.table.psi, taken[order].astype(np.int8), rows=subjects.rows[order])
    tables.let_go(subjects.table.psi)
    shares = subjects.description.by_family(measures.importance(stand_in))[:-1]
    order = np.argsort(-shares, kind="stable")
    return order, order[:NAMED], len(taken)


def _moved(question: Question, subjects: Subjects) -> reactions.Moved:
    """What the network answers about every face with its families moved; asked once for both methods that need it."""
    return reactions.ask_moved(
        question.model,
        subjects.table,
        subjects.backbone,
        subjects.description,
        size=question.model.face_size,
        faces=len(subjects.moved),
    )


def _by_effects(moved: reactions.Moved) -> tuple[list[int], list[int]]:
    """The order, and what moves it: what moves it first, the largest effect first, where equal the largest change of
    the chance."""
    effects = moved.effects  # (K, F)
    moves = ranking.moving(effects)
    known = np.isfinite(effects).any(axis=1)
    effect, change = np.zeros(len(effects)), np.zeros(len(effects))
    chance = moved.probability
    effect[known] = np.abs(np.nanmean(effects[known], axis=1))
    change[known] = np.abs(np.nanmean((chance[:, 1:-1:2] - chance[:, 0:-1:2]).T[known], axis=1))
    order = np.lexsort((-change, -effect.round(6), ~moves)).tolist()
    return order, [number for number in order if moves[number]]


def _by_weights(moved: reactions.Moved, subjects: Subjects, taken: np.ndarray) -> tuple[list[int], list[int]]:
    """The order, families with a weight first, the others as by effect; and those with one. taken: bool (n,), whether
    each of the first n faces is taken for class 1."""
    by_effects, _ = _by_effects(moved)
    if taken.all() or not taken.any():
        return by_effects, []
    values = np.asfortranarray(ranking.scores(subjects.description, subjects.table, subjects.rows[: len(taken)]))
    apart = wasserstein.distance_and_direction(values, taken.astype(np.int8), std=np.ones(values.shape[1]))
    weight = ranking.weights(moved.effects, *apart)
    order = sorted(by_effects, key=lambda number: -weight[number])
    return order, [number for number in order if weight[number] > 0]


def _moved_answers(question: Question, subjects: Subjects, faces: int) -> np.ndarray:
    """Log-odds of the moved pictures of the first faces: float64 (faces, 2 K + 1)."""
    moved = subjects.moved[:faces]
    log_odds = question.network.log_odds(moved.reshape(-1, *moved.shape[2:]))
    return question.model.answer.log_odds(log_odds).reshape(moved.shape[:2])


def _distances(subjects: Subjects, count: int, taken: np.ndarray) -> np.ndarray:
    """Wasserstein-1 of every family between two classes of the first faces: float64 (K,), 0 where there is one."""
    values = np.asfortranarray(ranking.scores(subjects.description, subjects.table, subjects.rows[:count]))
    if taken.all() or not taken.any():
        return np.zeros(values.shape[1])
    return wasserstein.distance_and_direction(values, taken.astype(np.int8), std=np.ones(values.shape[1]))[0]


# --- TCAV ------------------------------------------------------------------------------------------------------------


def by_tcav(question: Question, subjects: Subjects) -> Answer:
    """Directional derivatives along concept activation vectors, at the pooled activations of the last convolution.

    A concept's two sets are the pictures with its family moved up and those with it moved down. Ranked by how far the
    share of faces with a positive derivative is from one half, where equal by the size of the derivative; reported:
    shares unlike those of random vectors (t-test as by Kim et al., false discoveries controlled).
    """
    network, moved = question.network, subjects.moved
    faces, places = moved.shape[:2]
    with torch.no_grad():
        parts = [network.pooled(tensor_of(face)) for face in moved]
    pooled = torch.stack(parts).numpy().reshape(faces, places, -1)
    gradients = _gradients(network, question.faces)  # (n, C)
    scale = np.maximum(pooled.std(axis=(0, 1)), 1e-6)
    random, half = np.random.default_rng(0), max(1, faces // 2)
    families = places // 2
    shares, sizes = np.zeros((families, CAVS)), np.zeros((families, CAVS))
    for number in range(families):
        for turn in range(CAVS):
            which = random.permutation(faces)[:half]
            vector = _cav(pooled[which, 2 * number + 1], pooled[which, 2 * number], scale)
            along = gradients @ vector
            shares[number, turn], sizes[number, turn] = (along > 0).mean(), np.abs(along).mean()
    flat, of_none = pooled[:, :-1].reshape(-1, pooled.shape[-1]), []
    for _ in range(RANDOM_CAVS):
        which = random.permutation(len(flat))[: 2 * half]
        of_none.append((gradients @ _cav(flat[which[:half]], flat[which[half:]], scale) > 0).mean())
    p = np.array([_p(each, of_none) for each in shares])
    sure = false_discovery_control(p) <= FAITHFUL
    away = np.abs(shares.mean(axis=1) - 0.5)
    order = np.lexsort((-sizes.mean(axis=1), -away.round(3)))
    reported = [number for number in order if sure[number]]
    return order, reported, faces * places + len(question.faces)


def _cav(up: np.ndarray, down: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The unit vector across the border between two sets of activations (n, C) each, in units of `scale`: (C,)."""
    values = np.concatenate([up, down]) / scale
    border = LogisticRegression(C=0.01, max_iter=200).fit(values, np.repeat([1, 0], [len(up), len(down)]))
    vector = border.coef_[0] / scale
    return vector / max(np.linalg.norm(vector), 1e-12)


def _p(shares: np.ndarray, of_none: Sequence[float]) -> float:
    """Chance of shares so unlike those of random vectors; 1 where nothing differs at all."""
    if np.ptp(np.concatenate([shares, of_none])) < 1e-12:
        return 1.0
    if np.ptp(of_none) < 1e-12:
        return 0.0
    if np.ptp(shares) < 1e-12:  # all alike, as a rule all 0 or all 1: no spread to weigh
        return float(ttest_1samp(of_none, shares[0]).pvalue)
    return float(ttest_ind(shares, of_none, equal_var=False).pvalue)


def _gradients(network: SmallNetwork, pictures: np.ndarray) -> np.ndarray:
    """Of the log-odds by the pooled activations: float32 (n, C)."""
    with torch.no_grad():
        pooled = network.pooled(tensor_of(pictures))
    pooled = pooled.requires_grad_()
    (gradient,) = torch.autograd.grad(network.head(pooled).sum(), pooled)
    return gradient.numpy()


# --- heat maps that vote for regions ---------------------------------------------------------------------------------


def region_vote(heat: np.ndarray, regions: np.ndarray, where: np.ndarray) -> np.ndarray:
    """What a heat map says of families by the regions they change: float64 (K,).

    heat: float (M, M), at least 0, how much each place mattered. regions: float (R, M, M), how much of each place is of
    each region. where: float (K, R), share of a family's change by region. A region's vote is its mean heat; a family
    takes the votes of its regions in these shares.
    """
    area = regions.sum(axis=(1, 2))
    votes = (regions * heat).sum(axis=(1, 2)) / np.maximum(area, 1e-9)
    return np.asarray(where @ votes, np.float64)


def by_grad_cam(question: Question, subjects: Subjects) -> Answer:
    """Grad-CAM of the decided class at the last convolution, then the vote of regions."""
    from captum.attr import LayerGradCam

    decided = _Decided(question.network)
    layer = question.network.body[-1]
    pictures = tensor_of(question.faces)
    heat = LayerGradCam(decided, layer).attribute(pictures, relu_attributions=True).detach()  # (n, 1, 8, 8)
    return _voted(heat, subjects, len(pictures))


def by_integrated_gradients(question: Question, subjects: Subjects) -> Answer:
    """Integrated gradients of the decided class from a grey picture, their size, then the vote of regions."""
    from captum.attr import IntegratedGradients

    decided = IntegratedGradients(_Decided(question.network))
    parts = tensor_of(question.faces).split(IG_BATCH)
    heat = [decided.attribute(part, n_steps=IG_STEPS, internal_batch_size=IG_BATCH).detach() for part in parts]
    return _voted(torch.cat(heat).abs().sum(dim=1, keepdim=True), subjects, IG_STEPS * len(question.faces))


def by_rise(question: Question, subjects: Subjects) -> Answer:
    """RISE: random masks, each weighed by the chance of the decided class, then the vote of regions.

    Less the mean chance, so that what no mask changes stays cold; a place that speaks against counts as one that does
    not speak.
    """
    random = np.random.default_rng(0)
    faces = tensor_of(question.faces[:MASKED_FACES])
    masks = torch.from_numpy(_masks(random))[:, None]  # (M, 1, SIZE, SIZE)
    heat = torch.zeros(len(faces), 1, SIZE, SIZE)
    with torch.no_grad():
        for number, face in enumerate(faces):
            sign = torch.sign(question.network(face[None]))
            chance = torch.cat([torch.sigmoid(sign * question.network(face * part)) for part in masks.split(128)])
            weight = chance - chance.mean()
            heat[number] = (weight[..., None, None] * masks).mean(dim=0).clamp(min=0)
    return _voted(heat, subjects, (MASKS + 1) * len(faces))


def _masks(random: np.random.Generator) -> np.ndarray:
    """Small random grids made larger and shifted: float32 (MASKS, SIZE, SIZE), from 0, grey, to 1, as it is."""
    step = SIZE // MASK_CELLS
    grids = torch.from_numpy((random.random((MASKS, 1, MASK_CELLS + 1, MASK_CELLS + 1)) < MASK_KEPT).astype(np.float32))
    large = nn.functional.interpolate(grids, size=SIZE + step, mode="bilinear", align_corners=False)[:, 0].numpy()
    shifts = random.integers(0, step, (MASKS, 2))
    return np.stack(
        [mask[down : down + SIZE, across : across + SIZE] for mask, (down, across) in zip(large, shifts, strict=True)]
    )


class _Decided(nn.Module):
    """Log-odds of the class each picture is taken for: (n, 3, S, S) -> (n,)."""

    def __init__(self, network: SmallNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        log_odds = self.network(pictures)[:, 0]
        return log_odds * torch.sign(log_odds.detach())


def _voted(heat: torch.Tensor, subjects: Subjects, queries: int) -> Answer:
    """Heat maps (n, 1, h, w), each in shares of its sum, averaged, then the vote; the first three are reported."""
    heat = nn.functional.interpolate(heat.float(), size=(MAP, MAP), mode="bilinear", antialias=True)
    total = heat.sum(dim=(1, 2, 3), keepdim=True)
    mean = (heat / total.clamp(min=1e-12)).mean(dim=(0, 1)).numpy()
    votes = region_vote(mean, subjects.regions, where_of(subjects.description))
    order = np.argsort(-votes, kind="stable")
    return order, order[:NAMED], queries


def where_of(description: Description) -> np.ndarray:
    """Share of each family's change by region: float64 (K, R)."""
    return np.array([[family.where.get(region, 0.0) for region in REGIONS] for family in description.families])


def chance_of_hit(causes: int, families: int, first: int) -> float:
    """Chance that one of so many causes is among the first of a random order of families."""
    missed = math.prod((families - causes - turn) / (families - turn) for turn in range(min(first, families)))
    return 1 - max(0.0, missed)
