"""Photos brought to a page: kept in the visitor's folder until their import is whole, so that it can be taken up again.

`uploads/NAME` holds request.json (what was asked), labels.csv as it was given, and, where photos were uploaded, these
by number. Names are text in request.json; none is ever used as a path.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from img2tab_core.base import persons
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import home, read_json, whole_folder, write_json
from img2tab_core.base.jobs import Report
from img2tab_core.tables.importing import import_photos
from img2tab_core.tables.imports import Backbone, Imported, checked_name
from img2tab_core.tables.sources import Align, Source, folder_source, how_aligned, stored_name, uploaded_source

REQUEST, LABELS = "request.json", "labels.csv"


@dataclass(frozen=True)
class Brought:
    """Photos that wait for their import, or are half imported.

    folder: of this computer, "" where the photos were uploaded; names: of those. aligned: they are aligned faces.
    """

    name: str
    backbone: str
    folder: str
    aligned: bool
    names: tuple[str, ...] = ()


def bring_uploads(
    name: str, photos: Sequence[tuple[str, bytes]], labels: bytes, *, backbone: str, aligned: bool = False
) -> Brought:
    """Keep uploaded photos, (name, bytes) each, and their labels, a CSV file; what waited under this name is replaced.

    Of two photos of one name the second is called "NAME (2)". Raises Img2TabError where the table's name will not do,
    there is no photo, or nothing can be written.
    """
    if not photos:
        raise Img2TabError("There must be a photo to import, got none. Choose some.")
    names: list[str] = []
    for given, _ in photos:
        same = names.count(given)
        names.append(given if not same else f"{given} ({same + 1})")
    request = Brought(checked_name(name), backbone, "", aligned, tuple(names))
    _keep(request, labels, {stored_name(n, names[n]): data for n, (_, data) in enumerate(photos)})
    return request


def bring_folder(name: str, folder: Path, labels: bytes, *, backbone: str, aligned: bool = False) -> Brought:
    """Keep where a folder of photos is and their labels; the photos stay where they are.

    Raises Img2TabError where the table's name will not do, there is no such folder, or nothing can be written.
    """
    if not folder.is_dir():
        raise Img2TabError(f"There is no folder {folder} on this computer. Name the folder that holds the photos.")
    request = Brought(checked_name(name), backbone, str(folder.resolve()), aligned)
    _keep(request, labels, {})
    return request


def waiting() -> list[Brought]:
    """What was brought and is not whole, by name; of a killed import too."""
    requests = []
    for file in sorted((home() / "uploads").glob(f"*/{REQUEST}")):
        stored = read_json(file)
        try:
            request = Brought(**stored | {"names": tuple(stored["names"])})
        except (TypeError, KeyError):  # of another version, or damaged
            continue
        if request.name == file.parent.name:
            requests.append(request)
    return requests


def import_brought(
    request: Brought,
    backbone: Backbone,
    align: Align,
    *,
    anew: bool = False,
    progress: Report | None = None,
    stopped: Callable[[], bool] | None = None,
) -> Imported:
    """Import what was brought, as `import_photos`; what was kept for it goes once the table is whole.

    align: what makes faces of photos, see `sources.Align`. Raises what `import_photos` does; the photos then stay.
    """
    persons.must_be_auditor("bring photos for a table")
    imported = import_photos(
        source_of(request, align), backbone, name=request.name, anew=anew, progress=progress, stopped=stopped
    )
    forget(request.name)
    return imported


def source_of(request: Brought, align: Align) -> Source:
    """What to import. Raises Img2TabError where the photos are gone, or the labels name none of them."""
    place = _place(request.name)
    if request.folder:
        return folder_source(Path(request.folder), place / LABELS, align=align, how=how_aligned(request.aligned))
    return uploaded_source(place, request.names, place / LABELS, align=align, how=how_aligned(request.aligned))


def forget(name: str) -> None:
    """Remove what was kept for an import; a table of that name stays."""
    persons.must_be_auditor("bring photos for a table")
    shutil.rmtree(_place(name), ignore_errors=True)


def _keep(request: Brought, labels: bytes, photos: dict[str, bytes]) -> None:
    persons.must_be_auditor("bring photos for a table")
    place = _place(request.name)
    try:
        with whole_folder(place) as new:
            (new / LABELS).write_bytes(labels)
            for stored, data in photos.items():
                (new / stored).write_bytes(data)
            write_json(new / REQUEST, asdict(request))
    except OSError as error:
        raise Img2TabError(
            f"The photos could not be kept in {place} ({error.strerror or error}). Free some space and try again."
        ) from error


def _place(name: str) -> Path:
    return home() / "uploads" / checked_name(name)
