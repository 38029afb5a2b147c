"""`img2tab session scenario ...` and `img2tab session metric`: what could go wrong for whom, and how it would show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from img2tab_core.base.errors import Img2TabError
from img2tab_core.cli import terminal
from img2tab_core.cli.sessions import Name, Out, Who
from img2tab_core.cli.terminal import Json, shown, verb

if TYPE_CHECKING:
    from img2tab_core.sessions.bias_scenarios import RecordedScenario

record_app = typer.Typer()
scenario_app = typer.Typer(
    no_args_is_help=True,
    help="The bias record of a session: who could be harmed and how, the largest acceptable gap, who looks again when.",
)
record_app.add_typer(scenario_app, name="scenario")

Number = Annotated[int, typer.Argument(metavar="N", help="The scenario's number (`img2tab session scenario list`).")]
Group = Annotated[str | None, typer.Option("--group", help="Who is at risk.")]
Harm = Annotated[str | None, typer.Option("--harm", help="What would be done to them.")]
WordsOf = Annotated[str | None, typer.Option("--words-of", help="In whose words that is: who said so.")]
Measure = Annotated[
    str | None,
    typer.Option(
        "--measure",
        help="By which gap it would show: demographic_parity, equalised_odds, equal_opportunity, accuracy_gap.",
    ),
]
Largest = Annotated[float | None, typer.Option("--largest", help="The largest acceptable gap, in points.")]
Mitigation = Annotated[str | None, typer.Option("--mitigation", help="What is done about it.")]
Review = Annotated[
    str | None, typer.Option("--review", metavar="YYYY-MM-DD", help='When it is looked at again; "" for no day.')
]


@verb(scenario_app, "list")
def list_scenarios(name: Name, out: Out = None, as_json: Json = False) -> None:
    """The scenarios of a session, by number."""
    import pandas as pd

    from img2tab_core.sessions.store import Sessions

    terminal.check_table(out)
    store = Sessions()
    session = store.open(name)
    recorded = store.scenarios(session)
    content = {"session": session.name, "scenarios": [_json(each) for each in recorded]}
    text = "\n\n".join(map(_text, recorded)) or f"{shown(session.name)} has no scenario yet."
    terminal.answer(content, text, as_json=as_json, out=out, frame=pd.DataFrame(content["scenarios"]))


@verb(scenario_app)
def add(
    name: Name,
    group: Annotated[str, typer.Option("--group", help="Who is at risk.")],
    harm: Annotated[str, typer.Option("--harm", help="What would be done to them.")],
    largest: Annotated[float, typer.Option("--largest", help="The largest acceptable gap, in points.")],
    measure: Measure = "equalised_odds",
    words_of: WordsOf = "",
    mitigation: Mitigation = "",
    review: Review = "",
    who: Who = None,
    as_json: Json = False,
) -> None:
    """Write down how somebody could be harmed, and the largest gap that is acceptable."""
    from img2tab_core.sessions.bias_scenarios import scenario_from
    from img2tab_core.sessions.store import Sessions

    store = Sessions()
    scenario = scenario_from(group, harm, words_of or "", measure or "", str(largest), mitigation or "", review or "")
    _tell(store.add_scenario(store.open(name), scenario, who=who or terminal.me()), name, as_json=as_json)


@verb(scenario_app)
def change(
    name: Name,
    number: Number,
    group: Group = None,
    harm: Harm = None,
    words_of: WordsOf = None,
    measure: Measure = None,
    largest: Largest = None,
    mitigation: Mitigation = None,
    review: Review = None,
    who: Who = None,
    as_json: Json = False,
) -> None:
    """Write a scenario anew; what is not given stays, and the log keeps every version."""
    from img2tab_core.sessions.bias_scenarios import scenario_from
    from img2tab_core.sessions.store import Sessions

    store = Sessions()
    session = store.open(name)
    before = next((each.scenario for each in store.scenarios(session) if each.number == number), None)
    if before is None:
        raise Img2TabError(f"{session.name!r} has no scenario {number}: img2tab session scenario list shows them.")
    typed = scenario_from(
        before.group if group is None else group,
        before.harm if harm is None else harm,
        before.words_of if words_of is None else words_of,
        before.measure if measure is None else measure,
        str(100 * before.largest if largest is None else largest),
        before.mitigation if mitigation is None else mitigation,
        (before.review.isoformat() if before.review else "") if review is None else review,
    )
    _tell(store.change_scenario(session, number, typed, who=who or terminal.me()), name, as_json=as_json)


@verb(scenario_app)
def remove(name: Name, number: Number, who: Who = None, as_json: Json = False) -> None:
    """Take a scenario out of the record; the log keeps what it said, and its number is not given again."""
    from img2tab_core.sessions.store import Sessions

    store = Sessions()
    session = store.open(name)
    store.remove_scenario(session, number, who=who or terminal.me())
    terminal.answer(
        {"session": session.name, "removed": number},
        f"Scenario {number} of {shown(session.name)} is removed; the log keeps what it said.",
        as_json=as_json,
    )


@verb(record_app)
def metric(
    name: Name,
    labels: Annotated[str, typer.Option(help="Are the labels right for every group: yes, unsure, no.")] = "",
    given: Annotated[str, typer.Option("--class", help="What the class does to a person: helps, harms, neither.")] = "",
    rates: Annotated[str, typer.Option(help="May groups be given the class at different rates: yes, no.")] = "",
    errors: Annotated[str, typer.Option(help="Which error is worse: missed, alarm, both, undecided.")] = "",
    used: Annotated[str, typer.Option(help="What is used of the classifier: decisions, scores.")] = "",
    who: Who = None,
    as_json: Json = False,
) -> None:
    """Five questions, a metric, why, and what it cannot see; kept with the session. Without answers: what was kept."""
    from img2tab_core.audits.metric_choice import QUESTIONS, MetricChoice, choose_metric
    from img2tab_core.sessions.store import Sessions

    store = Sessions()
    session = store.open(name)
    answers = {"labels": labels, "class": given, "rates": rates, "errors": errors, "used": used}
    if any(answers.values()):
        choice = choose_metric({question: answer for question, answer in answers.items() if answer})
        session = store.choose_metric(session, choice, who=who or terminal.me())
    elif not session.metric_choice:
        lines = [f"Nobody chose a metric for {shown(session.name)} yet. Answer five questions:"]
        for question in QUESTIONS:
            lines += [question.title, f"    {question.why}"]
            lines += [f"    --{question.name} {answer}  {words}" for answer, words in question.answers.items()]
        terminal.answer({"session": session.name, "metric_choice": {}}, "\n".join(lines), as_json=as_json)
        return
    choice = MetricChoice.from_json(session.metric_choice)
    lines = [choice.sentence, *choice.why, "It cannot see:", *(f"    {part}" for part in choice.cannot_see)]
    terminal.answer(
        {"session": session.name, "metric_choice": session.metric_choice}, "\n".join(lines), as_json=as_json
    )


def _tell(recorded: RecordedScenario, name: str, *, as_json: bool) -> None:
    terminal.answer({"session": name, "scenario": _json(recorded)}, _text(recorded), as_json=as_json)


def _json(recorded: RecordedScenario) -> dict:
    kept = {"number": recorded.number, "who": recorded.who, "changed": recorded.changed.isoformat()}
    return kept | recorded.scenario.to_json()


def _text(recorded: RecordedScenario) -> str:
    from img2tab_core.sessions.bias_scenarios import MEASURES

    scenario = recorded.scenario
    said = f" (in the words of {shown(scenario.words_of)})" if scenario.words_of else ""
    return "\n".join(
        [
            f"{recorded.number}. {shown(scenario.group)}: {' '.join(shown(scenario.harm).split())}{said}",
            f"    Seen by: {MEASURES[scenario.measure].lower()}, at most {100 * scenario.largest:g} points.",
            f"    Done about it: {' '.join(shown(scenario.mitigation).split()) or 'nothing noted'}.",
            f"    Looked at again: {scenario.review.isoformat() if scenario.review else 'no day set'}. "
            f"By {shown(recorded.who)}, {terminal.moment(recorded.changed)}.",
        ]
    )
