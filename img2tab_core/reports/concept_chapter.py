"""The chapter of a report about what the classifier looks at: named concepts, each with its picture."""

from __future__ import annotations

from collections.abc import Mapping

from img2tab_core.base.words import count, percent, sentence, signed
from img2tab_core.reports.elements import Chapter, Markup, chapter, data_url, element, table, text
from img2tab_core.reports.findings import Findings, LookedAt, Missing
from img2tab_core.reports.wording import lower


def looks_at(findings: Findings, files: Mapping[str, Markup]) -> Chapter | None:
    """The concepts that the current run uses most, what each draws, and whether moving it moves the answer."""
    shown = findings.looks_at
    if isinstance(shown, Missing):
        return chapter("looks-at", "What it looks at", text(shown.reason))
    if not shown:
        return None
    used = sum(row.ranked.importance + row.ranked.by_stand_ins for row in shown)
    moving = [row for row in shown if row.ranked.verdict == "moves it"]
    return chapter(
        "looks-at",
        "What it looks at",
        text(
            f"A concept is a family of channels that draw the same thing. These {count(len(shown), 'concept')} make up "
            f"{percent(used, 0)} of what run {findings.info.number} uses, by the channels that draw them and by those "
            f"that only go with them. {len(moving)} of them {'moves' if len(moving) == 1 else 'move'} the answer when "
            "changed alone in a picture."
        ),
        element("div", [_card(row) for row in shown], class_="cards"),
        table(
            "The concepts in numbers",
            ["Concept", "Used", "By stand-ins", "Effect, log-odds", "Verdict", *_attributes(findings)],
            [_row(row, findings) for row in shown],
            words={3, 4},
            file=files.get("looks_at"),
        ),
        text(
            "Used: share of the importance. Effect: change of the log-odds when the concept is moved from −8 to +8 "
            "standard deviations on other faces, drawn, read again by the encoder and judged, with its 95 % interval. "
            "Apart: how far the groups differ in it within the classes, standard deviations."
        ),
    )


def _card(row: LookedAt) -> Markup:
    family = row.ranked.family
    picture = (
        element(
            "img",
            src=data_url(row.sheet, "image/webp"),
            alt=f"{family.name}: three faces at −8, as they are, and at +8",
            width=208,
        )
        if row.sheet
        else None
    )
    return element(
        "figure",
        picture,
        element("figcaption", element("strong", family.name), f". {sentence(row.ranked.verdict)}. {family.sentence}"),
    )


def _attributes(findings: Findings) -> list[str]:
    return [f"Apart, {lower(attribute.title)}" for attribute in findings.sensitive]


def _row(row: LookedAt, findings: Findings) -> list[str]:
    ranked = row.ranked
    return [
        ranked.family.name,
        percent(ranked.importance),
        percent(ranked.by_stand_ins),
        "not measured" if ranked.effect is None else ranked.effect.text(),
        ranked.verdict,
        *(signed(row.differences[attribute.name], 2) for attribute in findings.sensitive),
    ]
