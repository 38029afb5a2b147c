"""Where a table's faces come from: photos with labels in a folder or on an object store, CelebA, the population."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath

import numpy as np
import pandas as pd

from img2tab_core.base import places
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import sha256_of
from img2tab_core.base.foreign import open_array, parsed_json
from img2tab_core.base.places import Place
from img2tab_core.base.records import Target, digest
from img2tab_core.faces.photos import MOST_BYTES, PHOTO_ENDINGS
from img2tab_core.tables import label_files
from img2tab_core.tables.bands import Bands

Align = Callable[[bytes], tuple[np.ndarray, int]]  # a file -> uint8 (256, 256, 3), faces in the photo


@dataclass(frozen=True, eq=False)
class Source:
    """What to import; it, or its load alone, may be sent to another process.

    names: the photos, sorted; load: number of a photo -> (aligned face uint8 (256, 256, 3), faces in the photo), an
    Img2TabError says why it cannot; labels: one row a photo; has_label: bool (n,); split: int8 (n,) or None; unmatched:
    names in the labels that are no photo; no_target: columns that became none; mark: changes with the photos.
    """

    kind: str
    origin: str
    names: tuple[str, ...]
    load: Callable[[int], tuple[np.ndarray, int]]
    labels: pd.DataFrame
    targets: tuple[Target, ...]
    mark: str
    has_label: np.ndarray
    split: np.ndarray | None = None
    unmatched: tuple[str, ...] = ()
    no_target: dict[str, str] = field(default_factory=dict)


def how_aligned(aligned: bool) -> str:
    """What is done to photos before they are encoded, in words: a part of what tells two imports apart."""
    return "taken as aligned" if aligned else "aligned by 68 landmarks"


def folder_source(
    folder: Place,
    labels_file: Place,
    *,
    align: Align,
    how: str = "aligned",
    against_rest: bool = False,
    bands: Sequence[Bands] = (),
) -> Source:
    """The photos of a folder and the folders in it, with a CSV file of labels. how: names `align`, part of the mark.

    On an object store the folder is listed once, and a photo is read when it is its turn. against_rest and bands: as
    for `label_files.read_labels`. Raises Img2TabError where there is no photo, the labels cannot be read or name none
    of the photos, or a store cannot be asked.
    """
    _check_folder(folder)
    sizes = places.listed(folder, PHOTO_ENDINGS)
    if not sizes:
        raise Img2TabError(f"There is no photo in {folder}. Name a folder that holds some.")
    labels = _labels(labels_file, against_rest=against_rest, bands=bands)
    return _photos("folder", folder, sizes, labels, labels_file.name, align=align, how=how)


def uploaded_source(folder: Path, names: Sequence[str], labels_file: Path, *, align: Align, how: str) -> Source:
    """Photos that were uploaded: `names` as their owner calls them, stored in the folder as `stored_name` says.

    The names are only matched with the labels; none is ever used as a path. Raises Img2TabError as `folder_source`.
    """
    _check_folder(folder)
    stored = {name: stored_name(number, name) for number, name in enumerate(names)}
    if len(stored) != len(names):
        raise Img2TabError("Every uploaded photo needs a name of its own, got one twice. Rename it.")
    sizes = {name: places.size_of(folder / stored[name]) for name in sorted(names)}
    labels = _labels(labels_file)
    source = _photos("folder", folder, sizes, labels, labels_file.name, align=align, how=how, stored=stored)
    return replace(source, origin="photos uploaded to the Data page")


def stored_name(number: int, name: str) -> str:
    """What an uploaded photo is called on the disk: its place among them, and its ending where that is a photo's."""
    ending = PurePath(name).suffix.lower()
    return f"{number:06d}{ending if ending in PHOTO_ENDINGS else ''}"


def celeba_source(folder: Place, *, align: Align, how: str = "aligned") -> Source:
    """CelebA: img_align_celeba, list_attr_celeba and list_eval_partition (.txt, or .csv) in one folder.

    Raises Img2TabError where one of them is missing or damaged, or a store cannot be asked for them.
    """
    _check_folder(folder)
    inner = folder / "img_align_celeba"
    for pictures in (inner / "img_align_celeba", inner, folder):
        if sizes := places.listed(pictures, {".jpg"}, deep=False):
            break
    else:
        raise Img2TabError(
            f"There are no photos img_align_celeba/*.jpg in {folder}. Unpack img_align_celeba.zip there."
        )
    attributes, parts = (_of_celeba(folder, name) for name in ("list_attr_celeba", "list_eval_partition"))
    source = _photos("celeba", pictures, sizes, _labels(attributes), attributes.name, align=align, how=how)
    with places.as_file(parts, most=label_files.MOST_BYTES) as file:
        rows = [line.replace(",", " ").split() for line in file.read_text(errors="replace").splitlines()]
    part_of = {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1] in ("0", "1", "2")}
    without = [name for name in sizes if name not in part_of]
    if without:
        raise Img2TabError(
            f"{parts.name} must name a part (0, 1 or 2) for every photo, got none for {len(without):,}, the first "
            f"{without[0]}. Download it again."
        )
    return replace(source, split=np.array([part_of[name] for name in sizes], np.int8))


