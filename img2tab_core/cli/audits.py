"""The verbs of an audit: groups and their gaps, what a gap is made of, what stands in, what moving it alone does."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.base.records import StyleTable
from img2tab_core.cli import many_classes, terminal
from img2tab_core.cli.terminal import Json, OwnClassifier, RunFolder, verb

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from img2tab_core.audits.audit_record import Audit, GroupAudit, Measure
    from img2tab_core.audits.carriers import Suggestion
    from img2tab_core.audits.changes import Change
    from img2tab_core.audits.concept_steps import ConceptSteps
    from img2tab_core.audits.exclusion_curves import ExclusionCurve
    from img2tab_core.audits.intervention import Checked, Flip, Intervention
    from img2tab_core.audits.paired import Difference, PairedComparison
    from img2tab_core.audits.remedies import Remedies
    from img2tab_core.base.jobs import Report
    from img2tab_core.classifiers.runs import Run
    from img2tab_core.studio import Studio

audit_app = typer.Typer()

PICTURE = 256  # px of a face
IN_A_ROW = 3  # pairs of faces in a picture
Target = Annotated[str, typer.Option("--target", help="What is predicted.")]
TargetOfRun = Annotated[str, typer.Option("--target", help="What is predicted; not needed with --run.")]
Sensitive = Annotated[str, typer.Option("--sensitive", help="The target of the table that forms the groups.")]
TableName = Annotated[str, typer.Option("--table", help="Name of a table (`img2tab tables`).")]
TableOfRun = Annotated[
    str | None,
    typer.Option("--table", help="Name of a table (`img2tab tables`), `default` if not given; not needed with --run."),
]
Exclude = Annotated[
    str,
    typer.Option(
        "--exclude", metavar="I,J|@FILE", help="Train without these channels first: numbers, or a shared list."
    ),
]
Out = Annotated[Path | None, typer.Option("--out", help="A .csv, .json or .md to write.")]


# --- groups and gaps -----------------------------------------------------------------------------------


@verb(audit_app)
def audit(
    sensitive: Annotated[str, typer.Option(metavar="A[,B]", help="One or two targets that form the groups.")],
    target: TargetOfRun = "",
    table: TableOfRun = None,
    run: RunFolder = None,
    own: OwnClassifier = "",
    threshold: Annotated[float, typer.Option(min=0, max=1, help="Above it a face is given class 1.")] = 0.5,
    exclude: Annotated[
        str,
        typer.Option(
            metavar="I,J|@FILE", help="Is it real? Train with and without these channels, with --seeds seeds."
        ),
    ] = "",
    erase: terminal.Erase = "",
    balance: terminal.Balance = False,
    copies: terminal.Copies = False,
    seeds: Annotated[int, typer.Option(min=1, max=50, help="How many seeds, with --exclude or --erase.")] = 5,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """How a classifier does on each group of the test faces, and the gaps between groups, with intervals."""
    from img2tab_core import tables
    from img2tab_core.audits.auditor import Auditor
    from img2tab_core.audits.group_differences import gap_sentence, label_sentence

    terminal.check_table(out)
    door, report, names = terminal.studio(), terminal.progress(as_json), terminal.listed(sensitive)
    changes: dict[str, Change] = {}
    paired: PairedComparison | None = None
    with terminal.interrupted() as stopped:
        style_table, before = run_of_audit(door, run, target, table, sensitive, own=own, report=report, stopped=stopped)
        auditor = Auditor(door)
        if before.each:
            if exclude.strip() or erase.strip() or threshold != 0.5:
                raise Img2TabError(
                    f"--exclude, --erase and --threshold are for one class against the rest, got {before.target}. "
                    f"Name one with --target: {', '.join(view for view, _ in before.each)}."
                )
            many_classes.answer_audit(
                auditor.audit_classes(before, names),
                before.id,
                out=out,
                as_json=as_json,
                about=terminal.does(before, style_table),
            )
            return
        audited, after = auditor.audit(before, names, thresholds=threshold), None
        treatment = terminal.treatment(erase, exclude or "", style_table, balance=balance, copies=copies)
        if exclude.strip() or treatment:
            excluded = before.excluded | terminal.channels(exclude, style_table)
            treatment = treatment or before.treatment
            changes = auditor.repeated(  # which trains both anew: settings are all it needs
                before,
                replace(before, excluded=excluded, treatment=treatment),
                names,
                seeds=seeds,
                progress=report,
                cancelled=stopped,
            )
            kind = before.classifier.kind
            after = door.train(
                style_table,
                before.target,
                kind=kind,
                excluded=excluded,
                treatment=treatment,
                seed=before.seed,
                progress=report,
                cancelled=stopped,
            )
            paired = auditor.compare_runs(before, after, names)
    classes = tables.target_of(style_table, before.target).classes

    def told(run: Run, audited: Audit) -> str:
        return gap_sentence(audited, classes, auditor.differences(run, names, audited))

    sentence, labels = told(before, audited), label_sentence(audited, classes)
    content = audited.to_json() | {"run": before.id, "sentence": sentence} | _settings(before)
    content["changes"] = {name: change.to_json() for name, change in changes.items()}
    content["paired"] = None if paired is None else paired.to_json()
    lines = [line for line in (f"{sentence} {labels}", terminal.does(before, style_table)) if line]
    sides, compared = [audited], _compared(paired, changes)
    if after is not None:
        sides.append(auditor.audit(after, names, thresholds=threshold))
        content["after"] = sides[1].to_json() | {"run": after.id, "sentence": told(after, sides[1])} | _settings(after)
        lines = [f"Before. {lines[0]}", *lines[1:]]
        lines.append(f"After. {told(after, sides[1])} {terminal.does(after, style_table)}")
    terminal.answer(
        content,
        "\n".join([*lines, _audit_text(sides, compared, style_table.name)]),
        as_json=as_json,
        out=out,
        frame=_audit_frame(sides),
        markdown="\n\n".join([*lines, _audit_markdown(sides, compared, style_table.name)]),
    )


@verb(audit_app)
def matrix(
    table: TableName = "default",
    top: Annotated[int, typer.Option(min=1, help="How many pairs to list, what stands out first.")] = 20,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Every target by every other label: where the groups differ beyond chance. Trains what is missing; goes on."""
    import pandas as pd

    from img2tab_core.audits import matrix as matrices
    from img2tab_core.audits.auditor import Auditor

    terminal.check_table(out)
    door = terminal.studio()
    with terminal.interrupted() as stopped:
        measured = Auditor(door).matrix(door.table(table), progress=terminal.progress(as_json), cancelled=stopped)
    content = measured.to_json()
    listed, left_out = measured.pairs[:top], len(measured.pairs[top:])
    cells = [
        (
            measured.title(pair),
            *(
                f"{100 * value:.1f}" if value is not None else ""
                for value in (pair.gap.value, pair.gap.low, pair.gap.high)
            ),
            f"{pair.smallest:,}",
            "too few" if pair.too_small else "yes" if pair.beyond_chance else "no",
        )
        for pair in listed
    ]
    text = "\n".join(
        [
            measured.sentence,
            terminal.aligned([("pair", "points", "from", "to", "faces", "beyond chance"), *cells]),
            *([f"{left_out} more: --top {len(measured.pairs)}."] if left_out else []),
            *(f"{measured.title(pair)}: {measured.direction(pair)}" for pair in listed if pair.beyond_chance),
            f"{matrices.HOW} Faces: of the smallest group and class.",
        ]
    )
    frame = pd.DataFrame(
        [
            {"target": pair.target, "attribute": pair.attribute}
            | {name: getattr(pair.gap, name) for name in ("value", "low", "high")}
            | {
                "smallest": pair.smallest,
                "chance": pair.chance,
                "controlled": pair.controlled,
                "beyond_chance": pair.beyond_chance,
                "direction": measured.direction(pair),
                "labels": measured.labels(pair),
            }
            for pair in measured.pairs
        ]
    )
    terminal.answer(content, text, as_json=as_json, out=out, frame=frame)


