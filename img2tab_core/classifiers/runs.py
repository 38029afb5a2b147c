"""A run: one classifier, what it was trained without and how well it judges; its id, and its files."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import home, keep_json
from img2tab_core.base.later import later
from img2tab_core.base.records import Metrics, StyleTable, digest

if TYPE_CHECKING:
    from img2tab_core.classifiers import catboost, kinds
    from img2tab_core.classifiers.base import ConceptClassifier
else:
    catboost, kinds = later("img2tab_core.classifiers.catboost", "img2tab_core.classifiers.kinds")

DEFAULT_KIND = "catboost"  # of classifier


@dataclass(frozen=True)
class Run:
    """One classifier with its exclusions and its measured results on the test split.

    origin: "" where it was trained here, else the file it came from; table_key: of the table it was measured on.
    quick: a first answer until the full classifier is trained, never kept; note: what a person must know of it.
    """

    id: str
    table: str
    target: str
    classifier: ConceptClassifier
    excluded: frozenset[int]
    seed: int
    metrics: Metrics
    seconds: float
    origin: str = ""
    table_key: str = ""
    quick: bool = False
    note: str = ""


def save_run(run: Run, folder: Path) -> None:
    """Write a run: the classifier's files and run.json, which comes last and appears whole."""
    kinds.save(run.classifier, folder)
    about = {
        "id": run.id,
        "table": run.table,
        "target": run.target,
        "excluded": sorted(run.excluded),
        "seed": run.seed,
        "seconds": run.seconds,
        "metrics": asdict(run.metrics),
        "origin": run.origin,
        "table_key": run.table_key,
        "quick": run.quick,
        "note": run.note,
    }
    keep_json(folder / "run.json", about)


def load_run(folder: Path) -> Run:
    """The run that `save_run` wrote."""
    try:
        about = json.loads((folder / "run.json").read_text())
        metrics = about["metrics"]
        return Run(
            id=about["id"],
            table=about["table"],
            target=about["target"],
            classifier=kinds.load(folder),
            excluded=frozenset(about["excluded"]),
            seed=about["seed"],
            metrics=Metrics(
                **metrics
                | {"interval": tuple(metrics["interval"]), "confusion": tuple(map(tuple, metrics["confusion"]))}
            ),
            seconds=about["seconds"],
            origin=about.get("origin", ""),
            table_key=about.get("table_key", ""),
            quick=about.get("quick", False),
            note=about.get("note", ""),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Img2TabError(f"There is no readable run in {folder} ({error}). Train it again.") from error


def has_model(run_id: str) -> bool:
    """Whether the files of a run are in the visitor's folder; nothing is opened, so damage shows only on loading."""
    folder = home() / "runs" / run_id
    model_files = {file.name for file in folder.glob("model.*")}
    return bool(run_id) and (folder / "run.json").is_file() and {"model.json"} < model_files


def run_id_of(table: StyleTable, target: str, excluded: frozenset[int], seed: int, kind: str = DEFAULT_KIND) -> str:
    """The same table, target, exclusions, seed, kind and settings give the same id."""
    estimator = kinds.KINDS[kind].estimator
    settings = {name: str(value) for name, value in estimator().get_params().items()}
    recipe = catboost.RECIPE if kind == DEFAULT_KIND else f"{kind} {kinds.library_version(kind)}"
    return id_of(
        table, target, json.dumps([recipe, settings, table.key, target, sorted(excluded), seed], sort_keys=True)
    )


def card_run_id_of(table: StyleTable, target: str, excluded: frozenset[int], seed: int) -> str:
    """The id of a run of the default kind that is trained on a graphics card; it names the recipe, not the bits."""
    return id_of(table, target, "graphics card", run_id_of(table, target, excluded, seed))


def id_of(table: StyleTable, target: str, *parts: str) -> str:
    """An id of what was trained on a table for a target, the same wherever the parts are the same."""
    return f"{table.name}-{target}-{digest(*(part.encode() for part in parts))[:12]}"


def is_of(run: Run, table: StyleTable) -> bool:
    """Whether a stored run belongs to this very table, and would come out the same today."""
    if run.origin or run.note:
        return run.table_key == table.key
    return run.id == run_id_of(table, run.target, run.excluded, run.seed, run.classifier.kind)