def population_source(folder: Path, draw: Callable[[np.ndarray], np.ndarray]) -> Source:
    """The faces of a population (w.npy, labels.parquet, population.json), drawn anew.

    draw: w float32 (512,) -> uint8 (256, 256, 3). Raises Img2TabError where the population is damaged.
    """
    try:
        w = open_array(folder / "w.npy")  # (N, 512)
        labels = pd.read_parquet(folder / "labels.parquet")
        about = parsed_json((folder / "population.json").read_bytes())
    except (OSError, ValueError) as error:
        raise Img2TabError(f"The bundled population in {folder} cannot be read ({error}). Clone it again.") from error
    targets = tuple(Target.from_json(t) for t in about["targets"])
    return Source(
        kind="population",
        origin=str(folder),
        names=tuple(f"face-{i:06d}" for i in range(len(w))),
        load=_Drawn(folder / "w.npy", draw),
        labels=labels[[t.name for t in targets]],
        targets=targets,
        mark=sha256_of(folder / "w.npy"),
        has_label=np.ones(len(w), bool),
    )


def limited(source: Source, count: int | None) -> Source:
    """The source with at most so many photos, sampled at random, the same ones each time, in their order."""
    total = len(source.names)
    if count is None or count >= total:
        return source
    chosen = np.sort(np.random.default_rng(0).choice(total, count, replace=False))
    return replace(
        source,
        names=tuple(source.names[i] for i in chosen),
        load=_Chosen(source.load, chosen),
        labels=source.labels.iloc[chosen].reset_index(drop=True),
        has_label=source.has_label[chosen],
        split=None if source.split is None else source.split[chosen],
        mark=f"{source.mark} {count}",
    )


@dataclass(frozen=True, eq=False)
class _Read:
    """`Source.load` of files in a folder."""

    folder: Place
    files: tuple[str, ...]
    align: Align

    def __call__(self, i: int) -> tuple[np.ndarray, int]:
        data = places.read_listed(self.folder / self.files[i], self.folder, most=MOST_BYTES)
        return self.align(data)


@dataclass(frozen=True, eq=False)
class _Drawn:
    """`Source.load` of w in a file, mapped at every call: another process is sent its name and not its 20 MB."""

    file: Path
    draw: Callable[[np.ndarray], np.ndarray]

    def __call__(self, i: int) -> tuple[np.ndarray, int]:
        return self.draw(open_array(self.file)[i].astype(np.float32)), 1


@dataclass(frozen=True, eq=False)
class _Chosen:
    """`Source.load` of some of a source's photos. rows: int64 (n,), their numbers in that source."""

    load: Callable[[int], tuple[np.ndarray, int]]
    rows: np.ndarray

    def __call__(self, i: int) -> tuple[np.ndarray, int]:
        return self.load(int(self.rows[i]))


def _photos(
    kind: str,
    folder: Place,
    sizes: Mapping[str, int | None],
    labels: label_files.Labels,
    labels_name: str,
    *,
    align: Align,
    how: str,
    stored: Mapping[str, str] | None = None,
) -> Source:
    """sizes: of every photo, in order, its bytes, which are the mark; stored: of every photo, the file in the folder
    that holds it, None where that is the photo's own name."""
    files = tuple(sizes)
    names = labels.names or ()  # a file that names photos
    rows = label_files.rows_for(files, names)
    if (rows < 0).all():
        raise Img2TabError(
            f"{labels_name} must name the photos of {folder} in a column called "
            f"{', '.join(label_files.PHOTO_COLUMNS[:6])}, or in its first column, got {names[0]!r} and no name "
            f"that fits ({files[0]!r} is there). Mend that column."
        )
    used = set(rows.tolist())
    mark = "\n".join(f"{name} {size}" for name, size in sizes.items())
    return Source(
        kind=kind,
        origin=str(folder),
        names=files,
        load=_Read(places.absolute(folder), files if stored is None else tuple(stored[name] for name in files), align),
        labels=labels.at(rows),
        targets=labels.targets,
        mark=digest(how.encode(), mark.encode("utf-8", "surrogateescape")),
        has_label=rows >= 0,
        unmatched=tuple(name for i, name in enumerate(names) if i not in used),
        no_target=labels.no_target,
    )


def _labels(file: Place, *, against_rest: bool = False, bands: Sequence[Bands] = ()) -> label_files.Labels:
    with places.as_file(file, most=label_files.MOST_BYTES) as near:
        return label_files.read_labels(near, against_rest=against_rest, bands=bands)


def _check_folder(folder: Place) -> None:
    if isinstance(folder, Path) and not folder.is_dir():
        raise Img2TabError(f"There is no folder {folder}. Name the folder that holds the photos.")


def _of_celeba(folder: Place, name: str) -> Place:
    for place in (folder, folder / "Anno", folder / "Eval", folder.parent):
        for ending in (".txt", ".csv"):
            if places.size_of(place / (name + ending)) is not None:
                return place / (name + ending)
    raise Img2TabError(f"There is no {name}.txt in {folder}. Download it from the CelebA page and put it there.")
