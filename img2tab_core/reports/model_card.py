"""The model card of a session's run: one page of Markdown, kept beside the saved classifier."""

from __future__ import annotations

import html
import re
from pathlib import Path

from img2tab_core import tables
from img2tab_core.audits.audit_record import SMALL, Audit, GroupAudit, Measure
from img2tab_core.audits.groups import STANDARD
from img2tab_core.audits.metrics import GAPS, MEANINGS, METRICS
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import write_text
from img2tab_core.base.records import StyleTable, Target
from img2tab_core.base.words import count, listed
from img2tab_core.classifiers import kinds
from img2tab_core.classifiers.runs import Run
from img2tab_core.reports.findings import licences, model_folder, trained_with
from img2tab_core.reports.wording import day, measured, minute, number, settings, span
from img2tab_core.sessions.session_records import RunInfo, SessionInfo
from img2tab_core.sessions.session_runs import SessionRuns

FILE = "model_card.md"
FAMILIES = 5  # concepts that are named
HEADINGS = (
    "Model details",
    "Intended use",
    "Factors",
    "Metrics",
    "Evaluation data",
    "Training data",
    "Quantitative analyses",
    "Ethical considerations",
    "Caveats and recommendations",
)

_SPECIAL = re.compile(r"([\\`*_{}\[\]#|~$])")  # all that begins something within a line


def card_of(runs: SessionRuns, session: SessionInfo, info: RunInfo, *, audit: Audit | None = None) -> str:
    """The model card of a run that is done, Markdown; audit: where it was made already."""
    run, table = runs.model(session, info), runs.table(session)
    audited = audit or runs.auditor.audit(run, session.sensitive)
    target = tables.target_of(table, session.target)
    sensitive = [tables.target_of(table, name) for name in session.sensitive]
    title = f"# Model card: {plain(target.title)}, run {info.number} of “{plain(session.name)}”"
    parts = {
        "Model details": _details(session, info, run, _looked_at(runs, run)),
        "Intended use": [
            f"- Made for: looking into how a classifier that says of a face whether it is "
            f"{plain(target.classes[1])} or {plain(target.classes[0])} treats groups of faces, and what it looks at.",
            "- Made for: people who audit or teach classifiers, with the session's report beside this card.",
            "- Not made for: decisions about persons, finding out who somebody is, or any use that the licences below "
            "forbid.",
            *_licences(session),
        ],
        "Factors": [
            *(
                f"- {plain(attribute.title)}: {plain(attribute.classes[0])}, {plain(attribute.classes[1])}. "
                f"{plain(attribute.how)}"
                for attribute in sensitive
            ),
            f"- Groups of the test faces: {listed([_counted(group) for group in audited.by_group])}.",
            *_unexamined(table, session),
        ],
        "Metrics": [
            f"- A face whose probability is above {STANDARD:g} is given “{plain(target.classes[1])}” "
            f"(class 1), else “{plain(target.classes[0])}” (class 0).",
            *(f"- {title}: {MEANINGS[name]}." for name, title in GAPS.items()),
            f"- Intervals: 95 %, from {audited.repeats:,} resamples of the test faces of each group (seed "
            f"{audited.seed}). They say what other test faces of this kind would give, not what another training "
            "would.",
        ],
        "Evaluation data": [
            f"- {count(audited.faces, 'test face')} of the table “{plain(session.table)}”, none of them trained on; "
            f"{audited.ungrouped:,} more were left out as their group is unknown.",
            "- All runs of the session are measured on the same test faces. The more runs are compared on them, the "
            "more the best of them owes to chance.",
        ],
        "Training data": _training(table, target, session, run),
        "Quantitative analyses": [*_by_group(audited), "", *_gaps(audited)],
        "Ethical considerations": [
            "- The labels are perceived: what people or networks see in a picture. They do not say who somebody is, "
            "what somebody feels, or how somebody identifies.",
            "- Two classes for each label leave out everybody who is seen as neither.",
            "- A small gap on these faces is no statement about harm elsewhere, and no measure here settles whether "
            "such a classifier should be used at all.",
            "- Excluding concepts hides them from the classifier; what goes with them may remain.",
        ],
        "Caveats and recommendations": [
            "- A gap on these faces says nothing about other faces: measure again on those that matter.",
            "- Groups of fewer than 30 faces are shown and flagged; do not rest on their numbers alone.",
            "- Train again with other seeds before believing a change: the session's “Is it real?” does so.",
            "- Read what still stands in for what was excluded before saying that an attribute is no longer used.",
        ],
    }
    lines = [title, "", f"Session begun {day(session.created)} by {plain(session.owner)}.", ""]
    for heading in HEADINGS:
        lines += [f"## {heading}", "", *parts[heading], ""]
    return "\n".join(lines)


