"""What the chapters that measure say: the audit, the gaps, what was excluded, what stands in, what moving it does."""

from __future__ import annotations

from img2tab_core import tables
from img2tab_core.audits import many_classes
from img2tab_core.audits.audit_record import Measure
from img2tab_core.audits.groups import STANDARD
from img2tab_core.audits.linear_probe import Readable
from img2tab_core.audits.metrics import GAPS, MEANINGS, METRICS
from img2tab_core.base.words import concept, count, percent, place, points, sentence, signed
from img2tab_core.classifiers import confusions
from img2tab_core.reports import drawings
from img2tab_core.reports.findings import SHIFT, SIZE, Concept, Earlier, Findings, Missing
from img2tab_core.reports.sheets import earlier_accuracy, earlier_gap, layers
from img2tab_core.reports.wording import SPACE, lower
from img2tab_core.sessions.tree import difference

PLOTTED = ("accuracy", "selection_rate", "true_positive_rate", "false_positive_rate")
DIFFERENCES = ("equalised_odds", "equal_opportunity", "demographic_parity", "accuracy_gap")
FEW = 8  # channels of a layer that are named in the table
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def audited(findings: Findings) -> dict:
    """Every metric of every group of the current run."""
    audit = findings.now.audit
    groups = (*audit.by_group, audit.overall)
    left = [
        f"{count(faces, 'test face')} {why}"
        for faces, why in ((audit.unlabelled, "without a known label"), (audit.ungrouped, "of an unknown group"))
        if faces
    ]
    notes = [
        f"{sentence(group.name)}, {METRICS[name].lower() if name != 'auc' else 'AUC'}: {measure.note}."
        for group in groups
        for name, measure in group.measures.items()
        if measure.note and measure.value is not None
    ]
    return {
        "threshold": STANDARD,
        "left": left,
        "panels": [(METRICS[name], drawings.dots(audit, name)) for name in PLOTTED],
        "groups": groups,
        "metrics": METRICS,
        "notes": notes,
        "several": _several(findings),
    }


def _several(findings: Findings) -> dict | None:
    """Of one class against the rest, all classes at once; None where there are two anyway."""
    audited, whole = findings.now.classes, findings.now.run.whole
    if audited is None or whole is None:
        return None
    target = tables.any_target_of(findings.table, whole.target)
    return {
        "target": target,
        "metrics": whole.metrics,
        "audited": audited,
        "about": confusions.sentence(target, whole.metrics),
        "confusion": confusions.rows_of(target, whole.metrics),
        "classes": many_classes.rows_of(audited),
        "gaps": many_classes.gap_rows(audited),
    }


def gaps(findings: Findings) -> dict:
    """The gaps of both runs, and what their difference is beyond: the faces, the seeds."""
    audit, before = findings.now.audit, findings.before
    rows = []
    for name, title in GAPS.items():
        now, earlier = audit.gaps[name], None if before is None else earlier_gap(before, name)
        paired = None if before is None or isinstance(before.paired, Missing) else before.paired.gaps.get(name)
        rows.append(
            {
                "name": name,
                "title": title,
                "meaning": MEANINGS[name],
                "earlier": earlier,
                "now": now,
                "paired": paired,
                "change": _change(earlier, now),  # where there is no paired one
                "note": now.note if now.value is not None else "",
            }
        )
    changes = {} if findings.answer is None else findings.answer[1]
    return {
        "drawn": None if before is None else _before_and_after(findings, before),
        "rows": rows,
        "noted": any(row["note"] for row in rows),
        "changes": [((GAPS | {"accuracy": "Accuracy"}).get(name, name), change) for name, change in changes.items()],
    }


def _before_and_after(findings: Findings, before: Earlier) -> tuple[drawings.Drawing, drawings.Drawing]:
    """The differences between groups, and the accuracies, each in both runs."""
    audit, names = findings.now.audit, (f"run {before.info.number}", f"run {findings.info.number}")
    pairs = [drawings.Pair(GAPS[name], earlier_gap(before, name), audit.gaps[name]) for name in DIFFERENCES]
    accuracies = [
        drawings.Pair("Accuracy of everyone", earlier_accuracy(before), audit.overall.measures["accuracy"]),
        drawings.Pair(GAPS["worst_accuracy"], earlier_gap(before, "worst_accuracy"), audit.gaps["worst_accuracy"]),
    ]
    return (
        drawings.dumbbell("Gaps before and after", pairs, names=names),
        drawings.dumbbell("Accuracy before and after", accuracies, names=names),
    )


def _change(earlier: Measure | None, now: Measure) -> str:
    """How far a gap moved, from two numbers alone."""
    if earlier is None or earlier.value is None or now.value is None:
        return "–"
    return points(now.value - earlier.value)


def looks_at(findings: Findings) -> dict | None:
    """The concepts that the current run uses most, what each draws, and whether moving it moves the answer."""
    shown = findings.looks_at
    if isinstance(shown, Missing):
        return {}
    if not shown:
        return None
    rows = [
        [
            row.ranked.family.name,
            percent(row.ranked.importance),
            percent(row.ranked.by_stand_ins),
            "not measured" if row.ranked.effect is None else row.ranked.effect.text(),
            row.ranked.verdict,
            *(signed(row.differences[attribute.name], 2) for attribute in findings.sensitive),
        ]
        for row in shown
    ]
    return {
        "used": sum(row.ranked.importance + row.ranked.by_stand_ins for row in shown),
        "moving": sum(row.ranked.verdict == "moves it" for row in shown),
        "apart": [f"Apart, {lower(attribute.title)}" for attribute in findings.sensitive],
        "lines": rows,
    }


