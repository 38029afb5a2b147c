"""`img2tab report ...`: a session handed over as one file, signed, and checked by whoever gets it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from img2tab_core.base.errors import Img2TabError
from img2tab_core.cli import terminal
from img2tab_core.cli.sessions import Name, Who, session_runs
from img2tab_core.cli.terminal import Json, shown, verb

WRITE = "write"
STATES = {"agrees": "ok     ", "differs": "DIFFERS", "not here": "unknown"}


class _WriteByItself(TyperGroup):
    """`img2tab report SESSION --html FILE` is `img2tab report write SESSION --html FILE`."""

    def parse_args(self, ctx, args):
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [WRITE, *args]
        return super().parse_args(ctx, args)


report_app = typer.Typer(
    cls=_WriteByItself,
    no_args_is_help=True,
    help="A session as one file to hand over: `img2tab report SESSION --html FILE`; sign it, and check one you got.",
)
File = Annotated[Path, typer.Argument(metavar="FILE", help="A report, .html.")]


@verb(report_app, WRITE)
def write(
    name: Name,
    html: Annotated[Path, typer.Option(help="The .html to write; a folder with its tables as CSV comes beside it.")],
    who: Who = None,
    as_json: Json = False,
) -> None:
    """A session as one file to hand over: question, groups, findings, what was excluded and why; takes minutes."""
    from img2tab_core.reports.report import write_report

    runs = session_runs()
    session = runs.sessions.open(name)
    with terminal.interrupted() as stopped:
        written = write_report(
            runs, session, html, who=who or terminal.me(), progress=terminal.progress(as_json), cancelled=stopped
        )
    tables = [str(file) for file in written.tables]
    terminal.answer(
        {
            "session": session.name,
            "html": str(written.html),
            "tables": tables,
            "exclusions": str(written.exclusions),
            "card": str(written.card),
            "machine": [str(file) for file in written.machine],
        },
        f"Report of {shown(session.name)}: {shown(written.html)}, {written.html.stat().st_size / 1e6:.1f} MB.\n"
        f"Beside it {terminal.count(len(tables), 'table')} as CSV, what is excluded, and for machines the "
        f"model card (CycloneDX 1.7) and the table (Croissant), in {shown(written.exclusions.parent)}; the model card: "
        f"{shown(written.card)}.",
        as_json=as_json,
    )


@verb(report_app)
def sign(
    file: File,
    key: Annotated[Path, typer.Option(help="Your private Ed25519 key, PEM.")],
    as_json: Json = False,
) -> None:
    """Write a signature of a report beside it, FILE.sig; the report stays as it is."""
    from img2tab_core.reports import evidence, signatures

    evidence.evidence_in(evidence.read_page(file), file)  # anything else is refused
    replaced = file.with_name(file.name + signatures.ENDING).is_file()
    signature = signatures.sign(file, key, password=lambda: typer.prompt("Password of the key", hide_input=True))
    terminal.answer(
        {"file": str(file), "signature": str(signature)},
        f"Signed: {shown(signature)}{', in place of the signature that was there' if replaced else ''}.\n"
        f"Whoever has your public key checks it: img2tab report verify {shown(file)} --public-key FILE",
        as_json=as_json,
    )


@verb(report_app)
def verify(
    file: File,
    public_key: Annotated[Path | None, typer.Option(help="Public key, PEM, of who is to have signed it.")] = None,
    signature: Annotated[Path | None, typer.Option(help="The signature; FILE.sig if not given.")] = None,
    as_json: Json = False,
) -> None:
    """Which parts of a report's evidence agree with the file and with this machine; exit code 1 where one differs."""
    from img2tab_core.reports import evidence, signatures

    if signature is not None and public_key is None:
        raise Img2TabError("A signature is checked with a key, got none: name --public-key as well.")
    checked = list(evidence.verify(file))
    beside = signature or file.with_name(file.name + signatures.ENDING)
    if public_key is not None and not beside.is_file():
        checked.append(evidence.Checked("signature", "not here", f"There is no signature {beside}."))
    elif public_key is not None:
        valid = signatures.is_signed_by(file, beside, public_key)
        checked.append(
            evidence.Checked(
                "signature",
                "agrees" if valid else "differs",
                f"Signed with the key of {public_key}." if valid else f"Not signed with the key of {public_key}.",
            )
        )
    else:
        checked.append(
            evidence.Checked("signature", "not here", "Who stands for it is not checked: name --public-key.")
        )
    differing = [part for part in checked if part.state == "differs"]
    unknown = [part for part in checked if part.state == "not here"]
    agreeing = len(checked) - len(differing) - len(unknown)
    differ = "differs" if len(differing) == 1 else "differ"
    sentence = (
        f"{agreeing} of {len(checked)} parts agree, {len(differing)} {differ}, {len(unknown)} cannot be checked here."
    )
    rows = [f"{STATES[part.state]}  {part.part}: {shown(part.sentence)}" for part in checked]
    terminal.answer(
        {"file": str(file), "parts": [asdict(part) for part in checked], "sentence": sentence},
        "\n".join([sentence, *rows]),
        as_json=as_json,
    )
    if differing:
        raise typer.Exit(1)
