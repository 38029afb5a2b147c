"""`img2tab provenance`: what a picture says of how it came about, and whether its signature holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from img2tab_core.base.errors import Img2TabError
from img2tab_core.base.files import bytes_of
from img2tab_core.base.foreign import HEAD, described
from img2tab_core.cli import terminal
from img2tab_core.cli.terminal import Json, shown, verb

provenance_app = typer.Typer()
UNMARKED = "carries no mark of how it came about, which proves nothing: a mark is easily lost."


@verb(provenance_app)
def provenance(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Pictures: PNG, WebP or JPEG.")],
    trust: Annotated[
        Path | None,
        typer.Option(metavar="ROOT.pem", help="Certificates whose signers are known; without it nobody's is."),
    ] = None,
    as_json: Json = False,
) -> None:
    """What a picture says of how it came about: drawn by a generator or not, with what, what was moved in it, and who
    signed that. Ends with 1 where a signature does not hold."""
    from img2tab_core.faces import credentials, marks

    roots, pictures = b"" if trust is None else bytes_of(trust, "Name certificates."), []
    for file in files:
        data = bytes_of(file, "Name a picture.")
        try:
            mark = marks.read(data)
            signed = credentials.read(data, marks.KINDS[described(data[:HEAD])], roots)
        except Img2TabError as error:
            raise Img2TabError(f"{file}: {error}") from error
        pictures.append((file, mark, signed))
    lines = []
    for file, mark, signed in pictures:
        words = [mark.sentence if mark else UNMARKED]
        words += [signed.sentence, *([] if mark else [signed.says])] if signed else []
        lines.append(f"{shown(file)}: {shown(' '.join(words))}")
    content = [
        {"file": str(file), "mark": mark and mark.to_json(), "credentials": signed and signed.to_json()}
        for file, mark, signed in pictures
    ]
    terminal.answer({"pictures": content}, "\n".join(lines), as_json=as_json)
    if any(signed is not None and not signed.holds for _, _, signed in pictures):
        raise typer.Exit(1)


@verb(provenance_app)
def test_certificate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where chain.pem, key.pem and root.pem go.")],
    as_json: Json = False,
) -> None:
    """A certificate and a key to try signed pictures with, valid for a year; nobody else trusts it."""
    from img2tab_core.faces.credentials import CERTIFICATE, KEY, TEST_DAYS, make_test_certificate

    chain, key, root = make_test_certificate(folder)
    terminal.answer(
        {"certificate": str(chain), "key": str(key), "root": str(root), "days": TEST_DAYS},
        f"A certificate to try with, valid for {TEST_DAYS} days. Pictures are signed where the environment has\n"
        f"{CERTIFICATE}={shown(chain)}\n{KEY}={shown(key)}\n"
        f"and `img2tab provenance --trust {shown(root)} FILE` knows the signer.",
        as_json=as_json,
    )
