"""The chapters that measure: the audit, the gaps, what was excluded, what stands in, what moving it alone does."""

from __future__ import annotations

from collections.abc import Sequence

from img2tab_core.audits.audit_record import SMALL, GroupAudit, Measure
from img2tab_core.audits.groups import STANDARD
from img2tab_core.audits.intervention import Intervention, Moved
from img2tab_core.audits.linear_probe import Readable
from img2tab_core.audits.metrics import GAPS, MEANINGS, METRICS
from img2tab_core.audits.paired import Difference
from img2tab_core.audits.stand_ins import TookOver
from img2tab_core.base.records import Target
from img2tab_core.base.words import concept, count, listed, percent, place, points, sentence, signed
from img2tab_core.reports import drawings
from img2tab_core.reports.elements import (
    Chapter,
    Child,
    Markup,
    bullets,
    chapter,
    element,
    figure,
    key,
    picture,
    table,
    text,
)
from img2tab_core.reports.findings import SHIFT, SIZE, Concept, Earlier, Findings, FlippedFace, Missing, Moving
from img2tab_core.reports.sheets import earlier_accuracy, earlier_gap, layers
from img2tab_core.reports.wording import (
    MINUS,
    SPACE,
    TIMES,
    cell,
    day,
    estimated,
    estimated_points,
    excluding,
    flag,
    lower,
    one_line,
    paired_points,
    span,
    with_range,
)
from img2tab_core.sessions.tree import difference

Files = dict
PLOTTED = ("accuracy", "selection_rate", "true_positive_rate", "false_positive_rate")
DIFFERENCES = ("equalised_odds", "equal_opportunity", "demographic_parity", "accuracy_gap")
FEW = 8  # channels of a layer that are named in the table
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def audited(findings: Findings, files: Files) -> Chapter:
    """Every metric of every group of the current run."""
    audit = findings.now.audit
    groups = (*audit.by_group, audit.overall)
    rows: list[list[Child]] = [
        ["Faces", *([f"{group.count:,} ", flag(group)] for group in groups)],
        *([title, *(cell(group.measures[name], name) for group in groups)] for name, title in METRICS.items()),
    ]
    left = []
    if audit.unlabelled:
        left.append(f"{count(audit.unlabelled, 'test face')} without a known label")
    if audit.ungrouped:
        left.append(f"{count(audit.ungrouped, 'test face')} of an unknown group")
    panels = [
        element("div", element("h3", METRICS[name]), drawings.dots(audit, name), class_="panel") for name in PLOTTED
    ]
    return chapter(
        "audit",
        f"The audit of run {findings.info.number}",
        text(
            f"{count(audit.faces, 'test face')}, decided at a probability of {STANDARD:g}. "
            + (f"Left out: {listed(left)}. " if left else "")
            + f"Intervals are 95{SPACE}%, from {audit.repeats:,} resamples of the faces of each group."
        ),
        figure(
            element("div", panels, class_="panels"),
            (
                f"Each dot is a group, the line its 95{SPACE}% interval, the dashed mark everyone together. Open "
                f"dots are "
                f"groups of fewer than {SMALL} faces. Every panel has its own scale."
            ),
        ),
        table(
            f"Run {findings.info.number}: every group, below each value its 95{SPACE}% interval",
            ["Measure", *(sentence(group.name) for group in groups)],
            rows,
            file=files.get("groups"),
        ),
        _notes(groups),
    )


def _notes(groups: Sequence[GroupAudit]) -> Markup | None:
    notes = [
        f"{sentence(group.name)}, {METRICS[name].lower() if name != 'auc' else 'AUC'}: {measure.note}."
        for group in groups
        for name, measure in group.measures.items()
        if measure.note and measure.value is not None
    ]
    return bullets(notes) if notes else None


