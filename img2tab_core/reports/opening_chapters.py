"""The first chapters of a report: the findings in short, the question, the data, the model, the tree of runs."""

from __future__ import annotations

from collections.abc import Mapping

from img2tab_core.audits.audit_record import Measure
from img2tab_core.audits.groups import STANDARD
from img2tab_core.audits.linear_probe import Readable
from img2tab_core.audits.metrics import MEANINGS
from img2tab_core.base.words import count, listed, percent, points, sentence
from img2tab_core.classifiers import kinds
from img2tab_core.reports.findings import Findings, Missing
from img2tab_core.reports.page import Chapter, Child, Markup, chapter, element, facts, paragraphs, table, text
from img2tab_core.reports.sheets import SPLITS, UNKNOWN, earlier_accuracy, earlier_gap
from img2tab_core.reports.wording import (
    SPACE,
    day,
    excluding,
    flag,
    lower,
    measured,
    minute,
    one_line,
    settings,
    span,
    when,
)
from img2tab_core.sessions.session_records import RunInfo

DEEPEST = 6  # a run further down is drawn no further to the right

Files = Mapping[str, Markup]  # name of a table -> the link to its file


def header(findings: Findings) -> Markup:
    """Title, owner, dates."""
    session = findings.session
    return element(
        "header",
        element("p", "Audit of a classifier · Img2Tab Studio", class_="over"),
        element("h1", session.name),
        text(
            f"{session.owner} · begun {day(session.created)} · last changed {day(session.changed)} · report of "
            f"{minute(findings.made)} UTC",
            kind="byline",
        ),
    )


def in_short(findings: Findings, files: Files) -> Chapter:
    """What a reader with one minute should know."""
    audit, info = findings.now.audit, findings.info
    groups = listed([f"{group.name} ({group.count:,})" for group in audit.by_group])
    parts = [
        f"From the style code of a face, the classifier of run {info.number} says whether it is "
        f"{findings.target.classes[1]} or {findings.target.classes[0]}. It was measured on "
        f"{count(audit.faces, 'test face')} in the groups {groups}. ",
        f"The equalised odds difference between them is {measured(audit.gaps['equalised_odds'])}",
        _gap_before(findings),
        " ",
        _verdict(findings),
        " ",
        _accuracies(findings),
    ]
    left = [readable.sentence for _, readable in findings.readable.values() if isinstance(readable, Readable)]
    return chapter(
        "short",
        "In short",
        text(*parts, kind="lead"),
        text(f"The equalised odds difference is {MEANINGS['equalised_odds']}. ", " ".join(left)),
        _figures(findings),
    )


def _gap_before(findings: Findings) -> str:
    if findings.before is None:
        return f". Run {findings.info.number} is the first run: there is nothing to set it against yet."
    before = earlier_gap(findings.before, "equalised_odds")
    if before is None:
        return f"; of run {findings.before.info.number} it is not known."
    excludes = (
        f"excludes {count(len(findings.before.info.excluded), 'channel')}"
        if findings.before.info.excluded
        else ("excludes nothing")
    )
    return f"; in run {findings.before.info.number}, which {excludes}, it was {measured(before)}."


def _verdict(findings: Findings) -> Child:
    """Whether the change comes again with other seeds."""
    if findings.answer is None:
        return element(
            "strong",
            "Not repeated with other seeds yet"
            + ("." if findings.before is None else ": whether the change would come again is not known."),
        )
    number, changes = findings.answer
    change = changes.get("equalised_odds") or next(iter(changes.values()))
    return [
        f"Both this run and run {number} were trained again with {count(len(change.pairs), 'seed')}. ",
        element("strong", change.sentence),
    ]


def _accuracies(findings: Findings) -> str:
    accuracy = f"Accuracy on these faces is {measured(findings.now.audit.overall.measures['accuracy'])}"
    earlier = findings.before
    if earlier is None:
        return accuracy + "."
    before = earlier_accuracy(earlier)
    compared = "." if before is None else f"; in run {earlier.info.number} it was {measured(before)}."
    faces = "" if isinstance(earlier.paired, Missing) else f" Face by face: {lower(earlier.paired.sentence)}"
    return accuracy + compared + faces


def _figures(findings: Findings) -> Markup:
    """The four numbers to take away."""
    gap, accuracy = findings.now.audit.gaps["equalised_odds"], findings.now.audit.overall.measures["accuracy"]
    before = None if findings.before is None else earlier_gap(findings.before, "equalised_odds")
    seeds = "not repeated yet"
    if findings.answer is not None:
        changes = findings.answer[1]
        seeds = (changes.get("equalised_odds") or next(iter(changes.values()))).verdict
    tiles = [
        ("Equalised odds difference", *_tile(before, gap)),
        ("Accuracy", *_tile(earlier_accuracy(findings.before), accuracy)),
        ("Excluded", f"{len(findings.excluded):,}", f"of {count(findings.table.layout.total, 'channel')}"),
        ("Over several seeds", sentence(seeds), "" if findings.answer is None else f"against run {findings.answer[0]}"),
    ]
    return element(
        "dl",
        [
            element(
                "div",
                element("dt", title),
                element("dd", value, class_=None if value[:1].isdigit() else "words"),
                element("dd", below, class_="below") if below else None,
            )
            for title, value, below in tiles
        ],
        class_="tiles",
    )


def _tile(before: Measure | None, now: Measure) -> tuple[str, str]:
    if now.value is None:
        return "not measured", now.note
    if before is None or before.value is None:
        if now.low is None or now.high is None:
            return percent(now.value), ""
        return percent(now.value), f"95{SPACE}% interval {span(now.low, now.high)}"
    return percent(now.value), f"before {percent(before.value)}, {points(now.value - before.value)}"


