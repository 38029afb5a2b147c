"""The verbs that question classifiers: audit groups, compare kinds, and open one that somebody published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from img2tab_core.errors import Img2TabError
from img2tab_core.terminal import (
    Json,
    channels,
    check_out,
    interrupted,
    print_json,
    progress,
    studio,
    style_codes,
    verb,
    write,
)

if TYPE_CHECKING:
    from img2tab_core.comparison import Comparison
    from img2tab_core.fairness import Measure

classifiers_app = typer.Typer()
TableName = Annotated[str, typer.Option("--table", help="Name of a table (`img2tab tables`).")]


@verb(classifiers_app)
def compare(
    target: Annotated[str, typer.Option(help="What to predict.")],
    table: TableName = "default",
    classifiers: Annotated[str, typer.Option(metavar="A,B", help="Kinds, commas between; all if not given.")] = "",
    seeds: Annotated[int, typer.Option(min=1, max=50, help="How many seeds; 0, 1, ... are used.")] = 3,
    faces: Annotated[int, typer.Option(min=0, help="Training faces each seed draws; 0 takes all.")] = 4000,
    out: Annotated[Path | None, typer.Option(help="A .csv, .json or .md to write.")] = None,
    as_json: Json = False,
) -> None:
    """Several kinds of classifier on the same faces: who judges best, whose importance finds what differs?"""
    from img2tab_core.classifiers import KINDS

    if out is not None:
        if out.suffix not in WRITTEN:
            raise Img2TabError(f"--out must end in {', '.join(WRITTEN)}, got {out.name or out}.")
        check_out(out)
    kinds = [one.strip() for one in classifiers.split(",") if one.strip()] or list(KINDS)
    door = studio()
    with interrupted() as stopped:
        found = door.compare(
            door.table(table), target, kinds=kinds, seeds=range(seeds), faces=faces or None,
            progress=progress(as_json), cancelled=stopped)
    if out is not None:
        write(out, lambda file: file.write(WRITTEN[out.suffix](found).encode()))
    if as_json:
        print_json(found.to_json())
    else:
        typer.echo(_text(found))


@verb(classifiers_app)
def audit(
    target: Annotated[str, typer.Option(help="What is predicted.")],
    sensitive: Annotated[str, typer.Option(metavar="A[,B]", help="One or two targets that form the groups.")],
    table: TableName = "default",
    threshold: Annotated[float, typer.Option(min=0, max=1, help="Above it a face is given class 1.")] = 0.5,
    exclude: Annotated[str, typer.Option(
        metavar="I,J", help="Is it real? Train with and without these channels, with --seeds seeds.")] = "",
    seeds: Annotated[int, typer.Option(min=1, max=50, help="How many seeds, with --exclude.")] = 5,
    as_json: Json = False,
) -> None:
    """How the standing classifier does on each group of the test faces, and the gaps between groups, with intervals."""
    from img2tab_core.auditing import Auditor
    from img2tab_core.fairness import GAPS, METRICS

    door = studio()
    run = door.run(door.table(table), target, progress=progress(as_json))
    names = [one.strip() for one in sensitive.split(",") if one.strip()]
    auditor = Auditor(door)
    found = auditor.audit(run, names, thresholds=threshold)
    changes = {}
    if exclude.strip():
        without = door.train(door.table(table), target, excluded=channels(exclude), progress=progress(as_json))
        with interrupted() as stopped:
            changes = auditor.repeated(run, without, names, seeds=seeds, progress=progress(as_json), cancelled=stopped)
    if as_json:
        print_json(found.to_json() | {"changes": {name: change.to_json() for name, change in changes.items()}})
        return
    typer.echo(f"{' x '.join(found.attributes)}: {found.faces:,} test faces of the table {table}; 95 % intervals.")
    for one in (*found.by_group, found.overall):
        few = " (few faces: read with care)" if one.small else ""
        typer.echo(f"{one.name}: {one.count:,} faces, {one.by_class[0]:,} of class 0 and {one.by_class[1]:,} of class 1"
                   f"{few}")
        for name, title in METRICS.items():
            typer.echo(f"    {title:20} {_measured(one.measures[name])}")
    typer.echo("Gaps between groups:")
    for name, title in GAPS.items():
        typer.echo(f"    {title:30} {_measured(found.gaps[name])}")
    for name, change in changes.items():
        typer.echo(f"{(GAPS | METRICS)[name]}: {change.sentence}")


@verb(classifiers_app, "worked-example")
def worked_example(
    target: Annotated[str, typer.Option(help="What is predicted.")] = "smiling",
    sensitive: Annotated[str, typer.Option(help="What it goes with in training, nine to one.")] = "perceived_gender",
    table: TableName = "default",
    seeds: Annotated[int, typer.Option(min=1, max=50, help="How many seeds: each draws its training faces.")] = 5,
    faces: Annotated[int, typer.Option(min=0, help="Training faces a seed draws; 0 takes all it can.")] = 3000,
    base: Annotated[str, typer.Option(help="The classifier all share: catboost or logistic.")] = "catboost",
    out: Annotated[Path | None, typer.Option(help="A .md or .json to write.")] = None,
    as_json: Json = False,
) -> None:
    """Train where a target goes with an attribute, test where it does not: our exclusion beside standard remedies."""
    from img2tab_core import worked_example as example

    if out is not None:
        if out.suffix not in (".md", ".json"):
            raise Img2TabError(f"--out must end in .md or .json, got {out.name or out}.")
        check_out(out)
    with interrupted() as stopped:
        found = example.worked_example(
            studio().table(table), target, sensitive, seeds=range(seeds), faces=faces or None, base=base,
            progress=progress(as_json), cancelled=stopped)
    if out is not None:
        text = json.dumps(found.to_json(), indent=1) if out.suffix == ".json" else example.as_markdown(found)
        write(out, lambda file: file.write(text.encode()))
    print_json(found.to_json()) if as_json else typer.echo(example.as_markdown(found))


def _measured(measure: Measure) -> str:
    if measure.value is None:
        return f"not measurable: {measure.note}"
    note = f"  ({measure.note})" if measure.note else ""
    return f"{measure.value:.3f}  ({measure.low:.3f} to {measure.high:.3f}){note}"


@verb(classifiers_app)
def classifier(
    file: Annotated[Path, typer.Argument(help="An XGBoost model as JSON, for instance the published Img2Tab one.")],
    codes: Annotated[Path | None, typer.Option(help="An .npz of `img2tab encode`: the probability of each.")] = None,
    by: Annotated[str, typer.Option(help="Importance: gain (average) or total_gain.")] = "gain",
    top: Annotated[int, typer.Option(min=1, help="How many concepts.")] = 10,
    as_json: Json = False,
) -> None:
    """What a published classifier looks at, and what it says of style codes; `import classifier` puts it on a table."""
    from img2tab_core import classifiers
    from img2tab_core.names import of_channels
    from img2tab_core.scoring import top as top_of

    model = classifiers.open_published(file)
    importance = classifiers.importance(model, by=by)
    published = of_channels(model.n_features_in_)
    concepts = [
        {"index": i, "importance": float(importance[i]), "published_name": published[i].name if i in published else ""}
        for i in top_of(importance, top).tolist() if importance[i] > 0
    ]
    probabilities = [] if codes is None else model.predict_proba(style_codes(codes)[0])[:, 1].tolist()
    if as_json:
        print_json({"channels": model.n_features_in_, "by": by, "concepts": concepts,
                             "probabilities": probabilities})
        return
    typer.echo(f"Importance by {by.replace('_', ' ')}, {model.n_features_in_:,} channels:")
    for one in concepts:
        typer.echo(f"{one['importance']:8.4f}  {one['index']:5}  {one['published_name']}")
    for row, probability in enumerate(probabilities):
        typer.echo(f"row {row}: probability of class 1 {probability:.4f}")


def _text(found: Comparison) -> str:
    """A comparison for a terminal: one line per classifier, and what its numbers mean."""
    heads, *rows = _rows(found)
    lines = [" ".join([f"{row[0]:20}", *(f"{cell:>15}" for cell in row[1:])]).rstrip() for row in (heads, *rows)]
    return "\n".join([_setting(found), *lines, _meaning(found)])


def _markdown(found: Comparison) -> str:
    """The same for a page of Markdown."""
    heads, *rows = _rows(found)
    lines = ["| " + " | ".join(row) + " |" for row in (heads, ["---"] * len(heads), *rows)]
    return "\n".join([*lines, "", f"{_setting(found)} {_meaning(found)}", ""])


def _rows(found: Comparison) -> list[list[str]]:
    """The headings, then one row per classifier."""
    rows = [["", "accuracy, %", "AUC", "seconds", *(f"top {k}, %" for k in found.ks), "rank corr.",
             f"distance of {found.ks[-1]}"]]
    for one in found.contenders:
        last = len(found.ks) - 1
        cells = [one.reason] if one.reason else [value.text(scale, digits) or "none" for value, scale, digits in (
            (one.estimate("accuracy"), 100, 1), (one.estimate("auc"), 1, 4), (one.estimate("seconds"), 1, 1),
            *((one.estimate_at("overlap", at), 100, 0) for at in range(len(found.ks))),
            (one.estimate("rank_correlation"), 1, 3), (one.estimate_at("top_distance", last), 1, 2),
        )]
        rows.append([one.title, *cells, *[""] * (len(rows[0]) - 1 - len(cells))])
    return rows


def _setting(found: Comparison) -> str:
    return (f"{found.target}, table {found.table}: {found.faces:,} training faces a seed, {found.channels:,} concepts, "
            f"{found.test_faces:,} test faces; mean over {_seeds(found)}, ± half of the 95 % interval over seeds "
            "on the same test faces.")


def _seeds(found: Comparison) -> str:
    return f"{len(found.seeds)} seed{'' if len(found.seeds) == 1 else 's'}"


def _meaning(found: Comparison) -> str:
    chance = ", ".join(f"{100 * share:.2g} %" for share in found.chance)
    return (
        "Top k: share of the k concepts farthest apart between the classes (Wasserstein-1) that are among the k most "
        f"important; by chance {chance}. Rank corr.: Spearman, of importance with distance. Distance of "
        f"{found.ks[-1]}: mean of the most important ones, in standard deviations; {found.best_distance[-1]:.2f} is "
        "the most any ranking reaches. All concepts were offered to every classifier."
    )


WRITTEN = {                                                          # what a comparison is written as
    ".csv": lambda found: found.frame().to_csv(index=False),
    ".json": lambda found: json.dumps(found.to_json(), indent=1),
    ".md": _markdown,
}
