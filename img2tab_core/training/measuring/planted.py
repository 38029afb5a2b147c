"""The planted benchmark: networks with a shortcut planted by construction, and whether each method finds it.

Every network's record is kept under `.img2tab/planted`, so that a run goes on where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from img2tab_core import weights
from img2tab_core.backbones import drawn_faces
from img2tab_core.backbones.backbone import Backbone
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import home, keep_json, read_json
from img2tab_core.base.foreign import open_array
from img2tab_core.base.jobs import Cancel, Report, silent
from img2tab_core.base.records import StyleTable, digest, read_only
from img2tab_core.classifiers.answers import SAMPLE, order_of
from img2tab_core.classifiers.pixel_models import PixelInput, of_function
from img2tab_core.concepts.describing import others
from img2tab_core.concepts.description import MAP, REGIONS
from img2tab_core.concepts.moved_pictures import FACES as MOVED_FACES
from img2tab_core.concepts.moved_pictures import moved_face
from img2tab_core.concepts.moving import subject
from img2tab_core.studio import Studio
from img2tab_core.training.measuring import planted_causes, planted_methods, planted_networks
from img2tab_core.training.measuring.planted_causes import CONTROL, PLANTS, Plant
from img2tab_core.training.measuring.planted_methods import Question, Subjects
from img2tab_core.training.measuring.planted_networks import SIZE, Pool

FORMAT = "planted 2"  # raise the number when what is kept means something else
DRAWN_AT = 128  # px
FINAL_SEED = 200  # first seed of the networks that are quoted; all that was chosen was chosen on smaller ones
LOOKED_AT = 12  # faces held out of each kind that methods look at which explain single pictures
SPLIT = (
    "All that could be chosen was chosen on networks with other seeds, below {final}; these have the seeds from "
    "{first} on and were run once."
)


@dataclass(frozen=True, eq=False)
class Bench:
    """What all networks share: faces to learn from, and what methods work with; families by id, in their numbers."""

    pool: Pool
    subjects: Subjects
    key: str

    @property
    def ids(self) -> list[str]:
        return [family.id for family in self.subjects.description.families]


def plants_of(count: int, controls: int, seed: int) -> list[tuple[Plant, int]]:
    """Which networks are made: plants in the order of `PLANTS`, from the beginning again with the next seeds, and
    controls among them, spread evenly; each with its seed, none twice."""
    plants = [(PLANTS[number % len(PLANTS)], seed + number // len(PLANTS)) for number in range(count)]
    listed = list(plants)
    for number in range(controls):
        listed.insert(round((number + 1) * (count + controls) / (controls + 1)), (CONTROL, seed + number))
    return listed


def bench(
    studio: Studio,
    *,
    table_name: str = "default",
    faces: int = planted_networks.FACES,
    asked: int = SAMPLE,
    moved: int = MOVED_FACES,
    progress: Report | None = None,
    cancelled: Cancel = None,
) -> Bench:
    """Everything drawn that all networks share; drawn once and kept, four minutes on two cores the first time.

    faces: of the table, to learn from; asked: that a network is asked about; moved: whose families are moved. Raises
    Cancelled once `cancelled` says so, and Img2TabError where the backbone's concepts are not described.
    """
    report, table = progress or silent, studio.table(table_name)
    backbone, description = studio.backbone(table.backbone), studio.described(table.backbone)
    rows = planted_networks.pool_rows(table, faces=faces)
    pictures = _squares(table, backbone, rows, report=lambda share: report(share / 2, "Faces drawn"), stop=cancelled)
    smile = table.labels["smiling"].to_numpy()[rows]
    clear = smile >= 0
    pool = Pool(
        rows[clear],
        read_only(pictures[clear]),
        smile[clear] == 1,
        np.asarray(table.split)[rows[clear]] == 0,
        {
            plant.of_label: table.labels[plant.of_label].to_numpy()[rows[clear]]
            for plant in PLANTS
            if plant.kind == "label"
        },
    )
    asked_rows = order_of(table)[:asked]
    of_asked = _squares(table, backbone, asked_rows, stop=cancelled)
    squares, faces_moved = PixelInput(SIZE).squares, []
    for face in range(moved):
        places = range(2 * len(description.families) + 1)
        drawn = moved_face(backbone, table, description, face, places, size=DRAWN_AT, cancelled=cancelled)
        if len(drawn):  # the table may have fewer
            faces_moved.append(squares(drawn))
        report(0.5 + (face + 1) / moved / 2, f"Families moved on {face + 1} of {moved} faces")
    subjects = Subjects(
        table,
        backbone,
        description,
        asked_rows,
        read_only(of_asked),
        read_only(np.stack(faces_moved)),
        _regions(table, backbone, count=moved),
    )
    recipe = f"{faces} {asked} {moved} {planted_networks.STEPS} {planted_networks.PER_CLASS}"
    key = digest(FORMAT.encode(), table.key.encode(), description.key.encode(), recipe.encode())
    return Bench(pool, subjects, key[:16])


def measure(
    made: Bench,
    networks: Sequence[tuple[Plant, int]],
    *,
    progress: Report | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> list[dict]:
    """A record of every network, those that are kept opened, the others made; a minute each on one core.

    Stops before the next network once `cancelled` says so. A record: plant and seed, what the network does on faces
    held out, the families that count as its cause, and by method the order, what it reports, queries and seconds.
    """
    report, records = progress or silent, []
    for number, (plant, seed) in enumerate(networks):
        if cancelled is not None and cancelled():
            break
        file = home() / "planted" / made.key / f"{plant.name}-{seed}.json"
        record = read_json(file)
        lacking = {name for name, method in planted_methods.methods().items() if method is not None}
        if not record or lacking - {name for name, answer in record["methods"].items() if answer is not None}:
            with threadpool_limits(1):
                record = measure_one(made, plant, seed)
            keep_json(file, record)
        records.append(record)
        learnt = "learnt" if record["learnt"] else "not learnt"
        report((number + 1) / len(networks), f"{plant.title}, seed {seed}: {learnt}, {record['seconds']:.0f} s")
    return records


def measure_one(made: Bench, plant: Plant, seed: int, *, steps: int = planted_networks.STEPS) -> dict:
    """One network made and asked by every method; see `measure`. Raises Img2TabError where there are too few faces."""
    began = time.perf_counter()
    pool, subjects = made.pool, made.subjects
    chosen = planted_networks.lesson(plant, pool, seed=_seed(plant, seed))
    pictures = planted_networks.pictures_of(plant, pool, chosen, seed=seed)
    network = planted_networks.train(pictures, chosen.smile, seed=_seed(plant, seed), steps=steps)
    held = planted_networks.held_out(plant, pool, seed=_seed(plant, seed))
    shown = planted_networks.pictures_of(plant, pool, held, seed=seed + 1)
    learnt = planted_networks.learnt_by(network, shown, held)
    model = of_function(
        network.log_odds,
        f"{plant.name}-{seed}"[:40],
        size=SIZE,
        output="sigmoid",
        classes=("smile",),
        title=f"{plant.title}, seed {seed}",
    )
    training_seconds = time.perf_counter() - began
    question = Question(network, model, read_only(shown[: 4 * LOOKED_AT]))
    ids = made.ids
    causes = planted_causes.causes(plant, subjects.description, subjects.moved)
    smile = planted_causes.smile_families(subjects.description)
    allowed = planted_causes.true_in_controls(subjects.description)
    answers: dict[str, dict | None] = {}
    for name, method in planted_methods.methods().items():
        if method is None:
            answers[name] = None
            continue
        answer = planted_methods.ask(method, question, subjects)
        answers[name] = {
            "order": [ids[family] for family in answer.order],
            "reported": [ids[family] for family in answer.reported],
            "queries": answer.queries,
            "seconds": round(answer.seconds, 2),
        }
    return {
        "plant": plant.name,
        "title": plant.title,
        "kind": plant.kind,
        "seed": seed,
        "faces": len(chosen.numbers),
        "families": len(ids),
        "held_out": {kind: list(counted) for kind, counted in learnt.kinds.items()},
        "follows": list(learnt.follows),
        "accuracy": learnt.accuracy,
        "learnt": planted_networks.has_learnt(plant, learnt),
        "causes": [ids[family] for family in causes],
        "smile": [ids[family] for family in sorted(smile)],
        "allowed": [ids[family] for family in sorted(allowed)],
        "methods": answers,
        "training_seconds": round(training_seconds, 1),
        "seconds": round(time.perf_counter() - began, 1),
    }


def split_text(seed: int) -> str:
    """Whether these networks are the final ones or some that things were chosen on, in a sentence."""
    if seed < FINAL_SEED:
        return f"These are networks of development, seeds below {FINAL_SEED}: things were chosen on them."
    return SPLIT.format(final=FINAL_SEED, first=seed)


def _seed(plant: Plant, seed: int) -> int:
    """Another one for every plant, so that two of one seed do not learn from the same faces."""
    return 1000 * seed + (PLANTS.index(plant) if plant in PLANTS else len(PLANTS))


def _squares(
    table: StyleTable,
    backbone: Backbone,
    rows: np.ndarray,
    *,
    report: Callable[[float], None] | None = None,
    stop: Cancel = None,
) -> np.ndarray:
    """Faces of a table as a network of `SIZE` px sees them: uint8 (n, SIZE, SIZE, 3)."""
    squares, parts, done = PixelInput(SIZE).squares, [], 0
    for part, pictures in drawn_faces.drawn(table, backbone, rows, size=DRAWN_AT, cancelled=stop):
        parts.append(squares(pictures))
        done += len(part)
        if report is not None:
            report(done / len(rows))
    return np.concatenate(parts)


def _regions(table: StyleTable, backbone: Backbone, *, count: int) -> np.ndarray:
    """How many of the moved faces have each region at each place: float64 (R, MAP, MAP), shares; kept once made."""
    file = home() / "planted" / f"regions-{table.key[:12]}-{backbone.key[:12]}-{count}.npy"
    known = _opened(file)
    if known is not None:
        return known
    landmark_file = weights.path("landmarks-68")
    codes = others(backbone, table, count=MOVED_FACES)[:count]
    faces = [subject(backbone, code, landmark_file) for code in codes]
    shares = [
        np.stack([(face.regions == number).astype(float) for number in range(len(REGIONS))])
        for face in faces
        if face.landmarks is not None
    ]
    if not shares:
        raise Img2TabError("No face was seen in what the generator draws, so nobody knows where its regions are.")
    mean = np.mean(shares, axis=0)  # (R, SIDE, SIDE)
    step = mean.shape[1] // MAP
    regions = mean[:, : step * MAP, : step * MAP].reshape(len(mean), MAP, step, MAP, step).mean(axis=(2, 4))
    file.parent.mkdir(parents=True, exist_ok=True)
    np.save(file, regions)
    return read_only(regions)


def _opened(file: Path) -> np.ndarray | None:
    try:
        regions = np.array(open_array(file))
    except (OSError, ValueError, EOFError):
        return None
    return read_only(regions) if regions.shape == (len(REGIONS), MAP, MAP) else None