def gaps(findings: Findings, files: Files) -> Chapter:
    """The gaps of both runs, and what their difference is beyond: the faces, the seeds."""
    audit, before = findings.now.audit, findings.before
    parts: list[Child] = []
    if before is None:
        parts.append(
            text(
                f"Run {findings.info.number} is the first run of the session, so there is no before to set it "
                "against; these are its own gaps."
            )
        )
    else:
        names = (f"run {before.info.number}", f"run {findings.info.number}")
        parts.append(
            text(
                f"Run {before.info.number} ({excluding(before.info)}) beside run {findings.info.number} "
                f"({excluding(findings.info)}), on the same test faces."
            )
        )
        if isinstance(before.audit, Missing):
            parts.append(
                text(
                    f"{before.audit.reason} Its numbers are those noted when it was trained, without intervals.",
                    kind="missing",
                )
            )
        pairs = [drawings.Pair(GAPS[name], earlier_gap(before, name), audit.gaps[name]) for name in DIFFERENCES]
        whole = [
            drawings.Pair("Accuracy of everyone", earlier_accuracy(before), audit.overall.measures["accuracy"]),
            drawings.Pair(GAPS["worst_accuracy"], earlier_gap(before, "worst_accuracy"), audit.gaps["worst_accuracy"]),
        ]
        parts.append(
            figure(
                [
                    element(
                        "div",
                        element("h3", "Differences between groups"),
                        drawings.dumbbell("Gaps before and after", pairs, names=names),
                    ),
                    element(
                        "div",
                        element("h3", "Accuracy"),
                        drawings.dumbbell("Accuracy before and after", whole, names=names),
                    ),
                ],
                [
                    key(sentence(names[0]), sentence(names[1])),
                    f"Lines are 95{SPACE}% intervals. Differences are better small, accuracies large.",
                ],
                kind="plot stacked",
            )
        )
    parts.append(_gap_table(findings, files))
    if "groups_before" in files:
        parts.append(text(f"Every group of {names[0]} as numbers: ", files["groups_before"], kind="files"))
    parts.append(element("h3", "Is it real?"))
    parts += _face_by_face(findings)
    parts += _over_seeds(findings, files)
    return chapter("gaps", "The gaps, before and after", parts)


def _gap_table(findings: Findings, files: Files) -> Markup:
    before, rows = findings.before, []
    for name, title in GAPS.items():
        now = findings.now.audit.gaps[name]
        row: list[Child] = [[element("span", title), element("span", MEANINGS[name], class_="below")]]
        if before is not None:
            earlier = earlier_gap(before, name)
            row += ["–" if earlier is None else cell(earlier, ""), cell(now, ""), _change(before, name, earlier, now)]
        else:
            row.append(cell(now, ""))
        rows.append([*row, now.note if now.value is not None else ""])
    head = ["Gap", f"Run {findings.info.number}", "Note"]
    if before is not None:
        head = ["Gap", f"Run {before.info.number}", f"Run {findings.info.number}", "Change", "Note"]
    if not any(row[-1] for row in rows):
        head, rows = head[:-1], [row[:-1] for row in rows]
    return table(
        f"The gaps between groups, below each value its 95{SPACE}% interval",
        head,
        rows,
        words={len(head) - 1} if head[-1] == "Note" else (),
        file=files.get("gaps"),
    )


def _change(before: Earlier, name: str, earlier: Measure | None, now: Measure) -> Child:
    """How far a gap moved, with the paired interval; without the earlier model, from the noted number alone."""
    paired = None if isinstance(before.paired, Missing) else before.paired.gaps.get(name)
    if paired is not None:
        return paired_points(paired)
    if earlier is None or earlier.value is None or now.value is None:
        return "–"
    return points(now.value - earlier.value)


def _face_by_face(findings: Findings) -> list[Child]:
    """The two runs on the same test faces: whether chance alone could explain what changed."""
    before = findings.before
    if before is None or isinstance(before.paired, Missing):
        return []
    paired = before.paired
    return [
        text(
            f"From run {before.info.number} to run {findings.info.number}, face by face: ",
            element("strong", lower(paired.sentence)),
            f" Accuracy changed by {paired.accuracy.in_points}, AUC by {_plain(paired.auc)}, log-loss by "
            f"{_plain(paired.log_loss)} (small is better). Both runs judged the same faces, so they are compared on "
            f"the same resamples of them: a change whose 95{SPACE}% interval does not reach 0 is more than the choice "
            "of the faces explains, even where the intervals of the two runs overlap.",
        )
    ]


