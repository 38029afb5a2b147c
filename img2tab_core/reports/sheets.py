"""Every table of a report as rows and columns, one CSV file each: all digits, nothing rounded."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

import pandas as pd

from img2tab_core.audits.audit_record import Measure
from img2tab_core.audits.carriers import Carried
from img2tab_core.audits.intervention import Intervention
from img2tab_core.audits.linear_probe import Readable
from img2tab_core.audits.metrics import GAPS
from img2tab_core.audits.stand_ins import TookOver
from img2tab_core.reports.findings import Current, Earlier, Findings, Missing

SPLITS = ("training", "validation", "test")
UNKNOWN = "unknown group"
NOTED = "as noted when it was trained"


def sheets(findings: Findings) -> dict[str, pd.DataFrame]:
    """Name of the file without its ending -> the table; only those that have rows."""
    tables = {name: make(findings) for name, make in _SHEETS.items()}
    return {name: table for name, table in tables.items() if len(table)}


def earlier_gap(side: Earlier, name: str) -> Measure | None:
    """A gap of the earlier run; without its model, as the session noted it: a number without an interval."""
    if not isinstance(side.audit, Missing):
        return side.audit.gaps[name]
    value = side.info.metrics.get(name)
    return None if value is None else Measure(float(value), None, None, NOTED)


def earlier_accuracy(side: Earlier | None) -> Measure | None:
    """The accuracy of the earlier run, as `earlier_gap` has the gaps; None where there is no earlier run."""
    if side is None:
        return None
    if not isinstance(side.audit, Missing):
        return side.audit.overall.measures["accuracy"]
    value = side.info.metrics.get("accuracy")
    return None if value is None else Measure(float(value), None, None, NOTED)


def layers(findings: Findings) -> list[tuple[int, int, list[int]]]:
    """(layer, its channels, the excluded ones among them by flat index), forward order, only where some are."""
    layout, inside = findings.table.layout, defaultdict(list)
    for index in findings.excluded:
        inside[layout.locate(index)[0]].append(index)
    return [(layer, layout.sizes[layer], indices) for layer, indices in sorted(inside.items())]


# --- one after the other ------------------------------------------------------------------------------


def _faces(findings: Findings) -> pd.DataFrame:
    rows = zip((*findings.groups, UNKNOWN), findings.counts.tolist(), strict=True)
    return pd.DataFrame([{"group": name} | dict(zip(SPLITS, counts, strict=True)) for name, counts in rows])


def _runs(findings: Findings) -> pd.DataFrame:
    numbers = {run.id: run.number for _, run in findings.tree}
    return pd.DataFrame(
        [
            {
                "run": run.number,
                "parent": "" if run.parent is None else numbers.get(run.parent, ""),
                "current": run.id == findings.info.id,
                "classifier": run.kind,
                "seed": run.seed,
                "excluded": len(run.excluded),
                "erased": ", ".join(run.treatment.erased),
                "balanced": ", ".join(run.treatment.balanced),
                "state": run.state,
                "who": run.who,
                "started": _at(run.started),
                "finished": _at(run.finished),
                "note": run.note,
                "reason": run.reason or findings.absent.get(run.id, ""),
                "run_id": run.run_id,
                "accuracy": run.metrics.get("accuracy"),
            }
            | {name: run.metrics.get(name) for name in GAPS}
            for _, run in findings.tree
        ]
    )


def _audited(side: Current | Earlier | None) -> pd.DataFrame:
    return pd.DataFrame() if side is None or isinstance(side.audit, Missing) else side.audit.frame()


def _groups(findings: Findings) -> pd.DataFrame:
    return _audited(findings.now)


def _groups_before(findings: Findings) -> pd.DataFrame:
    return _audited(findings.before)


def _gaps(findings: Findings) -> pd.DataFrame:
    rows = []
    for name, title in GAPS.items():
        before = None if findings.before is None else earlier_gap(findings.before, name)
        after = findings.now.audit.gaps[name]
        rows.append({"gap": title, **_columns("before", before), **_columns("after", after), **_paired(findings, name)})
    rows.append(
        {
            "gap": "Accuracy of everyone",
            **_columns("before", earlier_accuracy(findings.before)),
            **_columns("after", findings.now.audit.overall.measures["accuracy"]),
            **_paired(findings, "accuracy"),
        }
    )
    return pd.DataFrame(rows)


def _paired(findings: Findings, name: str) -> dict[str, object]:
    """How far a gap or the accuracy moved on the same faces; no columns without an earlier model."""
    before = findings.before
    if before is None or isinstance(before.paired, Missing):
        return {}
    moved = before.paired.accuracy if name == "accuracy" else before.paired.gaps[name]
    values = (None, None, None) if moved is None else (moved.value, moved.low, moved.high)
    return dict(zip(("change", "change, low", "change, high"), values, strict=True))


def _columns(prefix: str, measure: Measure | None) -> dict[str, object]:
    values = (None, None, None, "") if measure is None else (measure.value, measure.low, measure.high, measure.note)
    return dict(zip((prefix, f"{prefix}, low", f"{prefix}, high", f"{prefix}, note"), values, strict=True))


def _selected(findings: Findings) -> pd.DataFrame:
    return pd.DataFrame() if isinstance(findings.impact, Missing) else findings.impact.frame()


def _scenarios(findings: Findings) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"scenario": recorded.number}
            | recorded.scenario.in_log()
            | {"who": recorded.who, "changed": recorded.changed.isoformat(timespec="seconds")}
            for recorded in findings.scenarios
        ]
    )


def _seeds(findings: Findings) -> pd.DataFrame:
    if findings.answer is None:
        return pd.DataFrame()
    number, changes = findings.answer
    return pd.DataFrame(
        [
            {
                "measure": name,
                "seed": seed,
                "run before": number,
                "before": before,
                "run after": findings.info.number,
                "after": after,
                "verdict": change.verdict,
            }
            for name, change in changes.items()
            for seed, (before, after) in enumerate(change.pairs)
        ]
    )


def _layers(findings: Findings) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"layer": layer, "channels": size, "excluded": len(inside), "share": len(inside) / size}
            for layer, size, inside in layers(findings)
        ]
    )


def _excluded(findings: Findings) -> pd.DataFrame:
    shifts = {name: carried.shift for name, carried in findings.carried.items() if isinstance(carried, Carried)}
    return pd.DataFrame(
        [
            _concept(findings, index)
            | {f"shift of {name}": round(float(shift[index]), 4) for name, shift in shifts.items()}
            for index in findings.excluded
        ]
    )


def _looks_at(findings: Findings) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "id": row.ranked.family.id,
                "name": row.ranked.family.name,
                "importance": row.ranked.importance,
                "importance of stand-ins": row.ranked.by_stand_ins,
                "distance": row.ranked.distance,
                "effect": None if row.ranked.effect is None else row.ranked.effect.mean,
                "effect, low": None if row.ranked.effect is None else row.ranked.effect.low,
                "effect, high": None if row.ranked.effect is None else row.ranked.effect.high,
                "verdict": row.ranked.verdict,
                "channels": len(row.ranked.family.channels),
            }
            | {f"apart, {name}": value for name, value in row.differences.items()}
            for row in _known(findings.looks_at)
        ]
    )


def _took_over(findings: Findings) -> pd.DataFrame:
    gains = findings.took_over.gains if isinstance(findings.took_over, TookOver) else ()
    return pd.DataFrame(
        [
            _concept(findings, gain.index) | {"importance before": gain.before, "importance after": gain.after}
            for gain in gains
        ]
    )


def _stand_ins(findings: Findings) -> pd.DataFrame:
    return pd.DataFrame(
        [
            _concept(findings, link.index)
            | _concept(findings, link.partner, "excluded ")
            | {"correlation": link.correlation}
            for link in _known(findings.stand_ins)
        ]
    )


def _readable(findings: Findings) -> pd.DataFrame:
    rows = []
    for name, both in findings.readable.items():
        for side, readable in zip((findings.before, findings.now), both, strict=True):
            if side is not None and isinstance(readable, Readable):
                rows.append(
                    {
                        "attribute": name,
                        "run": side.info.number,
                        "excluded": readable.excluded,
                        "auc": readable.auc,
                        "low": readable.low,
                        "high": readable.high,
                        "faces fitted on": readable.faces[0],
                        "faces measured on": readable.faces[1],
                    }
                )
    return pd.DataFrame(rows)


def _flips(findings: Findings) -> pd.DataFrame:
    rows = []
    for moving in findings.moving:
        for side, intervention in zip((findings.before, findings.now), (moving.before, moving.now), strict=True):
            if side is not None and isinstance(intervention, Intervention):
                rows += [
                    {
                        "attribute": moving.about.name,
                        "run": side.info.number,
                        "strength": intervention.strength,
                        "channels moved": len(intervention.channels),
                        "moved towards": moving.about.classes[moved.towards],
                        "group": moving.about.classes[moved.group],
                        "faces": moved.faces,
                        "flips": moved.flips,
                        "to class 1": moved.to_one,
                        "share": moved.share,
                        "low": moved.low,
                        "high": moved.high,
                        "change of probability": moved.move.mean,
                        "change, low": moved.move.low,
                        "change, high": moved.move.high,
                    }
                    for moved in intervention.by
                ]
    return pd.DataFrame(rows)


def _flips_first(findings: Findings) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "attribute": moving.about.name,
                "run": moving.of,
                "row": face.flip.row,
                "group": moving.about.classes[face.flip.group],
                "moved towards": moving.about.classes[face.towards],
                "strength": face.flip.strength,
                "probability before": face.flip.probability_before,
                "probability after": face.flip.probability_after,
            }
            for moving in findings.moving
            for face in moving.faces
        ]
    )


def _remedies(findings: Findings) -> pd.DataFrame:
    return pd.DataFrame() if findings.remedies is None else findings.remedies.frame()


def _log(findings: Findings) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "at": _at(entry.at),
                "who": entry.who,
                "what": entry.what,
                "details": json.dumps(entry.details, ensure_ascii=False, sort_keys=True),
            }
            for entry in findings.log
        ]
    )


def _versions(findings: Findings) -> pd.DataFrame:
    return pd.DataFrame(
        [{"what": name, "version": number, "where": "made this report"} for name, number in findings.versions.items()]
        + [
            {"what": name, "version": number, "where": "trained the model"}
            for name, number in findings.trained_with.items()
        ]
    )


def _concept(findings: Findings, index: int, prefix: str = "") -> dict[str, object]:
    layer, channel = findings.table.layout.locate(index)
    return {
        f"{prefix}index": index,
        f"{prefix}layer": layer,
        f"{prefix}channel": channel,
        f"{prefix}name": findings.names.get(index, ""),
    }


def _known(findings: Sequence | Missing) -> Iterable:
    return () if isinstance(findings, Missing) else findings


def _at(when: datetime | None) -> str:
    return "" if when is None else when.isoformat(timespec="seconds")


_SHEETS = {
    "faces": _faces,
    "runs": _runs,
    "groups": _groups,
    "groups_before": _groups_before,
    "gaps": _gaps,
    "selected": _selected,
    "scenarios": _scenarios,
    "seeds": _seeds,
    "layers": _layers,
    "looks_at": _looks_at,
    "excluded": _excluded,
    "took_over": _took_over,
    "stand_ins": _stand_ins,
    "readable": _readable,
    "flips": _flips,
    "flips_first": _flips_first,
    "remedies": _remedies,
    "log": _log,
    "versions": _versions,
}
NAMES = tuple(_SHEETS)