def keep_card(info: RunInfo, card: str) -> Path:
    """Write a run's card beside its classifier; returns the file."""
    file = model_folder(info) / FILE
    write_text(file, card)
    return file


def plain(text: str) -> str:
    """What a person typed on one line, so that Markdown shows it as it is: no links, no pictures, no HTML."""
    return _SPECIAL.sub(r"\\\1", html.escape(" ".join(text.split()), quote=False))


# --- the parts ----------------------------------------------------------------------------------------


def _details(session: SessionInfo, info: RunInfo, run: Run, looked_at: list[str]) -> list[str]:
    lines = [
        f"- Classifier: {plain(kinds.title_of(info.kind))}; its input is "
        f"{run.classifier.n_features_in_:,} numbers, the style channels of {plain(session.backbone)}.",
        f"- Run: `{info.run_id}`, trained {minute(info.finished or info.started)} UTC by {plain(info.who)}.",
    ]
    if run.origin:
        lines.append(f"- Trained elsewhere: {plain(run.origin)}.")
    else:
        lines += [
            f"- Seed: {info.seed}. Settings: {settings(run) or 'none'}.",
            f"- Channels: {count(len(info.excluded), 'channel')} excluded; trained on "
            f"{len(run.classifier.screened_):,} of the others, those that set the classes of the training faces "
            "furthest apart.",
            *([f"- Training: {plain(info.treatment.sentence({}))}."] if info.treatment else []),
        ]
    with_what = trained_with(info)
    if with_what:
        lines.append(
            "- Trained with: " + ", ".join(f"{plain(name)} {plain(number)}" for name, number in with_what.items()) + "."
        )
    lines.append("- Decides: class 1 above a probability of 0.5.")
    lines += looked_at
    return lines + ([f"- Why it was trained: {plain(info.note)}"] if info.note.strip() else [])


def _looked_at(runs: SessionRuns, run: Run) -> list[str]:
    """The concepts it uses most, where the backbone's are described."""
    try:
        ranked = runs.studio.families(run)
    except Img2TabError:
        return []
    used = sorted(ranked, key=lambda row: -(row.importance + row.by_stand_ins))[:FAMILIES]
    names = [f"{plain(row.family.name)} ({100 * (row.importance + row.by_stand_ins):.0f} %)" for row in used]
    return [f"- Looks at most: {listed(names)}; shares of its importance, with the channels that go with each."]


def _licences(session: SessionInfo) -> list[str]:
    known = licences(session.backbone)
    return [f"- {plain(title)}: {plain(licence)}" for title, licence in known] or [
        f"- {plain(session.backbone)}: the licence of its checkpoint holds."
    ]


def _counted(group: GroupAudit) -> str:
    return f"{plain(group.name)} {group.count:,}" + (f" (fewer than {SMALL}: flagged)" if group.small else "")


def _unexamined(table: StyleTable, session: SessionInfo) -> list[str]:
    others = [plain(other.title) for other in table.targets if other.name not in (session.target, *session.sensitive)]
    return [f"- Not looked at in this session: {listed(others)}."] if others else []


def _training(table: StyleTable, target: Target, session: SessionInfo, run: Run) -> list[str]:
    if run.origin:
        return [f"- Not known here: it was trained elsewhere ({plain(run.origin)})."]
    rows, labels = tables.labelled(table, session.target, "train")
    ones = int(labels.sum())
    return [
        f"- {count(len(rows), 'training face')} of the table “{plain(session.table)}” (key `{session.table_key}`): "
        f"{len(rows) - ones:,} {plain(target.classes[0])}, {ones:,} {plain(target.classes[1])}.",
        f"- How the labels were made: {plain(target.how)}",
    ]


def _by_group(audited: Audit) -> list[str]:
    groups = (*audited.by_group, audited.overall)
    rows = [
        ["", *(plain(group.name) for group in groups)],
        ["---"] * (1 + len(groups)),
        ["Faces", *(f"{group.count:,}" for group in groups)],
    ]
    rows += [[title, *(_cell(group.measures[name], name) for group in groups)] for name, title in METRICS.items()]
    return ["| " + " | ".join(row) + " |" for row in rows]


def _gaps(audited: Audit) -> list[str]:
    return [
        f"- {title}: {plain(measured(audited.gaps[name], name))}"
        + (
            f"; {plain(audited.gaps[name].note)}"
            if audited.gaps[name].value is not None and audited.gaps[name].note
            else ""
        )
        + "."
        for name, title in GAPS.items()
    ]


def _cell(measure: Measure, metric: str) -> str:
    if measure.value is None:
        return plain(f"not measured: {measure.note}")
    if measure.low is None or measure.high is None:
        return number(measure.value, metric)
    return f"{number(measure.value, metric)} ({span(measure.low, measure.high, metric)})"
