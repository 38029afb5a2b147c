"""What every terminal verb shares: a mistake becomes one sentence, progress is one line, a file is written whole."""

from __future__ import annotations

import functools
import getpass
import json
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from img2tab_core.base import places, spreadsheets
from img2tab_core.base.engines import HERE, Engine
from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.files import whole
from img2tab_core.base.foreign import read_arrays, reason
from img2tab_core.base.places import Place
from img2tab_core.base.records import DEFAULT_BACKBONE, StyleTable, digest
from img2tab_core.faces.photos import MOST_BYTES, PHOTO_ENDINGS

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from PIL.Image import Image

    from img2tab_core.base.records import Face
    from img2tab_core.classifiers.runs import Run
    from img2tab_core.classifiers.treatment import Treatment
    from img2tab_core.concepts.description import Description, Family
    from img2tab_core.faces.marks import Corner, Source
    from img2tab_core.studio import Studio

BackboneName = Annotated[
    str,
    typer.Option(
        "--backbone", metavar="NAME_OR_FILE", help="A backbone (`img2tab backbone list`), or a checkpoint file."
    ),
]
TableName = Annotated[str, typer.Option("--table", help="Name of a table (`img2tab tables`).")]
OwnClassifier = Annotated[
    str,
    typer.Option(
        "--classifier",
        metavar="NAME",
        help="A classifier of your own (`img2tab model list`): by itself its own answers are the target; with --target "
        "it is held against those labels.",
    ),
]
Erase = Annotated[
    str,
    typer.Option(
        metavar="A[,B]", help="Take the direction of these attributes, or described concepts, out of every code."
    ),
]
Balance = Annotated[
    bool,
    typer.Option(
        "--balance",
        help="Weigh training faces so that what --erase names, or without it the families of --exclude, says nothing "
        "of the class.",
    ),
]
Copies = Annotated[
    bool,
    typer.Option(
        "--copies", help="Erase nothing: train on a copy of every face moved to the other side of what --erase names."
    ),
]
RunFolder = Annotated[
    Path | None,
    typer.Option(
        "--run", metavar="FOLDER", help="A run that `img2tab train --out` wrote, instead of the standing one."
    ),
]
FaceNumber = Annotated[int, typer.Option("--face", min=1, help="Which face of a photo, 1 is the biggest.")]

EngineName = Annotated[
    str, typer.Option("--engine", metavar="local|ray", help="Who works: processes of this machine, or a Ray cluster.")
]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="How many processes, each on one core; all cores if not given.")
]
Address = Annotated[
    str,
    typer.Option(
        "--address", metavar="HOST:PORT", help="Of a Ray cluster that runs; else one is begun on this machine."
    ),
]
Gpus = Annotated[
    bool,
    typer.Option(
        "--gpus",
        help="With --engine ray: every worker on a graphics card of its own. Codes differ from a processor's in their "
        "last bits.",
    ),
]

TABLES = (".csv", ".json", ".md")  # what a table is written as
CONCEPTS = 10  # of a long list, that are shown
DIGITS = "0123456789+-−"  # what a number begins with

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def in_one_sentence(function: Callable) -> Callable:
    """The same function, whose Img2TabError becomes one sentence and exit code 1, or 130 where Ctrl+C stopped it."""

    @functools.wraps(function)
    def run(*args: Any, **options: Any) -> None:
        try:
            function(*args, **options)
        except Img2TabError as error:
            stopped = isinstance(error, Cancelled)
            if options.get("as_json"):
                print_json({"interrupted": True, "sentence": str(error)} if stopped else {"error": str(error)})
            else:
                typer.echo(shown(error), err=True)
            raise typer.Exit(130 if stopped else 1) from error

    return run


def verb(group: typer.Typer, name: str | None = None) -> Callable:
    """Register a function as a verb."""
    return lambda function: group.command(name)(in_one_sentence(function))


def studio() -> Studio:
    """The door to the core, imported when a verb needs it."""
    from img2tab_core.studio import Studio

    return Studio()


def run_of(studio: Studio, table: StyleTable, target: str, classifier: str, *, quiet: bool) -> Run:
    """The standing run of a target, or a classifier of the person's own. Raises Img2TabError where neither is named."""
    if classifier:
        return studio.trainer.own(table, classifier, target or classifier)
    if not target:
        raise Img2TabError("Name what is predicted with --target, or a classifier of your own with --classifier.")
    return studio.run(table, target, progress=progress(quiet))


