"""The verb of the planted benchmark: is what a classifier reacts to found, by ours and by the usual methods?"""

from __future__ import annotations

import json
import platform
import time
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from img2tab_core.base.errors import Cancelled, Img2TabError
from img2tab_core.cli import terminal
from img2tab_core.cli.terminal import Json, TableName, verb

planted_app = typer.Typer()


@verb(planted_app)
def planted(
    count: Annotated[int, typer.Option(min=1, help="How many networks with something planted.")] = 20,
    controls: Annotated[int, typer.Option(min=0, help="How many without.")] = 8,
    seed: Annotated[
        int, typer.Option(min=0, help="The first seed: 200 for those that are quoted, below for development.")
    ] = 200,
    table: TableName = "default",
    out: Annotated[
        Path, typer.Option(help="The page, Markdown, or the figures, JSON; the other one goes beside it.")
    ] = Path("assets/planted.md"),
    as_json: Json = False,
) -> None:
    """Train small networks with a shortcut planted, and count which method finds it; goes on where it was stopped."""
    import torch

    from img2tab_core import __version__
    from img2tab_core.base.files import write_text
    from img2tab_core.training.measuring import planted as benchmark
    from img2tab_core.training.measuring import planted_score

    if out.suffix not in (".md", ".json"):
        raise Img2TabError(f"--out must end in .md or .json, got {out}.")
    torch.set_num_threads(1)
    show = terminal.progress(as_json)
    networks, began = benchmark.plants_of(count, controls, seed), time.perf_counter()

    def tell(share: float, text: str) -> None:
        typer.echo(f"{share:4.0%} {time.perf_counter() - began:6.0f} s  {text}", err=True)

    with terminal.interrupted() as stop:
        made = benchmark.bench(terminal.studio(), table_name=table, progress=show, cancelled=stop)
        records = benchmark.measure(made, networks, progress=tell, cancelled=stop)
    options = "" if table == "default" else f" --table {table}"
    about = {
        "made_by": f"img2tab planted --count {count} --controls {controls} --seed {seed}{options}",
        "day": date.today().isoformat(),
        "machine": f"{_processor()}, one core",
        "families": len(made.ids),
        "split": benchmark.split_text(seed),
        "version": __version__,
    }
    if len(records) < len(networks):
        raise Cancelled(
            f"Stopped after {len(records)} of {len(networks)} networks; their records are kept. The same command goes "
            "on."
        )
    figures = {
        "about": about,
        "scores": [score.to_json() for score in planted_score.scores(records)],
        "failures": planted_score.failures(records),
        "networks": [planted_score.told(record) for record in records],
    }
    write_text(out.with_suffix(".json"), json.dumps(figures, indent=1) + "\n")
    text = planted_score.page(records, about)
    write_text(out.with_suffix(".md"), text)
    if as_json:
        terminal.print_json(figures)
    else:
        typer.echo(text)
        typer.echo(f"{out.with_suffix('.md')} and {out.with_suffix('.json')} are written.")


def _processor() -> str:
    """The name of the processor, as Linux has it."""
    try:
        listed = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        listed = []
    names = (line.split(":", 1)[1].strip() for line in listed if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
