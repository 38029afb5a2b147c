"""A real S3 server (moto's) for the tests, and what stands before it: it notes every request, and can spoil some.

`python -m tests.object_store photos/ labels.csv` imports the same photos from the folder and from such a server, and
prints for each how fast it was, what was asked of the server, and whether the table is the same.
"""

from __future__ import annotations

import argparse
import http.client
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

from img2tab_core.base import places
from img2tab_core.base.places import Place

Spoil = Callable[[str, str], str]  # (method, path) -> "", or how this request ends: "busy", "cut", "half", "wait"


@dataclass(frozen=True)
class Reading:
    """Work of a test (`shards.Work`): how many bytes each of these files has, read by whoever works."""

    files: tuple[Place, ...]

    def __call__(self):
        def answers(parts):
            for part in parts:
                yield {"sizes": np.array([len(places.read(self.files[i], most=10**6)) for i in part])}

        return answers


class Store:
    """An S3 server at `address`. requests: (method, path) of all that came; spoil: what becomes of the next ones."""

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self.server.start()
        self._host, self._port = self.server.get_host_and_port()
        self.requests: list[tuple[str, str]] = []
        self.spoil: Spoil = lambda method, path: ""
        self._front = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._front.daemon_threads = True
        threading.Thread(target=self._front.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self._front.server_port}"

    def begin_anew(self) -> None:
        """Everything in it goes; one bucket is there, called `bucket`, for everybody."""
        self.ask_for_keys(False)
        self._tell("POST", "/moto-api/reset")
        self._tell("PUT", "/bucket")
        self.requests.clear()
        self.spoil = lambda method, path: ""

    def put(self, key: str, data: bytes) -> None:
        """An object of the bucket, without a request."""
        s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object("bucket", key, data)

    def remove(self, key: str) -> None:
        s3_backends[DEFAULT_ACCOUNT_ID]["aws"].delete_object("bucket", key)

    def ask_for_keys(self, wanted: bool) -> None:
        """Whether only who brings credentials that it knows, which nobody has, is let in from now on."""
        self._tell("POST", "/moto-api/reset-auth", b"0" if wanted else b"inf")

    def stop(self) -> None:
        self._front.shutdown()
        self._front.server_close()
        self.server.stop()

    def _tell(self, method: str, path: str, data: bytes = b"") -> None:
        headers = {"Content-Type": "text/plain"}
        urlopen(Request(f"http://{self._host}:{self._port}{path}", data=data, method=method, headers=headers)).read()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def pass_on(self) -> None:
                store.requests.append((self.command, self.path))
                data = self.body()
                how = store.spoil(self.command, self.path)
                if how == "busy":
                    self.send_response(503)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                if how == "cut":
                    self.close_connection = True
                    return
                while how == "wait" and store.spoil(self.command, self.path):
                    time.sleep(0.05)
                passed = ("transfer-encoding", "expect", "content-length")
                headers = {name: value for name, value in self.headers.items() if name.lower() not in passed}
                connection = http.client.HTTPConnection(store._host, store._port, timeout=60)
                connection.request(self.command, self.path, body=data, headers=headers)
                answer = connection.getresponse()
                content = answer.read()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("transfer-encoding", "connection", "content-length", "date", "server"):
                        self.send_header(name, value)
                length = answer.getheader("Content-Length") if self.command == "HEAD" else len(content)
                self.send_header("Content-Length", str(length or 0))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content[: len(content) // 2] if how == "half" else content)
                self.close_connection = how == "half"
                connection.close()

            def body(self) -> bytes:
                """What the request carries, in one piece or in several."""
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                parts = []
                while size := int(self.rfile.readline(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = pass_on

            def log_message(self, *words: object) -> None:
                pass

        return Handler


@contextmanager
def served() -> Iterator[Store]:
    store = Store()
    try:
        yield store
    finally:
        store.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--workers", default="2")
    options = parser.parse_args()
    with served() as store, tempfile.TemporaryDirectory() as home:
        store.begin_anew()
        files = [file for file in sorted(options.photos.rglob("*")) if file.is_file()]
        for file in files:
            store.put(f"photos/{file.relative_to(options.photos).as_posix()}", file.read_bytes())
        store.put("labels.csv", options.labels.read_bytes())
        environment = {
            "AWS_ENDPOINT_URL": store.address,
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "IMG2TAB_HOME": home,
        }
        bytes_of_it = [file.stat().st_size for file in files]
        print(f"{len(files):,} files, {sum(bytes_of_it) / 1e6:.1f} MB, {options.workers} workers")
        keys = []
        for name, there in (("near", (options.photos, options.labels)), ("far", PLACES)):
            words = ["import", "folder", str(there[0]), "--labels", str(there[1]), "--name", name, "--json"]
            command = [sys.executable, "-m", "img2tab_core.cli.main", *words, "--workers", options.workers]
            began = time.monotonic()
            done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
            took = time.monotonic() - began
            if done.returncode:
                sys.exit(done.stdout + done.stderr)
            answer = json.loads(done.stdout)
            keys.append(answer["key"])
            asked = ", ".join(f"{count:,} {method}" for method, count in Counter(m for m, _ in store.requests).items())
            print(f"{there[0]}: {answer['photos'] / took:.1f} photos a second ({took:.0f} s); asked: {asked or '-'}")
        print("the same table" if len(set(keys)) == 1 else "ANOTHER table")


PLACES = ("s3://bucket/photos", "s3://bucket/labels.csv")

if __name__ == "__main__":
    main()