def stored_run(studio: Studio, folder: Path, target: str = "", table: str | None = None) -> tuple[StyleTable, Run]:
    """The run that `img2tab train --out` wrote into a folder, and its table as it is here; of several classes the view
    that the target names.

    Raises Img2TabError where it is of another target or table than is named, or the table holds other faces now.
    """
    from img2tab_core.classifiers.runs import against, load_run

    stored = load_run(folder)
    if target in [view for view, _ in stored.each]:
        stored = against(stored, target)
    for option, given, is_so in (("--target", target, stored.target), ("--table", table, stored.table)):
        if given and given != is_so:
            raise Img2TabError(f"The run in {folder} is of {is_so}, got {option} {given}. Leave {option} out.")
    style_table = studio.table(stored.table)
    if stored.table_key not in ("", style_table.key):
        raise Img2TabError(
            f"The run in {folder} was measured on the table {stored.table} as it was then, and that holds other faces "
            "now. Train it again."
        )
    return style_table, stored


def face(studio: Studio, photo: Place, number: int, *, aligned: bool) -> tuple[Face, int]:
    """Face `number` of a photo, 1 is the biggest, and how many there are. Raises Img2TabError where there is none."""
    try:
        data = places.read_listed(photo, photo.parent, most=MOST_BYTES)
    except OSError as error:
        raise Img2TabError(f"{photo} cannot be read ({error.strerror}). Name a photo.") from error
    faces = [studio.aligned_face(data)] if aligned else studio.faces(data)
    if number > len(faces):
        raise Img2TabError(f"--face must be at most {len(faces)}, the number of faces in this photo, got {number}.")
    return faces[number - 1], len(faces)


def which(number: int) -> str:
    """A face's rank in words."""
    return "the biggest" if number == 1 else f"number {number} by size"


def all_photos(sources: Sequence[str | Path]) -> list[Place]:
    """Every photo named, and those in every folder named, of an object store too. Raises Img2TabError where there is
    none, or a store cannot be asked."""
    files = [file for source in sources for file in _photos_at(places.place_of(source))]
    if not files:
        raise Img2TabError("There is no photo in what was given. Name photos, or a folder that holds some.")
    return files


def _photos_at(place: Place) -> Sequence[Place]:
    if isinstance(place, Path):
        return photo_files(place)
    sizes = places.listed(place, PHOTO_ENDINGS)
    if not sizes and places.size_of(place) is not None:
        return [place]
    return [replace(place / name, size=size) for name, size in sizes.items()]


@contextmanager
def interrupted() -> Iterator[Callable[[], bool]]:
    """A function that says whether Ctrl+C was pressed; pressed twice, it ends the program as usual."""
    pressed = threading.Event()

    def press(number: int, frame: Any) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, press)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)


def photo_files(source: Path) -> list[Path]:
    """The photos in a folder, sorted, or the one file."""
    if source.is_dir():
        return sorted(file for file in source.rglob("*") if file.suffix.lower() in PHOTO_ENDINGS and file.is_file())
    return [source]


def drawing_engine(engine: str, workers: int | None, address: str) -> Engine:
    """Who draws: this process where nothing else is asked for, since it draws on every core already."""
    asked = Engine(engine, workers, address)
    return HERE if asked == Engine() else asked


def photos_mark(files: Sequence[Place], *options: object) -> str:
    """Changes with photos, by name, size and time, on an object store by name and size, and with what is done to them;
    hexadecimal."""

    def facts(file: Place) -> str:
        if not isinstance(file, Path):
            return f"{file} {places.size_of(file) if file.size is None else file.size}"
        try:
            about = file.stat()
        except OSError:
            return f"{file.absolute()} "  # why it cannot be read is said when it is its turn
        return f"{file.absolute()} {about.st_size} {about.st_mtime_ns}"

    listed = "\n".join(facts(file) for file in files)
    return digest(listed.encode("utf-8", "surrogateescape"), repr(options).encode())


