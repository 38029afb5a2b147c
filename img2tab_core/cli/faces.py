"""Verbs for one photo or face: predict, encode, refine, render."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from img2tab_core.base.engines import Engine
from img2tab_core.base.errors import Cancelled, Img2TabError, Unreachable
from img2tab_core.base.places import Place, absolute, place_of
from img2tab_core.base.records import DEFAULT_BACKBONE
from img2tab_core.base.words import chance, too_far
from img2tab_core.cli import terminal
from img2tab_core.cli.terminal import (
    Address,
    BackboneName,
    EngineName,
    FaceNumber,
    Gpus,
    Json,
    OwnClassifier,
    RunFolder,
    TableName,
    Workers,
    opened_tables,
    verb,
)

if TYPE_CHECKING:
    import numpy as np

    from img2tab_core.base.records import Edit, Face, Prediction, Target
    from img2tab_core.classifiers.runs import Run
    from img2tab_core.concepts.description import Description
    from img2tab_core.studio import Studio

faces_app = typer.Typer()
BATCH = 16  # photos that are read, then encoded, together
MAX_SHIFT = 1_000_000  # beyond it no picture is left, and squares overflow


@verb(faces_app)
def predict(
    photos: Annotated[
        list[str],
        typer.Argument(metavar="PHOTO...", help="Photos; one face of each is used. s3://... and gs://... too."),
    ],
    target: Annotated[str, typer.Option(help="What to predict, for instance perceived_gender.")] = "",
    own: OwnClassifier = "",
    run_folder: RunFolder = None,
    table: TableName = "default",
    top: Annotated[int, typer.Option(min=1, help="How many concepts to show.")] = 5,
    face_number: FaceNumber = 1,
    no_align: Annotated[bool, typer.Option("--no-align", help="The photos are aligned faces already.")] = False,
    no_quality: Annotated[
        bool, typer.Option("--no-quality", help="Do not say how well a reconstruction shows its face: half the time.")
    ] = False,
    refine: Annotated[
        bool,
        typer.Option("--refine", help="Refine every photo too, and read the refined picture once more: some seconds."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Probability of a photo's class, and the concepts that decided it."""
    import numpy as np

    from img2tab_core.base.words import as_seen, decision, is_uncertain
    from img2tab_core.classifiers.runs import against
    from img2tab_core.tables import any_target_of, target_of
    from img2tab_core.tables.calibrations import calibration_of

    studio = terminal.studio()
    if run_folder is not None and own:
        raise Img2TabError("Say what judges once: by --run, or by --classifier.")
    stored = None
    if run_folder is None:
        style_table = studio.table(table)
    else:
        style_table, stored = terminal.stored_run(studio, run_folder, target)
        target = stored.target
    report = terminal.progress(as_json)
    views = any_target_of(style_table, target).against_rest if target and not own else ()
    names = [view.name for view in views] or [target]  # of several classes each: a photo is explained by the likeliest
    if stored is not None:
        runs = [against(stored, name) for name in names] if views else [stored]
    else:
        runs = [terminal.run_of(studio, style_table, name, own, quiet=as_json) for name in names]
    records = [target_of(style_table, run.target) for run in runs]
    calibration = None if views else calibration_of(style_table, runs[0].target, runs[0].classifier.kind)
    runs = [studio.on_photos(run) for run in runs]
    titles, described = studio.concept_names(style_table.backbone), studio.description(style_table.backbone)
    results: list[dict] = []
    skipped: list[dict] = []
    for readings in _read(studio, [place_of(photo) for photo in photos], face_number, aligned=no_align):
        skipped += [{"photo": str(reading.file), "reason": reading.reason} for reading in readings if not reading.face]
        readings = [reading for reading in readings if reading.face]
        faces = [reading.face for reading in readings if reading.face]
        codes = studio.encode_all(faces, backbone=style_table.backbone)
        badges = [None] * len(faces) if no_quality else [badge.word for badge in studio.qualities(faces, codes)]
        chances = studio.chances_of(runs[0], faces) if own else []  # of the faces themselves
        of_each = list(zip(*(studio.predict_all(run, codes) for run in runs), strict=True))
        for number, (reading, code, word) in enumerate(zip(readings, codes, badges, strict=True)):
            likeliest = int(np.argmax([each.probability for each in of_each[number]]))
            run, target_record, prediction = runs[likeliest], records[likeliest], of_each[number][likeliest]
            shares, drawn = studio.class_shares(run, code), prediction.probability
            if run.own:
                prediction = replace(prediction, probability=chances[number])
            likely = 1 if views else prediction.decided
            no_half = likely != prediction.decided  # of several classes the likeliest may have less than half
            order = np.argsort(-np.abs(prediction.contributions))[:top]
            concepts = [
                terminal.concept(style_table, titles, int(index))
                | {"contribution": float(prediction.contributions[index])}
                for index in order
            ]
            results.append(
                {
                    "photo": str(reading.file),
                    "faces": reading.count,
                    "face": face_number,
                    "target": target_record.name,
                    "probability": prediction.probability,
                    "class": target_record.classes[likely],
                    **({"classes": shares} if shares else {}),
                    "uncertain": no_half or is_uncertain(prediction.probability) or word == "poor",
                    "calibrated_on": calibration and calibration.photos,
                    "in_words": f"Judged {as_seen(target_record.classes[1])}. This is uncertain: no class has half."
                    if no_half
                    else decision(target_record.classes, prediction.probability, poor=word == "poor"),
                    "quality": word,
                    **({"of_reconstruction": drawn} if run.own else {}),
                    "concepts": concepts,
                    **_families(described, prediction, top, likely),
                    **(
                        _refined(studio, run, target_record, reading.face, style_table.backbone)
                        if refine and reading.face
                        else {}
                    ),
                }
            )
        done = len(results) + len(skipped)
        report(done / len(photos), f"{done} of {len(photos)} photos")
    if as_json:
        terminal.print_json({"results": results, "skipped": skipped})
    for result in [] if as_json else results:
        several = f" ({terminal.which(face_number)} of {result['faces']} faces)" if result["faces"] > 1 else ""
        share = result["probability"] if views else max(result["probability"], 1 - result["probability"])
        inversion = f"; inversion {result['quality']}" if result["quality"] else ""
        why = f". {result['sentence']}" if "sentence" in result else ""
        unsure = ", uncertain" if result["uncertain"] else ""
        typer.echo(
            f"{terminal.shown(result['photo'])}{several}: {result['class']}, {chance(share)}{unsure}{inversion}"
            f"{_drawn(result) if own else ''}{why}"
        )
        if "classes" in result:
            typer.echo(
                "    "
                + ", ".join(
                    f"{name.removeprefix('perceived ')} {chance(each)}" for name, each in result["classes"].items()
                )
            )
        if "refined" in result:
            again = result["refined"]
            ended = "" if again["finished"] else f", unfinished: {again['steps']} of {again['of']} steps"
            typer.echo(
                f"    refined, and its picture read once more: {again['class']}, "
                f"{chance(max(again['probability'], 1 - again['probability']))}; identity distance "
                f"{again['identity'][0]:.2f} -> {again['identity'][1]:.2f}{ended}"
            )
        for family in result.get("families", ()):
            both = f"{family['drawn']:+.2f} drawn, {family['by_stand_ins']:+.2f} by stand-ins"
            typer.echo(f"    {family['drawn'] + family['by_stand_ins']:+.3f} log-odds   {family['name']} ({both})")
        for concept in [] if "families" in result else result["concepts"]:
            typer.echo(f"    {concept['contribution']:+.3f} log-odds   {terminal.title(concept)}")
    if results and not as_json:
        seen = any_target_of(style_table, target).classes if views else records[0].classes
        classes = [
            name.removeprefix("perceived ") if views and number else as_seen(name) for number, name in enumerate(seen)
        ]
        on = (
            f"calibrated on {terminal.count(calibration.photos, 'photo')}"
            if calibration
            else "not calibrated on photos"
        )
        does = terminal.does(runs[0], style_table)
        typer.echo(f"What is judged is {', '.join(classes[:-1])} or {classes[-1]}; {on}. {does}".rstrip())
    terminal.skipped(skipped, quiet=as_json)
    if not results:
        raise typer.Exit(1)


