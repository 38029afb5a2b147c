"""The worked example: in training the target goes with a sensitive attribute nine to one; what closes the gap?

From a table: a training draw for each seed in which the target goes with the attribute, an unbiased test draw, the
standard remedies and the suggested exclusion on the same codes with the same classifier.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from img2tab_core import proxies, remedies, tables
from img2tab_core.fairness import Groups
from img2tab_core.records import StyleTable

OURS = "Suggested exclusion (ours)"


def worked_example(
    table: StyleTable,
    target: str = "smiling",
    sensitive: str = "perceived_gender",
    *,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    faces: int | None = 3000,
    share: float = 0.9,
    base: str = "catboost",
    progress: Callable[[float, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> remedies.Remedies:
    """Every remedy, and ours, trained on a biased draw of the training split and measured on an unbiased test draw.

    faces: of each training draw, None for as many as there can be; share: of them in which the target's class goes with
    the group. What ours excludes is found on the training draw alone, by `proxies.suggest`.
    """
    about = tables.target_of(table, sensitive)
    tables.target_of(table, target)
    labels, groups = (table.labels[name].to_numpy() for name in (target, sensitive))
    train = {
        seed: proxies.biased_rows(labels, groups, table.rows("train"), share=share, count=faces, seed=seed)
        for seed in seeds
    }

    def ours(task: remedies.Task):
        found = proxies.suggest(proxies.carried(table, target, sensitive, rows=task.train))
        return remedies.without(task, found.excluded)

    return remedies.compare_remedies(
        table.psi, labels, Groups(about.title, about.classes, groups), train=train,
        test=proxies.balanced_rows(labels, groups, table.rows("test")), base=base, progress=progress,
        cancelled=cancelled,
        extra=[remedies.Own(OURS, ours, "Excludes what carries the attribute within the target's classes.")],
    )


def closed(found: remedies.Remedies, remedy: str) -> float | None:
    """Share of the mean equalised-odds gap that a remedy closes; below 0 where it opens it; None where it failed."""
    before, after = (found.outcome(name).estimate("equalised_odds").mean for name in (remedies.NOTHING, remedy))
    return None if before is None or after is None or before == 0 else 1 - after / before


def as_markdown(found: remedies.Remedies) -> str:
    """One row per remedy, and what was measured."""
    rows = ["| | accuracy, % | equalised-odds gap, % | closed, % | the gap against nothing | needs the group |",
            "| --- | --- | --- | --- | --- | --- |"]
    for one in found.outcomes:
        share = closed(found, one.remedy)
        change = None if one.remedy == remedies.NOTHING else found.change(one.remedy)
        rows.append(
            f"| {one.title} | " + (one.reason or " | ".join([
                *(one.estimate(name).text(100, 1) or "not measurable" for name in ("accuracy", "equalised_odds")),
                "" if share is None or one.remedy == remedies.NOTHING else f"{100 * share:.0f}",
                change.verdict if change else "", "yes" if one.needs_group else "no",
            ])) + " |")
    faces = sorted(set(found.train_faces))
    return "\n".join([*rows, "", (
        f"{found.attribute}: {', '.join(f'{count:,}' for count in faces)} training faces a seed, {found.test_faces:,} "
        f"balanced test faces; mean over {len(found.seeds)} seeds, ± half of the 95 % interval. {found.base}, on "
        f"{found.columns:,} of {found.channels:,} channels."
    ), ""])
