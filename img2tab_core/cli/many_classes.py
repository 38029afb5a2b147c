"""What the terminal says of a target of more than two classes: the confusion, and the audit of each class."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from img2tab_core.cli import terminal

if TYPE_CHECKING:
    from img2tab_core.audits.many_classes import ManyClassAudit
    from img2tab_core.base.records import Metrics, Target


def about_metrics(target: Target, metrics: Metrics) -> str:
    """A sentence and the confusion, below the line of accuracy; "" of two classes."""
    from img2tab_core.classifiers import confusions

    if len(target.classes) == 2:
        return ""
    return f"{confusions.sentence(target, metrics)}\n{terminal.aligned(confusions.rows_of(target, metrics))}"


def answer_audit(audited: ManyClassAudit, run_id: str, *, out: Path | None, as_json: bool, about: str = "") -> None:
    """Print the audit of a run of more than two classes, or write it; about: what the run does beside training."""
    import pandas as pd

    from img2tab_core.audits.many_classes import gap_rows, rows_of

    rows, gaps = rows_of(audited), gap_rows(audited)
    frame = pd.DataFrame(rows[1:], columns=rows[0])
    how = (
        f"{audited.faces:,} test faces; the class that is given is the likeliest one. Gaps between groups of "
        f"{audited.attribute} in points with 95 % intervals (bootstrap, each by itself)."
    )
    few = f"\nToo few to say: {'; '.join(audited.too_few)}." if audited.too_few else ""
    shifts = [["group", "faces", "right", "classes above (+) or below (-) the truth"]]
    for group in audited.by_group:
        right = group.accuracy.value
        shift = None if group.shift is None else group.shift.value
        shifts.append(
            [
                group.name,
                f"{group.count:,}",
                "too few to say" if right is None else f"{100 * right:.1f} %",
                "" if shift is None else f"{shift:+.2f}",
            ]
        )
    terminal.answer(
        audited.to_json() | {"run": run_id},
        "\n".join(
            [
                *([about] if about else []),
                audited.sentence,
                *map(terminal.aligned, (shifts, rows, gaps)),
                f"{how}{few}",
            ]
        ),
        as_json=as_json,
        out=out,
        frame=frame,
        markdown=f"{audited.sentence}\n\n{terminal.as_markdown(frame)}\n\n"
        f"{terminal.as_markdown(pd.DataFrame(gaps[1:], columns=gaps[0]))}\n\n{how}{few} {about}".rstrip()
        + "\n",
    )
