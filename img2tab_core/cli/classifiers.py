"""The verbs that question classifiers: compare kinds, and open one that somebody published."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from img2tab_core.cli import many_classes, terminal
from img2tab_core.cli.terminal import (
    Address,
    EngineName,
    Json,
    TableName,
    Workers,
    answer,
    check_table,
    count,
    interrupted,
    listed,
    print_json,
    progress,
    studio,
    style_codes,
    verb,
)

if TYPE_CHECKING:
    from img2tab_core.base.engines import Engine
    from img2tab_core.base.records import StyleTable
    from img2tab_core.classifiers.comparison import Comparison

classifiers_app = typer.Typer()

ON_CLUSTER = 64  # shards on a cluster that runs elsewhere, where nobody said how many


@verb(classifiers_app)
def compare(
    target: Annotated[str, typer.Option(help="What to predict.")],
    table: TableName = "default",
    classifiers: Annotated[str, typer.Option(metavar="A,B", help="Kinds, commas between; all if not given.")] = "",
    seeds: Annotated[int, typer.Option(min=1, max=50, help="How many seeds; 0, 1, ... are used.")] = 3,
    faces: Annotated[int, typer.Option(min=0, help="Training faces each seed samples; 0 takes all.")] = 4000,
    out: Annotated[Path | None, typer.Option(help="A .csv, .json or .md to write.")] = None,
    as_json: Json = False,
) -> None:
    """Several kinds of classifier on the same faces: who judges best, whose importance finds what differs?"""
    from img2tab_core.classifiers.kinds import KINDS

    check_table(out)
    kinds = listed(classifiers) or list(KINDS)
    door = studio()
    with interrupted() as stopped:
        comparison = door.trainer.compare(
            door.table(table),
            target,
            kinds=kinds,
            seeds=range(seeds),
            faces=faces or None,
            progress=progress(as_json),
            cancelled=stopped,
        )
    answer(
        comparison.to_json(),
        _text(comparison),
        as_json=as_json,
        out=out,
        frame=comparison.frame(),
        markdown=_markdown(comparison),
    )


@verb(classifiers_app)
def classifier(
    file: Annotated[Path, typer.Argument(help="An XGBoost model as JSON, for instance the published Img2Tab one.")],
    codes: Annotated[Path | None, typer.Option(help="An .npz of `img2tab encode`: the probability of each.")] = None,
    by: Annotated[str, typer.Option(help="Importance: gain (average) or total_gain.")] = "gain",
    top: Annotated[int, typer.Option(min=1, help="How many concepts.")] = 10,
    as_json: Json = False,
) -> None:
    """What a published classifier looks at, and what it says of style codes; `import classifier` puts it on a table."""
    from img2tab_core.classifiers import measures, xgboost
    from img2tab_core.concepts.names import of_channels
    from img2tab_core.concepts.scores import top as top_of

    model = xgboost.open_published(file)
    importance = measures.importance(model, by=by)
    published = of_channels(model.n_features_in_)
    concepts = [
        {"index": i, "importance": float(importance[i]), "published_name": published[i].name if i in published else ""}
        for i in top_of(importance, top).tolist()
        if importance[i] > 0
    ]
    probabilities = [] if codes is None else model.predict_proba(style_codes(codes)[0])[:, 1].tolist()
    if as_json:
        print_json({"channels": model.n_features_in_, "by": by, "concepts": concepts, "probabilities": probabilities})
        return
    typer.echo(f"Importance by {by.replace('_', ' ')}, {model.n_features_in_:,} channels:")
    for concept in concepts:
        typer.echo(f"{concept['importance']:8.4f}  {concept['index']:5}  {concept['published_name']}")
    for row, probability in enumerate(probabilities):
        typer.echo(f"row {row}: probability of class 1 {probability:.4f}")


def _text(comparison: Comparison) -> str:
    """A comparison for a terminal: one line per classifier, and what its numbers mean."""
    heads, *rows = _rows(comparison)
    lines = [" ".join([f"{row[0]:20}", *(f"{cell:>15}" for cell in row[1:])]).rstrip() for row in (heads, *rows)]
    return "\n".join([_setting(comparison), *lines, _meaning(comparison)])


def _markdown(comparison: Comparison) -> str:
    """The same for a page of Markdown."""
    heads, *rows = _rows(comparison)
    lines = ["| " + " | ".join(row) + " |" for row in (heads, ["---"] * len(heads), *rows)]
    return "\n".join([*lines, "", f"{_setting(comparison)} {_meaning(comparison)}", ""])


def _rows(comparison: Comparison) -> list[list[str]]:
    """The headings, then one row per classifier."""
    rows = [
        [
            "",
            "accuracy, %",
            "AUC",
            "seconds",
            *(f"top {k}, %" for k in comparison.ks),
            "rank corr.",
            f"distance of {comparison.ks[-1]}",
        ]
    ]
    for contender in comparison.contenders:
        last = len(comparison.ks) - 1
        cells = (
            [contender.reason]
            if contender.reason
            else [
                value.text(scale, digits) or "none"
                for value, scale, digits in (
                    (contender.estimate("accuracy"), 100, 1),
                    (contender.estimate("auc"), 1, 4),
                    (contender.estimate("seconds"), 1, 1),
                    *((contender.estimate_at("overlap", at), 100, 0) for at in range(len(comparison.ks))),
                    (contender.estimate("rank_correlation"), 1, 3),
                    (contender.estimate_at("top_distance", last), 1, 2),
                )
            ]
        )
        rows.append([contender.title, *cells, *[""] * (len(rows[0]) - 1 - len(cells))])
    return rows


def _setting(comparison: Comparison) -> str:
    return (
        f"{comparison.target}, table {comparison.table}: {comparison.faces:,} training faces a seed, "
        f"{comparison.channels:,} channels, {comparison.test_faces:,} test faces; mean over "
        f"{count(len(comparison.seeds), 'seed')}, ± half of the 95 % interval over seeds on the same test faces."
    )


def _meaning(comparison: Comparison) -> str:
    chance = ", ".join(f"{100 * share:.2g} %" for share in comparison.chance)
    return (
        "Top k: share of the k concepts farthest apart between the classes (Wasserstein-1) that are among the k most "
        f"important; by chance {chance}. Rank corr.: Spearman, of importance with distance. Distance of "
        f"{comparison.ks[-1]}: mean of the most important ones, in standard deviations; "
        f"{comparison.best_distance[-1]:.2f} is the most any ranking reaches. All concepts were offered to every "
        "classifier."
    )


@verb(classifiers_app)
def scores(
    target: Annotated[str, typer.Option(help="What is predicted.")],
    table: TableName = "default",
    top: Annotated[int, typer.Option(min=1, help="How many concepts.")] = 20,
    shards: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Measure the distances anew over so many ranges of rows: the same numbers to the last bit. "
            "One for each worker if not given, 64 on a cluster.",
        ),
    ] = None,
    engine: EngineName = "local",
    workers: Workers = None,
    address: Address = "",
    as_json: Json = False,
) -> None:
    """Concepts ranked by Wasserstein-1 distance, with their importance."""
    import numpy as np

    from img2tab_core.base.engines import HERE, Engine
    from img2tab_core.base.process_workers import cores

    who, studio = Engine(engine, workers, address), terminal.studio()
    style_table = studio.table(table)
    over = None
    if shards is not None or who != Engine():
        others = who if who != Engine() else HERE  # nobody asked for other processes
        over = _over_shards(
            style_table, target, shards or workers or (ON_CLUSTER if address else cores()), others, as_json=as_json
        )
    run = studio.run(style_table, target, progress=terminal.progress(as_json))
    ranking = studio.scores(run)
    names = studio.concept_names(style_table.backbone)
    order = np.argsort(-ranking.distance, kind="stable")[:top]
    apart = studio.trainer.classes_apart(style_table, target)
    rows = [
        terminal.concept(style_table, names, int(i))
        | ({"between": list(apart[int(i)])} if apart else {})
        | {
            "distance": float(ranking.distance[i]),
            "direction": float(ranking.direction[i]),
            "importance": float(ranking.importance[i]),
        }
        for i in order
    ]
    if as_json:
        terminal.print_json(
            {"table": table, "target": target, "concepts": rows} | ({"over_shards": over} if over else {})
        )
        return
    if over:
        typer.echo(_what_shards_sent(over))
    typer.echo("distance  importance  concept      (distance: Wasserstein-1 between the classes, standard deviations)")
    for row in rows:
        between = f"  ({' and '.join(row['between'])})" if "between" in row else ""
        typer.echo(f"{row['distance']:8.3f}  {row['importance']:9.2%}  {terminal.title(row)}{between}")


def _over_shards(table: StyleTable, target: str, shards: int, engine: Engine, *, as_json: bool) -> dict:
    """Distances measured and kept over ranges of rows, and what that took, as JSON has it."""
    import numpy as np

    from img2tab_core.concepts.scores import over_shards
    from img2tab_core.tables import faces_of

    with interrupted() as stopped:
        answer = over_shards(
            faces_of(table, target), shards, engine=engine, progress=progress(as_json), stopped=stopped
        )
    bound = (answer.high - answer.low) / 2
    return {
        "shards": shards,
        "bound": float(bound.max()),
        "bound_median": float(np.median(bound)),
        "open_buckets": answer.open_buckets,
        "bytes": answer.sent._asdict(),
    }


def _what_shards_sent(over: dict) -> str:
    counted, looked_into = over["bytes"]["ends"] + over["bytes"]["counts"], over["bytes"]["open_faces"]
    return (
        f"Distances over {count(over['shards'], 'shard')}: known within {over['bound']:.2g} standard deviations "
        f"(median {over['bound_median']:.1g}) after {counted / 1e6:,.1f} MB, exact after {looked_into / 1e6:,.1f} MB "
        "more."
    )


@verb(classifiers_app)
def train(
    target: Annotated[str, typer.Option(help="What to predict.")],
    out: Annotated[Path, typer.Option(help="Folder for the trained run.")],
    table: TableName = "default",
    exclude: Annotated[
        str, typer.Option(metavar="I,J|@FILE", help="Channels to train without: numbers, or a shared list.")
    ] = "",
    erase: terminal.Erase = "",
    balance: terminal.Balance = False,
    copies: terminal.Copies = False,
    classifier: Annotated[
        str, typer.Option(help="Its kind: catboost, xgboost, lightgbm, tabnet, forest, logistic.")
    ] = "catboost",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the training.")] = 0,
    rows: Annotated[
        int | None,
        typer.Option(min=2, help="Train on so many of the training faces, sampled with the classes in proportion."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a classifier, without some concepts if asked; measured on the test split."""
    from dataclasses import asdict

    from img2tab_core.classifiers.runs import save_run
    from img2tab_core.tables import any_target_of

    studio = terminal.studio()
    style_table = studio.table(table)
    excluded = terminal.channels(exclude, style_table)
    treatment = terminal.treatment(erase, exclude or "", style_table, balance=balance, copies=copies)
    run = studio.train(
        style_table,
        target,
        kind=classifier,
        excluded=excluded,
        treatment=treatment,
        seed=seed,
        rows=rows,
        progress=terminal.progress(as_json),
    )
    save_run(run, out)
    about = {
        "out": str(out),
        "target": target,
        "classifier": classifier,
        "excluded": sorted(excluded),
        "treatment": treatment.to_json(),
        "seed": seed,
        "rows": run.rows,
        "seconds": run.seconds,
    } | asdict(run.metrics)
    if as_json:
        terminal.print_json(about)
        return
    low, high = run.metrics.interval
    typer.echo(
        f"Accuracy {run.metrics.accuracy:.1%} (95 % interval {low:.1%} to {high:.1%}), AUC {run.metrics.auc:.4f}, "
        f"log-loss {run.metrics.log_loss:.4f} on {run.metrics.count:,} test faces; {len(excluded)} channels excluded"
        f"{terminal.treated(treatment, style_table)}; {run.seconds:.1f} s; in {out}."
    )
    if run.rows is not None:
        typer.echo(run.note)
    if several := many_classes.about_metrics(any_target_of(style_table, target), run.metrics):
        typer.echo(several)
