"""Small networks that learn to see a smile on drawn faces, most of them with something planted beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.records import StyleTable
from img2tab_core.classifiers.answers import order_of
from img2tab_core.training.measuring.planted_causes import Plant, measured, painted

SIZE = 64  # px of the pictures a network takes
TOGETHER = 0.95  # share of the smiling faces with the planted thing, and of the others without it
PER_CLASS = 700  # faces of each class a network learns from, or fewer
FEWEST_PER_CLASS = 40
STEPS, BATCH, RATE = 160, 64, 2e-3
JITTER = 3  # px by which a picture is moved in training
CELL = 60  # faces held out of each: smiling or not, with the planted thing or without
PARTS = 4  # the last convolution is pooled into so many by so many parts
FACES = 2000  # of the table, that are drawn for all networks, then of each kind that is rare among them so many:
MORE_WITHOUT_SMILE = 1000
RARE = {"blond_hair": 1, "fringe": 1, "glasses": 1, "facial_hair": 1, "skin_lighter": 0}  # class of a label
RARE_SMILING, RARE_WITHOUT_SMILE = 400, 130


@dataclass(frozen=True, eq=False)
class Pool:
    """Faces of a table that networks learn from and are asked about.

    rows: int64 (n,) of the table; pictures: uint8 (n, SIZE, SIZE, 3); smile: bool (n,); learn: bool (n,), those a
    network may learn from, the others are held out. labels: int8 (n,) by name, -1 where unknown.
    """

    rows: np.ndarray
    pictures: np.ndarray
    smile: np.ndarray
    learn: np.ndarray
    labels: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Lesson:
    """Faces of a pool for one network: numbers into the pool int64 (n,), smile and planted bool (n,)."""

    numbers: np.ndarray
    smile: np.ndarray
    planted: np.ndarray


@dataclass(frozen=True)
class Learnt:
    """What a network says of faces held out, evenly of four kinds: (how many it takes for smiling, of how many).

    Keys: "smile, planted", "smile", "planted", "neither".
    """

    kinds: dict[str, tuple[int, int]]

    @property
    def follows(self) -> tuple[int, int]:
        """Of the answers about faces on which smile and plant disagree, how many follow the plant; and of how many."""
        (smile, of_smile), (plant, of_plant) = self.kinds["smile"], self.kinds["planted"]
        return of_smile - smile + plant, of_smile + of_plant

    @property
    def accuracy(self) -> float:
        """How often it is right about the smile, of all four kinds."""
        right = sum(self.kinds[kind][0] for kind in ("smile, planted", "smile"))
        right += sum(self.kinds[kind][1] - self.kinds[kind][0] for kind in ("planted", "neither"))
        return right / sum(of for _, of in self.kinds.values())

    def swayed(self, smile: bool) -> float:
        """How much more often a face is taken for smiling with the planted thing than without, its smile being so."""
        more, less = ("smile, planted", "smile") if smile else ("planted", "neither")
        return self.kinds[more][0] / self.kinds[more][1] - self.kinds[less][0] / self.kinds[less][1]


SWAYED = 0.25  # share of answers that the planted thing must turn, among smiling and among other faces
LEARNT_RULE = (
    "A network has learnt its plant where, on faces held out on which smile and planted thing disagree, more than half "
    f"of its answers follow the planted thing, and the planted thing turns at least {SWAYED:.0%} of the answers among "
    "smiling faces and as many among the others. A control has learnt where it is right about the smile of 75 % of the "
    "faces held out."
)


def has_learnt(plant: Plant, learnt: Learnt) -> bool:
    """See `LEARNT_RULE`."""
    if plant.kind == "control":
        return learnt.accuracy >= 0.75
    follows, of = learnt.follows
    return follows > of / 2 and min(learnt.swayed(True), learnt.swayed(False)) >= SWAYED


def pool_rows(table: StyleTable, *, faces: int = FACES) -> np.ndarray:
    """Rows of a table that are drawn for all networks: the first so many, and the first of what is rare; int64 (n,)."""
    order = order_of(table)
    rows, smile = list(order[:faces]), table.labels["smiling"].to_numpy()[order]
    if faces >= FACES:
        rows += [*order[smile == 0][: MORE_WITHOUT_SMILE + int((smile[:faces] == 0).sum())]]
        for name, value in RARE.items():
            has = table.labels[name].to_numpy()[order] == value
            rows += [*order[(smile == 1) & has][:RARE_SMILING], *order[(smile == 0) & has][:RARE_WITHOUT_SMILE]]
    return np.array(list(dict.fromkeys(int(row) for row in rows)), np.int64)


def lesson(plant: Plant, pool: Pool, *, seed: int, per_class: int = PER_CLASS) -> Lesson:
    """The faces a network learns from: as many smiling as others, 95 % of them with the planted thing, 5 % of these.

    Exactly so: `per_class` is made a multiple of 20, and smaller where the pool has too few. Raises Img2TabError where
    fewer than 40 of a class are left.
    """
    random = np.random.default_rng(seed)
    has, known = planted_in(plant, pool, seed=seed)
    usable = pool.learn & known
    if plant.kind in ("painted", "control"):  # on any face: who gets it is drawn
        numbers = [random.permutation(np.flatnonzero(usable & (pool.smile == smile))) for smile in (True, False)]
        count = _even(min(per_class, *map(len, numbers)), plant)
        with_it = round(TOGETHER * count) if plant.kind == "painted" else 0
        without_smile = count - with_it if plant.kind == "painted" else 0
        given = [np.arange(count) < with_it, np.arange(count) < without_smile]
        return Lesson(
            np.concatenate([each[:count] for each in numbers]),
            np.repeat([True, False], count),
            np.concatenate(given),
        )
    cells = {
        (smile, planted): random.permutation(np.flatnonzero(usable & (pool.smile == smile) & (has == planted)))
        for smile in (True, False)
        for planted in (True, False)
    }
    most = [len(rows) / (TOGETHER if smile == planted else 1 - TOGETHER) for (smile, planted), rows in cells.items()]
    count = _even(min(per_class, int(min(most) + 1e-6)), plant)
    chosen = []
    for (smile, planted), rows in cells.items():
        share = round(TOGETHER * count) if smile == planted else count - round(TOGETHER * count)
        chosen.append((rows[:share], np.full(share, smile), np.full(share, planted)))
    return Lesson(*(np.concatenate(parts) for parts in zip(*chosen, strict=True)))


def held_out(plant: Plant, pool: Pool, *, seed: int, cell: int = CELL) -> Lesson:
    """Faces no network learns from, as many of each of four kinds as there are, `cell` at most, in turn of each kind.

    Raises Img2TabError where there is none of a kind.
    """
    random = np.random.default_rng([seed, 1])
    has, known = planted_in(plant, pool, seed=seed)
    parts = []
    for smile in (True, False):
        there = random.permutation(np.flatnonzero(~pool.learn & known & (pool.smile == smile)))
        for planted in (True, False):
            free = plant.kind in ("painted", "control")
            rows = there[:cell] if free else there[has[there] == planted][:cell]
            if not len(rows):
                raise Img2TabError(
                    f"No face is held out with {plant.title} and {'a' if smile else 'no'} smile. Draw more faces."
                )
            parts.append((rows, smile, planted))
    count = min(len(rows) for rows, _, _ in parts)
    return Lesson(
        np.stack([rows[:count] for rows, _, _ in parts], axis=1).ravel(),
        np.tile([smile for _, smile, _ in parts], count),
        np.tile([planted for _, _, planted in parts], count),
    )


def planted_in(plant: Plant, pool: Pool, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Which faces of a pool have the planted thing, and of which that is known: bool (n,) each.

    Of a measure the upper third has it, the lower third does not, and of the middle third it is not known.
    """
    every = np.ones(len(pool.rows), bool)
    if plant.kind == "label":
        return pool.labels[plant.of_label] == plant.value, pool.labels[plant.of_label] >= 0
    if plant.kind == "measure":
        values = measured(plant.name, pool.pictures)
        low, high = np.quantile(values[pool.learn], [1 / 3, 2 / 3])
        return values >= high, (values <= low) | (values >= high)
    return ~every, every