def _refined(studio: Studio, run: Run, target: Target, face: Face, backbone: str) -> dict:
    """What the classifier says of the refined picture, read once more, and how far the refinement came.

    The decision stays that about the face itself: a refinement changes what is drawn, not what is judged.
    """
    code, refined = studio.refine(face, backbone=backbone)
    again = studio.predict(run, studio.reread(code))
    return {
        "refined": {
            "probability": again.probability,
            "class": target.classes[again.decided],
            "finished": refined.finished,
            "steps": refined.steps,
            "of": refined.of,
            "identity": [refined.before.identity, refined.after.identity],
        }
    }


def _drawn(result: dict) -> str:
    """What a classifier that reads pixels says of the reconstruction, which is what the reasons are about."""
    of_class = result["of_reconstruction"] if result["probability"] > 0.5 else 1 - result["of_reconstruction"]
    far = too_far(result["probability"], result["of_reconstruction"])
    return f"; its reconstruction {chance(of_class)}" + (": too far apart for the reasons to hold" if far else "")


def _families(described: Description | None, prediction: Prediction, top: int, likely: int) -> dict:
    """Why it is class `likely`, in a sentence, and the families that added most; nothing where none are described."""
    from img2tab_core.concepts.description import because, parts_of

    if described is None:
        return {}
    parts, rest = parts_of(described, prediction.contributions)
    return {
        "sentence": because(described, parts, likely),
        "families": [
            {
                "id": described.families[part.number].id,
                "name": described.families[part.number].name,
                "drawn": part.drawn,
                "by_stand_ins": part.by_stand_ins,
            }
            for part in parts[:top]
        ],
        "everything_else": rest + sum(part.total for part in parts[top:]),
        "starting_point": prediction.baseline,
    }


