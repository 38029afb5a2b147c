"""What a person reads of a classifier of more than two classes beside its accuracy."""

from __future__ import annotations

from img2tab_core.base.records import Metrics, Target
from img2tab_core.base.words import percent


def sentence(target: Target, metrics: Metrics) -> str:
    """What the accuracy is to be held against, what the AUC is, and how far off the answers are where classes have an
    order; "" of two classes."""
    if len(target.classes) == 2:
        return ""
    often = max(range(len(target.classes)), key=lambda k: sum(metrics.confusion[k]))
    text = (
        f"Who always says “{target.classes[often]}”, the most frequent of {len(target.classes)} classes, is right in "
        f"{percent(metrics.majority)}. The AUC is the mean of each class against the rest."
    )
    if not target.ordered:
        return text
    off, low, high = metrics.classes_off
    return f"{text} The answer is {off:.2f} classes off on average (95 % interval {low:.2f} to {high:.2f})."


def rows_of(target: Target, metrics: Metrics) -> list[list[str]]:
    """The headings, then a row per true class: test faces by the class that is given, and the share that is right."""
    rows = [["true class", *(f"given {name}" for name in target.classes), "right"]]
    for k, name in enumerate(target.classes):
        counts = metrics.confusion[k]
        right = f"{100 * counts[k] / sum(counts):.1f} %" if sum(counts) else "no faces"
        rows.append([name, *(f"{count:,}" for count in counts), right])
    return rows
