"""The verb that says before an audit what the faces there are can show, and how many it takes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from img2tab_core.cli import terminal
from img2tab_core.cli.audits import Out, Target
from img2tab_core.cli.terminal import Json, TableName, verb

power_app = typer.Typer()


@verb(power_app)
def power(
    target: Target,
    sensitive: Annotated[str, typer.Option(metavar="A[,B]", help="One or two targets that form the groups.")],
    table: TableName = "default",
    gap: Annotated[float, typer.Option(min=0.1, max=99, help="The gap to look for, in points.")] = 5.0,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """How many faces do I need? The smallest gap the test faces can show, and how many a given one takes."""
    import pandas as pd

    from img2tab_core import tables
    from img2tab_core.audits.auditor import Auditor
    from img2tab_core.audits.power import ASSUMED, sentence_of

    terminal.check_table(out)
    door = terminal.studio()
    style_table = door.table(table)
    classes = tables.target_of(style_table, target).classes
    pairs = Auditor(door).seeable(style_table, target, terminal.listed(sensitive), wanted=gap / 100)
    sentences = [sentence_of(pair, classes, assumed=pair.rate == ASSUMED) for pair in pairs]
    content = [
        asdict(pair) | {"too_few": pair.too_few, "sentence": told} for pair, told in zip(pairs, sentences, strict=True)
    ]
    frame = pd.DataFrame(
        [
            {
                "labelled": classes[pair.label],
                "group": pair.groups[0],
                "faces": pair.faces[0],
                "other group": pair.groups[1],
                "faces of it": pair.faces[1],
                "smallest gap, points": None if pair.smallest is None else 100 * pair.smallest,
                f"faces for {gap:g} points": None if pair.needed is None else sum(pair.needed),
            }
            for pair in pairs
        ]
    )
    terminal.answer({"pairs": content}, "\n".join(sentences), as_json=as_json, out=out, frame=frame)
