"""The evidence of a report: digests of all that it rests on, inside the page, and what of them this machine can check.

A digest shows that something was changed; it does not show by whom: whoever changes a page can write its digest anew.
That is what a signature is for (`signatures`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal

from img2tab_core import __version__, weights
from img2tab_core.backbones.registry import added_backbones
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import ROOT, home, sha256_of
from img2tab_core.base.foreign import damage_as_value_error, parsed_json, reason
from img2tab_core.base.records import DEFAULT_BACKBONE, StyleTable, digest
from img2tab_core.classifiers.runs import OF_ONE, folder_of
from img2tab_core.sessions.bias_scenarios import RecordedScenario
from img2tab_core.sessions.session_records import LogEntry, RunInfo, SessionInfo
from img2tab_core.sessions.store import Sessions

FORMAT = 1
NONE_YET = "0" * 64  # stands in the page for its own digest while that is counted
SOURCES = (".py", ".j2", ".css", ".json")  # of the package: what decides what it does
TABLE_FILES = ("labels.parquet", "psi.npy", "stats.npz", "table.json")  # stats.npz: which faces are for testing
_MARK = re.compile(rb'<template id="report-evidence" data-page="([0-9a-f]{64})">')

State = Literal["agrees", "differs", "not here"]


@dataclass(frozen=True)
class Checked:
    """One part of the evidence: what it is, whether it agrees with what is here, and the sentence behind that."""

    part: str
    state: State
    sentence: str


def evidence_of(
    session: SessionInfo,
    info: RunInfo,
    runs: Iterable[RunInfo],
    log: Iterable[LogEntry],
    scenarios: Iterable[RecordedScenario],
    table: StyleTable,
    *,
    made: datetime,
    who: str,
) -> dict[str, Any]:
    """Plain types: who made the report and when (UTC), and a sha256 of each part of what it rests on.

    info: the current run; runs: all of the session, those that still train are left out; log: as far as the report
    tells it. Seconds where the table is large: its files are read whole. Raises OSError where a file cannot be read.
    """
    ended = sorted((run for run in runs if run.state != "running"), key=lambda run: run.number)
    entries = list(log)
    parts = {
        "table": {
            "name": table.name,
            "key": table.key,
            "files": _digests(home() / "tables" / table.name, TABLE_FILES),
        },
        "weights": {"backbone": session.backbone, "files": _weights(session.backbone)},
        "model": {"run": info.run_id, "files": _model(info.run_id)},
        "code": {"version": __version__, "digest": code_digest()},
        "session": {
            "id": session.id,
            "name": session.name,
            "created": session.created.isoformat(),
            "log": {"entries": len(entries), "digest": _of_log(entries)},
            "runs": {"numbers": [run.number for run in ended], "digest": _of_runs(ended)},
            "notes": _of(session.notes),
            "record": _of_record(session, scenarios),
        },
    }
    about = {"format": FORMAT, "who": who or session.owner, "made": made.isoformat(), "parts": parts}
    return about | {"digest": _of(about)}


def with_own_digest(page: str) -> str:
    """The page with the sha256 of its own bytes in it, counted while `NONE_YET` stands in that place."""
    mark = f'<template id="report-evidence" data-page="{NONE_YET}">'
    counted = digest(page.encode("utf-8", "replace"))
    return page.replace(mark, mark.replace(NONE_YET, counted), 1)


def verify(file: Path, sessions: Sessions | None = None) -> tuple[Checked, ...]:
    """What of a report's evidence agrees with the page itself and with what is on this machine.

    sessions: of this machine, None for those of the visitor's folder. Raises Img2TabError where the file cannot be read
    or carries no evidence.
    """
    page = read_page(file)
    evidence = evidence_in(page, file)
    try:
        return _checked(page, evidence, sessions)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise Img2TabError(
            f"The evidence in {file} is not what a report carries ({reason(error)}): it was written by hand or "
            "changed. Ask for the report again."
        ) from error


def _checked(page: bytes, evidence: dict[str, Any], sessions: Sessions | None) -> tuple[Checked, ...]:
    """Every part by itself."""
    parts = evidence["parts"]
    return (
        _check_page(page),
        _check_evidence(evidence),
        _check_files(
            "table",
            parts["table"]["files"],
            lambda: _digests(_inside(home() / "tables", parts["table"]["name"]), TABLE_FILES),
            f"The table {parts['table']['name']!r}",
        ),
        _check_files(
            "weights",
            parts["weights"]["files"],
            lambda: _weights(parts["weights"]["backbone"], fresh=True),
            f"The weights of {parts['weights']['backbone']}",
        ),
        _check_files("model", parts["model"]["files"], lambda: _model(parts["model"]["run"]), "The run's model"),
        _check_code(parts["code"]),
        *_check_session(parts["session"], sessions),
    )


def read_page(file: Path) -> bytes:
    """The bytes of a report. Raises Img2TabError where it cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise Img2TabError(f"{file} cannot be read ({error.strerror}). Name a report.") from error


