"""The last chapters of a report: the log, the limits, what repeats it, the model card."""

from __future__ import annotations

import shlex

from img2tab_core.base.words import count, sentence
from img2tab_core.reports.elements import Chapter, Child, Markup, bullets, chapter, element, facts, table, text
from img2tab_core.reports.findings import Findings
from img2tab_core.reports.wording import minute, one_line, when
from img2tab_core.sessions.session_records import LogEntry
from img2tab_core.sessions.session_runs import REPEATED

Files = dict
EXCLUSIONS = "exclusions.json"  # all that decides the run's training, see `shared_exclusions.exclusions_json`
LONGEST = 180  # letters of the log's details


def log(findings: Findings, files: Files) -> Chapter:
    """Who did what in the session."""
    rows = [[when(minute(entry.at)), when(entry.who), sentence(entry.what), _details(entry)] for entry in findings.log]
    return chapter(
        "log",
        "The log",
        table(
            "Who did what, and when (UTC)",
            ["When", "Who", "What", "Details"],
            rows,
            words={1, 2, 3},
            file=files.get("log"),
            kind="long",
        ),
    )


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
        parts.append(
            f"{name.replace('_', ' ')}: {value:,}"
            if isinstance(value, int)
            else f"{name.replace('_', ' ')}: {one_line(str(value))}"
        )
    line = " · ".join(parts)
    return line if len(line) <= LONGEST else line[: LONGEST - 1].rstrip() + "…"


def limits(findings: Findings, files: Files) -> Chapter:
    """What the numbers do not say, and the licences of the face models."""
    generated, done = not findings.origin, sum(run.state == "done" for _, run in findings.tree)
    limitations = [
        "Labels are perceived: they say what people or networks see in a picture, not who somebody is, what somebody "
        "feels or how somebody identifies.",
        (
            "The faces are generated. A gap on them says nothing about photos of people, nor about faces of another "
            "generator."
            if generated
            else "A gap on these faces says nothing about others: other photos, other people, another camera."
        ),
        "The classifier sees style codes, not pictures: what the encoder does not keep of a face, it cannot use.",
        "There are two kinds of intervals. Those of an audit, and those of two runs compared face by face, say what "
        "other test faces of this kind would give; those over seeds say what training again would give. Neither "
        "contains the other.",
        f"{count(done, 'run')} of this session were measured on the same test faces. The more runs are compared on "
        "them, the more the best owes to chance.",
        "Moving concepts changes style codes. It is no experiment with people: what differs between people differs in "
        "more ways than one table can tell.",
        "A linear probe that cannot read an attribute does not show that nothing else could.",
        "No number here settles whether such a classifier should be used.",
    ]
    licences = [f"{title}: {licence}" for title, licence in findings.licences]
    return chapter(
        "limits",
        "Limits",
        bullets(limitations),
        element("h3", "Licences of the face models"),
        bullets(licences)
        if licences
        else text(
            "The licence of the backbone's checkpoint holds; those of the official face models forbid commercial use."
        ),
    )


def versions(findings: Findings, files: Files) -> Chapter:
    """All that another person needs to repeat the report."""
    session, info = findings.session, findings.info
    seeds = [f"{info.seed} of the run", f"{findings.now.audit.seed} of the resamples"]
    if findings.answer is not None:
        pairs = next(iter(findings.answer[1].values())).pairs
        seeds.append(f"{', '.join(str(seed) for seed in range(len(pairs)))} of the repetitions")
    return chapter(
        "versions",
        "Versions, seeds, and how to repeat it",
        facts(
            [
                ("Table key", element("code", session.table_key)),
                *((f"Run {run.number}", element("code", run.run_id)) for run in findings.path if run.run_id),
                ("Seeds", "; ".join(seeds)),
                (
                    "Trained with",
                    ", ".join(f"{name} {number}" for name, number in findings.trained_with.items()) or None,
                ),
            ]
        ),
        table(
            "What made this report",
            ["Program", "Version"],
            [[name, number] for name, number in findings.versions.items()],
            words={1},
            file=files.get("versions"),
            kind="narrow",
        ),
        element("h3", "To repeat it"),
        *_commands(findings, files),
    )


def _commands(findings: Findings, files: Files) -> list[Child]:
    name = shlex.quote(findings.session.name)
    report = f"img2tab report {name} --html report.html"
    if findings.now.run.origin:
        return [
            text(
                f"The classifier was trained elsewhere and imported from {findings.now.run.origin}. The report again:"
            ),
            element("pre", element("code", report)),
        ]
    return [
        text(
            "The run is trained once more, to the same model with the same versions, from ",
            files.get(EXCLUSIONS),
            "; then the report is written again:",
        ),
        element("pre", element("code", f"img2tab session repeat {name} {EXCLUSIONS}\n{report}")),
    ]


def card(written: str, file: Markup) -> Chapter:
    """The model card, as it lies beside the saved classifier; written: its text."""
    return chapter(
        "card",
        "Model card",
        text("The same in the usual headings, as it is kept beside the saved classifier: ", file, "."),
        element("details", element("summary", "Read it here"), element("pre", written)),
    )
