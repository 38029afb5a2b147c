"""A session as one self-contained HTML file, with a CSV file of every table and a model card beside the classifier."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from img2tab_core import __version__
from img2tab_core.report_parts import closing, measured, opening, page
from img2tab_core.report_parts.files import check_page, clear, write_text
from img2tab_core.report_parts.findings import Findings, gather
from img2tab_core.report_parts.sheets import NAMES, csv, sheets
from img2tab_core.report_parts.words import minute
from img2tab_core.run_card import FILE as CARD
from img2tab_core.run_card import card_of, keep_card
from img2tab_core.session_runs import SessionRuns
from img2tab_core.sessions.records import SessionInfo
from img2tab_core.sessions.shared_exclusions import exclusions_json
from img2tab_core.watching import Report

CHAPTERS = (
    opening.in_short, opening.question, opening.data, opening.model, opening.tree, measured.audited, measured.gaps,
    measured.excluded, measured.stands_in, measured.moved, measured.remedies, closing.log, closing.limits,
    closing.versions,
)


@dataclass(frozen=True)
class Written:
    """The files of a report.

    html: the page; tables: a CSV file for each of its tables; exclusions: all that decides the training of the current
    run, for `img2tab session repeat`; card: the model card, beside the classifier.
    """

    html: Path
    tables: tuple[Path, ...]
    exclusions: Path
    card: Path


def write_report(
    runs: SessionRuns,
    session: SessionInfo,
    html: Path,
    *,
    progress: Report | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Written:
    """Write the report of a session: the page, a folder of CSV files beside it, and the card beside the classifier.

    The page needs neither of the others: it carries them. The folder is named after it, `<stem>-tables`. The session's
    current run must be done and have its model here.
    """
    check_page(html)
    found = gather(runs, session, progress=progress, cancelled=cancelled)
    card = card_of(runs, found.session, found.info, audit=found.now.audit)
    tables, exclusions = _csv(found), _json(found)
    folder, file = html.with_name(f"{html.stem}-tables"), keep_card(found.info, card)
    clear(folder, [f"{name}.csv" for name in NAMES if name not in tables])   # of an earlier report that had more
    for name, one in tables.items():
        write_text(folder / f"{name}.csv", one)
    write_text(folder / closing.EXCLUSIONS, exclusions)
    write_text(html, _page(found, tables, exclusions, card))
    return Written(html, tuple(folder / f"{name}.csv" for name in tables), folder / closing.EXCLUSIONS, file)


def report_html(
    runs: SessionRuns,
    session: SessionInfo,
    *,
    progress: Report | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> str:
    """The page alone, for a download; writes nothing."""
    found = gather(runs, session, progress=progress, cancelled=cancelled)
    return _page(found, _csv(found), _json(found), card_of(runs, found.session, found.info, audit=found.now.audit))


def _csv(found: Findings) -> dict[str, str]:
    """Name of a table -> the text of its CSV file."""
    return {name: csv(one) for name, one in sheets(found).items()}


def _json(found: Findings) -> str:
    return json.dumps(exclusions_json(found.session, found.info, names=found.names))


def _page(found: Findings, tables: dict[str, str], exclusions: str, card: str) -> str:
    """The whole page, which carries the texts of its files."""
    files = {name: page.file_link(f"{name}.csv", one, "text/csv", f"{name}.csv") for name, one in tables.items()}
    files[closing.EXCLUSIONS] = page.file_link(closing.EXCLUSIONS, exclusions, "application/json", closing.EXCLUSIONS)
    parts = [write(found, files) for write in CHAPTERS]
    parts.append(closing.card(card, page.file_link(CARD, card, "text/markdown", CARD)))
    footer = page.text(
        f"Made by Img2Tab Studio {__version__} on {minute(found.made)} UTC. This page is one file: it loads nothing "
        "from a network, and carries its pictures and tables.")
    return page.document(f"{found.session.name} · audit report", opening.header(found),
                         [part for part in parts if part is not None], footer)
