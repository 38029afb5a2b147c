"""Rendered faces -> the bundled population: the encoder's w, labels, a card that says how good each label is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from img2tab_core.backbones.backbone import Backbone
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.intervals import wilson
from img2tab_core.training.encoders.pairs import count_rendered
from img2tab_core.training.population import faceres
from img2tab_core.training.population.agreement import measured_on_people
from img2tab_core.training.population.label_networks import (
    MEASURES,
    PROBED,
    TARGETS,
    LabelNetworks,
    decide,
    decide_again,
)
from img2tab_core.training.population.probes import Looked, Probes, fit_probes, read_looked
from img2tab_core.training.real_photos import People

SPLIT_SEED = 0
LABELS_VERSION = 1  # raise it when `Labeller.measure` changes: what was measured before is then measured anew
OPINIONS_VERSION = 1  # the same for `FaceRes.look`
LABEL_BLOCK = 250


def label_faces(
    rendered: Path, networks: LabelNetworks, *, limit: int, progress: Callable[[int, int], None] | None = None
) -> pd.DataFrame:
    """Labels of the first `limit` faces of a `render_pairs` folder.

    What was measured is kept block by block in that folder, so it can go on; targets are decided anew each time.
    """
    limit = min(limit, count_rendered(rendered))
    if limit < 2:
        raise Img2TabError(f"A population needs at least 2 rendered faces, got {limit} in {rendered}. Render more.")
    faces = np.load(rendered / "faces.npy", mmap_mode="r")
    blocks = []
    for start in range(0, limit, LABEL_BLOCK):
        stop = min(start + LABEL_BLOCK, limit)
        measured = _measured(rendered, faces[start:stop], networks, start)
        blocks.append(decide(measured, _opinions(rendered, faces[start:stop], networks, start), networks.probes))
        if progress:
            progress(stop, limit)
    return pd.concat(blocks, ignore_index=True)


def _measured(rendered: Path, faces: np.ndarray, networks: LabelNetworks, start: int) -> pd.DataFrame:
    """Landmarks, expression and gender of a block of faces, from its file if that is there."""
    file = _block_file(rendered, start, start + len(faces))
    if not file.exists():
        networks.labeller.measure(faces).to_parquet(file.with_suffix(".part"))
        file.with_suffix(".part").replace(file)
    return pd.read_parquet(file)


def _opinions(rendered: Path, faces: np.ndarray, networks: LabelNetworks, start: int) -> faceres.Opinions:
    """What faceres says of a block of faces, from its file if that is there."""
    file = rendered / f"opinions-v{OPINIONS_VERSION}-{start}-{start + len(faces)}.npz"
    if not file.exists():
        faceres.save(networks.network.look(list(faces)), file)
    return faceres.load(file)


def _block_file(rendered: Path, start: int, stop: int) -> Path:
    """Where the labels of a block of faces are kept."""
    unversioned = rendered / f"labels-{start}-{stop}.parquet"  # version 1, from before names said so
    if LABELS_VERSION == 1 and unversioned.exists():
        return unversioned
    return rendered / f"labels-v{LABELS_VERSION}-{start}-{stop}.parquet"


def fit_label_probes(rendered: Path, network: faceres.FaceRes, looked: Looked) -> Probes:
    """The probes of `labels.PROBED`, fitted to the rows of a `render_pairs` folder somebody looked at."""
    count = count_rendered(rendered)
    if looked.rows.max() >= count:
        raise Img2TabError(
            f"The rows looked at go up to {looked.rows.max()}, but {rendered} holds {count} faces. Name the folder "
            "whose first faces the bundled population begins with."
        )
    missing = set(PROBED) - set(looked.seen)
    if missing:
        raise Img2TabError(f"The rows looked at must say what was seen of {', '.join(sorted(missing))}. Look again.")
    faces = np.load(rendered / "faces.npy", mmap_mode="r")
    features = network.look([np.asarray(faces[row]) for row in looked.rows]).features
    return fit_probes(features, {name: looked.seen[name] for name in PROBED})


def write_population(
    rendered: Sequence[Path],
    counts: Sequence[int],
    labels: pd.DataFrame,
    backbone: Backbone,
    folder: Path,
    *,
    facts: dict,
) -> None:
    """Encode the first counts[i] faces of every rendered[i], in that order, and write the population to `folder`.

    Written are w.npy (float16), labels.parquet, population.json and card.md; labels has one row per face. facts: what
    else the card must say: {"people": of `measured_on_people`, "checked": [...], ...}.
    """
    folder.mkdir(parents=True, exist_ok=True)
    encoded: list[np.ndarray] = []
    drawn_from: list[np.ndarray] = []
    for source, count in zip(rendered, counts, strict=True):
        faces = np.load(source / "faces.npy", mmap_mode="r")
        encoded += [backbone.invert(faces[start : min(start + 256, count)]) for start in range(0, count, 256)]
        drawn_from.append(np.load(source / "w.npy")[:count])
    w, true_w = np.concatenate(encoded), np.concatenate(drawn_from)
    r2 = float(1 - np.square(w - true_w).sum() / np.square(true_w - true_w.mean(axis=0)).sum())
    np.save(folder / "w.npy", w.astype(np.float16))
    labels.to_parquet(folder / "labels.parquet")
    about = {
        "faces": len(labels),
        "backbone": backbone.name,
        "split_seed": SPLIT_SEED,
        "encoder_r2": r2,
        "targets": [target.to_json() for target in TARGETS],
        "measures": MEASURES,
        **facts,
    }
    (folder / "population.json").write_text(json.dumps(about, indent=1))
    (folder / "card.md").write_text(card(about, labels))


def hand_check(file: Path, labels: pd.DataFrame) -> dict:
    """Labels against a file of rows somebody looked at (`read_looked`), and what the file says of itself.

    {"by", "blind", "drawn", "faces", "labels": [{"label", "clear", "known", "agree", "right", "said"}, ...]}: clear
    counts the faces the reviewer could decide, known those of them that have a label; right[c] of said[c] labelled
    c = 0, 1 are what the reviewer saw.
    """
    looked = read_looked(file)
    checked = []
    for target in TARGETS:
        if target.name not in looked.seen:
            continue
        seen, label = looked.seen[target.name], labels[target.name].to_numpy()[looked.rows]
        both = (seen >= 0) & (label >= 0)
        checked.append(
            {
                "label": target.name,
                "clear": int((seen >= 0).sum()),
                "known": int(both.sum()),
                "agree": int((seen == label)[both].sum()),
                "said": [int((label[both] == c).sum()) for c in (0, 1)],
                "right": [int(((label == c) & (seen == c))[both].sum()) for c in (0, 1)],
            }
        )
    return {"by": "", "blind": False, "drawn": ""} | looked.about | {"faces": len(looked.rows), "labels": checked}


def hand_checks(folder: Path, labels: pd.DataFrame) -> list[dict]:
    """`hand_check` of every hand_check*.json of a folder whose rows are all there."""
    files = sorted(folder.glob("hand_check*.json"))
    return [hand_check(file, labels) for file in files if read_looked(file).rows.max() < len(labels)]


def probe_facts(probes: Probes, folder: Path) -> list[list]:
    """[name, AUC, faces seen as 0, faces seen as 1] of every probe."""
    seen = read_looked(folder / "probe_labels.json").seen
    return [
        [name, round(float(auc), 3), int((seen[name] == 0).sum()), int((seen[name] == 1).sum())]
        for name, auc in zip(probes.names, probes.auc, strict=True)
    ]


def counts_of(rendered: Sequence[Path], take: str) -> list[int]:
    """How many faces of each folder: what `take` says ("10600,9400"), or all that are rendered."""
    there = [count_rendered(folder) for folder in rendered]
    if not take:
        return there
    try:
        wanted = [int(part) for part in take.split(",")]
    except ValueError as error:
        raise Img2TabError(f"--take must be numbers with commas between them, got {take!r}.") from error
    if len(wanted) != len(there) or any(not 2 <= n <= count for n, count in zip(wanted, there, strict=False)):
        raise Img2TabError(
            f"--take must say one number for each of {len(there)} folders, at least 2 and no more than are rendered "
            f"({', '.join(map(str, there))}), got {take}."
        )
    return wanted


def checked_lines(check: dict) -> list[str]:
    """A hand check as lines of the card."""
    lines = [
        f"{check['faces']} generated faces judged by {check['by']}"
        f"{', blind' if check['blind'] else ', not blind: labels were shown beside the faces'}: {check['drawn']}.",
        "",
        "| label | clear to the reviewer | of these with a label | agree | 95 % interval | right where labelled 1 "
        "| right where labelled 0 |",
        "|---|---|---|---|---|---|---|",
    ]
    for label in check["labels"]:
        if not label["known"]:
            lines.append(f"| {label['label']} | {label['clear']} | 0 | | | | |")
            continue
        low, high = wilson(label["agree"], label["known"])
        zeros, ones = (f"{right} of {said}" for right, said in zip(label["right"], label["said"], strict=True))
        lines.append(
            f"| {label['label']} | {label['clear']} | {label['known']} | {label['agree'] / label['known']:.1%} "
            f"| {low:.1%} to {high:.1%} | {ones} | {zeros} |"
        )
    return lines


def _people_lines(people: dict) -> list[str]:
    """How the labels do on photos of people, as lines of the card; none where that was not measured."""
    if not people:
        return []
    lines = [
        f"On photos of people ({', '.join(people['folders'])}), against what was recorded with them, or seen by a "
        f"blind "
        "look at each photo where nothing was (`seen_on_photos.json`); what was not clear counts as nothing. The best "
        "border is where the number behind the label parts two thirds of the photos best, both classes weighing the "
        "same; the third held out is fixed by the photos' names.",
        "",
        "| label | people of class 0 / 1 | AUC of the number behind it | best border | label right, of those it labels "
        "| on the third held out |",
        "|---|---|---|---|---|---|",
    ]
    lines += ["| " + " | ".join(row) + " |" for row in people["rows"]]
    if people["age"]:
        count, off, far = people["age"]
        lines += ["", f"Perceived age against the age of {count} photos: {off:+.1f} years on average, {far:.1f} off."]
    return lines


def relabel(folder: Path, networks: LabelNetworks, people: People) -> pd.DataFrame:
    """Decide the labels of the population in `folder` anew by its own measures, measure them on photos of people, and
    write labels.parquet, population.json and card.md; the labels. For borders that have moved since it was made."""
    labels = decide_again(pd.read_parquet(folder / "labels.parquet"))
    about = json.loads((folder / "population.json").read_text())
    about.pop("measured", None)
    about |= {
        "targets": [target.to_json() for target in TARGETS],
        "checked": hand_checks(folder, labels),
        "people": measured_on_people(networks, people),
    }
    labels.to_parquet(folder / "labels.parquet")
    (folder / "population.json").write_text(json.dumps(about, indent=1))
    (folder / "card.md").write_text(card(about, labels))
    return labels


def card(about: dict, labels: pd.DataFrame) -> str:
    """The card of the population, Markdown."""
    lines = [
        "# The bundled population",
        "",
        f"{about['faces']:,} faces drawn by the default generator ({about['backbone']}); nobody in them exists.",
        "Stored are the encoder's w of each rendered face (`w.npy`, float16) and labels (`labels.parquet`); style",
        "codes are computed from w when the table is built, the same way as for a photo. For non-commercial research",
        "only, like the generator.",
        "",
        "w of a face: mean + t (w - mean), t uniform in 0.6 to 1. R2 of the encoder's w on these faces: "
        f"{about['encoder_r2']:.3f}.",
        "",
        "Every label is *perceived*: it is what a network or a rule sees in a picture, not what anybody is.",
        "",
        "## Targets",
        "",
        "| target | classes | counts | unknown | how it was made |",
        "|---|---|---|---|---|",
    ]
    for target in about["targets"]:
        values = labels[target["name"]]
        counts = f"{(values == 0).sum():,} / {(values == 1).sum():,}"
        lines.append(
            f"| {target['name']} | {target['classes'][0]} / {target['classes'][1]} | {counts} "
            f"| {(values < 0).sum():,} | {target['how']} |"
        )
    lines += ["", "## Measures", "", "| column | unit and source | median (5 % to 95 %) |", "|---|---|---|"]
    for name, unit in about["measures"].items():
        low, middle, high = np.percentile(labels[name], [5, 50, 95])
        lines.append(f"| {name} | {unit} | {middle:.2f} ({low:.2f} to {high:.2f}) |")
    lines += ["", "## How good the labels are", ""]
    for check in about.get("checked", []):
        lines += [*checked_lines(check), ""]
    if about.get("probes"):
        lines += [
            "Linear probes: area under the ROC curve on faces a fold was not fitted on, and the faces seen as",
            "class 0 and 1.",
            "",
            "| probe | AUC | seen 0 / 1 |",
            "|---|---|---|",
        ]
        lines += [f"| {name} | {auc:.3f} | {zeros} / {ones} |" for name, auc, zeros, ones in about["probes"]]
        lines += [""]
    lines += _people_lines(about.get("people", {}))
    lines += ["", *about.get("notes", [])]
    return "\n".join(lines) + "\n"