def channels(text: str, table: StyleTable, *, option: str = "--exclude") -> frozenset[int]:
    """ "2839,1722" -> channel numbers; "chin-facial-hair" -> those of a family; "@FILE" -> those that a shared list
    excludes; "" is none.

    The list must be of the table's backbone: elsewhere the same numbers are other concepts. Raises Img2TabError where
    it is not, or the text is something else.
    """
    if text.startswith("@"):
        from img2tab_core.sessions.shared_exclusions import read_exclusions

        shared = read_exclusions(Path(text[1:]), backbone=table.backbone, channels=table.layout.total)
        return frozenset(shared.excluded)
    chosen: set[int] = set()
    for part in listed(text):
        try:
            chosen.add(int(part))
        except ValueError:
            chosen.update(_family_channels(part, table, option))
    return frozenset(chosen)


def attributes(text: str, table: StyleTable, *, option: str = "--erase") -> tuple[str, ...]:
    """ "perceived_gender,beard" -> the names of targets of the table, and "concept:" with the id of a described concept
    for what is none; () for "".

    Raises Img2TabError where a word is neither.
    """
    from img2tab_core.concepts.erasing import CONCEPT

    targets = {target.name for target in (*table.targets, *table.against_rest)}
    for many in table.many:
        if many.name in listed(text):
            raise Img2TabError(
                f"{many.name} has {len(many.classes)} classes, and {option} takes two. Choose one of them against the "
                f"rest: {', '.join(view.name for view in many.against_rest)}."
            )
    must = (
        f"{option} must name targets of the table ({', '.join(target.name for target in table.targets)}), or families"
    )
    return tuple(word if word in targets else f"{CONCEPT}{_family_of(word, table, must).id}" for word in listed(text))


def treatment(erase: str, exclude: str, table: StyleTable, *, balance: bool, copies: bool) -> Treatment:
    """What --erase, --balance and --copies ask for; --balance alone is over the families that --exclude names.

    Raises Img2TabError where nothing is named to balance or move.
    """
    from img2tab_core.classifiers.treatment import Treatment, treatment_of

    names = attributes(erase, table)
    if exclude.startswith("@") and not (names or balance or copies):  # what the list's run did beside excluding
        from img2tab_core.sessions.shared_exclusions import read_exclusions

        return read_exclusions(Path(exclude[1:]), backbone=table.backbone, channels=table.layout.total).treatment
    families = [] if exclude.startswith("@") else [word for word in listed(exclude) if not word.isdigit()]
    if balance and families and not names and not copies:
        return Treatment(balanced=attributes(",".join(families), table, option="--exclude"))
    return treatment_of(names, balance=balance, copies=copies)


def does(run: Run, table: StyleTable) -> str:
    """What a run does beside training on all: "This run excludes 2 channels; erases perceived gender.", or ""."""
    sampled = "" if run.rows is None else run.note
    if not run.excluded and not run.treatment:
        return sampled
    excluded = count(len(run.excluded), "channel") if run.excluded else "nothing"
    return f"This run excludes {excluded}{treated(run.treatment, table)}. {sampled}".strip()


def treated(treatment: Treatment, table: StyleTable) -> str:
    """What beside excluding was done, for the end of a sentence: "; erases perceived gender", or ""."""
    from img2tab_core.classifiers.preparation import titles_of

    return f"; {treatment.sentence(titles_of(table, _described(table)))}" if treatment else ""


def _described(table: StyleTable) -> Description | None:
    from img2tab_core.backbones.registry import backbone_key
    from img2tab_core.concepts.description import open_description

    return open_description(table.backbone, backbone_key(table.backbone))


def _family_channels(words: str, table: StyleTable, option: str) -> list[int]:
    """The channels of the family that these words name."""
    return _family_of(
        words,
        table,
        f"{option} must be channel numbers with commas between them, families, or @FILE with a shared list",
    ).channels.tolist()


def _family_of(words: str, table: StyleTable, must: str) -> Family:
    """The family that these words name; must: the beginning of the sentence where there is none."""
    described = _described(table)
    if described is None:
        raise Img2TabError(
            f"{must}, got {words!r}: the families of {table.backbone} are not described yet "
            "(`img2tab describe-concepts`)."
        )
    try:
        return described.find(words)
    except Img2TabError as error:
        raise Img2TabError(f"{must}: {error}") from error


def listed(text: str) -> list[str]:
    """ "a, b" -> ["a", "b"]."""
    return [word.strip() for word in text.split(",") if word.strip()]