def excluded(findings: Findings) -> dict:
    """What the current run was trained without, why, and some of it in pictures."""
    by_layer = layers(findings)
    few = all(len(indices) <= FEW for _, _, indices in by_layer)
    locate = findings.table.layout.locate
    shown = findings.concepts
    drawn = not isinstance(findings.face, Missing) and all(item.pictures is not None for item in shown)
    return {
        "treated": findings.info.treatment.sentence({}),
        "reasons": _reasons(findings),
        "few": few,
        "layers": [
            {
                "layer": layer,
                "channels": size,
                "excluded": len(indices),
                "which": ", ".join(str(locate(index)[1]) for index in indices) if few else "",
            }
            for layer, size, indices in by_layer
        ],
        "how_many": f"{sentence(NUMBERS[len(shown)])} of them" if len(shown) < len(findings.excluded) else "One by one",
        "named": any(findings.names.get(item.index) for item in shown),
        "why_not_drawn": ""
        if drawn
        else findings.face.reason
        if isinstance(findings.face, Missing)
        else "Some pictures could not be drawn.",
        "concepts": [
            {
                "name": concept(item.index, findings.table.layout, findings.names),
                "pictures": item.pictures,
                "about": _about(findings, item),
            }
            for item in shown
        ],
        "shift": f"{SHIFT:g}",
        "size": SIZE,
    }


def _reasons(findings: Findings) -> list[dict]:
    """The notes on the way from the first run to this one; moved: what more is excluded and what was taken back."""
    reasons = []
    for earlier, run in zip((None, *findings.path), findings.path, strict=False):
        moved = []
        if earlier is not None:
            parts = difference(earlier, run)
            moved += [f"{len(parts.only_other):,} more excluded"] if parts.only_other else []
            moved += [f"{len(parts.only_one):,} taken back"] if parts.only_one else []
            if earlier.treatment != run.treatment:
                moved.append(run.treatment.sentence({}) or "nothing erased or balanced any more")
            moved = moved or ["the same excluded"]
        reasons.append({"run": run, "first": earlier is None, "moved": moved})
    return reasons


def _about(findings: Findings, item: Concept) -> list[str]:
    """Its channel, where the groups differ in it, and how much the earlier run used it."""
    told = [f"channel {item.index}"]
    if findings.names.get(item.index):
        told = [f"channel {item.index}, {place(item.index, findings.table.layout).lower()}"]
    for attribute in findings.sensitive:
        if attribute.name in item.shifts:
            shift = item.shifts[attribute.name]
            side = "higher" if shift > 0 else "lower"
            told.append(f"{abs(shift):.2f}{SPACE}SD {side} where {attribute.classes[1]}")
    if item.used is not None and findings.before is not None:
        much = f"for {percent(item.used)}" if item.used >= 5e-4 else f"for less than 0.1{SPACE}%"
        used = f"used it {much}" if item.used > 0 else "did not use it"
        told.append(f"run {findings.before.info.number} {used}")
    return told


def stands_in(findings: Findings) -> dict:
    """What can still be read of the attributes, who took over, and what goes with what was excluded."""
    layout, names, over = findings.table.layout, findings.names, findings.took_over
    gains = () if over is None or isinstance(over, Missing) else over.gains
    links = () if isinstance(findings.stand_ins, Missing) else findings.stand_ins
    return {
        "readings": [(attribute, *_reading(findings, attribute.name)) for attribute in findings.sensitive],
        "gains": [
            [
                concept(gain.index, layout, names),
                percent(gain.before),
                percent(gain.after),
                points(gain.after - gain.before),
            ]
            for gain in gains
        ],
        "links": [
            [concept(link.index, layout, names), concept(link.partner, layout, names), signed(link.correlation, 2)]
            for link in links
        ],
    }


def _reading(findings: Findings, name: str) -> tuple[Readable | None, Readable | Missing]:
    """How well an attribute was read in the earlier run, None where that is not known, and how well now."""
    before, now = findings.readable[name]
    return (before if findings.before is not None and isinstance(before, Readable) else None), now


def moved(findings: Findings) -> dict:
    """Which decisions flip when only the concepts of an attribute are moved."""
    return {"size": SIZE // 2}


def remedies(findings: Findings) -> dict | None:
    """None where the session's log holds no comparison."""
    compared = findings.remedies
    if compared is None:
        return None
    front, nothing = compared.front(), compared.outcomes[0].remedy
    return {
        "compared": compared,
        "drawn": drawings.tradeoff(compared),
        "rows": [
            {
                "outcome": outcome,
                "accuracy": outcome.estimate("accuracy"),
                "gap": outcome.estimate("equalised_odds"),
                "change": compared.change(outcome.remedy) if outcome.remedy != nothing and outcome.trials else None,
                "beaten_by_none": "" if not outcome.trials else "yes" if outcome.remedy in front else "no",
            }
            for outcome in compared.outcomes
        ],
    }
