"""A session as one self-contained HTML file, with a CSV file of every table and a model card beside the classifier."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import home, write_text
from img2tab_core.base.jobs import Report
from img2tab_core.base.spreadsheets import csv
from img2tab_core.reports import (
    accountability_chapters,
    closing_chapters,
    croissant,
    cyclonedx,
    measured_chapters,
    opening_chapters,
    page,
)
from img2tab_core.reports.evidence import NONE_YET, with_own_digest
from img2tab_core.reports.findings import Findings, gather
from img2tab_core.reports.model_card import FILE as CARD
from img2tab_core.reports.model_card import card_of, keep_card
from img2tab_core.reports.sheets import NAMES, sheets
from img2tab_core.sessions.session_records import SessionInfo
from img2tab_core.sessions.session_runs import SessionRuns
from img2tab_core.sessions.shared_exclusions import exclusions_json

EXCLUSIONS = "exclusions.json"  # all that decides the run's training, see `shared_exclusions.exclusions_json`
CHAPTERS: tuple[tuple[str, Callable[[Findings], dict | None]], ...] = (
    ("short", opening_chapters.in_short),
    ("question", opening_chapters.question),
    ("scenarios", accountability_chapters.scenarios),
    ("metric", accountability_chapters.metric),
    ("data", opening_chapters.data),
    ("model", opening_chapters.model),
    ("runs", opening_chapters.tree),
    ("audit", measured_chapters.audited),
    ("gaps", measured_chapters.gaps),
    ("selected", accountability_chapters.selected),
    ("looks-at", measured_chapters.looks_at),
    ("excluded", measured_chapters.excluded),
    ("stand-ins", measured_chapters.stands_in),
    ("moved", measured_chapters.moved),
    ("remedies", measured_chapters.remedies),
    ("log", closing_chapters.log),
    ("limits", closing_chapters.limits),
    ("versions", closing_chapters.versions),
    ("evidence", accountability_chapters.evidence),
    ("crosswalk", accountability_chapters.crosswalk),
    ("card", closing_chapters.card),
)


@dataclass(frozen=True)
class Written:
    """The files of a report.

    html: the page; tables: a CSV file for each of its tables; exclusions: all that decides the training of the current
    run, for `img2tab session repeat`; card: the model card, beside the classifier; machine: the same model card as
    CycloneDX and the table as Croissant, for machines.
    """

    html: Path
    tables: tuple[Path, ...]
    exclusions: Path
    card: Path
    machine: tuple[Path, ...] = ()


def write_report(
    runs: SessionRuns,
    session: SessionInfo,
    html: Path,
    *,
    who: str = "",
    progress: Report | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Written:
    """Write the report of a session: the page, a folder of CSV files beside it, and the card beside the classifier.

    who: makes it, the session's owner where that is not said.

    The page needs neither of the others: it carries them. The folder is named after it, `<stem>-tables`. The session's
    current run must be done and have its model here. Raises Img2TabError where that is not so or a file cannot be
    written; Cancelled once `cancelled` says so, and then nothing was written.
    """
    check_page(html)
    findings = gather(runs, session, who=who, progress=progress, cancelled=cancelled)
    card = card_of(runs, findings.session, findings.info, audit=findings.now.audit)
    tables, exclusions, machine = _csv(findings), _json(findings), _machine(runs, findings)
    folder, file = html.with_name(f"{html.stem}-tables"), keep_card(findings.info, card)
    clear(folder, [f"{name}.csv" for name in NAMES if name not in tables])  # of an earlier report that had more
    for name, content in tables.items():
        write_text(folder / f"{name}.csv", content)
    write_text(folder / EXCLUSIONS, exclusions)
    for name, content in machine.items():
        write_text(folder / name, content)
    write_text(html, _page(findings, tables, exclusions, card, machine))
    return Written(
        html,
        tuple(folder / f"{name}.csv" for name in tables),
        folder / EXCLUSIONS,
        file,
        tuple(folder / name for name in machine),
    )


def report_html(
    runs: SessionRuns,
    session: SessionInfo,
    *,
    who: str = "",
    progress: Report | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> str:
    """The page alone, for a download; writes nothing."""
    findings = gather(runs, session, who=who, progress=progress, cancelled=cancelled)
    return _page(
        findings,
        _csv(findings),
        _json(findings),
        card_of(runs, findings.session, findings.info, audit=findings.now.audit),
        _machine(runs, findings),
    )


def _csv(findings: Findings) -> dict[str, str]:
    """Name of a table -> the text of its CSV file."""
    return {name: csv(sheet) for name, sheet in sheets(findings).items()}


def _json(findings: Findings) -> str:
    return json.dumps(exclusions_json(findings.session, findings.info, names=findings.names))


def _machine(runs: SessionRuns, findings: Findings) -> dict[str, str]:
    """Name -> content of what is for programs: the model card, and what the table is."""
    described = {
        cyclonedx.FILE: cyclonedx.bill_of(runs, findings.session, findings.info, audit=findings.now.audit),
        croissant.FILE: croissant.croissant_of(findings.table, home() / "tables" / findings.table.name),
    }
    return {name: json.dumps(content, indent=1, ensure_ascii=False) for name, content in described.items()}


def _page(findings: Findings, tables: dict[str, str], exclusions: str, card: str, machine: dict[str, str]) -> str:
    """The whole page, which carries the texts of its files."""
    files: dict[str, page.File | None] = dict.fromkeys(NAMES)
    files |= {name: page.File(f"{name}.csv", content) for name, content in tables.items()}
    files["exclusions"] = page.File(EXCLUSIONS, exclusions, "application/json")
    files["card"] = page.File(CARD, card, "text/markdown")
    files["card_for_programs"] = page.File(cyclonedx.FILE, machine[cyclonedx.FILE], "application/json")
    files["table_for_programs"] = page.File(croissant.FILE, machine[croissant.FILE], "application/ld+json")
    common = {
        "findings": findings,
        "info": findings.info,
        "target": findings.target,
        "audit": findings.now.audit,
        "before": findings.before,
        "files": files,
        "made": findings.made,
    }
    told = [(name, say(findings)) for name, say in CHAPTERS]
    common["present"] = {name for name, values in told if values is not None}  # for links from one to another
    chapters = [page.chapter(name, common | values) for name, values in told if values is not None]
    common |= {"evidence": json.dumps(findings.evidence, ensure_ascii=False), "own_digest": NONE_YET}
    return with_own_digest(page.document("report", chapters, common))


def check_page(file: Path) -> None:
    """Whether a page can be written there, asked before the minutes that lead to it; its folder is made.

    Raises Img2TabError where none can be written.
    """
    if file.suffix.lower() not in (".html", ".htm"):
        raise Img2TabError(f"A report is an HTML file, its name must end in .html, got {file.name or file}.")
    if file.is_dir():
        raise Img2TabError(f"A report is a file, got the folder {file}. Add a file name.")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Img2TabError(f"{file} could not be written ({error.strerror}). Choose another place.") from error
    if not os.access(file.parent, os.W_OK | os.X_OK):
        raise Img2TabError(f"{file} could not be written: you may not write in {file.parent}. Choose another place.")


def clear(folder: Path, names: Collection[str]) -> None:
    """Remove these files of a folder, those that are there; raises Img2TabError where one cannot be removed."""
    try:
        for name in names:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise Img2TabError(
            f"What an earlier report left in {folder} could not be removed ({error.strerror}). Choose another place."
        ) from error