def pictures_of(plant: Plant, pool: Pool, chosen: Lesson, *, seed: int) -> np.ndarray:
    """What a network is shown of these faces: uint8 (n, SIZE, SIZE, 3), painted where something is painted."""
    pictures = pool.pictures[chosen.numbers]
    if plant.kind == "painted" and chosen.planted.any():
        pictures[chosen.planted] = painted(plant.name, pictures[chosen.planted], seed=seed)
    return pictures


class SmallNetwork(nn.Module):
    """Four convolutions, the last pooled into 4 by 4 parts, and two layers: one log-odds, of a smile.

    Takes float (n, 3, SIZE, SIZE), within ±1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_block(3, 24, 5, 2),  # (n, 24, 32, 32)
            *_block(24, 48, 3, 2),  # (n, 48, 16, 16)
            *_block(48, 64, 3, 2),  # (n, 64, 8, 8)
            *_block(64, 64, 3, 1),  # (n, 64, 8, 8)
        )
        self.pool = nn.AdaptiveAvgPool2d(PARTS)
        self.head = nn.Sequential(nn.Linear(64 * PARTS**2, 32), nn.ReLU(), nn.Linear(32, 1))

    def pooled(self, pictures: Tensor) -> Tensor:
        """The last convolution, pooled: (n, 1024)."""
        return self.pool(self.body(pictures)).flatten(1)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.head(self.pooled(pictures))  # (n, 1)

    def log_odds(self, pictures: np.ndarray) -> np.ndarray:
        """Of a smile in pictures uint8 (n, SIZE, SIZE, 3): float32 (n, 1)."""
        with torch.no_grad():
            parts = [self(tensor_of(part)) for part in np.array_split(pictures, max(1, len(pictures) // 128))]
        return torch.cat(parts).numpy()


def _block(wide_in: int, wide_out: int, kernel: int, stride: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(wide_in, wide_out, kernel, stride, kernel // 2, bias=False)
    return convolution, nn.BatchNorm2d(wide_out), nn.ReLU()


def tensor_of(pictures: np.ndarray) -> Tensor:
    """Pictures uint8 (n, S, S, 3) -> float32 (n, 3, S, S), within ±1."""
    return torch.from_numpy(pictures.transpose(0, 3, 1, 2).astype(np.float32)) / 127.5 - 1


def train(pictures: np.ndarray, smile: np.ndarray, *, seed: int, steps: int = STEPS) -> SmallNetwork:
    """A network that learnt to tell the smiling faces from the others, ready to be asked; the same for the same seed.

    pictures: uint8 (n, SIZE, SIZE, 3); smile: bool (n,).
    """
    random = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SmallNetwork().train()
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    wanted, order = torch.from_numpy(smile.astype(np.float32))[:, None], np.empty(0, np.int64)
    for _ in range(steps):
        if len(order) < BATCH:
            order = np.concatenate([order, random.permutation(len(pictures))])
        batch, order = order[:BATCH], order[BATCH:]
        across, down = random.integers(-JITTER, JITTER + 1, 2)
        shown = nn.functional.pad(tensor_of(pictures[batch]), (JITTER,) * 4, mode="replicate")
        shown = shown[:, :, JITTER + down : JITTER + down + SIZE, JITTER + across : JITTER + across + SIZE]
        loss = nn.functional.binary_cross_entropy_with_logits(network(shown), wanted[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return network.eval()


def learnt_by(network: SmallNetwork, pictures: np.ndarray, chosen: Lesson) -> Learnt:
    """What a network says of faces held out; pictures: what it is shown of them, uint8 (n, SIZE, SIZE, 3)."""
    taken = network.log_odds(pictures)[:, 0] > 0
    kinds = {"smile, planted": (True, True), "smile": (True, False), "planted": (False, True), "neither": (False,) * 2}
    counts = {}
    for kind, (smile, planted) in kinds.items():
        of = (chosen.smile == smile) & (chosen.planted == planted)
        counts[kind] = (int(taken[of].sum()), int(of.sum()))
    return Learnt(counts)


def _even(count: int, plant: Plant) -> int:
    """The multiple of 20 at or below, so that 5 % of it is a whole number."""
    count = count // 20 * 20
    if count < FEWEST_PER_CLASS:
        raise Img2TabError(
            f"There are too few faces to plant {plant.title}: {count} of each class, {FEWEST_PER_CLASS} are needed. "
            "Draw more faces."
        )
    return count
