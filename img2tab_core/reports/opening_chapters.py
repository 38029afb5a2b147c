"""What the first chapters of a report say: in short, the question, the data, the model, the tree of runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from img2tab_core.audits.audit_record import Measure
from img2tab_core.audits.groups import STANDARD
from img2tab_core.audits.linear_probe import Readable
from img2tab_core.audits.metrics import MEANINGS
from img2tab_core.base.words import count, percent, points, sentence
from img2tab_core.classifiers import kinds
from img2tab_core.reports.findings import Findings
from img2tab_core.reports.sheets import SPLITS, UNKNOWN, earlier_accuracy, earlier_gap
from img2tab_core.reports.wording import SPACE, number, settings, span
from img2tab_core.sessions.session_records import RunInfo

DEEPEST = 6  # a run further down is drawn no further to the right
GAP = "equalised_odds"


@dataclass(frozen=True)
class Tile:
    """A number to take away: what it is, the number or a few words, and a line below it."""

    title: str
    value: str
    below: str

    @property
    def words(self) -> bool:
        """Whether the value is words, which are set smaller than a number."""
        return not self.value[:1].isdigit()


def in_short(findings: Findings) -> dict:
    """What a reader with one minute should know."""
    audit, changes = findings.now.audit, findings.answer[1] if findings.answer else {}
    change = changes.get(GAP) or next(iter(changes.values()), None)
    gap = None if findings.before is None else earlier_gap(findings.before, GAP)
    accuracy = earlier_accuracy(findings.before)
    return {
        "groups": [f"{group.name} ({group.count:,})" for group in audit.by_group],
        "earlier_gap": gap,
        "earlier_accuracy": accuracy,
        "change": change,
        "meaning": MEANINGS[GAP],
        "readable": _once([now.sentence for _, now in findings.readable.values() if isinstance(now, Readable)]),
        "tiles": [
            Tile("Equalised odds difference", *_beside(gap, audit.gaps[GAP], _gap)),
            Tile("Accuracy", *_beside(accuracy, audit.overall.measures["accuracy"])),
            Tile("Excluded", f"{len(findings.excluded):,}", f"of {count(findings.table.layout.total, 'channel')}"),
            Tile(
                "Over several seeds",
                sentence(change.verdict) if change else "Not repeated yet",
                f"against run {findings.answer[0]}" if findings.answer else "",
            ),
        ],
    }


def _once(sentences: list[str]) -> list[str]:
    """ "You erased A; B can be read. You erased A; C can be read." -> what was done is said once."""
    done = sentences[0].partition("; ")[0] if sentences else ""
    return sentences[:1] + [sentence(text.removeprefix(f"{done}; ")) for text in sentences[1:]]


def _gap(share: float) -> str:
    return f"{100 * share:.1f}{SPACE}points"


def _beside(before: Measure | None, now: Measure, written: Callable[[float], str] = percent) -> tuple[str, str]:
    """A number, and below it the earlier one, or its interval where there is none."""
    if now.value is None:
        return "not measured", now.note
    if before is not None and before.value is not None:
        return written(now.value), f"before {written(before.value)}, {points(now.value - before.value)}"
    if now.low is None or now.high is None:
        return written(now.value), ""
    return written(now.value), f"95{SPACE}% interval {span(now.low, now.high)}"


def question(findings: Findings) -> dict:
    """The notes of the session."""
    return {}


def data(findings: Findings) -> dict:
    """The table, its groups, and how the labels were made."""
    audited = {group.name: group for group in findings.now.audit.by_group}
    return {
        "origin": origin(findings.origin),
        "split": [f"{int((findings.table.split == part).sum()):,} {name}" for part, name in enumerate(SPLITS)],
        "groups": [
            {"name": name, "counts": counts, "audited": audited.get(name)}
            for name, counts in zip((*findings.groups, UNKNOWN), findings.counts.tolist(), strict=True)
            if name != UNKNOWN or any(counts)
        ],
    }


def origin(about: dict) -> str:
    """Where the faces of a table are from; about: what the import noted, empty for generated faces."""
    if not about:
        return "Generated faces: none of them is a photo of a person."
    place, note = (str(about.get(name) or "") for name in ("origin", "note"))
    return f"{f'Imported from {place}.' if place else 'Imported.'} {note}".strip()


def model(findings: Findings) -> dict:
    """The classifier of the current run and its settings."""
    info, run = findings.info, findings.now.run
    return {
        "kind": kinds.title_of(info.kind),
        "trained_with": ", ".join(f"{name} {number}" for name, number in findings.trained_with.items()),
        "settings": settings(run),
        "used": len(run.classifier.screened_),
        "left": findings.table.layout.total - len(info.excluded),
        "threshold": STANDARD,
    }


def tree(findings: Findings) -> dict:
    """All runs of the session, each below the run it was changed from."""
    numbers = {run.id: run.number for _, run in findings.tree}
    return {
        "tree": [
            {
                "run": run,
                "depth": min(depth, DEEPEST),
                "kind": kinds.title_of(run.kind),
                "parent": numbers.get(run.parent) if run.parent is not None else None,
                "accuracy": _noted(run, "accuracy"),
                "gap": _noted(run, GAP),
                "state": "done, without its model" if run.id in findings.absent else run.state,
                "current": run.id == findings.info.id,
                "reason": run.reason or findings.absent.get(run.id, ""),
            }
            for depth, run in findings.tree
        ]
    }


def _noted(run: RunInfo, name: str) -> str:
    value = run.metrics.get(name)
    return number(value, name) if isinstance(value, int | float) and not isinstance(value, bool) else "–"