def concept(table: StyleTable, names: Mapping[int, str], index: int) -> dict:
    """A channel as JSON has it: number, place, and the name a person gave it."""
    layer, channel = table.layout.locate(index)
    return {"index": index, "layer": layer, "channel": channel, "name": names.get(index, "")}


def title(concept: Mapping) -> str:
    """A channel as a person reads it."""
    place = f"{concept['index']} (layer {concept['layer']}, channel {concept['channel']})"
    return f"{shown(concept['name'])} · {place}" if concept["name"] else place


def first_of(numbers: Sequence[int], names: Mapping[int, str] | None = None) -> str:
    """The first of a long list of channels, with the names people gave them, and how many there are."""
    words = [
        f"{index} ({shown(names[index])})" if names and index in names else str(index) for index in numbers[:CONCEPTS]
    ]
    return ", ".join(words) + (f", ... ({len(numbers):,})" if len(numbers) > CONCEPTS else "")


def count(number: int, thing: str) -> str:
    """ "1 channel", "2 channels"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def me() -> str:
    """The name of who sits here."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container may run as a number without a name
        return "unknown"


def moment(at: datetime) -> str:
    """ "2026-11-24 12:21 UTC"."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


def progress(quiet: bool) -> Callable[[float, str], None]:
    """A bar on standard error that is written over; nothing where no person is watching."""
    if quiet or not sys.stderr.isatty():
        return lambda fraction, text: None

    def show(fraction: float, text: str) -> None:
        bar = "#" * int(20 * fraction)
        end = "" if fraction < 1 else "\n"
        print(f"\r\033[K[{bar:20}] {fraction:4.0%}  {text}", end=end, file=sys.stderr, flush=True)

    return show


def skipped(photos: list[dict], *, quiet: bool) -> None:
    """One line for each photo that was left out, with its reason."""
    for photo in [] if quiet else photos:
        typer.echo(shown(f"Skipped {photo['photo']}: {photo['reason']}"), err=True)


def check_out(out: Path, option: str = "--out") -> None:
    """Raise Img2TabError where a file cannot be written there; called before the work that leads to it."""
    try:
        is_folder, has_place = out.is_dir(), out.parent.is_dir()
    except OSError as error:
        raise Img2TabError(f"{out} could not be written ({error.strerror}). Choose another place.") from error
    if is_folder:
        raise Img2TabError(f"{option} must name a file, got the folder {out}. Add a file name.")
    if not has_place:
        raise Img2TabError(f"{out} could not be written: there is no folder {out.parent}. Make it, or choose another.")
    if not os.access(out.parent, os.W_OK | os.X_OK):
        raise Img2TabError(f"{out} could not be written: you may not write in {out.parent}. Choose another place.")


def check_png(out: Path | None, option: str = "--out") -> None:
    """`check_out` for a picture. Raises Img2TabError where its name does not end in .png as well; None is none."""
    if out is None:
        return
    if out.suffix != ".png":
        raise Img2TabError(f"{option} must end in .png, got {out.name or out}.")
    check_out(out, option)


def check_table(out: Path | None, endings: Sequence[str] = TABLES) -> None:
    """Raise Img2TabError where a table cannot be written there; called before the work that leads to it."""
    if out is None:
        return
    if out.suffix not in endings:
        raise Img2TabError(f"--out must end in {', '.join(endings)}, got {out.name or out}.")
    check_out(out)


def answer(
    content: dict,
    text: str,
    *,
    as_json: bool,
    out: Path | None = None,
    frame: pd.DataFrame | None = None,
    markdown: str | None = None,
) -> None:
    """The answer of a verb: in the file, by its ending; and in the terminal as text, or as one JSON document.

    out: as `check_table` allows it. frame: the table of a .csv or .md; markdown: the page of a .md, None for the table
    with the text's last line below it. Raises Img2TabError where the file cannot be written.
    """
    if out is not None:
        written = json_text(content, indent=1)
        if out.suffix == ".csv" and frame is not None:
            written = spreadsheets.csv(frame)
        elif out.suffix == ".md" and markdown is not None:
            written = markdown
        elif out.suffix == ".md" and frame is not None:
            written = f"{as_markdown(frame)}\n\n{text.splitlines()[-1]}\n"
        write(out, lambda file: file.write(written.encode()))
    print_json(content) if as_json else typer.echo(text)


def aligned(rows: Sequence[Sequence[object]]) -> str:
    """Rows of cells, the headings first, as lines: columns of numbers to the right, but for the first one."""
    cells = [[shown(cell) for cell in row] for row in rows]
    columns = list(zip(*cells, strict=True))
    ways = [
        f"{'>' if at and any(cell[:1] in DIGITS for cell in column[1:] if cell) else '<'}{max(map(len, column))}"
        for at, column in enumerate(columns)
    ]
    return "\n".join("  ".join(map(format, row, ways)).rstrip() for row in cells)


def as_markdown(frame: pd.DataFrame) -> str:
    """A table for a page of Markdown; numbers to four digits, what is not there empty."""

    def cell(value: object) -> str:
        if value is None or value != value:  # NaN
            return ""
        return f"{value:.4g}" if isinstance(value, float) else shown(value).replace("|", "\\|")

    rows = [list(frame.columns), ["---"] * len(frame.columns), *frame.astype(object).itertuples(index=False)]
    return "\n".join("| " + " | ".join(map(cell, row)) + " |" for row in rows)


def shown(text: object) -> str:
    """For a person's terminal: file names may hold line ends, control characters and bytes that are no text."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(text))