@verb(audit_app, "worked-example")
def worked_example(
    target: Annotated[str, typer.Option(help="What is predicted.")] = "smiling",
    sensitive: Annotated[str, typer.Option(help="What it goes with in training.")] = "perceived_gender",
    table: TableName = "default",
    share: Annotated[float, typer.Option(min=0.5, max=0.99, help="Of the training faces, that go so.")] = 0.9,
    both: Annotated[
        bool, typer.Option("--both", help="The two examples of the documentation; --out is then a .md or .json.")
    ] = False,
    seeds: Annotated[int, typer.Option(min=1, max=50, help="How many seeds: each samples its training faces.")] = 5,
    faces: Annotated[int, typer.Option(min=0, help="Training faces a seed samples; 0 takes all it can.")] = 3000,
    base: Annotated[str, typer.Option(help="The classifier all share: catboost or logistic.")] = "catboost",
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Train where a target goes with an attribute, test where it does not: our exclusion beside standard remedies."""
    from img2tab_core.audits import worked_example as example

    terminal.check_table(out, (".md", ".json") if both else terminal.TABLES)
    examples = [(example.TARGET, example.SENSITIVE, example.SHARE), example.SECOND] if both else []
    compared = []
    with terminal.interrupted() as stopped:
        style_table, report = terminal.studio().table(table), terminal.progress(as_json)
        for what, group, so_many in examples or [(target, sensitive, share)]:
            compared.append(
                example.worked_example(
                    style_table,
                    what,
                    group,
                    seeds=range(seeds),
                    faces=faces or None,
                    share=so_many,
                    base=base,
                    progress=report,
                    cancelled=stopped,
                )
            )
    if not both:
        _answer_remedies(compared[0], example.as_markdown(compared[0]), out=out, as_json=as_json)
        return
    markdown = "\n".join(
        f"{what} by {group}, {round(100 * so_many)} % of the training faces\n\n{example.as_markdown(remedies)}"
        for (what, group, so_many), remedies in zip(examples, compared, strict=True)
    )
    content = {"examples": [remedies.to_json() for remedies in compared]}
    terminal.answer(content, markdown.rstrip(), as_json=as_json, out=out, frame=compared[0].frame(), markdown=markdown)


# --- what a gap is made of -----------------------------------------------------------------------------


@verb(audit_app)
def carried(
    target: Target,
    sensitive: Sensitive,
    table: TableName = "default",
    top: Annotated[int, typer.Option(min=1, help="How many concepts.")] = 20,
    suggest: Annotated[
        bool,
        typer.Option("--suggest", help="Say what to exclude and by which rule; --out X.json then writes that list."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="A .csv, .json or .md to write; with --suggest a .json that `--exclude @X.json` takes."),
    ] = None,
    as_json: Json = False,
) -> None:
    """How much every concept carries an attribute, beside how much the standing classifier uses it."""
    import pandas as pd

    from img2tab_core.audits.auditor import Auditor

    terminal.check_table(out, (".json",) if suggest else terminal.TABLES)
    door, report = terminal.studio(), terminal.progress(as_json)
    style_table, auditor = door.table(table), Auditor(door)
    run = door.run(style_table, target, progress=report)
    shifts = auditor.carried(style_table, target, sensitive, progress=report)
    names, importance = door.concept_names(style_table.backbone), door.scores(run).importance
    concepts = [
        terminal.concept(style_table, names, int(i))
        | {"within": float(shifts.within[i]), "shift": float(shifts.shift[i]), "importance": float(importance[i])}
        for i in shifts.ranking[:top]
    ]
    suggested = auditor.suggest(style_table, target, sensitive) if suggest else None
    faces, groups = sum(map(sum, shifts.counts)), _classes(style_table, sensitive)
    cells = [
        (
            terminal.title(concept),
            f"{concept['within']:.3f}",
            f"{concept['shift']:+.3f}",
            f"{concept['importance']:.2%}",
        )
        for concept in concepts
    ]
    lines = [
        terminal.aligned([("concept", "within", "shift", "importance"), *cells]),
        f"Within: Wasserstein-1 between the groups within a class of {target}. Shift: {groups[1]} minus {groups[0]} "
        f"within a class. Both in standard deviations, on {faces:,} training faces; chance alone makes "
        f"a shift of about {shifts.error:.2f}. Importance: in the classifier that excludes nothing.",
    ]
    content = {
        "table": table,
        "target": target,
        "sensitive": sensitive,
        "faces": faces,
        "chance": shifts.error,
        "concepts": concepts,
    }
    if suggested:
        content |= {
            "suggestion": {"rule": suggested.rule, "excluded": list(suggested.excluded), "kept": suggested.kept}
        }
        lines += [
            "Suggested: " + suggested.rule,
            f"{len(suggested.excluded):,} of {style_table.layout.total:,} channels, the first first: "
            f"{terminal.first_of(suggested.excluded, names)}.",
        ]
        if out is not None:
            shared = json.dumps(_shared(style_table, target, suggested, names))
            terminal.write(out, lambda file: file.write(shared.encode()))
            lines.append(f"Written to {terminal.shown(out)}: train without them by --exclude @{terminal.shown(out)}.")
    terminal.answer(
        content, "\n".join(lines), as_json=as_json, out=None if suggest else out, frame=pd.DataFrame(concepts)
    )


@verb(audit_app, "exclusion-curve")
def exclusion_curve(
    target: Target,
    sensitive: Sensitive,
    table: TableName = "default",
    seeds: Annotated[int, typer.Option(min=1, max=50, help="How many seeds of the quick retrain.")] = 1,
    concepts: Annotated[
        bool, typer.Option("--concepts", help="Exclude one concept after the other, and say what each next one buys.")
    ] = False,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Accuracy and gap against how much is excluded, in the order of the suggestion; a quick retrain each."""
    import pandas as pd

    from img2tab_core.audits.auditor import Auditor
    from img2tab_core.base.files import plain

    terminal.check_table(out)
    door = terminal.studio()
    style_table, auditor = door.table(table), Auditor(door)
    with terminal.interrupted() as stopped:
        report = terminal.progress(as_json)
        if concepts:
            steps = auditor.steps(
                style_table, target, sensitive, seeds=range(seeds), progress=report, cancelled=stopped
            )
            _answer_steps(steps, out=out, as_json=as_json)
            return
        curve = auditor.curve(style_table, target, sensitive, seeds=range(seeds), progress=report, cancelled=stopped)
    suggested, least = len(auditor.suggest(style_table, target, sensitive).excluded), curve.least_gap()
    rows = [
        {
            "excluded": point.count,
            **{
                key: value
                for name in ("accuracy", "gap", "test_accuracy", "test_gap")
                for key, value in ((name, point.estimate(name).mean), (f"{name} ±", point.estimate(name).half))
            },
        }
        for point in curve.points
    ]
    content = plain(asdict(curve)) | {
        "table": table,
        "target": target,
        "sensitive": sensitive,
        "suggested": suggested,
        "least_gap": {
            "excluded": least.count,
            **{name: least.mean(f"test_{name}") for name in ("accuracy", "gap")},  # on faces that did not choose it
            "chosen_by": {name: least.mean(name) for name in ("accuracy", "gap")},
        },
    }
    text, frame = _curve_text(curve, suggested, seeds), pd.DataFrame(rows)
    about = "\n".join(text.splitlines()[-2:])
    terminal.answer(
        content, text, as_json=as_json, out=out, frame=frame, markdown=f"{terminal.as_markdown(frame)}\n\n{about}\n"
    )


@verb(audit_app)
def proxies(
    sensitive: Sensitive,
    target: TargetOfRun = "",
    table: TableOfRun = None,
    exclude: Exclude = "",
    run: RunFolder = None,
    top: Annotated[int, typer.Option(min=1, help="How many of those that took over, and that go with them.")] = 10,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """What stands in for excluded concepts: who took over, who goes with them, and what can still be read."""
    import pandas as pd

    from img2tab_core.audits.auditor import Auditor
    from img2tab_core.audits.stand_ins import took_over
    from img2tab_core.classifiers.runs import DEFAULT_KIND

    terminal.check_table(out)
    if run is None and not exclude.strip():
        raise Img2TabError("Name what is excluded: --exclude with channel numbers or @FILE, or --run with a run.")
    door, report = terminal.studio(), terminal.progress(as_json)
    auditor = Auditor(door)
    with terminal.interrupted() as stopped:
        style_table, after = run_of_audit(door, run, target, table, sensitive, exclude, report=report, stopped=stopped)
        if after.classifier.kind == DEFAULT_KIND:
            before = door.run(style_table, after.target, progress=report)
        else:  # importances of two kinds do not compare
            before = door.train(
                style_table,
                after.target,
                kind=after.classifier.kind,
                seed=after.seed,
                progress=report,
                cancelled=stopped,
            )
        report(0.0, "Reading the attribute from what is left")
        readable = auditor.readable(after, sensitive)
        paired = auditor.compare_runs(before, after)
        links = {link.index: link for link in auditor.stand_ins(after, count=top)}
        report(0.5, "Looking for families")
        grouped = auditor.families(style_table)
        report(1.0, "Done")
    shares = [door.scores(side).importance for side in (before, after)]
    taken = took_over(*shares, count=top)
    names = door.concept_names(style_table.backbone)
    stand_ins = [
        terminal.concept(style_table, names, index)
        | {
            "importance_before": float(shares[0][index]),
            "importance_after": float(shares[1][index]),
            "goes_with": links[index].partner if index in links else None,
            "correlation": links[index].correlation if index in links else None,
        }
        for index in dict.fromkeys([*(gain.index for gain in taken.gains), *links])
    ]
    excluded = sorted(after.excluded)
    used = sorted(excluded, key=lambda index: -shares[0][index])  # the families of what mattered most
    families = {index: grouped.of(index) for index in used[: terminal.CONCEPTS]}
    content = {
        "table": style_table.name,
        "target": after.target,
        "sensitive": sensitive,
        "excluded": excluded,
        "accuracy": {"before": before.metrics.accuracy, "after": after.metrics.accuracy},
        "paired": paired.to_json(),
        "freed": taken.freed,
        "readable": asdict(readable),
        "stand_ins": stand_ins,
        "families": {
            "count": len(grouped.families),
            "method": grouped.method,
            "of_excluded": [
                {"index": index, "size": family.size, "likeness": family.likeness} for index, family in families.items()
            ],
        },
    }
    cells = [
        (
            terminal.title(concept),
            f"{concept['importance_before']:.2%}",
            f"{concept['importance_after']:.2%}",
            *(("", "") if concept["goes_with"] is None else (concept["goes_with"], f"{concept['correlation']:+.2f}")),
        )
        for concept in stand_ins
    ]
    sizes = [
        f"{index} is one of {family.size:,}" if family.size > 1 else f"{index} goes with no other"
        for index, family in families.items()
    ]
    if len(families) < len(excluded):
        sizes.append(f"... ({len(excluded):,})")
    text = "\n".join(
        [
            terminal.does(after, style_table) or "This run excludes nothing.",
            f"Accuracy {before.metrics.accuracy:.1%} -> {after.metrics.accuracy:.1%} on {after.metrics.count:,} test "
            f"faces; {taken.freed:.1%} of the importance was set free.",
            paired.sentence,
            terminal.aligned(
                [("took over, or goes with an excluded one", "importance", "now", "goes with", "correlation"), *cells]
            ),
            f"Families of concepts that go together: {'; '.join([f'{len(grouped.families):,}', *sizes])}.",
            readable.sentence,
        ]
    )
    terminal.answer(content, text, as_json=as_json, out=out, frame=pd.DataFrame(stand_ins))


@verb(audit_app)
def intervene(
    sensitive: Sensitive,
    target: TargetOfRun = "",
    table: TableOfRun = None,
    count: Annotated[
        int | None,
        typer.Option(min=1, help="Move so many channels, those that carry the attribute most; 1500 if none are named."),
    ] = None,
    channels: Annotated[str, typer.Option(metavar="I,J|@FILE", help="Move these.")] = "",
    family_of: Annotated[
        int | None, typer.Option(metavar="I", min=0, help="Move this one and those that go with it.")
    ] = None,
    strength: Annotated[float, typer.Option(help="Largest of six, in multiples of what the groups differ by.")] = 1.5,
    exclude: Exclude = "",
    run: RunFolder = None,
    own: OwnClassifier = "",
    faces: Annotated[
        Path | None, typer.Option(help="A .png to write: the twelve faces that flip first, each before and after.")
    ] = None,
    check: Annotated[
        int,
        typer.Option(min=0, help="Draw so many faces with the edit and encode them again: does it do what it says?"),
    ] = 0,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Move only the concepts that carry an attribute, of every test face, and count which decisions flip."""
    import pandas as pd

    from img2tab_core.audits.auditor import Auditor
    from img2tab_core.audits.intervention import COUNT, FIRST

    terminal.check_table(out)
    terminal.check_png(faces, "--faces")
    if (count is not None) + bool(channels.strip()) + (family_of is not None) > 1:
        raise Img2TabError("Say what is moved once: by --count, by --channels, or by --family-of.")
    door, report = terminal.studio(), terminal.progress(as_json)
    auditor, checked, picture = Auditor(door), [], None
    with terminal.interrupted() as stopped:
        style_table, judging = run_of_audit(
            door, run, target, table, sensitive, exclude, own=own, report=report, stopped=stopped
        )
        moved = terminal.channels(channels, style_table, option="--channels") or None
        if family_of is not None:
            moved = frozenset(auditor.families(style_table).of(family_of).members)
        intervention = auditor.intervene(
            judging,
            sensitive,
            channels=moved,
            count=count or COUNT,
            strength=strength,
            progress=report,
            cancelled=stopped,
        )
        for towards in (0, 1) if check else ():
            checked.append(
                auditor.checked(judging, intervention, towards=towards, count=check, progress=report, cancelled=stopped)
            )
        ranked = sorted(((flip, towards) for towards in (0, 1) for flip in intervention.first[towards]), key=_rank)
        flips = ranked[:FIRST]
        if faces is not None and flips:
            picture = _side_by_side(door, [flip for flip, _ in flips], report, stopped)
    if faces is not None and picture is not None:
        from PIL import Image

        what = f"faces before and after what carries {sensitive} was moved"
        terminal.write_png(faces, Image.fromarray(picture), what)
    groups, (_, one_class) = _classes(style_table, sensitive), _classes(style_table, judging.target)
    frame = pd.DataFrame(
        [
            {
                "towards": groups[moved.towards],
                "group": groups[moved.group],
                "faces": moved.faces,
                "flips": moved.flips,
                f"to {one_class}": moved.to_one,
                "share": moved.share,
                "low": moved.low,
                "high": moved.high,
                "mean move": moved.move.mean,
                "move, low": moved.move.low,
                "move, high": moved.move.high,
            }
            for moved in intervention.by
        ]
    )
    content = {
        "table": style_table.name,
        "target": judging.target,
        "sensitive": sensitive,
        "run": judging.id,
        "channels": list(intervention.channels),
        "seen": intervention.seen,
        "strengths": list(intervention.strengths),
        "faces": len(intervention.rows),
        "by": [asdict(moved) for moved in intervention.by],
        "first": [_flip(flip, towards) for flip, towards in flips],
        "checked": [_check(direction) for direction in checked],
        "picture": str(faces) if picture is not None else None,
    }
    about = f"{_moved(intervention, judging)} {terminal.does(judging, style_table)}".rstrip()
    lines = [_intervention_table(intervention, groups, one_class), about]
    lines += [f"Towards {groups[direction.towards]}: {_check_text(direction, one_class)}" for direction in checked]
    if faces is not None:
        lines.append(_picture_text(flips, groups, one_class, faces))
    terminal.answer(
        content,
        "\n".join(lines),
        as_json=as_json,
        out=out,
        frame=frame,
        markdown=f"{terminal.as_markdown(frame)}\n\n{about}\n",
    )


@verb(audit_app)
def remedies(
    sensitive: Sensitive,
    target: TargetOfRun = "",
    table: TableOfRun = None,
    exclude: Exclude = "",
    run: RunFolder = None,
    seeds: Annotated[int, typer.Option(min=1, max=50, help="How many seeds: each samples its training faces.")] = 3,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """What is excluded beside the standard remedies, on the same codes with the same classifier, in one table."""
    from img2tab_core.audits.auditor import Auditor
    from img2tab_core.audits.worked_example import as_markdown

    terminal.check_table(out)
    door, report = terminal.studio(), terminal.progress(as_json)
    with terminal.interrupted() as stopped:
        _, ours = run_of_audit(door, run, target, table, sensitive, exclude, report=report, stopped=stopped)
        compared = Auditor(door).remedies(ours, sensitive, seeds=seeds, progress=report, cancelled=stopped)
    _answer_remedies(compared, as_markdown(compared, test="test faces"), out=out, as_json=as_json)


# --- which run -----------------------------------------------------------------------------------------


def run_of_audit(
    door: Studio,
    folder: Path | None,
    target: str,
    table: str | None,
    sensitive: str,
    exclude: str = "",
    *,
    own: str = "",
    report: Report,
    stopped: Callable[[], bool],
) -> tuple[StyleTable, Run]:
    """A run and its table: the one in the folder, or one trained without `exclude`, or the target's standing one.

    own: a classifier of the person's own instead.

    That the table has the sensitive attribute is asked before a training that leads to it.
    """
    if own:
        if folder is not None or exclude.strip():
            raise Img2TabError(
                f"{own} is a classifier of your own: nothing is trained, so --run and --exclude do not go with it. "
                "Leave them out, or name what it answers with --target to train on that."
            )
        style_table = door.table(table or "default")
        _check_attributes(style_table, sensitive)
        return style_table, terminal.run_of(door, style_table, target, own, quiet=True)
    if folder is None:
        if not target:
            raise Img2TabError("Name what is predicted with --target, or a trained run with --run.")
        style_table = door.table(table or "default")
        _check_attributes(style_table, sensitive)
        excluded = terminal.channels(exclude, style_table)
        treatment = terminal.treatment("", exclude, style_table, balance=False, copies=False)
        if not excluded and not treatment:
            return style_table, door.run(style_table, target, progress=report)
        return style_table, door.train(
            style_table, target, excluded=excluded, treatment=treatment, progress=report, cancelled=stopped
        )
    if exclude.strip():
        raise Img2TabError(
            f"The run in {folder} is taken as it was trained, got --exclude as well. Leave --exclude or --run out."
        )
    style_table, stored = terminal.stored_run(door, folder, target, table)
    _check_attributes(style_table, sensitive)
    return style_table, stored


def _check_attributes(table: StyleTable, sensitive: str) -> None:
    from img2tab_core.tables import any_target_of

    for name in terminal.listed(sensitive):
        any_target_of(table, name)


def _shared(table: StyleTable, target: str, suggested: Suggestion, names: Mapping[int, str]) -> dict:
    """A suggestion as a list to share, see `shared_exclusions.read_exclusions`; it came from no run."""
    from img2tab_core.classifiers.runs import DEFAULT_KIND
    from img2tab_core.sessions.shared_exclusions import FORMAT, Exclusions

    excluded = tuple(sorted(suggested.excluded))
    return {"format": FORMAT} | asdict(
        Exclusions(
            table.backbone,
            table.name,
            table.key,
            target,
            DEFAULT_KIND,
            0,
            excluded,
            {index: names[index] for index in excluded if index in names},
        )
    )


def _classes(table: StyleTable, name: str) -> tuple[str, ...]:
    from img2tab_core.tables import target_of

    return target_of(table, name).classes


# --- words ---------------------------------------------------------------------------------------------


WHEN = ("before", "after")


def _settings(run: Run) -> dict:
    return {"excluded": sorted(run.excluded), "treatment": run.treatment.to_json()}


def _audit_text(sides: Sequence[Audit], compared: Sequence[str], table: str) -> str:
    """sides: of one run, or of two before and after."""
    from img2tab_core.audits.metrics import GAPS, METRICS

    lines = [_faces(sides[0], table)]
    for audited, when in zip(sides, WHEN, strict=False):
        head = f"{when.capitalize()}, " if len(sides) > 1 else ""
        for group in (*audited.by_group, audited.overall):
            lines.append(f"{head}{group.name}: {_counted(group)}")
            lines += [f"    {title:20} {_measured(group.measures[name])}" for name, title in METRICS.items()]
        lines.append(f"{head or 'Gaps '}{'gaps ' if head else ''}between groups, points:")
        lines += [f"    {title:30} {_gap(audited, name)}" for name, title in GAPS.items()]
    return "\n".join([*lines, *compared])


def _gap(audited: Audit, name: str) -> str:
    """In points; the accuracy in the worst group in percent."""
    from img2tab_core.audits.metrics import RATES_OF_GAP

    measure, unit = audited.gaps[name], "" if name in RATES_OF_GAP else " %"
    if measure.value is None:
        return f"not measured: {measure.note}"
    ends = (
        "" if measure.low is None or measure.high is None else f"({100 * measure.low:.1f} to {100 * measure.high:.1f})"
    )
    return f"{100 * measure.value:5.1f}{unit}  {ends}"


def _audit_markdown(sides: Sequence[Audit], compared: Sequence[str], table: str) -> str:
    import pandas as pd

    from img2tab_core.audits.metrics import GAPS, METRICS

    parts = [_faces(sides[0], table)]
    for audited, when in zip(sides, WHEN, strict=False):
        groups = pd.DataFrame(
            [
                {
                    "group": group.name,
                    "faces": group.count,
                    "class 0": group.by_class[0],
                    "class 1": group.by_class[1],
                    **{title: _measured(group.measures[name]) for name, title in METRICS.items()},
                }
                for group in (*audited.by_group, audited.overall)
            ]
        )
        gaps = pd.DataFrame([{"gap": title, "points": _gap(audited, name)} for name, title in GAPS.items()])
        parts += [f"{when.capitalize()}:"] if len(sides) > 1 else []
        parts += [terminal.as_markdown(groups), terminal.as_markdown(gaps)]
    return "\n\n".join([*parts, *compared]) + "\n"


def _audit_frame(sides: Sequence[Audit]) -> pd.DataFrame:
    """One row per number: of every group, of everyone, and between the groups; of two runs with which it is."""
    import pandas as pd

    from img2tab_core.audits.metrics import GAPS, METRICS

    rows: list[dict[str, object]] = []
    for audited, when in zip(sides, WHEN, strict=False):
        groups = [(group.name, group.count, METRICS, group.measures) for group in (*audited.by_group, audited.overall)]
        rows += [
            ({"when": when} if len(sides) > 1 else {})
            | {
                "group": group,
                "faces": faces,
                "measure": title,
                "value": measures[name].value,
                "low": measures[name].low,
                "high": measures[name].high,
                "note": measures[name].note,
            }
            for group, faces, titles, measures in (*groups, ("between groups", audited.faces, GAPS, audited.gaps))
            for name, title in titles.items()
        ]
    return pd.DataFrame(rows)


def _faces(audited: Audit, table: str) -> str:
    return (
        f"{' x '.join(audited.attributes)}: {audited.faces:,} test faces of the table {table} whose group is known; "
        "95 % intervals."
    )


def _counted(group: GroupAudit) -> str:
    few = " (few faces: read with care)" if group.small else ""
    return f"{group.count:,} faces, {group.by_class[0]:,} of class 0 and {group.by_class[1]:,} of class 1{few}"


def _measured(measure: Measure) -> str:
    if measure.value is None:
        return f"not measurable: {measure.note}"
    note = f"  ({measure.note})" if measure.note else ""
    return f"{measure.value:.3f}  ({measure.low:.3f} to {measure.high:.3f}){note}"


def _compared(paired: PairedComparison | None, changes: Mapping[str, Change]) -> list[str]:
    """What an exclusion changed: the two runs face by face, then over the seeds; empty where nothing was excluded."""
    from img2tab_core.audits.metrics import GAPS, METRICS

    if paired is None:
        return []
    moved = [f"{GAPS[name]} {gap.in_points}" for name, gap in paired.gaps.items() if gap is not None]
    return [
        f"Before and after, on the same test faces: {paired.sentence}",
        f"Accuracy {paired.accuracy.in_points}, AUC {_signed(paired.auc)}, log-loss {_signed(paired.log_loss)}; "
        f"{'; '.join(moved)}. 95 % intervals over the same resampled faces for both.",
        *(["Trained again with other seeds, on the faces whose group is known:"] if changes else []),
        *(f"{(GAPS | METRICS)[name]}: {change.sentence}" for name, change in changes.items()),
    ]


def _signed(difference: Difference) -> str:
    from img2tab_core.base.words import signed

    low, high = signed(difference.low, 3), signed(difference.high, 3)
    return f"{signed(difference.value, 3)} ({low} to {high})"


def _answer_remedies(compared: Remedies, markdown: str, *, out: Path | None, as_json: bool) -> None:
    terminal.answer(
        compared.to_json(), markdown.rstrip(), as_json=as_json, out=out, frame=compared.frame(), markdown=markdown
    )


def _curve_text(curve: ExclusionCurve, suggested: int, seeds: int) -> str:
    names = ("accuracy", "gap", "test_accuracy", "test_gap")
    rows = [
        [f"{point.count:,}", *(point.estimate(name).text(100, 1) or "none" for name in names)] for point in curve.points
    ]
    least = curve.least_gap()
    return "\n".join(
        [
            terminal.aligned(
                [("excluded", "accuracy, %", "equalised-odds gap, %", "test: accuracy, %", "test: gap, %"), *rows]
            ),
            f"Least gap for at most 1 point of accuracy, chosen by the validation faces: {least.count:,} excluded; "
            f"on {curve.test_faces:,} test faces the gap is then {100 * least.mean('test_gap'):.1f} %, accuracy "
            f"{100 * least.mean('test_accuracy'):.1f} %. The suggestion excludes {suggested:,}.",
            f"{curve.how} " + (f"± half of the 95 % interval over {seeds} seeds." if seeds > 1 else "One seed."),
        ]
    )


def _answer_steps(steps: ConceptSteps, *, out: Path | None, as_json: bool) -> None:
    """Concepts in order, each with what excluding it too buys."""
    import pandas as pd

    content = steps.to_json()
    frame = pd.DataFrame([{key: value for key, value in row.items() if key != "channels"} for row in content["steps"]])
    rows = [
        (
            f"{number + 1}. {row['name']}",
            f"{row['difference']:+.2f}",
            f"{len(row['channels']):,}",
            *(f"{100 * row[name]:.1f}" for name in ("gap", "buys", "accuracy", "test_gap", "test_accuracy")),
        )
        for number, row in enumerate(content["steps"])
    ]
    before = content["before"]
    start = [f"{100 * before[name]:.1f}" for name in ("gap", "accuracy", "test_gap", "test_accuracy")]
    head = ("", "apart, SD", "channels", "gap, %", "buys", "accuracy, %", "test: gap, %", "test: accuracy, %")
    text = "\n".join(
        [
            terminal.aligned([head, ("nothing excluded", "", "", start[0], "", *start[1:]), *rows]),
            steps.sentence,
            steps.how,
        ]
    )
    about = f"{steps.sentence}\n\n{steps.how}"
    markdown = f"{terminal.as_markdown(frame)}\n\n{about}\n"
    terminal.answer(content, text, as_json=as_json, out=out, frame=frame, markdown=markdown)


# --- an intervention -----------------------------------------------------------------------------------


def _rank(pair: tuple[Flip, int]) -> tuple[float, float, int]:
    """As `intervention` ranks flips within one direction, so that two directions can be joined."""
    flip, _ = pair
    return flip.strength, -abs(flip.probability_after - flip.probability_before), flip.row


def _moved(intervention: Intervention, judging: Run) -> str:
    seen = "" if intervention.seen is None else f"; the classifier looks at {intervention.seen:,} of them"
    excluded = f", {len(judging.excluded):,} are excluded" if judging.excluded else ""
    nothing = (
        " So nothing can flip here; in a picture what goes with them moves as well, see --check."
        if intervention.seen == 0
        else ""
    )
    return (
        f"{terminal.count(len(intervention.channels), 'channel')} moved by {intervention.strength:g} times what the "
        f"groups differ by{seen}{excluded}.{nothing} {len(intervention.rows):,} test faces, 95 % intervals; the move "
        "is of the probability."
    )


def _intervention_table(intervention: Intervention, groups: tuple[str, ...], one_class: str) -> str:
    cells = [
        (
            groups[moved.towards],
            groups[moved.group],
            f"{moved.faces:,}",
            f"{moved.flips:,}",
            f"{moved.share:.1%}",
            f"{moved.low:.1%} to {moved.high:.1%}",
            f"{moved.to_one:,}",
            f"{moved.move.mean:+.3f}"
            + ("" if moved.move.low is None else f" ({moved.move.low:+.3f} to {moved.move.high:+.3f})"),
        )
        for moved in intervention.by
    ]
    heads = ("towards", "group", "faces", "flip", "share", "interval", f"to {one_class}", "mean move")
    return terminal.aligned([heads, *cells])


def _side_by_side(door: Studio, flips: Sequence[Flip], report: Report, stopped: Callable[[], bool]) -> np.ndarray:
    """Each face before and after, three pairs in a row; uint8 (H, W, 3)."""
    import numpy as np

    rows, pairs, gap = -(-len(flips) // IN_A_ROW), min(IN_A_ROW, len(flips)), PICTURE // 16
    width = 2 * PICTURE + gap  # of a pair, with the white beside it
    sheet = np.full((rows * (PICTURE + gap) - gap, pairs * width - gap, 3), 255, np.uint8)
    for number, flip in enumerate(flips):
        if stopped():
            raise Cancelled("Drawing the faces was stopped; nothing was written.")
        report(number / len(flips), f"Face {number + 1} of {len(flips)}")
        both = np.hstack([door.render(code, size=PICTURE) for code in (flip.before, flip.after)])
        top, left = number // IN_A_ROW * (PICTURE + gap), number % IN_A_ROW * width
        sheet[top : top + PICTURE, left : left + 2 * PICTURE] = both
    report(1.0, "Drawn")
    return sheet


def _picture_text(flips: Sequence[tuple[Flip, int]], groups: tuple[str, ...], one_class: str, file: Path) -> str:
    if not flips:
        return f"No decision flips, so there is no face to show: {terminal.shown(file)} is not written."
    lines = [f"The faces that flip first, each before and after, {IN_A_ROW} in a row, in {terminal.shown(file)}:"]
    lines += [
        f"    {groups[flip.group]}, towards {groups[towards]} by {flip.strength:g}: probability of {one_class} "
        f"{flip.probability_before:.2f} -> {flip.probability_after:.2f} (row {flip.row})"
        for flip, towards in flips
    ]
    return "\n".join(lines)


def _flip(flip: Flip, towards: int) -> dict:
    return {
        "row": flip.row,
        "group": flip.group,
        "towards": towards,
        "strength": flip.strength,
        "probability_before": flip.probability_before,
        "probability_after": flip.probability_after,
    }


def _check(checked: Checked) -> dict:
    coded, seen = _probability_moves(checked)
    return {
        "towards": checked.towards,
        "rows": checked.rows.tolist(),
        "coded": asdict(checked.coded),
        "seen": asdict(checked.seen),
        "probability_coded": coded,
        "probability_seen": seen,
        "sentence": checked.sentence,
    }


def _check_text(checked: Checked, one_class: str) -> str:
    coded, seen = _probability_moves(checked)
    return (
        f"{checked.sentence} The probability of {one_class} moved by {coded:+.2f}; drawn and encoded again, by "
        f"{seen:+.2f}."
    )


def _probability_moves(checked: Checked) -> tuple[float, float]:
    """Mean change of the probability of class 1 in the codes, and in those of the pictures."""
    if checked.probability is None or checked.probability_again is None:
        raise Img2TabError("The check was made without a classifier, so no probability moved. Check with a run.")
    coded, seen = (float((moved - plain).mean()) for plain, moved in (checked.probability, checked.probability_again))
    return coded, seen
