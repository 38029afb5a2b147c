"""Rendered faces -> the bundled population: the encoder's w, labels, a card that says how good each label is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from img2tab_core.backbone import Backbone
from img2tab_core.classifiers import wilson
from img2tab_core.errors import Img2TabError
from img2tab_core.training.labels import MEASURES, TARGETS, Labeller, decide
from img2tab_core.training.pairs import count_rendered

SPLIT_SEED = 0
LABELS_VERSION = 1  # raise it when `Labeller.measure` changes: what was measured before is then measured anew
LABEL_BLOCK = 250
NOT_BLIND = "not blind: the labels were shown beside the faces"


def label_faces(
    rendered: Path, labeller: Labeller, *, limit: int, progress: Callable[[int, int], None] | None = None
) -> pd.DataFrame:
    """Labels of the first `limit` faces of a `render_pairs` folder; kept block by block there, so it can go on."""
    limit = min(limit, count_rendered(rendered))
    if limit < 2:
        raise Img2TabError(f"A population needs at least 2 rendered faces, got {limit} in {rendered}. Render more.")
    faces = np.load(rendered / "faces.npy", mmap_mode="r")
    blocks = []
    for start in range(0, limit, LABEL_BLOCK):
        stop = min(start + LABEL_BLOCK, limit)
        file = _block_file(rendered, start, stop)
        if not file.exists():
            labeller.measure(faces[start:stop]).to_parquet(file.with_suffix(".part"))
            file.with_suffix(".part").replace(file)
        blocks.append(pd.read_parquet(file))
        if progress:
            progress(stop, limit)
    return decide(pd.concat(blocks, ignore_index=True))


def _block_file(rendered: Path, start: int, stop: int) -> Path:
    """Where the labels of a block of faces are kept."""
    unversioned = rendered / f"labels-{start}-{stop}.parquet"        # version 1, from before names said so
    if LABELS_VERSION == 1 and unversioned.exists():
        return unversioned
    return rendered / f"labels-v{LABELS_VERSION}-{start}-{stop}.parquet"


def write_population(rendered: Path, labels: pd.DataFrame, backbone: Backbone, folder: Path, *, facts: dict) -> None:
    """Encode the rendered faces and write w.npy (float16), labels.parquet, population.json and card.md to `folder`.

    facts: what else the card must say: {"measured": [[label, against what, count, agreement], ...], ...}.
    """
    folder.mkdir(parents=True, exist_ok=True)
    faces = np.load(rendered / "faces.npy", mmap_mode="r")
    w = np.concatenate([
        backbone.invert(faces[start : start + 256]) for start in range(0, len(labels), 256)
    ])[: len(labels)]
    true_w = np.load(rendered / "w.npy")[: len(labels)]
    r2 = float(1 - np.square(w - true_w).sum() / np.square(true_w - true_w.mean(axis=0)).sum())
    np.save(folder / "w.npy", w.astype(np.float16))
    labels.to_parquet(folder / "labels.parquet")
    about = {
        "faces": len(labels), "backbone": backbone.name, "split_seed": SPLIT_SEED, "encoder_r2": r2,
        "targets": [asdict(target) for target in TARGETS], "measures": MEASURES, **facts,
    }
    (folder / "population.json").write_text(json.dumps(about, indent=1))
    (folder / "card.md").write_text(card(about, labels))


def hand_check(file: Path, labels: pd.DataFrame) -> list[list[str]]:
    """Rows of the card from a file of {"rows": [...], "disagree": {label: [...]}}: rows somebody looked at."""
    looked = json.loads(file.read_text())
    found = []
    for name, wrong in looked["disagree"].items():
        known = [row for row in looked["rows"] if labels[name].iloc[row] >= 0]
        right = len(known) - len(set(known) & set(wrong))
        low, high = wilson(right, len(known))
        found.append([name, f"{looked['by']}, generated faces ({NOT_BLIND})",
                      f"{len(known)} of {len(looked['rows'])} known",
                      f"{right / len(known):.1%} agree (95 % interval {low:.1%} to {high:.1%})"])
    return found


def card(about: dict, labels: pd.DataFrame) -> str:
    """The card of the population, Markdown."""
    lines = [
        "# The bundled population", "",
        f"{about['faces']:,} faces drawn by the default generator ({about['backbone']}); nobody in them exists.",
        "Stored are the encoder's w of each rendered face (`w.npy`, float16) and labels (`labels.parquet`); style",
        "codes are computed from w when the table is built, the same way as for a photo. For non-commercial research",
        "only, like the generator.", "",
        "w of a face: mean + t (w - mean), t uniform in 0.6 to 1. R2 of the encoder's w on these faces: "
        f"{about['encoder_r2']:.3f}.", "",
        "Every label is *perceived*: it is what a network or a rule sees in a picture, not what anybody is.", "",
        "## Targets", "", "| target | classes | counts | unknown | how it was made |", "|---|---|---|---|---|",
    ]
    for target in about["targets"]:
        values = labels[target["name"]]
        counts = f"{(values == 0).sum():,} / {(values == 1).sum():,}"
        lines.append(f"| {target['name']} | {target['classes'][0]} / {target['classes'][1]} | {counts} "
                     f"| {(values < 0).sum():,} | {target['how']} |")
    lines += ["", "## Measures", "", "| column | unit and source | median (5 % to 95 %) |", "|---|---|---|"]
    for name, unit in about["measures"].items():
        low, middle, high = np.percentile(labels[name], [5, 50, 95])
        lines.append(f"| {name} | {unit} | {middle:.2f} ({low:.2f} to {high:.2f}) |")
    lines += ["", "## How good the labels are", "",
              "| label | measured against | count | result |", "|---|---|---|---|"]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in about.get("measured", [])]
    lines += ["", *about.get("notes", [])]
    return "\n".join(lines) + "\n"
