"""The worked examples: in training the target goes with a sensitive attribute; what closes the gap?

From a table: a training sample for each seed in which the target goes with the attribute, an unbiased test sample, the
standard remedies and ours on the same codes with the same classifier, and beside them one trained on an unbiased
sample: no gap can be expected to be smaller than that one's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from img2tab_core import tables
from img2tab_core.audits import carriers, remedies
from img2tab_core.audits.changes import Change
from img2tab_core.audits.groups import Groups
from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.records import StyleTable, digest
from img2tab_core.base.words import signed
from img2tab_core.classifiers.preparation import permutation_weights, prepared
from img2tab_core.classifiers.treatment import Treatment
from img2tab_core.tables import sampling

OURS = "Suggested exclusion (ours)"
ERASED = "Erased (ours)"
BALANCED = "Erased and balanced (ours)"
UNGROUPED = "Erased, balanced by what is erased (ours)"
MOVED = "Moved copies, balanced (ours)"
UNBIASED = "Nothing, on an unbiased sample"
TARGET, SENSITIVE = "smiling", "perceived_gender"
FACES, SHARE = 3000, 0.9  # of a training draw, see `worked_example`
TABLE = "worked-example"  # what the table of `biased_table` is called
SECOND = ("young", "perceived_gender", 0.75)  # target, attribute and share of the second example
FORMAT = 1  # raise it when one that was built before must be built again


def worked_example(
    table: StyleTable,
    target: str = TARGET,
    sensitive: str = SENSITIVE,
    *,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    faces: int | None = FACES,
    share: float = SHARE,
    base: str = "catboost",
    progress: Callable[[float, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> remedies.Remedies:
    """Every remedy, and ours, trained on a biased sample of the training split and measured on an unbiased test sample.

    faces: of each training sample, None for as many as there can be; share: of them in which the target's class goes
    with the group. What ours excludes, erases and weighs is found on the training sample alone. The reference is
    trained on as many faces of the training split, as many of each class in each group as far as there are.
    """
    about = tables.target_of(table, sensitive)
    tables.target_of(table, target)
    labels, groups = (table.labels[name].to_numpy() for name in (target, sensitive))
    train = {
        seed: sampling.biased_rows(labels, groups, table.rows("train"), share=share, count=faces, seed=seed)
        for seed in seeds
    }

    def ours(task: remedies.Task) -> np.ndarray:
        suggestion = carriers.suggest(carriers.carried(table, target, sensitive, rows=task.train))
        return remedies.without(task, suggestion.excluded)

    def treating(**treatment: tuple[str, ...]) -> Callable[[remedies.Task], np.ndarray]:
        return lambda task: remedies.treated(
            task, prepared(table, target, Treatment(**treatment), rows=task.train, labels=task.labels)
        )

    def ungrouped(task: remedies.Task) -> np.ndarray:
        measured = prepared(table, target, Treatment(erased=names), rows=task.train, labels=task.labels)
        if measured.erasure is None:
            raise ValueError(f"erasing {sensitive} takes nothing out of a code")
        readings = measured.erasure.readings(table.psi, task.train)
        weights = permutation_weights(readings, task.labels, seed=task.seed)
        return remedies.treated(task, replace(measured, weights=weights))

    def unbiased(task: remedies.Task) -> np.ndarray:
        rows = _unbiased(labels, groups, table.rows("train"), len(task.train), task.seed)
        other = replace(task, train=rows, labels=labels[rows].astype(np.int64), groups=groups[rows].astype(np.int64))
        measured = prepared(table, target, Treatment(), rows=rows, labels=other.labels)
        return remedies.treated(other, measured)

    names = (sensitive,)
    return remedies.compare_remedies(
        table.psi,
        labels,
        Groups(about.title, about.classes, groups),
        train=train,
        test=sampling.balanced_rows(labels, groups, table.rows("test")),
        base=base,
        progress=progress,
        cancelled=cancelled,
        extra=[
            remedies.Own(OURS, ours, "Excludes what carries the attribute within the target's classes."),
            remedies.Own(
                ERASED,
                treating(erased=names),
                "The direction that tells the groups apart within the target's classes is taken out of every code.",
            ),
            remedies.Own(
                BALANCED, treating(erased=names, balanced=names), "That, and training faces weighted as in reweighing."
            ),
            remedies.Own(
                UNGROUPED,
                ungrouped,
                "That, with weights from how far each face lies along what is erased (permutation weighting).",
            ),
            remedies.Own(
                MOVED,
                treating(moved=names, balanced=names),
                "Every training face once more on the other side of that direction, with its label; weighted as well.",
            ),
            remedies.Own(UNBIASED, unbiased, "What the gap is where training has none of the bias; no remedy."),
        ],
        reference=UNBIASED,
    )


def _unbiased(labels: np.ndarray, groups: np.ndarray, rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    """So many rows in which the target does not go with the attribute; fewer where a class has too few in a group."""
    try:
        return sampling.biased_rows(labels, groups, rows, share=0.5, count=count, seed=seed)
    except Img2TabError:
        return sampling.biased_rows(labels, groups, rows, share=0.5, seed=seed)


def biased_table(
    table: StyleTable,
    folder: Path,
    target: str = TARGET,
    sensitive: str = SENSITIVE,
    *,
    faces: int = FACES,
    share: float = SHARE,
    seed: int = 0,
    progress: Callable[[float, str], None] | None = None,
) -> StyleTable:
    """Write a table with a real gap, for a whole audit on the pages and in the terminal, and open it.

    Its training faces are a biased draw of the table's, as in `worked_example`; its validation faces all of the
    table's; its test faces a balanced draw. A table that stood in `folder` is replaced.
    """
    about = [tables.target_of(table, name) for name in (target, sensitive)]
    labels, groups = (table.labels[name].to_numpy() for name in (target, sensitive))
    parts = (
        sampling.biased_rows(labels, groups, table.rows("train"), share=share, count=faces, seed=seed),
        table.rows("validation"),
        sampling.balanced_rows(labels, groups, table.rows("test"), seed=seed),
    )
    rows = np.concatenate(parts)
    order = np.argsort(rows)  # as they lie on disk
    rows, split = rows[order], np.repeat(np.arange(3, dtype=np.int8), [len(part) for part in parts])[order]
    chosen = table.labels.iloc[rows].reset_index(drop=True)
    train, test = len(parts[0]), len(parts[2])
    return tables.write_table(
        folder,
        lambda part: table.psi.T.take(rows[part], axis=1).T,
        chosen,
        targets=tables.usable_targets(chosen, table.targets, split)[0],
        layout=table.layout,
        backbone=table.backbone,
        backbone_key=table.backbone_key,
        split=split,
        progress=progress,
        key=_key(table, target, sensitive, faces=faces, share=share, seed=seed),
        about={
            "kind": TABLE,
            "origin": table.name,
            "origin_key": table.key,
            "target": target,
            "sensitive": sensitive,
            "share": share,
            "seed": seed,
            "faces": {"train": train, "validation": len(parts[1]), "test": test},
            "note": (
                f"A draw of the table {table.name}, made to have a gap: in {100 * share:.0f} % of the {train:,} "
                f"training faces {about[0].title.lower()} goes with {about[1].title.lower()}; the {test:,} test faces "
                "are as many of each class in each group."
            ),
        },
    )


def is_built(table: StyleTable, folder: Path) -> bool:
    """Whether `biased_table`, with nothing else chosen, would only write again what is in `folder`."""
    try:
        return tables.open_table(folder).key == _key(table, TARGET, SENSITIVE, faces=FACES, share=SHARE, seed=0)
    except Img2TabError:
        return False


def closed(compared: remedies.Remedies, remedy: str) -> float | None:
    """Share of the mean equalised-odds gap that a remedy closes; below 0 where it opens it; None where it failed."""
    before, after = (compared.outcome(name).estimate("equalised_odds").mean for name in (remedies.NOTHING, remedy))
    return None if before is None or after is None or before == 0 else 1 - after / before


def as_markdown(compared: remedies.Remedies, *, test: str = "balanced test faces") -> str:
    """One row per remedy, and what was measured; test: what the test faces are."""
    rows = [
        "| | accuracy, % | equalised-odds gap, % | closed, % | the gap against nothing |"
        + (f" points above “{compared.reference}” |" if compared.reference else "")
        + " needs the group |",
        "| --- | --- | --- | --- | --- | --- |" + (" --- |" if compared.reference else ""),
    ]
    for outcome in compared.outcomes:
        share = closed(compared, outcome.remedy)
        change = None if outcome.remedy == remedies.NOTHING else compared.change(outcome.remedy)
        rows.append(
            f"| {outcome.title} | "
            + (
                outcome.reason
                or " | ".join(
                    [
                        *(
                            outcome.estimate(name).text(100, 1) or "not measurable"
                            for name in ("accuracy", "equalised_odds")
                        ),
                        "" if share is None or outcome.remedy == remedies.NOTHING else f"{100 * share:.0f}",
                        change.verdict if change else "",
                        *([_above(compared, outcome.remedy)] if compared.reference else []),
                        "yes" if outcome.needs_group else "no",
                    ]
                )
            )
            + " |"
        )
    faces = sorted(set(compared.train_faces))
    return "\n".join(
        [
            *rows,
            "",
            (
                f"{compared.attribute}: {', '.join(f'{count:,}' for count in faces)} training faces a seed, "
                f"{compared.test_faces:,} "
                f"{test}; mean over {len(compared.seeds)} seeds, ± half of the 95 % interval. {compared.base}, on "
                f"{compared.columns:,} of {compared.channels:,} channels."
            ),
            "",
        ]
    )


def above_reference(compared: remedies.Remedies, remedy: str) -> Change | None:
    """How far the gap of a remedy lies above that of the reference, seed by seed; None for the reference itself."""
    return None if remedy == compared.reference else compared.change(remedy, against=compared.reference)


def _above(compared: remedies.Remedies, remedy: str) -> str:
    """Points with the interval over the seeds and the one over the test faces."""
    change = above_reference(compared, remedy)
    if change is None or change.difference.mean is None:
        return ""
    text = change.difference.text(100, 1) or ""
    if change.faces is None:
        return text
    return f"{text} (faces: {signed(100 * change.faces.low, 1)} to {signed(100 * change.faces.high, 1)})"


def _key(table: StyleTable, target: str, sensitive: str, **settings: float) -> str:
    return digest(json.dumps([TABLE, FORMAT, table.key, target, sensitive, settings], sort_keys=True).encode())
