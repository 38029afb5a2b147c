"""Every target on photos of people: calibrations fitted on two thirds, everything measured on the third held out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from datetime import date

import numpy as np

from img2tab_core.audits.photo_check import by_group, figures_of
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.records import Face, StyleTable
from img2tab_core.base.words import percent
from img2tab_core.classifiers import calibrated
from img2tab_core.studio import Studio
from img2tab_core.tables.calibrations import Calibration, calibration_of
from img2tab_core.training.real_photos import People

Progress = Callable[[int, int], None]


def codes_of(studio: Studio, people: People) -> np.ndarray:
    """Style codes of the faces, float32 (n, D)."""
    return np.stack([code.values for code in studio.encode_all([Face.of(face) for face in people.faces])])


def fit_calibrations(studio: Studio, people: People, codes: np.ndarray) -> dict[str, Calibration]:
    """Calibrations fitted on the two thirds not held out, of the targets that gain by one.

    codes: style codes of the faces, (n, D). A target gains where ten people or more of each class are known and the
    mean square of probability minus truth (Brier) of photos that a fit did not see is lower than without.
    """
    table, fitted = studio.table(), {}
    for target in table.targets:
        truth = people.answers.get(target.name)
        if truth is None:
            continue
        rows = (truth >= 0) & (people.third != 0)
        run = studio.run(table, target.name)
        raw = run.classifier.predict_proba(codes[rows])[:, 1]
        try:
            unseen = calibrated.cross_validated(raw, truth[rows])
        except Img2TabError:
            continue  # too few of a class
        if figures_of(truth[rows], unseen).brier < figures_of(truth[rows], raw).brier:
            fitted[target.name] = calibrated.fit_calibration(
                raw, truth[rows], kind=run.classifier.kind, source=", ".join(people.of), day=date.today().isoformat()
            )
    return fitted


def measure_people(studio: Studio, people: People, codes: np.ndarray, table: StyleTable) -> list[dict]:
    """One entry a target: {"target", "calibration", "raw", "held_out", "groups", ...}, as it goes into JSON.

    raw and held_out: figures of the third held out without and with the calibration in use; not_held_out: of the other
    two thirds, each photo by two numbers fitted without it. groups: of all photos, the held-out ones by the calibration
    in use and the others by that cross-validation, since alone a third is too small to say anything of a group.
    """
    measured = []
    for target in table.targets:
        truth = people.answers.get(target.name, np.full(len(people.faces), -1))
        clear, held_out = truth >= 0, people.third == 0
        if not (clear & held_out).any():
            continue
        run = studio.run(table, target.name)
        raw = run.classifier.predict_proba(codes)[:, 1]
        calibration = calibration_of(table, target.name, run.classifier.kind)
        chance = raw.copy() if calibration is None else calibration.chance(raw)
        test, rest = clear & held_out, clear & ~held_out
        if calibration is not None:
            with suppress(Img2TabError):  # of too few photos the calibration in use stands, which saw them
                chance[rest] = calibrated.cross_validated(raw[rest], truth[rest])
        columns = {
            "folder": people.folder,
            **people.groups,
            "folder and gender": _joined(people.folder, people.groups["gender"]),
        }
        columns = {name: values[clear] for name, values in columns.items()}

        measured.append(
            {
                "target": target.name,
                "title": target.title,
                "recorded": int((people.recorded[target.name] & clear).sum()) if target.name in people.recorded else 0,
                "calibration": calibration and asdict(calibration),
                "raw": figures_of(truth[test], raw[test]).to_json(),
                "held_out": figures_of(truth[test], chance[test]).to_json(),
                "not_held_out": figures_of(truth[rest], chance[rest]).to_json() if rest.any() else None,
                "groups": [group.to_json() for group in by_group(truth[clear], chance[clear], target.classes, columns)],
            }
        )
    return measured


def after_refinement(
    studio: Studio, people: People, target_names: list[str], count: int, progress: Progress | None = None
) -> dict:
    """What the classifiers say of people before a refinement and of the refined picture, read once more.

    The first `count` photos of the third held out, evenly spread. {"photos", "steps", "identity": [before, after],
    "edit": mean correlation of what a family edit changes, targets: {name: {"of", "right_before", "right_after",
    "stays_or_improves"}}}. The decision the product shows is that before: a refinement changes what is drawn.
    """
    table = studio.table()
    rows = np.flatnonzero(people.third == 0)
    rows = rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)]
    runs = {name: studio.on_photos(studio.run(table, name)) for name in target_names}
    edits, likeness = [], []
    before: dict[str, list[float]] = {name: [] for name in target_names}
    after: dict[str, list[float]] = {name: [] for name in target_names}
    steps = 0
    for done, row in enumerate(rows):
        face = Face.of(people.faces[row])
        first = studio.encode(face)
        code, refined = studio.refine(face)
        again, steps = studio.reread(code), max(steps, refined.steps)
        likeness.append((refined.before.identity, refined.after.identity))
        edits.append(studio.edit_agreement(runs[target_names[0]], first, code).picture)
        for name, run in runs.items():
            chances = run.classifier.predict_proba(np.stack([first.values, again.values]))[:, 1]
            before[name].append(float(chances[0]))
            after[name].append(float(chances[1]))
        if progress:
            progress(done + 1, len(rows))
    targets = {}
    for name in target_names:
        truth = people.answers[name][rows]
        known = truth >= 0
        right = [(np.array(chances)[known] > 0.5) == truth[known] for chances in (before[name], after[name])]
        targets[name] = {
            "of": int(known.sum()),
            "right_before": int(right[0].sum()),
            "right_after": int(right[1].sum()),
            "stays_or_improves": int((right[1] >= right[0]).sum()),
        }
    return {
        "photos": len(rows),
        "steps": steps,
        "identity": np.median(likeness, axis=0).tolist(),
        "edit": float(np.mean(edits)),
        "targets": targets,
    }


def report(measured: list[dict], refined: dict | None, *, heading: str = "## ") -> str:
    """Markdown: what a person must know before believing a decision about a photo."""
    lines = [
        f"{heading}Every target, on photos of people",
        "",
        "Calibrations are fitted on two thirds of the photos; these figures are of the third held out, fixed by the "
        "photos' names, against what was recorded with a photo, or seen in it by a blind look where nothing was. 95 % "
        "intervals are over photos; some people are in two.",
        "",
        _row(
            ["target", "photos", "right, not calibrated", "right, as the product says it", "AUC", "calibration error"]
        ),
        _row(["---"] * 6),
    ]
    for entry in measured:
        raw, figures = entry["raw"], entry["held_out"]
        calibrated_share = _share(figures) if entry["calibration"] else "no calibration is kept"
        area = "" if figures["auc"] is None else f"{figures['auc']:.3f}"
        lines.append(
            _row(
                [
                    entry["title"],
                    str(figures["photos"]),
                    _share(raw),
                    calibrated_share,
                    area,
                    f"{figures['calibration_error']:.3f}",
                ]
            )
        )
    lines += [
        "",
        "By group, over all photos: those held out as the product judges them, the others by two numbers fitted "
        "without "
        "them. A group of fewer than 30 photos is marked; its share is little more than a guess.",
        "",
        _row(["target", "group", "photos", "right", ""]),
        _row(["---"] * 5),
    ]
    for entry in measured:
        if entry["target"] not in ("perceived_gender", "smiling", "young"):
            continue
        for group in entry["groups"]:
            lines.append(
                _row(
                    [
                        entry["title"],
                        f"{group['column']}: {group['value']}".lstrip(": "),
                        str(group["photos"]),
                        _share(group),
                        "few" if group["small"] else "",
                    ]
                )
            )
    if refined is not None:
        lines += [
            "",
            f"After refining {refined['photos']} of the photos held out (at most {refined['steps']} steps each; median "
            f"identity distance {refined['identity'][0]:.2f}, then {refined['identity'][1]:.2f}), the refined picture "
            f"read once more; what a known edit changes correlates {refined['edit']:.2f} with what it changed before. "
            "The decision the product shows is the first one.",
            "",
            _row(["target", "photos", "right before", "right after", "right still or newly"]),
            _row(["---"] * 5),
        ]
        for name, counts in refined["targets"].items():
            lines.append(
                _row([name, *(str(counts[key]) for key in ("of", "right_before", "right_after", "stays_or_improves"))])
            )
    return "\n".join(lines) + "\n"


def _joined(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.array([f"{a}, {b}" if b else "" for a, b in zip(first, second, strict=True)], object)


def _share(figures: dict) -> str:
    low, high = figures["interval"]
    return (
        f"{figures['right']} of {figures['photos']}, {percent(figures['accuracy'])} ({percent(low)} to {percent(high)})"
    )


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
