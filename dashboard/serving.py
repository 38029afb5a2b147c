"""Streamlit's server; what the pages import is imported while the first browser is still on its way."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import inspect
import signal
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import streamlit
from starlette.middleware import Middleware

from dashboard.hardening import LOOPBACK, Guard, routes
from dashboard.state import sign_in
from img2tab_core.base import jobs, persons
from img2tab_core.base.errors import Cancelled, Img2TabError

PAGE = Path(__file__).with_name("app.py")
PLACES = (Path.home(), PAGE.parents[1])  # where .streamlit/secrets.toml is looked for; the last has the last word
# the first page first, then what its answers come from
AHEAD = (
    "dashboard.app",
    "dashboard.views.inspect",
    "img2tab_core.classifiers.measures",
    "catboost",
    "img2tab_core.backbones.refinement",
)
_IMPORTED = threading.Event()  # all of AHEAD


def main() -> None:
    """`python -m dashboard.serving ADDRESS PORT [--ready] [--host NAME]... [--secrets FILE]`; see `img2tab serve`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--ready", action="store_true")
    parser.add_argument("--open", action="store_true")
    parser.add_argument("--host", action="append", default=[])
    parser.add_argument("--secrets", action="append", default=[])
    asked = parser.parse_args()
    with _sentences():
        hosts, who, files = _admitted(asked)
        if asked.ready:  # in this process because it imports what the pages need as well
            _fetch_and_build()
    if files:
        sign_in.require(files)
    # a picture is drawn in a hundred steps, each of which waits for Python where a training uses it: a tenth as long
    sys.setswitchinterval(0.0005)
    print(who)
    print(f"Dashboard: http://{asked.address}:{asked.port}   (stop with Ctrl+C)", flush=True)

    served = streamlit.App(PAGE, lifespan=_lifespan, routes=routes(), middleware=[Middleware(Guard, hosts, _IMPORTED)])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # raised again once the server has ended
    sys.argv = [str(PAGE)]  # beside it no settings are looked for but ours
    served.run(
        config={
            "server.address": asked.address,
            "server.port": asked.port,
            "server.allowedHosts": hosts,
            "logger.hideWelcomeMessage": True,  # it would ask a host on the internet for this one's address
            "secrets.files": [str(file) for file in files],  # those that were checked, and no other
        }
    )


@contextlib.asynccontextmanager
async def _lifespan(app: streamlit.App) -> AsyncIterator[None]:
    """While the server is up. At its end jobs are asked to stop and given time: a session marks its run so."""
    threading.Thread(target=_import_ahead, name="img2tab-imports", daemon=True).start()
    yield
    if left := jobs.running():
        print(f"Stopping: {left} job{'s' * (left != 1)} still running, cancelled and marked so.", flush=True)
        await asyncio.to_thread(jobs.end_all)


@contextlib.contextmanager
def _sentences() -> Iterator[None]:
    """A mistake is one sentence and exit status 1."""
    try:
        yield
    except Img2TabError as error:
        print(
            "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(error)),
            file=sys.stderr,
        )
        raise SystemExit(130 if isinstance(error, Cancelled) else 1) from error


def _admitted(asked: argparse.Namespace) -> tuple[list[str], str, list[Path]]:
    """(the hosts that are answered, who may come in a sentence, the files of sign-in where people sign in).

    Raises Img2TabError where a server would be open to others without anybody meaning it.
    """
    files = [Path(file) for file in asked.secrets] or [place / ".streamlit" / "secrets.toml" for place in PLACES]
    if missing := [str(file) for file in asked.secrets if not Path(file).is_file()]:
        raise Img2TabError(f"There is no file {missing[0]}. Name the file with [auth] and [access] in --secrets.")
    settings = persons.read_settings(files)
    access = persons.checked_access(settings)
    if access is None:
        if asked.secrets:
            raise Img2TabError(f"{asked.secrets[0]} has no [auth], so nobody would have to sign in. Add it.")
        others = [name for name in (asked.address, *asked.host) if name not in LOOPBACK]
        if not others:
            return [*LOOPBACK], "Listening on this computer only. Nobody has to sign in.", []
        if not asked.open:
            raise Img2TabError(
                f"Nobody has to sign in, so the dashboard listens on this computer only, and not for {others[0]}. "
                "Configure sign-in (docs/how-to/on-a-server.md), or say --open to let in everybody who reaches it."
            )
        warning = "Warning: everybody who reaches this address may use the app, and see every session."
        return [*LOOPBACK, *asked.host] if asked.host else ["*"], warning, []
    try:
        importlib.import_module("authlib")
    except ImportError as error:
        raise Img2TabError("Sign-in needs the package Authlib. Run `pip install -e .[auth]`.") from error
    back = urlsplit(str(settings["auth"]["redirect_uri"])).hostname
    hosts = [*LOOPBACK, *asked.host, *([back] if back else [])]
    who = f"People sign in: {len(access.auditors)} entries of auditors, {len(access.viewers)} of viewers."
    return hosts, who, [file for file in files if file.is_file()]


def _fetch_and_build() -> None:
    from img2tab_core import weights
    from img2tab_core.classifiers.runs import any_kept
    from img2tab_core.tables.population import build_default_table, is_current

    weights.fetch(progress=_report)
    if any_kept("default") and is_current():  # at every start: what is there must not cost what would make it
        return
    from img2tab_core.studio import Studio

    studio = Studio()
    build_default_table(studio.backbone, progress=_report)
    table = studio.table("default")
    studio.run(table, table.targets[0].name, progress=_report)


def _report(fraction: float, text: str) -> None:
    """A bar on standard error that is written over; nothing where no person is watching."""
    if sys.stderr.isatty():
        end = "" if fraction < 1 else "\n"
        print(f"\r\033[K[{'#' * int(20 * fraction):20}] {fraction:4.0%}  {text}", end=end, file=sys.stderr, flush=True)


def _import_ahead() -> None:
    try:
        for name in AHEAD:
            importlib.import_module(name)
            inspect.stack()  # Streamlit asks for it before the first heading; what it reads of the modules is kept
    finally:
        _IMPORTED.set()


if __name__ == "__main__":
    main()
