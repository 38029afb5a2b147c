"""What the last chapters of a report say: the log, the limits, what repeats it."""

from __future__ import annotations

import shlex

from img2tab_core.base.words import count, sentence
from img2tab_core.reports.findings import Findings
from img2tab_core.reports.wording import minute, one_line
from img2tab_core.sessions.session_records import LogEntry
from img2tab_core.sessions.session_runs import REPEATED

LONGEST = 180  # letters of the log's details


def log(findings: Findings) -> dict:
    """Who did what in the session."""
    return {
        "entries": [(minute(entry.at), entry.who, sentence(entry.what), _details(entry)) for entry in findings.log],
    }


def _details(entry: LogEntry) -> str:
    """What else an entry says, in a line."""
    if entry.what == REPEATED:
        details = entry.details
        return (
            f"run {details.get('before')} and run {details.get('after')}, {count(int(details.get('seeds', 0)), 'seed')}"
        )
    parts = []
    for name, value in entry.details.items():
        if isinstance(value, list):
            value = ", ".join(str(part) for part in value) if len(value) <= 4 else f"{len(value):,} entries"
        if isinstance(value, dict) or value is None or value == "":
            continue
        written = f"{value:,}" if isinstance(value, int) else one_line(str(value))
        parts.append(f"{name.replace('_', ' ')}: {written}")
    line = " · ".join(parts)
    return line if len(line) <= LONGEST else line[: LONGEST - 1].rstrip() + "…"


def limits(findings: Findings) -> dict:
    """What the numbers do not say, and the licences of the face models."""
    return {
        "generated": not findings.origin,
        "runs_done": sum(run.state == "done" for _, run in findings.tree),
    }


def versions(findings: Findings) -> dict:
    """All that another person needs to repeat the report."""
    seeds = [f"{findings.info.seed} of the run", f"{findings.now.audit.seed} of the resamples"]
    if findings.answer is not None:
        pairs = next(iter(findings.answer[1].values())).pairs
        seeds.append(f"{', '.join(str(seed) for seed in range(len(pairs)))} of the repetitions")
    return {
        "seeds": seeds,
        "trained_with": ", ".join(f"{name} {number}" for name, number in findings.trained_with.items()),
        "session_name": shlex.quote(findings.session.name),
    }


def card(findings: Findings) -> dict:
    """The model card, as it lies beside the saved classifier."""
    return {}