@verb(faces_app)
def encode(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="PHOTO_OR_DIR...", help="Photos, or folders of photos; s3://... and gs://... too."),
    ],
    out: Annotated[Path, typer.Option(help="The .npz to write: psi (n, D), w (n, L, 512), photos (n,), backbone.")],
    backbone: BackboneName = DEFAULT_BACKBONE,
    face_number: FaceNumber = 1,
    no_align: Annotated[bool, typer.Option("--no-align", help="The photos are aligned faces already.")] = False,
    engine: EngineName = "local",
    workers: Workers = None,
    address: Address = "",
    gpus: Gpus = False,
    as_json: Json = False,
) -> None:
    """Photos to style codes; with --workers or --engine run it again to go on where it was stopped."""
    import numpy as np

    from img2tab_core.tables.encoding import Encoding, answered, forget, shape_of

    terminal.check_out(out)
    who = Engine(engine, workers, address, gpus)
    files = terminal.all_photos(sources)
    model = terminal.studio().backbone(backbone)
    work = Encoding(_FaceOf(tuple(map(absolute, files)), face_number, no_align), model, shape_of(model), gpus)
    key = terminal.photos_mark(files, face_number, model.name, model.key, no_align, gpus)
    w: list[np.ndarray] = []
    encoded: list[dict] = []
    skipped: list[dict] = []
    with terminal.interrupted() as stopped:
        for part, answer in answered(
            work,
            len(files),
            what="encode",
            key=key,
            engine=who,
            report=terminal.progress(as_json),
            stopped=stopped,
        ):
            reasons = iter(answer["reasons"].tolist())
            for file, count in zip(files[part.start : part.stop], answer["faces"].tolist(), strict=True):
                if count:
                    encoded.append({"photo": str(file), "faces": count})
                else:
                    skipped.append({"photo": str(file), "reason": next(reasons)})
            w += list(answer["w"])
    if not w:
        forget("encode", key)
        raise Img2TabError(f"None of {len(files)} photos could be encoded. The first: {skipped[0]['reason']}")
    stacked = np.stack(w)
    psi = model.styles(stacked)
    terminal.write_codes(out, psi, model.w_plus(stacked), encoded, model.name)
    forget("encode", key)  # not before: days of work would go with a disk that is full
    if as_json:
        terminal.print_json(
            {
                "out": str(out),
                "backbone": model.name,
                "encoded": len(encoded),
                "channels": psi.shape[1],
                "photos": encoded,
                "skipped": skipped,
            }
        )
    else:
        typer.echo(f"{len(encoded)} style codes of {psi.shape[1]} channels in {terminal.shown(out)}.")
        _several(encoded, face_number)
        terminal.skipped(skipped, quiet=False)


