"""The tree of a session's runs: its order, and how it is drawn as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from img2tab_core.sessions.session_records import RunInfo, is_number


def branches(runs: Sequence[RunInfo]) -> list[tuple[str, RunInfo]]:
    """(the lines of a drawn tree in front of it, the run), each run followed by its children, these by number."""
    below: dict[int | None, list[RunInfo]] = {}
    for run in sorted(runs, key=lambda run: -run.number):  # a stack gives the last first
        below.setdefault(run.parent, []).append(run)
    lined, waiting = [], [("", "", run) for run in below.get(None, [])]
    while waiting:
        lines, indent, run = waiting.pop()
        lined.append((lines, run))
        for position, child in enumerate(below.get(run.id, [])):
            corner, onward = ("└─ ", "   ") if position == 0 else ("├─ ", "│  ")
            waiting.append((indent + corner, indent + onward, child))
    return lined


def drawn(runs: Sequence[RunInfo], current: int | None) -> str:
    """The runs as a drawn tree, a line each; current: number of the run that is marked."""
    return "\n".join(f"{lines}{_words(run, current)}" for lines, run in branches(runs))


def _words(run: RunInfo, current: int | None) -> str:
    """A run on a line."""
    accuracy = run.metrics.get("accuracy")
    parts = [f"{run.number} {run.kind}", f"{len(run.excluded):,} excluded" if run.excluded else "nothing excluded"]
    parts += [run.treatment.sentence({})] if run.treatment else []
    parts += [f"accuracy {accuracy:.3f}"] if is_number(accuracy) else []
    parts += [] if run.state == "done" else [run.state]
    parts += ["current"] if run.number == current else []
    return " · ".join(parts) + (f" — {' '.join(run.note.split())}" if run.note.strip() else "")


@dataclass(frozen=True)
class Difference:
    """What sets two runs apart.

    settings, metrics: name -> (of the first, of the second); settings that differ, metrics that both have. only_one,
    only_other: channels that only the first excludes, and only the second; ascending.
    """

    only_one: tuple[int, ...]
    only_other: tuple[int, ...]
    settings: dict[str, tuple]
    metrics: dict[str, tuple[float, float]]


def difference(first: RunInfo, second: RunInfo) -> Difference:
    """What sets two runs of a session apart, for a view side by side."""
    settings = {
        "classifier": (first.kind, second.kind),
        "seed": (first.seed, second.seed),
        **{
            what: (", ".join(getattr(first.treatment, what)), ", ".join(getattr(second.treatment, what)))
            for what in ("erased", "balanced", "moved")
        },
    }
    return Difference(
        only_one=tuple(sorted(set(first.excluded) - set(second.excluded))),
        only_other=tuple(sorted(set(second.excluded) - set(first.excluded))),
        settings={name: pair for name, pair in settings.items() if pair[0] != pair[1]},
        metrics={
            name: (value, second.metrics[name])
            for name, value in first.metrics.items()
            if is_number(value) and is_number(second.metrics.get(name))
        },
    )