def _plain(difference: Difference) -> str:
    """A difference of numbers that are no shares: "−0.012 (−0.018 to −0.006)"."""
    low, high = signed(difference.low, 3), signed(difference.high, 3)
    return f"{signed(difference.value, 3)} ({low} to {high})"


def _over_seeds(findings: Findings, files: Files) -> list[Child]:
    if findings.answer is None:
        return [
            text("Not repeated with other seeds yet: one training each cannot tell a change from the luck of a seed.")
        ]
    before, changes = findings.answer
    titles = GAPS | {"accuracy": "Accuracy"}
    rows = [
        [
            titles.get(name, name),
            *(element("span", estimated(estimate)) for estimate in (change.before, change.after)),
            estimated_points(change.difference),
            element("strong", sentence(change.verdict)),
        ]
        for name, change in changes.items()
    ]
    seeds = len(next(iter(changes.values())).pairs)
    return [
        text(
            f"Run {before} and run {findings.info.number} were trained again with the same {count(seeds, 'seed')} "
            f"each. Means with 95{SPACE}% intervals over the seeds; a change is beyond what the seed changes where the "
            "whole interval of the differences lies on one side of 0, and beyond the chance of the faces where that "
            "also holds when the test faces are resampled, the same for both runs."
        ),
        table(
            f"Over {count(seeds, 'seed')}",
            ["Measure", f"Run {before}", f"Run {findings.info.number}", "Difference", "Verdict"],
            rows,
            words={4},
            file=files.get("seeds"),
        ),
    ]


def excluded(findings: Findings, files: Files) -> Chapter:
    """What the current run was trained without, why, and some of it in pictures."""
    info, width = findings.info, findings.table.layout.total
    if not info.excluded:
        return chapter(
            "excluded",
            "What was excluded, and why",
            text(f"Run {info.number} excludes nothing: it may use every concept."),
        )
    return chapter(
        "excluded",
        "What was excluded, and why",
        text(
            f"Run {info.number} was trained without {len(info.excluded):,} of {count(width, 'channel')}; the "
            "classifier was never handed them, so their influence is exactly 0."
        ),
        *([text(f"As concepts: {findings.excluded_words}.")] if findings.excluded_words else []),
        _reasons(findings),
        element("h3", "By layer"),
        _layer_table(findings, files),
        text("All of them, with their names and how far the groups differ in each: ", files.get("excluded"), "."),
        element(
            "h3",
            f"{sentence(NUMBERS[len(findings.concepts)])} of them"
            if len(findings.concepts) < len(info.excluded)
            else "One by one",
        ),
        _faces_of_concepts(findings),
    )


def _layer_table(findings: Findings, files: Files) -> Markup:
    """The channels by their numbers where they are few, else as a share of their layer."""
    found_in = layers(findings)
    few = all(len(inside) <= FEW for _, _, inside in found_in)
    rows = []
    for layer, size, inside in found_in:
        channels = ", ".join(str(findings.table.layout.locate(index)[1]) for index in inside)
        rows.append(
            [
                str(layer),
                f"{size:,}",
                f"{len(inside):,}",
                *([channels] if few else [percent(len(inside) / size), _bar(len(inside) / size)]),
            ]
        )
    return table(
        "Excluded concepts by layer: the first layers decide pose and shape, the last ones colour",
        ["Layer", "Channels", "Excluded", *(["Which channels"] if few else ["Share", ""])],
        rows,
        words={3} if few else {4},
        file=files.get("layers"),
        kind="dense",
    )


def _reasons(findings: Findings) -> Markup:
    """The notes on the way from the first run to this one."""
    items, earlier = [], None
    for run in findings.path:
        item = [element("strong", f"Run {run.number}"), f" ({run.who}, {day(run.finished or run.started)}): "]
        if earlier is None:
            item.append(f"{excluding(run)}.")
        else:
            parts = difference(earlier, run)
            moved = [f"{len(parts.only_other):,} more excluded"] if parts.only_other else []
            moved += [f"{len(parts.only_one):,} taken back"] if parts.only_one else []
            item.append(f"{listed(moved or ['the same excluded'])}.")
        if run.note.strip():
            item.append(f" Why: {one_line(run.note)}")
        elif earlier is not None:
            item.append(" No reason was noted.")
        items.append(item)
        earlier = run
    return bullets(items)