def question(findings: Findings, files: Files) -> Chapter:
    """The notes of the session."""
    notes = paragraphs(findings.session.notes)
    return chapter("question", "The question", notes or text("The session has no notes that say what is asked."))


def data(findings: Findings, files: Files) -> Chapter:
    """The table, its groups, and how the labels were made."""
    session, audit = findings.session, findings.now.audit
    faces = {group.name: group for group in audit.by_group}
    rows = []
    for name, counts in zip((*findings.groups, UNKNOWN), findings.counts.tolist(), strict=True):
        if name == UNKNOWN and not any(counts):
            continue
        group = faces.get(name)
        rows.append(
            [
                sentence(name),
                *(f"{value:,}" for value in counts),
                *([f"{value:,}" for value in group.by_class] if group else ["", ""]),
                flag(group) if group else "left out of every comparison",
            ]
        )
    split = ", ".join(f"{int((findings.table.split == part).sum()):,} {name}" for part, name in enumerate(SPLITS))
    return chapter(
        "data",
        "Data and groups",
        facts(
            [
                ("Table", f"{session.table}, {count(len(findings.table.split), 'face')} ({split})"),
                ("Table key", element("code", session.table_key[:12], title=session.table_key)),
                ("Backbone", f"{session.backbone}, {findings.table.layout.total:,} style channels"),
                ("Where the faces are from", _origin(findings)),
                ("Predicted", f"{findings.target.title}: {findings.target.classes[0]} or {findings.target.classes[1]}"),
                ("Groups formed by", sentence(listed([lower(attribute.title) for attribute in findings.sensitive]))),
            ]
        ),
        table(
            "Faces of each group whose label is known, counted first",
            [
                "Group",
                *(sentence(name) for name in SPLITS),
                f"Test: {findings.target.classes[0]}",
                f"Test: {findings.target.classes[1]}",
                "Note",
            ],
            rows,
            words={6},
            file=files.get("faces"),
        ),
        element("h3", "How the labels were made"),
        facts([(label.title, label.how) for label in (findings.target, *findings.sensitive)]),
    )


def _origin(findings: Findings) -> str:
    if not findings.origin:
        return "Generated faces: none of them is a photo of a person."
    origin, note = (str(findings.origin.get(name) or "") for name in ("origin", "note"))
    imported = f"Imported from {origin}." if origin else "Imported."
    return f"{imported} {note}".strip()


def model(findings: Findings, files: Files) -> Chapter:
    """The classifier of the current run and its settings."""
    info, run = findings.info, findings.now.run
    library = ", ".join(f"{name} {number}" for name, number in findings.trained_with.items())
    return chapter(
        "model",
        "The model",
        facts(
            [
                ("Classifier", kinds.title_of(info.kind)),
                ("Trained with", library or None),
                ("Trained elsewhere", run.origin or None),
                ("What it is", run.note or None),
                ("Seed", str(info.seed)),
                ("Settings", settings(run) or None),
                (
                    "Channels",
                    _channels(len(run.classifier.screened_), findings.table.layout.total - len(info.excluded)),
                ),
                ("Excluded", count(len(info.excluded), "channel") if info.excluded else "nothing"),
                ("Decides", f"class 1, {findings.target.classes[1]}, above a probability of {STANDARD:g}"),
                ("Run id", element("code", info.run_id)),
            ]
        ),
    )


def _channels(used: int, left: int) -> str:
    if used == left:
        return f"trained on all {left:,} that are not excluded"
    return (
        f"trained on {used:,} of the {left:,} that are not excluded, those that set the classes of the training "
        "faces furthest apart"
    )


def tree(findings: Findings, files: Files) -> Chapter:
    """All runs of the session, each below the run it was changed from."""
    numbers = {run.id: run.number for _, run in findings.tree}
    rows = [
        [
            element("span", f"{run.number}", class_=f"depth-{min(depth, DEEPEST)}"),
            [
                element("span", f"{_kind(run)}, seed {run.seed}, {excluding(run)}"),
                element("span", f"from run {numbers[run.parent]}", class_="below") if run.parent in numbers else None,
                element("span", one_line(run.note), class_="note") if run.note.strip() else None,
            ],
            _noted(run, "accuracy"),
            _noted(run, "equalised_odds"),
            [
                _state(run, findings),
                element("span", run.reason or findings.absent.get(run.id, ""), class_="below")
                if run.reason or run.id in findings.absent
                else None,
            ],
            [run.who, when(minute(run.finished or run.started), below=True)],
        ]
        for depth, run in findings.tree
    ]
    return chapter(
        "runs",
        "The runs",
        text(
            "Every training is a child of the run it was changed from. Accuracy is that of all test faces whose "
            "label is known, the gap that between the groups, as noted when the run was trained."
        ),
        table(
            "The tree of runs, times in UTC",
            ["Run", "What and why", "Accuracy", "Equalised odds difference", "State", "Who and when"],
            rows,
            words={1, 4, 5},
            file=files.get("runs"),
            kind="long",
        ),
    )


def _kind(run: RunInfo) -> str:
    return kinds.title_of(run.kind)


def _state(run: RunInfo, findings: Findings) -> Markup:
    state = "done, without its model" if run.id in findings.absent else run.state
    kind = "state" if state == "done" else "state not-done"
    return element("span", state + (", current" if run.id == findings.info.id else ""), class_=kind)


def _noted(run: RunInfo, name: str) -> str:
    value = run.metrics.get(name)
    return percent(value) if isinstance(value, int | float) and not isinstance(value, bool) else "–"