def write(out: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file whole or not at all. Raises Img2TabError where it cannot be written."""
    try:
        with whole(out) as part, part.open("wb") as file:
            write(file)
    except OSError as error:
        raise Img2TabError(f"{out} could not be written ({error.strerror}). Choose another place.") from error


def write_png(
    out: Path, picture: Image, what: str, *, source: Source = "drawn", label: Corner | None = "bottom-right"
) -> None:
    """`write` a picture with the marks of how it came about, see `faces.marks.save`."""
    from img2tab_core.faces import marks

    write(out, lambda file: marks.save(picture, file, "PNG", what, source=source, label=label))


def print_json(content: Mapping) -> None:
    """One document on standard output."""
    print(json_text(content))


def json_text(content: Mapping, *, indent: int | None = None) -> str:
    """A JSON document in ASCII, for any terminal and any file name; NaN and infinities become null."""
    return json.dumps(_finite(content), indent=indent, allow_nan=False)


def _finite(value: object) -> object:
    """The same value with None for every number that JSON has no word for."""
    if isinstance(value, Mapping):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_codes(out: Path, psi: np.ndarray, w_plus: np.ndarray, made: list[dict], backbone: str) -> None:
    """psi (n, D) and w_plus (n, L, 512), float32, of the photos named in `made`, and the backbone's name."""
    import numpy as np

    photos = np.array([photo["photo"] for photo in made])
    write(out, lambda file: np.savez(file, psi=psi, w=w_plus, photos=photos, backbone=np.array(backbone)))


def style_codes(file: Path) -> tuple[np.ndarray, str]:
    """psi of an .npz of `img2tab encode`, float32 (n, D), and the backbone it names, the default if none.

    Raises Img2TabError where the file is none, or damaged.
    """
    import numpy as np

    mend = "Make it with `img2tab encode`."
    try:
        stored = read_arrays(file)
        psi, made_with = stored["psi"], str(stored.get("backbone", DEFAULT_BACKBONE))
    except OSError as error:
        raise Img2TabError(f"{file} is not a file of style codes ({reason(error)}). {mend}") from error
    except (ValueError, KeyError) as error:
        raise Img2TabError(
            f"{file} is not a file of style codes: it must be a whole .npz with an array psi ({reason(error)}). {mend}"
        ) from error
    if psi.ndim != 2 or psi.dtype.kind not in "fiu":
        raise Img2TabError(
            f"{file} is not a file of style codes: psi must be numbers of shape (n, D), got {psi.dtype} of shape "
            f"{psi.shape}. {mend}"
        )
    with np.errstate(over="ignore"):
        return psi.astype(np.float32), made_with


def opened_tables(studio: Studio) -> tuple[list[StyleTable], list[dict[str, str]]]:
    """Every table that opens, and the name and reason of those that do not."""
    opened, damaged = [], []
    for name in studio.table_names():
        try:
            opened.append(studio.table(name))
        except Img2TabError as error:
            damaged.append({"name": name, "sentence": str(error)})
    return opened, damaged
