"""What the product is built from: every package locked with its hashes, audited where a service can be asked, and a
container file that keeps its rules."""

from __future__ import annotations

import http.server
import json
import re
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCKS = {name: ROOT / name for name in ("requirements.lock", "docs/deploy/requirements.lock")}
AUDIT = ROOT / ".ci" / "audit"
ENTRY = re.compile(r"^(?P<name>[a-z0-9][a-z0-9.-]*)==(?P<version>[^ ;\\]+)(?P<rest>(?:.*\\\n)*.*)$", re.MULTILINE)
LOCKED = "".join(f"{name}==1.0 \\\n    --hash=sha256:{'0' * 64}\n" for name in ("good-one", "bad-one"))


def locked(file: Path) -> dict[tuple[str, str], list[str]]:
    """(name, version) -> sha256 hashes of a lock file; a few packages have another version for a newer Python."""
    return {
        (entry["name"], entry["version"]): re.findall(r"--hash=sha256:([0-9a-f]{64})\b", entry["rest"])
        for entry in ENTRY.finditer(file.read_text())
    }


# --- the lock -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOCKS)
def test_every_entry_of_a_lock_has_at_least_1_hash_and_the_file_names_no_host_and_no_folder(name):
    text, entries = LOCKS[name].read_text(), locked(LOCKS[name])
    lines = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert len(lines) == len(entries) > 100  # each line that is none of the hashes is an entry
    assert [entry for entry, hashes in entries.items() if not hashes] == []
    assert not re.search(r"://|index-url|find-links|^-e|/work|/tmp|pypi", text, re.MULTILINE)


def test_every_pin_of_requirements_txt_is_locked_at_its_version():
    pins = [
        Requirement(line)
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if line and not line.startswith(("#", "-e"))
    ]
    versions = dict(locked(LOCKS["requirements.lock"]).keys())
    assert len(pins) > 30
    assert {pin.name: str(pin.specifier) for pin in pins} == {
        pin.name: f"=={versions.get(canonicalize_name(pin.name))}" for pin in pins
    }


def test_what_a_server_is_built_from_is_a_part_of_the_lock_and_has_what_the_product_asks_for_but_no_tools_of_tests():
    server, every = (locked(file) for file in reversed(LOCKS.values()))
    assert server.items() <= every.items()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [Requirement(line) for line in project["dependencies"]]
    asked += [Requirement(line) for extra in ("compare", "postgres", "sign", "auth", "c2pa") for line in extras[extra]]
    versions = dict(server.keys())
    for need in asked:
        assert need.specifier.contains(versions[canonicalize_name(need.name)]), need
    assert not {"pytest", "ruff", "mypy", "playwright", "zensical", "pip-audit"} & set(versions)


def test_a_changed_hash_is_refused_by_pip_before_anything_is_installed(tmp_path):
    """A wheel of one file, made here: pip takes it by its sha256, and not by another."""
    from hashlib import sha256
    from zipfile import ZipFile

    wheel = tmp_path / "tiny_thing-1.0-py3-none-any.whl"
    with ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_thing.py", "")
        archive.writestr("tiny_thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1.0\n")
        archive.writestr(
            "tiny_thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("tiny_thing-1.0.dist-info/RECORD", "")
    lock = tmp_path / "one.lock"
    right = sha256(wheel.read_bytes()).hexdigest()
    done = []
    for digest in (right, "0" * 64):
        lock.write_text(f"tiny-thing==1.0 \\\n    --hash=sha256:{digest}\n")
        words = ["--no-index", "--find-links", str(tmp_path), "--target", str(tmp_path / digest[:8]), "-r", str(lock)]
        done.append(
            subprocess.run(
                [sys.executable, "-m", "pip", "install", "--require-hashes", "--no-deps", *words],
                capture_output=True,
                text=True,
                timeout=60,
            )
        )
    assert done[0].returncode == 0 and (tmp_path / right[:8] / "tiny_thing.py").is_file()
    assert done[1].returncode != 0 and "DO NOT MATCH THE HASHES" in done[1].stderr
    assert not (tmp_path / "00000000").exists()


# --- the audit ----------------------------------------------------------------------------------------


@contextmanager
def service(flawed: str = "", seconds: float = 0) -> Iterator[str]:
    """The address of a service on this machine that speaks OSV's form; it knows one flaw, and takes its time."""

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            time.sleep(seconds)
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["package"]["name"]
            ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}]
            flaw = {
                "id": "TEST-2026-1",
                "summary": "a flaw",
                "affected": [{"package": {"name": asked, "ecosystem": "PyPI"}, "ranges": ranges}],
            }
            body = json.dumps({"vulns": [flaw]} if asked == flawed else {}).encode()
            with suppress(OSError):  # who asked may have given up
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        server.server_close()


def audit(tmp_path: Path, address: str, *options: str, text: str = LOCKED) -> subprocess.CompletedProcess:
    file = tmp_path / "some.lock"
    file.write_text(text)
    return subprocess.run(
        [sys.executable, str(AUDIT), str(file), *options],
        env={"PIP_AUDIT_VULNERABILITY_SERVICE": "osv", "PIP_AUDIT_OSV_URL": address, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_2_locked_packages_of_which_nothing_is_known_pass_and_1_known_flaw_ends_the_audit_with_1(tmp_path):
    with service() as address:
        done = audit(tmp_path, address)
    assert (done.returncode, done.stdout) == (0, "No vulnerability is known in 2 locked packages.\n"), done.stderr
    with service(flawed="bad-one") as address:
        done = audit(tmp_path, address)
    assert (done.returncode, done.stdout.splitlines()) == (
        1,
        ["bad-one 1.0: TEST-2026-1, mended in 1.1", "1 vulnerabilities are known in 2 locked packages."],
    )


def test_without_an_answer_1_line_says_that_the_audit_was_skipped_and_only_strict_ends_with_1(tmp_path):
    nobody = "http://127.0.0.1:9/v1/query"
    for options, status in (((), 0), (("--strict",), 1)):
        done = audit(tmp_path, nobody, *options)
        assert done.returncode == status and done.stdout.count("\n") == 1
        assert done.stdout.startswith("Audit skipped, some.lock was not checked: the vulnerability service cannot be")
        assert "No vulnerability" not in done.stdout


def test_an_audit_whose_service_is_slow_is_given_up_after_2_seconds(tmp_path):
    with service(seconds=30) as address:
        start = time.monotonic()
        done = audit(tmp_path, address, "--seconds", "2")
        assert time.monotonic() - start < 20
    assert done.returncode == 0 and "it did not answer in time" in done.stdout


def test_a_lock_without_hashes_fails_the_audit_and_is_not_taken_for_a_missing_network(tmp_path):
    with service() as address:
        done = audit(tmp_path, address, text="good-one==1.0\n")
    assert done.returncode == 1 and "every package with its hashes" in done.stdout
