"""The verbs that make what the product ships: render, train the encoder, fit preview heads, build the population."""

from __future__ import annotations

import platform
import subprocess
import sys
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from img2tab_core.errors import Img2TabError


def register(app: typer.Typer) -> None:
    """Add the training verbs to the command line."""
    from img2tab_core.cli import verb

    for name, function in (
        ("render-pairs", render_pairs), ("train-encoder", train_encoder), ("fit-preview-heads", fit_preview_heads),
        ("build-population", build_population), ("measure-portraits", measure_portraits),
        ("draw-samples", draw_samples),
    ):
        verb(app, name)(function)


def render_pairs(
    folder: Annotated[Path, typer.Argument(help="Where w.npy and faces.npy go; goes on where it was stopped.")],
    count: Annotated[int, typer.Option(min=1, help="How many faces.")] = 60_000,
    size: Annotated[int, typer.Option(help="Side of a stored face in px.")] = 128,
    drawn_at: Annotated[int, typer.Option(help="Side it is rendered at: 128, 256, 512 or 1024.")] = 128,
    seed: Annotated[int, typer.Option(min=0)] = 2,
) -> None:
    """Draw random faces with the w they were drawn from: the encoder's training pairs."""
    import torch

    from img2tab_core import weights
    from img2tab_core.training.pairs import render_pairs as render

    if drawn_at % size or drawn_at not in (128, 256, 512, 1024):
        raise Img2TabError(f"--drawn-at must be 128, 256, 512 or 1024 and a multiple of --size, got {drawn_at}.")
    generator = weights.open_generator()
    drawing = weights.open_generator().to(torch.bfloat16)            # bfloat16 is 2 to 3 times faster on recent CPUs
    drawing.mapping = generator.mapping                              # w itself stays float32
    render(drawing, folder, count=count, size=size, drawn_at=drawn_at, seed=seed, progress=_show)


