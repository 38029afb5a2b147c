"""A visitor's check of photos whose answer is known: the job that asks, and the photos it was asked about."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from dashboard.state import visit
from dashboard.state.doors import MEASUREMENTS, studio
from img2tab_core.audits import photo_check
from img2tab_core.audits.photo_check import PhotoCheck
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.jobs import Job
from img2tab_core.classifiers.runs import DEFAULT_KIND, OWN_KIND
from img2tab_core.tables import calibrations
from img2tab_core.tables.calibrations import Calibration
from img2tab_core.tables.label_files import Answers, answers_for

CHECK, PHOTOS = "data.check_job", "data.check_photos"
SOURCE = "photos brought to the Data page"


def begin(photos: dict[str, bytes], labels: bytes, column: str) -> None:
    """Ask the standing classifier of the chosen target about photos; a label file that says nothing is a notice."""
    table, target = visit.current_table(), visit.target()
    try:
        answers = _answers(labels, column)
    except Img2TabError as error:
        visit.notice(str(error))
        return
    door = studio()

    def work(progress, cancelled) -> PhotoCheck:
        return photo_check.check_photos(
            door,
            table,
            target.name,
            {name: lambda data=data: data for name, data in photos.items()},
            answers,
            progress=progress,
            stopped=cancelled,
        )

    if (former := job()) is not None:
        former.cancel()
    with visit.noticing():
        begun = Job.start(MEASUREMENTS.in_turn(work))
        visit.set_of_target(PHOTOS, photos)
        visit.set_of_target(CHECK, begun)


def _answers(labels: bytes, column: str) -> Answers:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "labels.csv"
        file.write_bytes(labels)
        return answers_for(file, visit.target(), column)


def job() -> Job[PhotoCheck] | None:
    """The check of the chosen target, running or ended."""
    return visit.of_target(CHECK, None)


def in_use() -> Calibration | None:
    """What photos are judged by for the chosen target, beside its standing classifier."""
    return calibrations.calibration_of(visit.current_table(), visit.target().name, DEFAULT_KIND)


def now(check: PhotoCheck) -> PhotoCheck:
    """A check as it stands by the calibration that is in use now."""
    return check if check.kind == OWN_KIND else replace(check, in_use=in_use())


def photo_of(name: str) -> bytes:
    """The file of a photo that was checked."""
    return visit.of_target(PHOTOS, {})[name]


def calibrate() -> None:
    """Judge photos from now on by two numbers fitted to those that were checked."""
    checked = job()
    if checked is None or checked.result is None:
        return
    try:
        fitted = photo_check.calibration_from(checked.result, source=SOURCE)
        calibrations.keep_calibration(visit.current_table(), visit.target().name, fitted)
    except Img2TabError as error:
        visit.notice(str(error))


def undo() -> None:
    """Go back to what photos were judged by before."""
    try:
        calibrations.undo_calibration(visit.current_table(), visit.target().name)
    except Img2TabError as error:
        visit.notice(str(error))


def can_undo() -> bool:
    return calibrations.has_own_calibration(visit.current_table(), visit.target().name)
