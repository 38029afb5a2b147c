"""What a report says to whoever must answer for it: who could be harmed, which metric, who is selected, who made it of
what, and where to find what regulators ask about."""

from __future__ import annotations

from collections import defaultdict

from img2tab_core.audits.metric_choice import QUESTIONS, MetricChoice
from img2tab_core.base.words import listed
from img2tab_core.reports.findings import Findings
from img2tab_core.reports.wording import SPACE
from img2tab_core.sessions.bias_scenarios import MEASURES, held_against

WHERE = {  # the chapters that the crosswalk points to, in few words
    "question": "the question",
    "scenarios": "who could be harmed",
    "metric": "the metric",
    "data": "the data",
    "model": "the classifier",
    "runs": "the runs",
    "audit": "the audit",
    "gaps": "the gaps",
    "selected": "who is selected",
    "looks-at": "what it looks at",
    "excluded": "what was taken out",
    "stand-ins": "what stands in",
    "moved": "the attribute moved alone",
    "remedies": "remedies compared",
    "log": "the log",
    "limits": "limits",
    "versions": "versions and seeds",
    "evidence": "who, when, evidence",
    "card": "the model card",
}
CROSSWALK = (  # (source, ((what it asks about, in our words; the chapters; what is left to you), ...))
    (
        "EU AI Act (Regulation 2024/1689), Annex IV, point 2 (g)",
        (
            (
                "How it was validated and tested, and on which data: their main characteristics",
                ("data", "audit", "gaps"),
                "Testing in the place of use, on the people it will judge.",
            ),
            (
                "The measures of accuracy, of robustness and of the other requirements",
                ("audit", "metric", "runs"),
                "Robustness against attack, and security: not measured here.",
            ),
            (
                "Effects that may discriminate",
                ("scenarios", "gaps", "selected", "looks-at", "moved"),
                "Whether an effect is unlawful: that is for lawyers.",
            ),
            (
                "Test logs and reports, with a date and the signature of who answers for them",
                ("log", "evidence", "versions"),
                "The signature: img2tab report sign, with a key of that person.",
            ),
        ),
    ),
    (
        "NIST AI Risk Management Framework 1.0, MEASURE 2.11",
        (
            (
                "Which harms to whom were thought of, and who was asked",
                ("scenarios", "question"),
                "Asking the people concerned: the record says in whose words a harm is told.",
            ),
            (
                "Differences between groups measured, and where groups cross",
                ("metric", "gaps", "selected"),
                "Groups that the labels do not name; img2tab slices looks for some.",
            ),
            (
                "Where the bias comes from: data, people, the system",
                ("data", "looks-at", "stand-ins", "moved"),
                "How people use the answers.",
            ),
            (
                "What was done about it, what that cost, and what remains",
                ("excluded", "remedies", "limits"),
                "Watching it in use, and looking again: the day stands in the bias record.",
            ),
        ),
    ),
    (
        "ISO/IEC TS 12791:2024, unwanted bias in classification",
        (
            (
                "Who is concerned, and what counts as unwanted, settled before building",
                ("question", "scenarios", "metric"),
                "Settled with those concerned, and early: a session can begin before the first training.",
            ),
            (
                "Data and labels: who is in them, how they were labelled, what is unknown",
                ("data", "limits"),
                "Gathering better data.",
            ),
            (
                "Treating it: in the data, in the training, in the decisions",
                ("excluded", "remedies", "runs"),
                "Which treatment is right for the use.",
            ),
            (
                "Verifying and validating, and again when something changes",
                ("audit", "gaps", "evidence", "versions"),
                "In operation: audit again with every new version and new data.",
            ),
        ),
    ),
)


def scenarios(findings: Findings) -> dict:
    """The bias record: each scenario, and what this audit says of its largest acceptable gap."""
    return {
        "recorded": [
            {
                "number": recorded.number,
                "scenario": recorded.scenario,
                "measure": MEASURES[recorded.scenario.measure],
                "points": f"{100 * recorded.scenario.largest:g}{SPACE}points",
                "verdict": held_against(recorded.scenario, findings.now.audit, findings.target.classes),
                "overdue": recorded.scenario.review is not None and recorded.scenario.review < findings.made.date(),
                "who": recorded.who,
                "changed": recorded.changed,
            }
            for recorded in findings.scenarios
        ],
    }


def metric(findings: Findings) -> dict:
    """The metric that the five questions led to, why, what it cannot see, and its value here."""
    stored = findings.session.metric_choice
    if not stored:
        return {"choice": None, "questions": [question.title for question in QUESTIONS]}
    choice = MetricChoice.from_json(stored)
    answers = [
        (question.title, question.answers.get(choice.answers.get(question.name, ""), "not answered"))
        for question in QUESTIONS
    ]
    return {
        "choice": choice,
        "answers": answers,
        "value": choice.values(findings.now.audit, findings.target.classes),
        "who": stored.get("who", ""),
        "at": str(stored.get("at", ""))[:10],
    }


def selected(findings: Findings) -> dict:
    """Selection rates and impact ratios of every table, the unknown counted."""
    return {"impact": findings.impact}


def evidence(findings: Findings) -> dict:
    """Who did what and when, and the digests that are in the page."""
    by_person: dict[str, list] = defaultdict(list)
    for entry in findings.log:
        by_person[entry.who].append(entry.at)
    parts = findings.evidence["parts"]
    digests = [
        ("Table", parts["table"]["name"], parts["table"]["key"]),
        *(("Weights", name, digest) for name, digest in parts["weights"]["files"].items()),
        *(("Model", name, digest) for name, digest in parts["model"]["files"].items()),
        ("Code", f"img2tab {parts['code']['version']}", parts["code"]["digest"]),
        ("Log", f"{parts['session']['log']['entries']} entries", parts["session"]["log"]["digest"]),
        (
            "Runs",
            listed([str(number) for number in parts["session"]["runs"]["numbers"]]),
            parts["session"]["runs"]["digest"],
        ),
        ("Notes", "", parts["session"]["notes"]),
        ("Record", "scenarios and metric", parts["session"]["record"]),
    ]
    return {
        "people": [(who, len(moments), min(moments), max(moments)) for who, moments in by_person.items()],
        "who": findings.evidence["who"],
        "digests": digests,
        "digest": findings.evidence["digest"],
    }


def crosswalk(findings: Findings) -> dict:
    """Where in this report a reader finds what three texts ask about."""
    return {"sources": CROSSWALK, "where": WHERE}
