"""What stands between a browser and the pages: which hosts are answered, headers of every answer, health, metrics.

Nothing here knows a face or a name: the metrics are counts.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from dashboard.state import sign_in
from img2tab_core import __version__
from img2tab_core.base import jobs

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("localhost", "127.0.0.1", "::1")
HEALTH, METRICS = "/healthz", "/metrics"
IMPORTS = 30.0  # seconds that an upload waits for the libraries at most
KEEP_FOCUS = Path(__file__).parent / "components" / "keep_focus.html"

# What a page of ours may load: itself. Streamlit styles its elements in place; a component's script is a blob.
_POLICY = {
    "default-src": "'none'",
    "base-uri": "'self'",
    "connect-src": "'self'",
    "font-src": "'self' data:",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "img-src": "'self' data: blob:",
    "manifest-src": "'self'",
    "media-src": "'self' blob:",
    "script-src": "'self' blob:",
    "style-src": "'self' 'unsafe-inline'",
    "worker-src": "'self' blob:",
}
_ALWAYS = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_UPLOADS, _STATISTICS = "/_stcore/upload_file/", "/_stcore/metrics"
_FACES = ("/media/", _UPLOADS)  # no cache may keep what these answer
_SCRIPT = re.compile(r"<script(?:\s[^>]*)?>(.+?)</script>", re.DOTALL | re.IGNORECASE)


def content_security_policy() -> str:
    """The Content-Security-Policy of every answer; scripts written into Streamlit's page or ours are known by hash."""
    pages = (Path(streamlit.__file__).parent / "static" / "index.html", KEEP_FOCUS)
    scripts = [text for page in pages for text in _SCRIPT.findall(page.read_text(encoding="utf-8"))]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    policy = {**_POLICY, "script-src": " ".join([_POLICY["script-src"], *(f"'sha256-{value}'" for value in hashes)])}
    return "; ".join(f"{what} {sources}" for what, sources in policy.items())


def host_of(header: str) -> str:
    """The name in a Host header, without its port: "[::1]:8501" -> "::1"."""
    name = header.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.rpartition(":")[0] if name.count(":") == 1 else name


def is_allowed(host: str, names: Sequence[str]) -> bool:
    """Whether a host is one of the names; "*" is every host, "*.lab.example" every host below lab.example."""
    return any(
        name == "*" or host == name.lower() or (name.startswith("*.") and host.endswith(name[1:].lower()))
        for name in names
    )


class Guard:
    """ASGI middleware: a request for another host is refused, and every answer carries the headers.

    hosts: names by which browsers reach the server, see `is_allowed`. Without this a page of another site could
    have its own name resolve to this server, and read what it answers (DNS rebinding). imported: set once the libraries
    are there; an upload waits for it, since what an import takes of memory stays, with the traces of a photo that lay
    there before.
    """

    visitors = 0  # open websockets of this process, which is one for each browser tab

    def __init__(self, app: ASGIApp, hosts: Sequence[str], imported: threading.Event) -> None:
        self._app, self._hosts, self._imported = app, tuple(hosts), imported
        policy = {"content-security-policy": content_security_policy()}
        self._headers = [(name.encode(), value.encode()) for name, value in (_ALWAYS | policy).items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        if not is_allowed(host_of(given), self._hosts) and scope.get("path") != HEALTH:
            await self._refuse(scope, receive, send)
        elif not _may_pass(scope):
            await PlainTextResponse("Sign in first.\n", status_code=403)(scope, receive, self._adding(scope, send))
        elif scope["type"] == "websocket":
            Guard.visitors += 1
            try:
                await self._app(scope, receive, send)
            finally:
                Guard.visitors -= 1
        elif _UPLOADS in scope["path"]:
            if not self._imported.is_set():
                await asyncio.to_thread(self._imported.wait, IMPORTS)
            from dashboard.state import private  # its caches want the server to be up

            with private.overwriting():
                await self._app(scope, receive, self._adding(scope, send))
        else:
            await self._app(scope, receive, self._adding(scope, send))

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        text = "This server does not answer to that name. Start it with --host NAME to allow another one.\n"
        await PlainTextResponse(text, status_code=421)(scope, receive, self._adding(scope, send))

    def _adding(self, scope: Scope, send: Send) -> Send:
        set_here = [*self._headers]
        if scope["path"].startswith(_FACES):
            set_here.append((b"cache-control", b"no-store"))

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in set_here}
                kept = [(name, value) for name, value in message["headers"] if name.lower() not in names]
                message = {**message, "headers": [*kept, *set_here]}
            await send(message)

        return sending


def _may_pass(scope: Scope) -> bool:
    """Whether an upload is one of a visit that was let in, and the path is not Streamlit's own statistics.

    Streamlit takes files for any open page, also for one that only says that people sign in; and for its statistics,
    which `metrics` replaces, it walks through what every visit holds.
    """
    path = str(scope["path"])
    if path.endswith(_STATISTICS):
        return False
    _, found, rest = path.partition(_UPLOADS)
    return not found or sign_in.has_entered(rest.partition("/")[0])


def routes() -> list[Route]:
    """Health for who watches over the server, and metrics as Prometheus reads them; both are counts alone."""
    began = time.time()

    async def health(request: Request) -> Response:
        return Response(json.dumps({"status": "ok", "version": __version__}), media_type="application/json")

    async def metrics(request: Request) -> Response:
        figures = {
            "img2tab_visitors": (Guard.visitors, "browser tabs connected"),
            "img2tab_jobs_running": (jobs.running(), "background jobs that run or wait"),
            "img2tab_resident_bytes": (_resident(), "resident memory of the server"),
            "img2tab_up_seconds": (round(time.time() - began), "seconds since the server began"),
        }
        lines = []
        for name, (now, what) in figures.items():
            lines += [f"# HELP {name} {what}", f"# TYPE {name} gauge", f"{name} {now}"]
        return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")

    return [Route(HEALTH, health), Route(METRICS, metrics)]


def _resident() -> int:
    """Bytes of this process in memory; 0 where the system does not say so."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGESIZE")