def train_encoder(
    pairs: Annotated[list[Path], typer.Argument(help="Folders of `img2tab render-pairs` to train on.")],
    held_out: Annotated[Path, typer.Option(help="A folder of `img2tab render-pairs` that measures R2 only.")],
    out: Annotated[Path, typer.Option(help="Folder for the weights, their record, checkpoint and curve.")],
    minutes: Annotated[float, typer.Option(min=0.01, help="How long to train; the schedule ends then.")] = 40.0,
    steps: Annotated[int | None, typer.Option(min=1, help="Train so many steps instead of a time.")] = None,
    batch: Annotated[int, typer.Option(min=2)] = 64,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Train the face encoder on generated pairs; goes on from a checkpoint in --out."""
    from img2tab_core.training.encoder import Recipe, read_curve, read_recipes, save_encoder
    from img2tab_core.training.encoder import train_encoder as fit

    recipe = Recipe(minutes=minutes, steps=steps, batch=batch, seed=seed)
    curve = []

    def report(line) -> None:
        curve.append(line)
        print(f"step {line.step}  {line.minutes:.1f} min  {line.pairs} pairs  loss {line.loss:.3f}  "
              f"R2 {line.r2:.3f}  augmented {line.r2_augmented:.3f}", file=sys.stderr, flush=True)

    model = fit(pairs, held_out, out, recipe, report=report)
    last = curve[-1]
    save_encoder(model, out, {
        "made_by": "img2tab train-encoder", "date": date.today().isoformat(), "machine": _machine(),
        "recipe": asdict(recipe), "recipes": read_recipes(out),
        "steps": last.step, "pairs": last.pairs, "minutes": round(last.minutes, 1),
        "held_out_r2": round(last.r2, 4), "held_out_r2_augmented": round(last.r2_augmented, 4),
        "data": "generated faces only: w = mean + t (w - mean), t uniform in 0.6 to 1, rendered at 128 px, augmented",
        "curve": read_curve(out / "curve.csv"),
    })
    print(f"R2 {last.r2:.3f} on held-out faces; weights in {out}. "
          "Copy face-encoder.* to pretrained_models/ to use them.")


def fit_preview_heads(
    out: Annotated[Path, typer.Option(help="Folder for preview-heads.safetensors and its record.")],
    faces: Annotated[int, typer.Option(min=10)] = 250,
) -> None:
    """Fit the heads that draw previews at 128 and 256 px."""
    from img2tab_core import weights
    from img2tab_core.training.preview_heads import fit_preview_heads as fit
    from img2tab_core.training.preview_heads import save_preview_heads

    generator = weights.open_generator()
    error = fit(generator, faces=faces)
    save_preview_heads(generator, out, {
        "made_by": f"img2tab fit-preview-heads --faces {faces}", "date": date.today().isoformat(),
        "machine": _machine(), "held_out_faces": 50, "error": error,
        "scale": "pictures in [-1, 1], against the exact 512 px picture area-averaged",
    })
    for size, found in error.items():
        print(f"{size} px: root mean square error {found['rmse']:.4f}, R2 {found['r2']:.4f}; in {out}.")


def build_population(
    rendered: Annotated[Path, typer.Argument(help="A folder of `img2tab render-pairs --size 256 --drawn-at 256`.")],
    expression: Annotated[Path, typer.Option(help="Folder `model` of the npm package @vladmandic/face-api.")],
    out: Annotated[Path, typer.Option(help="Where the population goes.")] = Path("assets/population"),
    limit: Annotated[int, typer.Option(min=10)] = 12_000,
    portraits: Annotated[list[Path] | None, typer.Option(help="Photos with labels.csv, to measure labels.")] = None,
) -> None:
    """Label rendered faces, encode them, and write the bundled population with its card."""
    from img2tab_core import weights
    from img2tab_core.backbone import open_backbone
    from img2tab_core.training.agreement import measure_labels, read_labels
    from img2tab_core.training.build_population import hand_check, label_faces, write_population
    from img2tab_core.training.labels import Labeller
    from img2tab_core.training.pairs import count_rendered

    count_rendered(rendered)
    for folder in portraits or []:
        read_labels(folder)                                          # a mistake there should not show after an hour
    labeller = Labeller(weights.path("landmarks-68"), expression)
    labels = label_faces(rendered, labeller, limit=limit, progress=_show)
    weights.path("face-encoder")
    facts = {"made_by": "img2tab build-population", "date": date.today().isoformat(),
             "encoder_sha256": weights.record("face-encoder")["sha256"]}
    facts["measured"] = [
        row for folder in portraits or [] for row in measure_labels(labeller, folder, weights.path("landmarks-68"))
    ]
    if (out / "hand_check.json").is_file():
        facts["measured"] += hand_check(out / "hand_check.json", labels)
    write_population(rendered, labels, open_backbone(), out, facts=facts)
    print(f"{len(labels):,} faces in {out}.")


def measure_portraits(
    folder: Annotated[Path, typer.Argument(help="Photos with a labels.csv that records gender.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """How often the perceived-gender classifier says of real portraits what was recorded for them."""
    import json

    import numpy as np
    from sklearn.metrics import roc_auc_score

    from img2tab_core import weights
    from img2tab_core.classifiers import wilson
    from img2tab_core.records import Face, StyleCode
    from img2tab_core.service import Studio
    from img2tab_core.training.agreement import aligned_faces, read_labels

    recorded = read_labels(folder)
    recorded = recorded[recorded["gender"].notna()]
    if recorded.empty:
        raise Img2TabError(f"labels.csv of {folder} records no gender, female or male, for any photo.")
    studio = Studio()
    table, faces = aligned_faces(recorded, weights.path("landmarks-68"))
    if not faces:
        raise Img2TabError(
            f"No face was found in any of {len(recorded)} photos of {folder}. Name a folder of portraits."
        )
    run = studio.run(studio.table(), "perceived_gender")
    psi = studio.backbone.styles(studio.backbone.invert(np.stack(faces)))
    chance = run.classifier.predict_proba(psi)[:, 1]
    truth = table["gender"].to_numpy()
    right = (chance > 0.5) == truth
    words = [
        studio.quality(Face.of(face), StyleCode.of(values)).word for face, values in zip(faces, psi, strict=True)
    ]
    low, high = wilson(int(right.sum()), len(right))
    found = {
        "folder": folder.name, "photos": len(faces), "of": len(recorded),
        "accuracy": float(right.mean()), "interval": [low, high],
        "accuracy_of_all": float(right.sum() / len(recorded)),       # no face found counts as not right
        "auc": float(roc_auc_score(truth, chance)) if 0 < truth.sum() < len(truth) else None,
        "accuracy_female": float(right[truth == 0].mean()) if (truth == 0).any() else None,
        "accuracy_male": float(right[truth == 1].mean()) if (truth == 1).any() else None,
        "quality": {word: words.count(word) for word in ("good", "partial", "poor")},
    }
    if as_json:
        print(json.dumps(found))
        return
    area = "not defined" if found["auc"] is None else f"{found['auc']:.4f}"
    print(f"{len(faces)} of {len(recorded)} had a face. As recorded: {found['accuracy']:.1%} of those with a face "
          f"(95 % interval {low:.1%} to {high:.1%}), {found['accuracy_of_all']:.1%} of all; AUC {area}; "
          f"inversion {', '.join(f'{word} {count}' for word, count in found['quality'].items())}.")


def draw_samples(
    rendered: Annotated[Path, typer.Argument(help="A folder of `img2tab render-pairs --size 256`.")],
    rows: Annotated[str, typer.Option(metavar="I,J", help="Which faces, in the order they get.")],
    out: Annotated[Path, typer.Option(help="Folder for 00.jpg, 01.jpg, ...")] = Path("assets/samples"),
) -> None:
    """Write chosen rendered faces as the sample faces of the dashboard, JPEG."""
    from img2tab_core.training.pairs import draw_samples as draw

    try:
        chosen = [int(part) for part in rows.split(",") if part.strip()]
    except ValueError as error:
        raise Img2TabError(f"--rows must be face numbers with commas between them, got {rows!r}.") from error
    print(f"{len(draw(rendered, chosen, out))} faces in {out}.")


def _show(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done:,} of {total:,}", end="" if done < total else "\n", file=sys.stderr, flush=True)


def _machine() -> str:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    model = platform.processor() or platform.machine()
    if sys.platform == "linux":
        found = subprocess.run(["lscpu"], capture_output=True, text=True, check=False).stdout
        names = (line.split(":")[1].strip() for line in found.splitlines() if line.startswith("Model name"))
        model = next(names, model)
    return f"{model}, {torch.get_num_threads()} threads"
