"""The served dashboard as an administrator meets it: who is answered, with which headers, what is told, how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest

from dashboard.hardening import Guard, content_security_policy, host_of, is_allowed
from dashboard.state import sign_in
from img2tab_core.sessions.store import Sessions
from tests import browser


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    browser.furnish(folder, "quantized", "screens")
    return folder


@pytest.fixture(scope="module")
def address(home):
    with browser.dashboard(home, small=True) as where:
        yield where


def _get(url: str, host: str = "") -> tuple[int, dict[str, str], str]:
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, dict(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read().decode()


def test_every_answer_carries_7_headers_and_scripts_are_allowed_by_hash_alone(address):
    for path in ("/", "/healthz", "/_stcore/health", "/media/nothing.png", "/static/nothing.js"):
        _, headers, _ = _get(address + path)
        assert headers["content-security-policy"] == content_security_policy()
        assert headers["x-frame-options"] == "DENY" and headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer" and "geolocation=()" in headers["permissions-policy"]
        assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
        assert ("no-store" in headers.get("cache-control", "")) == path.startswith("/media")
    policy = dict(part.split(" ", 1) for part in content_security_policy().split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in policy["script-src"] and policy["script-src"].count("'sha256-") == 2


def test_a_request_for_another_host_is_refused_as_is_its_websocket_and_3_names_of_this_computer_are_answered(address):
    port = address.rpartition(":")[2]
    for host in ("localhost", "127.0.0.1", "[::1]"):
        assert _get(address, f"{host}:{port}")[0] == 200
    for host in ("evil.test", "localhost.evil.test", "127.0.0.1.evil.test", ""):
        status, _, text = _get(address, host or " ")
        assert status in (400, 421) and "<html" not in text
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    for headers in ({"Host": "evil.test"}, {"Origin": "http://evil.test"}):
        with pytest.raises(InvalidStatus, match="HTTP 40"):
            connect(address.replace("http", "ws") + "/_stcore/stream", additional_headers=headers)


def test_host_names_are_compared_whole_and_a_star_stands_for_what_is_below():
    assert [host_of(text) for text in ("A.test:80", "[::1]:80", "::1", "a.test")] == ["a.test", "::1", "::1", "a.test"]
    assert is_allowed("x.lab.test", ["*.lab.test"]) and is_allowed("any", ["*"])
    assert not any(is_allowed(host, ["*.lab.test", "a.test"]) for host in ("lab.test", "b.a.test", "evillab.test", ""))


def test_of_2_requests_before_the_libraries_are_imported_the_upload_waits_for_them(monkeypatch):
    answered, imported = [], threading.Event()
    monkeypatch.setattr(sign_in, "has_entered", lambda visit: True)

    async def app(scope, receive, send):
        answered.append((scope["path"], imported.is_set()))

    async def both(guard: Guard) -> None:
        head = {"type": "http", "headers": [(b"host", b"localhost")]}
        upload = asyncio.create_task(guard({**head, "path": "/_stcore/upload_file/visit/file"}, None, None))
        await guard({**head, "path": "/media/face.webp"}, None, None)
        await asyncio.sleep(0.1)
        imported.set()
        await upload

    asyncio.run(both(Guard(app, ["localhost"], imported)))
    assert answered == [("/media/face.webp", False), ("/_stcore/upload_file/visit/file", True)]


def test_health_and_metrics_are_4_counts_and_hold_no_name(address):
    status, _, text = _get(f"{address}/healthz", "whoever.test")
    assert status == 200 and text == '{"status": "ok", "version": "0.1.0"}'
    status, _, text = _get(f"{address}/metrics")
    lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
    assert status == 200 and [name for name, _ in lines] == [
        "img2tab_visitors",
        "img2tab_jobs_running",
        "img2tab_resident_bytes",
        "img2tab_up_seconds",
    ]
    assert all(value.isdigit() for _, value in lines) and int(lines[2][1]) > 50e6


@pytest.mark.slow
@pytest.mark.browser
def test_asked_to_stop_while_1_comparison_runs_it_says_so_ends_within_20_s_and_keeps_the_session(home):
    if browser.chromium() is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    port = browser.free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "img2tab_core.cli.main", "serve", "--port", str(port)],
        cwd=browser.ROOT,
        env={**os.environ, "IMG2TAB_HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        for _ in range(400):
            try:
                _get(f"http://127.0.0.1:{port}/healthz")
                break
            except OSError:
                time.sleep(0.05)
        with browser.page(f"http://127.0.0.1:{port}") as page:
            page.get_by_role("link", name="Sessions").click()
            page.get_by_placeholder("Smile detector, May").fill("Cut off")
            page.get_by_role("textbox", name="Your name").fill("Ann")
            page.get_by_role("button", name="Begin", exact=True).click()
            page.get_by_role("heading", name="Cut off").wait_for()
            browser.settle(page)
            page.get_by_role("link", name="Compare").click()
            page.get_by_role("button", name="Compare", exact=False).last.click()
            page.get_by_test_id("stProgress").first.wait_for()
            began = time.monotonic()
            server.send_signal(signal.SIGTERM)
            assert server.wait(20) == 0
        assert time.monotonic() - began < 20
        assert "still running, cancelled and marked so." in server.stdout.read()
    finally:
        server.kill()
    assert [session.name for session in Sessions(f"sqlite:///{home}/sessions.db").list()] == ["Cut off"]