def _faces_of_concepts(findings: Findings) -> list[Child]:
    named = any(findings.names.get(item.index) for item in findings.concepts)
    order = (
        "Those that somebody named come first, then those in which the groups differ most. "
        if named
        else "Those in which the groups differ most. "
    )
    if isinstance(findings.face, Missing) or any(item.pictures is None for item in findings.concepts):
        why = findings.face.reason if isinstance(findings.face, Missing) else "Some pictures could not be drawn."
        return [
            text(order + why, kind="missing"),
            element("div", [_concept_card(findings, item) for item in findings.concepts], class_="cards wide"),
        ]
    shift = f"{SHIFT:g}"
    return [
        element(
            "div",
            picture(findings.face, "The sample face as it is", size=SIZE // 2),
            text(
                order + f"Each pair of pictures shows this face with one concept moved by {MINUS}{shift} and "
                f"+{shift} standard deviations and nothing else changed. Single concepts are subtle."
            ),
            class_="sample",
        ),
        element("div", [_concept_card(findings, item) for item in findings.concepts], class_="cards wide"),
    ]


def _concept_card(findings: Findings, item: Concept) -> Markup:
    layout, shift = findings.table.layout, f"{SHIFT:g}"
    name = concept(item.index, layout, findings.names)
    pictures = (
        None
        if item.pictures is None
        else element(
            "div",
            [
                picture(pixels, f"{name} moved by {sign}{shift} standard deviations", size=SIZE)
                for pixels, sign in zip(item.pictures, (MINUS, "+"), strict=True)
            ],
            class_="pair",
        )
    )
    shifts = [
        f"{abs(item.shifts[about.name]):.2f}{SPACE}SD {'higher' if item.shifts[about.name] > 0 else 'lower'} where "
        f"{about.classes[1]}"
        for about in findings.sensitive
        if about.name in item.shifts
    ]
    facts_below = [
        f"channel {item.index}, {place(item.index, layout).lower()}"
        if findings.names.get(item.index)
        else f"channel {item.index}",
        *shifts,
    ]
    if item.used is not None and findings.before is not None:
        much = f"for {percent(item.used)}" if item.used >= 5e-4 else f"for less than 0.1{SPACE}%"
        facts_below.append(
            f"run {findings.before.info.number} " + (f"used it {much}" if item.used > 0 else "did not use it")
        )
    return element(
        "figure",
        pictures,
        element("figcaption", element("strong", name), element("span", " · ".join(facts_below), class_="below")),
        class_="card",
    )


def stands_in(findings: Findings, files: Files) -> Chapter:
    """What can still be read of the attributes, who took over, and what goes with what was excluded."""
    parts: list[Child] = [text(_reading(findings, about)) for about in findings.sensitive]
    layout, names = findings.table.layout, findings.names
    if findings.before is None:
        parts.append(text("Who took over can be said once a run excludes something that an earlier run used."))
    elif findings.took_over is None:
        parts.append(
            text(
                f"Run {findings.info.number} excludes the same as run {findings.before.info.number}: nothing had "
                "to take over."
            )
        )
    elif isinstance(findings.took_over, Missing):
        parts.append(text(f"Who took over cannot be said: {lower(findings.took_over.reason)}", kind="missing"))
    else:
        parts += _gainers(findings, findings.before.info.number, findings.took_over, files)
    if isinstance(findings.stand_ins, Missing):
        parts.append(text(findings.stand_ins.reason, kind="missing"))
    elif findings.stand_ins:
        parts += [
            element("h3", "What goes with what was excluded"),
            text("The concepts left that go most with an excluded one, within the classes of the target."),
            table(
                "Stand-ins in the table",
                ["Left", "Excluded", "Correlation"],
                [
                    [
                        concept(link.index, layout, names),
                        concept(link.partner, layout, names),
                        signed(link.correlation, 2),
                    ]
                    for link in findings.stand_ins
                ],
                words={1},
                file=files.get("stand_ins"),
            ),
        ]
    link = files.get("readable")
    return chapter(
        "stand-ins", "What stands in", parts, text("The probes as numbers: ", link, kind="files") if link else None
    )


def _gainers(findings: Findings, before: int, over: TookOver, files: Files) -> list[Child]:
    """before: number of the earlier run."""
    layout = findings.table.layout
    freed = (
        f"The concepts that run {findings.info.number} no longer uses at all had {percent(over.freed)} of the "
        f"importance in run {before}. "
    )
    if not over.gains:
        return [text(freed + "No concept gained importance.")]
    return [
        element("h3", "Who took over"),
        text(freed + "These gained most."),
        table(
            "Share of what the classifier uses",
            ["Concept", f"Run {before}", f"Run {findings.info.number}", "Gain"],
            [
                [
                    concept(gain.index, layout, findings.names),
                    percent(gain.before),
                    percent(gain.after),
                    points(gain.after - gain.before),
                ]
                for gain in over.gains
            ],
            file=files.get("took_over"),
        ),
    ]


def _reading(findings: Findings, about: Target) -> Child:
    """How well an attribute is still read, before and now."""
    before, now = findings.readable[about.name]
    if isinstance(now, Missing):
        return f"{about.title}: whether it can still be read is not known. {now.reason}"
    sentences: list[Child] = [element("strong", now.sentence)]
    if findings.before is not None and isinstance(before, Readable):
        sentences.append(
            f" In run {findings.before.info.number} it was {before.auc:.2f} ({before.low:.2f} to {before.high:.2f})."
        )
    return [
        *sentences,
        " An AUC of 0.5 is chance, 1 is certainty; the probe is fitted on training and measured on test faces.",
    ]


def moved(findings: Findings, files: Files) -> Chapter:
    """Which decisions flip when only the concepts of an attribute are moved."""
    parts: list[Child] = [
        text(
            "Only the concepts that carry an attribute are moved, everything else of a face is kept: how many "
            "decisions "
            "flip? This asks what the classifier leans on, not what people would look like."
        )
    ]
    for moving in findings.moving:
        if len(findings.moving) > 1:
            parts.append(element("h3", moving.about.title))
        parts += _moved(findings, moving)
    links = [files[name] for name in ("flips", "flips_first") if name in files]
    return chapter(
        "moved",
        "Moving only what is sensitive",
        parts,
        text("As numbers: ", [[link, " "] for link in links], kind="files") if links else None,
    )


def _moved(findings: Findings, moving: Moving) -> list[Child]:
    about, now, before = moving.about, moving.now, moving.before
    if isinstance(now, Missing):
        return [text(f"“{about.title}” could not be moved: {lower(now.reason)}", kind="missing")]
    earlier = before if isinstance(before, Intervention) else None
    parts: list[Child] = [
        text(
            f"The {count(len(now.channels), 'channel')} that carry “{about.title}” most were moved by up to "
            f"{now.strength:g} times what the groups differ by, in {count(len(now.rows), 'test face')}, once towards "
            f"each "
            f"group. {_seen(findings, now)}"
        )
    ]
    if findings.before is not None and isinstance(before, Missing):
        parts.append(
            text(
                f"Run {findings.before.info.number} could not be moved beside it: {lower(before.reason)}",
                kind="missing",
            )
        )
    rows = []
    for moved in now.by:
        row: list[Child] = [
            f"{sentence(about.classes[moved.group])}, moved towards {about.classes[moved.towards]}",
            f"{moved.faces:,}",
        ]
        if earlier is not None:
            row.append(_flips(earlier.of(moved.towards, moved.group)))
        rows.append(
            [
                *row,
                _flips(moved),
                f"{moved.to_one:,}",
                estimated_points(moved.move),
            ]
        )
    head = [
        "Group and direction",
        "Faces",
        f"Flips in run{SPACE}{findings.info.number}",
        f"Of these to {findings.target.classes[1]}",
        "Mean change of probability",
    ]
    if findings.before is not None and earlier is not None:
        head.insert(2, f"Flips in run{SPACE}{findings.before.info.number}")
    parts.append(
        table(
            f"Decisions that flip when “{about.title}” alone is moved by {now.strength:g} times the "
            f"difference, with 95{SPACE}% intervals",
            head,
            rows,
        )
    )
    if not moving.faces:
        return [*parts, text("No decision flips, so there are no faces to show.")]
    which = f"in run {moving.of}" + (
        "" if moving.of == findings.info.number else f"; in run {findings.info.number} none flips"
    )
    if any(face.pictures is None for face in moving.faces):
        parts.append(
            text("Some pictures could not be drawn: the generator of these style codes is not here.", kind="missing")
        )
    return [
        *parts,
        element("h3" if len(findings.moving) == 1 else "h4", f"The faces that flip first, {which}"),
        text("Left as they are, right moved just as far as the decision flips."),
        element("div", [_flip_card(findings, about, face) for face in moving.faces], class_="cards"),
    ]


def _seen(findings: Findings, now: Intervention) -> str:
    if now.seen is None:
        return ""
    if now.seen == 0:
        return (
            f"Run {findings.info.number} looks at none of them, so nothing can flip here; in a picture, what goes "
            "with them would move as well."
        )
    return f"Run {findings.info.number} looks at {now.seen:,} of them."


def _flips(moved: Moved) -> Child:
    return with_range(f"{moved.flips:,} · {percent(moved.share)}", span(moved.low, moved.high))


def _flip_card(findings: Findings, about: Target, face: FlippedFace) -> Markup:
    flip = face.flip
    move = f"{sentence(about.classes[flip.group])}, {flip.strength:g} {TIMES} towards {about.classes[face.towards]}"
    probability = (
        f"Probability of {findings.target.classes[1]}: {percent(flip.probability_before)} → "
        f"{percent(flip.probability_after)}"
    )
    pictures = (
        None
        if face.pictures is None
        else element(
            "div",
            [
                picture(pixels, f"Test face {flip.row} {state}", size=SIZE // 2)
                for pixels, state in zip(
                    face.pictures, ("as it is", f"moved towards {about.classes[face.towards]}"), strict=True
                )
            ],
            class_="pair",
        )
    )
    return element(
        "figure",
        pictures,
        element("figcaption", element("span", move, class_="below"), element("span", probability, class_="below")),
        class_="card",
    )


def remedies(findings: Findings, files: Files) -> Chapter | None:
    """None where the session's log holds no comparison."""
    compared = findings.remedies
    if compared is None:
        return None
    front = compared.front()
    rows = []
    for position, outcome in enumerate(compared.outcomes, start=1):
        change = (
            None
            if outcome.remedy == compared.outcomes[0].remedy or not outcome.trials
            else compared.change(outcome.remedy)
        )
        title = [
            element("strong", outcome.title) if outcome.own else outcome.title,
            element("span", outcome.reason or outcome.how, class_="below"),
        ]
        reached = [element("span", estimated(outcome.estimate(name))) for name in ("accuracy", "equalised_odds")]
        beaten = "" if not outcome.trials else "yes" if outcome.remedy in front else "no"
        rows.append(
            [
                str(position),
                title,
                *reached,
                sentence(change.verdict) if change else "",
                "yes" if outcome.needs_group else "no",
                beaten,
            ]
        )
    return chapter(
        "remedies",
        "Beside the standard remedies",
        text(
            f"{compared.base}, on the best {compared.columns:,} of {compared.channels:,} channels, with "
            f"{count(len(compared.seeds), 'seed')}; measured on {count(compared.test_faces, 'test face')}. These are "
            "trainings of their own: their numbers are not those of the runs above."
        ),
        figure(
            drawings.tradeoff(compared),
            (
                "Accuracy, upwards, against the equalised odds difference; the best place is at the top left. "
                "Numbers as "
                f"in the table, ours is filled, lines are 95{SPACE}% intervals over the seeds."
            ),
        ),
        table(
            "Accuracy against gap",
            [
                "No.",
                "Remedy",
                "Accuracy",
                "Equalised odds difference",
                "Against nothing",
                "Needs the group",
                "Beaten by none",
            ],
            rows,
            words={1, 4, 5, 6},
            file=files.get("remedies"),
        ),
    )


def _bar(share: float) -> Markup:
    """A share as a bar; the number stands beside it."""
    return element(
        "svg",
        element("rect", class_="ground", width="100%", height="6", rx="3"),
        element("rect", class_="fill", width=f"{100 * share:.1f}%", height="6", rx="3"),
        class_="bar",
        width="100%",
        height="6",
        aria_hidden="true",
    )