@verb(faces_app)
def refine(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="PHOTO_OR_DIR...", help="Photos, or folders of photos; s3://... and gs://... too."),
    ],
    out: Annotated[Path, typer.Option(help="The .npz to write: psi (n, D), w (n, L, 512), photos (n,), backbone.")],
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps for one photo, 50 if not given: the same result every time.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help="End after so long in any case; a photo cut short is said to be unfinished.")
    ] = None,
    nearest: Annotated[
        bool, typer.Option("--nearest", help="Nearer still to the photo; edits then change more.")
    ] = False,
    picture: Annotated[
        Path | None,
        typer.Option(help="A .png to write: a row per photo with the face, the encoder's answer and the refined one."),
    ] = None,
    backbone: BackboneName = DEFAULT_BACKBONE,
    face_number: FaceNumber = 1,
    no_align: Annotated[bool, typer.Option("--no-align", help="The photos are aligned faces already.")] = False,
    as_json: Json = False,
) -> None:
    """Photos to style codes nearer to them than `encode` gets, in some seconds each; Ctrl+C keeps what is done."""
    from dataclasses import asdict

    import numpy as np
    from PIL import Image

    terminal.check_out(out)
    terminal.check_png(picture, "--picture")
    if seconds is not None and not seconds > 0:
        raise Img2TabError(f"--seconds must be above 0, got {seconds:g}. Give 10.")
    files = terminal.all_photos(sources)
    studio, report = terminal.studio(), terminal.progress(as_json)
    table = next((opened for opened in opened_tables(studio)[0] if opened.backbone == backbone), None)
    run = table and studio.run(table, table.targets[0].name)  # whose strongest concepts are the known edit
    psi: list[np.ndarray] = []
    w: list[np.ndarray] = []
    rows: list[np.ndarray] = []
    refined: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    with terminal.interrupted() as stopped:
        for i, file in enumerate(files):
            if stopped():
                break

            def part(fraction: float, text: str, i: int = i) -> None:
                report((i + fraction) / len(files), f"{i + 1} of {len(files)}: {text}")

            try:
                face, count = terminal.face(studio, file, face_number, aligned=no_align)
                code, refinement = studio.refine(
                    face,
                    backbone=backbone,
                    steps=steps,
                    seconds=seconds,
                    nearest=nearest,
                    progress=part,
                    stopped=stopped,
                )
                if refinement.steps == 0:
                    break
                quick = studio.encode(face, backbone=backbone)
                if picture is not None:
                    both = [studio.render(drawn, size=256) for drawn in (quick, code)]
                    rows.append(np.hstack([face.pixels, *both]))
            except Cancelled:
                break
            except Img2TabError as error:
                skipped.append({"photo": str(file), "reason": str(error)})
                continue
            psi.append(code.values)
            w.append(refinement.w_plus)
            refined.append(
                {"photo": str(file), "faces": count}
                | {name: value for name, value in asdict(refinement).items() if name != "w_plus"}
                | {"finished": refinement.finished}
                | {"known_edit": asdict(studio.edit_agreement(run, quick, code)) if run else None}
            )
        cut = stopped()
    if not w:
        raise Img2TabError(
            "Stopped before a photo was refined; nothing was written."
            if cut or not skipped
            else f"None of {len(files)} photos could be refined. The first: {skipped[0]['reason']}"
        )
    terminal.write_codes(out, np.stack(psi), np.stack(w), refined, backbone)
    if picture is not None:
        sheet, what = Image.fromarray(np.vstack(rows)), "face, reconstruction and refined reconstruction of each photo"
        terminal.write_png(picture, sheet, what, source="mixed")
    if as_json:
        terminal.print_json(
            {
                "out": str(out),
                "picture": picture and str(picture),
                "refined": len(refined),
                "channels": len(psi[0]),
                "interrupted": cut,
                "photos": refined,
                "skipped": skipped,
            }
        )
    for row in [] if as_json else refined:
        before, after = row["before"], row["after"]
        typer.echo(
            f"{terminal.shown(row['photo'])}: identity distance {before['identity']:.2f} -> {after['identity']:.2f}, "
            f"picture error {before['pixels']:.1f} -> {after['pixels']:.1f} of 255, moved {row['moved']:.2f} of the "
            "spread of "
            + (f"w, a known edit agrees {row['known_edit']['picture']:.2f}; " if row["known_edit"] else "w; ")
            + f"{row['steps']} steps in {row['seconds']:.1f} s"
            + ("" if row["finished"] else f", unfinished: {row['of']} were planned")
        )
    if not as_json:
        typer.echo(f"{len(refined)} style codes of {len(psi[0])} channels in {terminal.shown(out)}.")
        if picture is not None:
            typer.echo(f"Face, encoder's answer and refined one, side by side, in {terminal.shown(picture)}.")
        _several(refined, face_number)
        terminal.skipped(skipped, quiet=False)
    if cut:
        typer.echo(f"Stopped by Ctrl+C: {len(refined)} of {len(files)} photos were refined.", err=True)
        raise typer.Exit(130)


