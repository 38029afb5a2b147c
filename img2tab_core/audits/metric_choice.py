"""Which metric fits the question: five plain questions, and what the answers lead to, why, and what it cannot see.

The table, read from the top; the first line that fits is the answer:

| the answers                                                        | the metric                         |
|--------------------------------------------------------------------|------------------------------------|
| groups must be given the class equally often, whatever their labels | demographic parity difference      |
| the labels are not to be trusted                                   | demographic parity difference      |
| the probabilities are used, not the decisions                      | calibration error, group by group  |
| a person who is missed is worse off                                | equal opportunity difference       |
| a person who is given the class wrongly is worse off               | false positive rate, group by group |
| both errors count, and being given the class matters to a person   | equalised odds difference          |
| both errors count, and it matters to nobody in particular          | accuracy gap                       |

"Not decided" about the errors is settled by what the class does: where it helps, being missed is the harm, where it
harms, being given it wrongly is; so in the fairness tree of Aequitas (Saleiro et al. 2018, "Aequitas: a bias and
fairness audit toolkit", assistive and punitive interventions). That labels which carry the bias rule out every metric
that counts by them, that base rates and emphasis on one error choose among the others: after the decision diagram of
Makhlouf, Zhioua and Palamidessi 2021, "Machine learning fairness notions: bridging the gap with real-world
applications". That calibration and equal error rates exclude each other where base rates differ: Chouldechova 2017,
"Fair prediction with disparate impact"; Kleinberg, Mullainathan and Raghavan 2016.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from img2tab_core.audits.group_differences import too_few
from img2tab_core.audits.metrics import GAPS, MEANINGS, METRICS
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import plain

if TYPE_CHECKING:
    from img2tab_core.audits.audit_record import Audit, Measure


@dataclass(frozen=True)
class Question:
    """One of the five: its name, what a person is asked, what the answers are (name -> words), why it is asked."""

    name: str
    title: str
    answers: Mapping[str, str]
    why: str


QUESTIONS = (
    Question(
        "labels",
        "Are the labels right, and equally right for every group?",
        {"yes": "Yes", "unsure": "Not sure", "no": "No, or they carry the bias themselves"},
        "Most metrics count by the labels: where these are wrong more often in one group, so is the metric.",
    ),
    Question(
        "class",
        "What does being given the class do to a person?",
        {
            "helps": "It helps: an offer, access, attention",
            "harms": "It harms: suspicion, refusal, a check",
            "neither": "Neither",
        },
        "Where it helps, being missed is the harm; where it harms, being given it wrongly is.",
    ),
    Question(
        "rates",
        "May groups be given the class at different rates where their labels differ?",
        {"yes": "Yes", "no": "No, equally often whatever the labels say"},
        "If not, who is given the class counts, and not whether rightly.",
    ),
    Question(
        "errors",
        "Which error is worse?",
        {
            "missed": "Missing somebody who belongs to the class",
            "alarm": "Giving it to somebody who does not",
            "both": "Both are as bad",
            "undecided": "Not decided",
        },
        "One error worse than the other: the rate of that error is compared, and not an average over both.",
    ),
    Question(
        "used",
        "What is used of the classifier?",
        {
            "decisions": "Its decisions: above or below a threshold",
            "scores": "Its probabilities: ranked, weighed, read",
        },
        "A threshold turns a probability into an error or none; without a threshold there are no errors to compare.",
    ),
)


@dataclass(frozen=True)
class MetricChoice:
    """What the answers lead to.

    answers: question -> answer, by their names. metric: a name of `metrics.GAPS` or of `metrics.METRICS`, the latter
    compared group by group; title, meaning: that metric in words. why: the sentences that led to it; cannot_see: what a
    reader must not take it for.
    """

    answers: Mapping[str, str]
    metric: str
    title: str
    meaning: str
    why: tuple[str, ...]
    cannot_see: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The metric and what it is."""
        return f"{self.title}: {self.meaning}."

    def values(self, audit: Audit, classes: tuple[str, ...]) -> tuple[str, ...]:
        """What an audit measured by it: a gap with its interval, or the measure of each group; or why it could not.

        classes: the names of class 0 and 1.
        """
        if self.metric in audit.gaps:
            if few := too_few(audit, self.metric, classes):
                return (f"Cannot be told: {few.rstrip('.')}",)
            return (_told(audit.gaps[self.metric], 100, 1, "\N{NO-BREAK SPACE}points"),)
        scale = (1, 3, "") if self.metric == "calibration_error" else (100, 1, "\N{NO-BREAK SPACE}%")
        return tuple(f"{group.name}: {_told(group.measures[self.metric], *scale)}" for group in audit.by_group)

    def to_json(self) -> dict:
        """Plain types."""
        return plain(asdict(self))

    @classmethod
    def from_json(cls, stored: Mapping) -> MetricChoice:
        """What `to_json` gave, as it was chosen then. Raises Img2TabError where it is something else."""
        try:
            return cls(
                dict(stored["answers"]),
                stored["metric"],
                stored["title"],
                stored["meaning"],
                tuple(stored["why"]),
                tuple(stored["cannot_see"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise Img2TabError(f"This is not a choice of a metric ({error}). Answer the questions again.") from error


def choose_metric(answers: Mapping[str, str]) -> MetricChoice:
    """The metric that the answers lead to, by the table of this file; answers: an answer's name for every question.

    Raises Img2TabError where a question is not answered, or the answer is none of its own.
    """
    for question in QUESTIONS:
        if answers.get(question.name) not in question.answers:
            raise Img2TabError(
                f"“{question.title}” needs one of these answers: {', '.join(question.answers)}; "
                + (f"got {answers[question.name]!r:.40}." if answers.get(question.name) else "it was not answered.")
            )
    if unknown := sorted(set(answers) - {question.name for question in QUESTIONS}):
        raise Img2TabError(f"There is no question {unknown[0]!r}. Answer {', '.join(each.name for each in QUESTIONS)}.")
    metric, why = _decided(answers)
    if answers["labels"] == "unsure" and metric != "demographic_parity":
        why += (
            "You are not sure of the labels: have some checked by hand in every group first, since this metric is as "
            "right as they are.",
        )
    given = {question.name: answers[question.name] for question in QUESTIONS}
    return MetricChoice(given, metric, _TITLES[metric], _MEANINGS[metric], why, _CANNOT_SEE[metric])


def _told(measure: Measure, scale: int, digits: int, unit: str) -> str:
    """ "12.3 points (95 % interval 8.0 to 16.1)", or why it was not measured."""
    if measure.value is None:
        return f"not measured ({measure.note})"
    value = f"{scale * measure.value:.{digits}f}{unit}"
    if measure.low is None or measure.high is None:
        return value
    low, high = (f"{scale * end:.{digits}f}" for end in (measure.low, measure.high))
    return f"{value} (95\N{NO-BREAK SPACE}% interval {low} to {high})"


def _decided(answers: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """The first line of the table that fits, and why."""
    errors, helps = answers["errors"], answers["class"]
    if answers["rates"] == "no":
        return "demographic_parity", (
            "Groups are to be given the class equally often, so how often is what is compared, in points; the impact "
            "ratio says the same as a ratio.",
        )
    if answers["labels"] == "no":
        return "demographic_parity", (
            "Labels that are not to be trusted say nothing about who was wronged, so nothing is counted by them: only "
            "how often each group is given the class.",
            "You allow groups to differ in that, so read it as a description, and no difference as proof of harm.",
        )
    if answers["used"] == "scores":
        return "calibration_error", (
            "Probabilities are used as such, so what counts is that a probability means the same in every group.",
        )
    if errors == "missed":
        return "equal_opportunity", ("Missing somebody is the worse error, so that is what is compared.",)
    if errors == "alarm":
        return "false_positive_rate", ("Giving the class wrongly is the worse error, so that is what is compared.",)
    if errors == "undecided" and helps == "helps":
        return "equal_opportunity", ("The class helps, so whoever is missed is harmed: that error is compared.",)
    if errors == "undecided" and helps == "harms":
        return "false_positive_rate", (
            "The class harms, so whoever is given it wrongly is harmed: that error is compared.",
        )
    if helps == "neither":
        return "accuracy_gap", (
            "No error weighs more and the class does nothing to a person, so what counts is that it is right equally "
            "often for every group.",
        )
    return "equalised_odds", ("Both errors count for whoever is judged, so both are compared, and the larger is told.",)


_TITLES = {**GAPS, **METRICS, "false_positive_rate": "False positive rate by group"} | {
    "calibration_error": "Calibration error by group"
}
_MEANINGS = {
    **MEANINGS,
    "false_positive_rate": "how often somebody who does not belong to the class is given it, group by group",
    "calibration_error": "how far a probability is from the share of faces that it is right about, group by group",
}
_CANNOT_SEE = {
    "demographic_parity": (
        "Whether the right people are given the class: picking at random in one group closes it.",
        "A true difference between the groups: it is counted as a gap.",
        "How badly anybody is wronged, and errors of any kind.",
    ),
    "calibration_error": (
        "Errors at a threshold: groups of different base rates can be calibrated and still be wronged unequally often.",
        "How well people within a group are told apart: giving everybody the group's average is calibrated.",
        "Small groups: the error is biased upwards where there are few faces.",
    ),
    "equal_opportunity": (
        "Those who do not belong to the class and are given it: giving it to everybody closes the gap.",
        "Wrong labels: whoever was never labelled is never missed.",
        "How many of a group are given the class at all.",
    ),
    "false_positive_rate": (
        "Those who are missed: giving the class to nobody closes the gap.",
        "Wrong labels: whoever was labelled by mistake is counted as rightly given the class.",
        "How many of a group are given the class at all.",
    ),
    "equalised_odds": (
        "Which of the two errors it is: read both rates beside it.",
        "Wrong labels, and why the labels differ between groups.",
        "Whether a probability means the same in every group; where base rates differ, both cannot hold.",
    ),
    "accuracy_gap": (
        "Which way the errors go: two groups can be equally often wrong in opposite directions.",
        "A rare class: where few belong to it, missing them all costs hardly any accuracy.",
        "Wrong labels.",
    ),
}