def evidence_in(page: bytes, file: Path) -> dict[str, Any]:
    """The evidence that a page carries; file: its name, for the sentence. Raises Img2TabError where it carries none."""
    finder = _Finder()
    try:
        with damage_as_value_error():
            finder.feed(page.decode("utf-8", "replace"))
        evidence = parsed_json("".join(finder.text))
        complete = evidence["format"] == FORMAT and {"table", "weights", "model", "code", "session"} <= set(
            evidence["parts"]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise Img2TabError(
            f"{file} carries no evidence: it is no report of a session, or an older version wrote it. Write it again."
        ) from error
    if not complete:
        raise Img2TabError(
            f"The evidence in {file} is of another version than this one reads ({evidence['format']} and {FORMAT}). "
            "Use the version that wrote it."
        )
    return evidence


def code_digest() -> str:
    """sha256 over the package's own source files, names and bytes."""
    folder = ROOT / "img2tab_core"
    files = sorted(file for file in folder.rglob("*") if file.suffix in SOURCES and file.is_file())
    return _of({file.relative_to(folder).as_posix(): sha256_of(file) for file in files})


# --- digests -------------------------------------------------------------------------------------------


def _of(content: object) -> str:
    """sha256 of a value as JSON that has one form only."""
    return digest(json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode())


def _digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Name -> sha256 of the files that are there."""
    return {name: sha256_of(folder / name) for name in names if (folder / name).is_file()}


def _weights(backbone: str, *, fresh: bool = False) -> dict[str, str]:
    """File -> sha256 of the model files behind a backbone; fresh: read whole, and not as they were hashed last."""
    if backbone in added_backbones():
        folder = home() / "converted" / added_backbones()[backbone]["folder"]
        return _digests(folder, sorted(file.name for file in folder.glob("*.safetensors")))
    digests = {}
    for entry in weights.manifest():
        if entry.name == backbone or (backbone == DEFAULT_BACKBONE and not entry.optional):
            try:
                file = weights.path(entry.name)
            except Img2TabError:
                continue
            known = entry.sha256 or weights.record(entry.name).get("sha256")
            digests[entry.file] = known if isinstance(known, str) and not fresh else sha256_of(file)
    return digests


def _inside(folder: Path, name: str) -> Path:
    """A folder in a folder. Raises ValueError where a name leads anywhere else."""
    if Path(name).name != name or name == "..":
        raise ValueError(name)
    return folder / name


def _model(run_id: str) -> dict[str, str]:
    """File -> sha256 of a run's files; the card beside them is written with every report."""
    if not run_id or not _inside(home() / "runs", run_id.partition(OF_ONE)[0]).is_dir():
        return {}
    folder = folder_of(run_id)
    kept = (file.name for file in folder.iterdir() if file.suffix != ".md" and not file.name.startswith("."))
    return _digests(folder, sorted(kept))


def _of_log(entries: Iterable[LogEntry]) -> str:
    return _of([[entry.id, entry.at.isoformat(), entry.who, entry.what, entry.details] for entry in entries])


def _of_runs(runs: Iterable[RunInfo]) -> str:
    return _of(
        [
            [
                run.number,
                run.parent,
                run.kind,
                run.seed,
                list(run.excluded),
                run.treatment.to_json(),
                run.note,
                run.who,
                run.state,
                run.started.isoformat(),
                run.run_id,
                run.metrics,
                run.reason,
            ]
            for run in runs
        ]
    )


def _of_record(session: SessionInfo, scenarios: Iterable[RecordedScenario]) -> str:
    """The bias record and the chosen metric."""
    recorded = [[each.number, each.scenario.to_json(), each.who, each.changed.isoformat()] for each in scenarios]
    return _of([recorded, session.metric_choice])


# --- checks --------------------------------------------------------------------------------------------


class _Finder(HTMLParser):
    """The text of the page's element of evidence."""

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "template" and dict(attrs).get("id") == "report-evidence":
            self._inside, self.text = True, []

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "template"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.text.append(data)


def _check_page(page: bytes) -> Checked:
    marks = _MARK.findall(page)
    if len(marks) != 1:
        return Checked("page", "differs", "The page does not say which bytes it should have.")
    claimed = marks[0]
    counted = digest(_MARK.sub(lambda match: match[0].replace(claimed, NONE_YET.encode()), page))
    if counted == claimed.decode():
        return Checked("page", "agrees", "The page has the very bytes that were written.")
    return Checked("page", "differs", "The page was changed after it was written.")


def _check_evidence(evidence: Mapping[str, Any]) -> Checked:
    about = {name: value for name, value in evidence.items() if name != "digest"}
    if _of(about) == evidence.get("digest"):
        return Checked("evidence", "agrees", f"The digest over all parts is {evidence['digest']}.")
    return Checked("evidence", "differs", "The digest over all parts is not that of the parts.")


def _check_files(part: str, written: Mapping[str, str], here: Any, what: str) -> Checked:
    """here: a function that gives the digests of the files on this machine."""
    if not written:
        return Checked(part, "not here", f"{what}: the report names no file of it.")
    try:
        now = here()
    except OSError as error:
        return Checked(part, "not here", f"{what} cannot be read here ({error.strerror}).")
    changed = sorted(name for name in written if name in now and now[name] != written[name])
    absent = sorted(name for name in written if name not in now)
    if changed:
        return Checked(part, "differs", f"{what} differs here: {', '.join(changed)}.")
    if absent:
        return Checked(part, "not here", f"{what} is not whole on this machine: {', '.join(absent)} cannot be checked.")
    files = "the file has" if len(written) == 1 else f"all {len(written)} files have"
    return Checked(part, "agrees", f"{what}: {files} the same bytes here.")


def _check_code(written: Mapping[str, str]) -> Checked:
    if written["version"] != __version__:
        return Checked(
            "code",
            "not here",
            f"The report was made by version {written['version']}, here is {__version__}: its code cannot be checked.",
        )
    if written["digest"] != code_digest():
        return Checked("code", "differs", f"Version {__version__} as well, and its source files are not the same.")
    return Checked("code", "agrees", f"Version {__version__}, the same source files.")


def _check_session(written: Mapping[str, Any], given: Sessions | None) -> tuple[Checked, ...]:
    names = ("log", "runs", "notes", "record")
    try:
        store = given or Sessions()
        session = next(
            (
                session
                for session in store.list()
                if session.id == written["id"] and session.created.isoformat() == written["created"]
            ),
            None,
        )
        if session is None:
            another = written["name"] in {each.name for each in store.list()}
            why = f"The session {written['name']!r} is not on this machine" + (
                ", another of that name is." if another else "."
            )
            return tuple(Checked(name, "not here", why) for name in names)
        log, runs, scenarios = store.log(session), store.runs(session), store.scenarios(session)
    except Img2TabError as error:
        return tuple(Checked(name, "not here", str(error)) for name in names)
    entries = written["log"]["entries"]
    told = [run for run in sorted(runs, key=lambda run: run.number) if run.number in written["runs"]["numbers"]]
    since = len(log) - entries
    more = f", {since} more {'was' if since == 1 else 'were'} added since" if since > 0 else ""
    return (
        _compared("log", _of_log(log[:entries]), written["log"]["digest"], f"Its first {entries} entries agree{more}"),
        _compared("runs", _of_runs(told), written["runs"]["digest"], f"All {len(told)} runs agree"),
        _compared("notes", _of(session.notes), written["notes"], "The notes agree"),
        _compared("record", _of_record(session, scenarios), written["record"], "Bias record and chosen metric agree"),
    )


def _compared(part: str, here: str, written: str, agreed: str) -> Checked:
    if here == written:
        return Checked(part, "agrees", f"{agreed}.")
    return Checked(part, "differs", f"The session's {part} here is not the one that the report was made of.")