@verb(faces_app)
def render(
    codes: Annotated[Path, typer.Option(help="An .npz of `img2tab encode` or `refine`.")],
    out: Annotated[Path, typer.Option(help="X.png, or X.npy for float32 (N, N, 3), not clipped.")],
    row: Annotated[int, typer.Option(min=0, help="Which style code.")] = 0,
    edit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="INDEX|FAMILY:+SHIFT",
            help="Move a channel, or a family (`img2tab concepts`); standard deviations of the backbone.",
        ),
    ] = None,
    edit_raw: Annotated[
        list[str] | None, typer.Option(metavar="INDEX:+SHIFT", help="Move a channel, style units.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Side of the picture in px; the largest the backbone draws if not given.")
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            metavar="NAME_OR_FILE",
            help="A backbone, or a checkpoint file; the one that the style codes name if not given.",
        ),
    ] = None,
    label: Annotated[
        Literal["top-left", "top-right", "bottom-left", "bottom-right", "none"],
        typer.Option(help="The corner of the label that says a generator drew it; the file says it in any case."),
    ] = "bottom-right",
    as_json: Json = False,
) -> None:
    """A style code to a picture, with edits."""
    import numpy as np
    from PIL import Image

    from img2tab_core.backbones.rendering import to_pixels
    from img2tab_core.base.records import StyleCode

    if out.suffix not in (".png", ".npy"):
        raise Img2TabError(f"--out must end in .png or .npy, got {out.name or out}.")
    terminal.check_out(out)
    raw, moves = [_edit(text) for text in edit_raw or []], [_named_edit(text) for text in edit or []]
    psi, made_with = terminal.style_codes(codes)
    if row >= len(psi):
        raise Img2TabError(f"--row must be below {len(psi)}, the number of style codes in {codes}, got {row}.")
    studio = terminal.studio()
    model = studio.backbone(backbone or made_with)
    layout = model.layout
    if psi.shape[1] != layout.total:
        raise Img2TabError(
            f"Style codes must have {layout.total} channels for the backbone {model.name}, got {psi.shape[1]}. "
            "Name the backbone they were encoded with: --backbone."
        )
    values = psi[row].copy()
    if not np.isfinite(values).all():
        raise Img2TabError(f"Row {row} of {codes} has values that are not finite numbers. Encode the photo again.")
    for index, shift in raw:
        layout.locate(index)
        values[index] += shift
    edits = [part for move in moves for part in _edits(studio, backbone or made_with, *move)]
    code = studio.edited(StyleCode.of(values, backbone or made_with), edits)
    picture = studio.render_raw(code, size=size)
    size = len(picture)
    if out.suffix == ".npy":
        terminal.write(out, lambda file: np.save(file, picture))
    else:
        what = ", ".join(f"{part} moved" for part in (*(edit or []), *(edit_raw or []))) or "a style code as it is"
        drawn = Image.fromarray(to_pixels(picture))
        terminal.write_png(out, drawn, what, label=None if label == "none" else label)
    if as_json:
        terminal.print_json({"out": str(out), "size": size})
    else:
        unseen = label == "none" and out.suffix == ".png"
        still = " It has no label that one sees; the file still says that a generator drew it." if unseen else ""
        typer.echo(f"{size} px picture in {terminal.shown(out)}.{still}")


@dataclass(frozen=True)
class _Reading:
    """A photo: its face and how many there are, or the reason why there is none."""

    file: Place
    face: Face | None = None
    count: int = 0
    reason: str = ""


@dataclass(frozen=True)
class _FaceOf:
    """What loads photo i for `Encoding`: its face of this rank, and how many it has. May be sent to another process."""

    files: tuple[Place, ...]
    number: int
    aligned: bool

    def __call__(self, i: int) -> tuple[np.ndarray, int]:
        face, count = terminal.face(terminal.studio(), self.files[i], self.number, aligned=self.aligned)
        return face.pixels, count


def _read(studio: Studio, files: Sequence[Place], number: int, *, aligned: bool) -> Iterator[list[_Reading]]:
    """The photos in order, in batches; as many are read and aligned at a time as there are cores, up to four."""
    from img2tab_core.faces.alignment import AT_ONCE

    def read(file: Place) -> _Reading:
        try:
            return _Reading(file, *terminal.face(studio, file, number, aligned=aligned))
        except Unreachable:
            raise
        except Img2TabError as error:
            return _Reading(file, reason=str(error))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for start in range(0, len(files), BATCH):
            yield list(pool.map(read, files[start : start + BATCH]))


def _several(made: list[dict], number: int) -> None:
    several = [f"{terminal.shown(row['photo'])} ({row['faces']})" for row in made if row["faces"] > 1]
    if several:
        typer.echo(
            f"Of the photos with several faces {terminal.which(number)} was taken: {', '.join(several)}. "
            "Choose another with --face."
        )


def _edits(studio: Studio, backbone: str, what: str, shift: float) -> tuple[Edit, ...]:
    """A channel by its number, or a family by its id or name, moved."""
    from img2tab_core.base.records import Edit

    if what.lstrip("+-").isdigit():
        return (Edit(int(what), shift),)
    described = studio.description(backbone)
    if described is None:
        raise Img2TabError(
            f"An edit is written INDEX:+SHIFT, for instance 2839:+8, got {what!r}; the families of {backbone} are not "
            "described yet (`img2tab describe-concepts`)."
        )
    return described.find(what).edits(shift)


def _named_edit(text: str) -> tuple[str, float]:
    """ "chin-facial-hair:+4" -> the words before the last colon, and the shift."""
    what, _, shift = text.rpartition(":")
    try:
        edit = what.strip(), float(shift)
    except ValueError as error:
        raise Img2TabError(
            f"An edit is written INDEX:+SHIFT or FAMILY:+SHIFT, for instance 2839:+8, got {text!r}."
        ) from error
    _check_shift(text, edit[1])
    return edit


def _edit(text: str) -> tuple[int, float]:
    index, _, shift = text.partition(":")
    try:
        edit = int(index), float(shift)
    except ValueError as error:
        raise Img2TabError(f"An edit is written INDEX:+SHIFT, for instance 2839:+8, got {text!r}.") from error
    _check_shift(text, edit[1])
    return edit


def _check_shift(text: str, shift: float) -> None:
    if not abs(shift) <= MAX_SHIFT:  # not a number compares as False too
        raise Img2TabError(f"An edit's shift must be a number between -{MAX_SHIFT:,} and +{MAX_SHIFT:,}, got {text!r}.")
