"""Visitors of a served dashboard without a browser: Streamlit's own protocol, many of them in one process."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from dashboard.components import scrub

T = TypeVar("T")
Path = tuple[int, ...]

XSRF = "_streamlit_xsrf"
PATIENCE = 120.0  # seconds a visitor waits for what it asked for
TRIES = 6  # to upload, each PATIENCE / TRIES long
_MEDIA = re.compile(rb"/media/[0-9a-f]{32,}\.\w+")
_DATA = re.compile(rb"data:image/[\w+.-]+;base64,([A-Za-z0-9+/]+=*)")


@dataclass(frozen=True)
class Node:
    """An element or a block (kind "block") of the page; page: hash of the script that drew it."""

    kind: str
    body: Any
    run: str
    fragment: str
    page: str


class Visitor:
    """One person's browser, as far as the server can tell: it keeps the page, what its widgets say, and its timers.

    received: every message and every file that the server sent, each once, as bytes. refused: files that were not there
    any more when they were fetched. Thread-safe; ends with `close`, or as a context.
    """

    def __init__(self, address: str, **cookies: str) -> None:
        self.address = address
        self.received: dict[bytes, bytes] = {}
        self.refused: list[str] = []
        self.unanswered = 0
        self.tree: dict[Path, Node] = {}
        self.session = self.main = self.page = self.query = ""
        self._cookies = dict(cookies)
        with urllib.request.urlopen(f"{address}/_stcore/health", timeout=PATIENCE) as answer:
            for cookie in answer.headers.get_all("Set-Cookie") or []:
                name, _, value = cookie.partition(";")[0].partition("=")
                self._cookies[name] = value
        self._news, self._told = threading.RLock(), 0  # guards what follows; counts what was heard
        self._values: dict[str, WidgetState] = {}
        self._forms: dict[str, dict[str, WidgetState]] = {}  # what is filled in and not sent yet
        self._cache: dict[str, bytes] = {}
        self._timers: dict[str, tuple[float, float]] = {}  # of a fragment: seconds between, and when it is due
        self._files: dict[str, object] = {}  # answers to requests for places to upload to
        self._run, self._part = "", frozenset()  # the latest run, and the fragments that it draws
        self._running = self._again = False  # a run goes on; one ended early because another begins at once
        self._runs = self._before = self._turn = 0
        self._ended: str | None = None
        self._heard: deque[str] = deque(maxlen=12)  # the latest messages that are no part of a page, for who waits
        opening = connect(
            address.replace("http", "ws", 1) + "/_stcore/stream",
            origin=address,
            subprotocols=["streamlit", self._cookies.get(XSRF, "none")],
            additional_headers={"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())},
            max_size=None,
            open_timeout=PATIENCE,
        )
        self._socket = opening.__enter__()
        threading.Thread(target=self._listen, name="visitor", daemon=True).start()
        self._rerun()

    def __enter__(self) -> Visitor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave: the session ends on the server."""
        self._socket.close()

    # ---- what a person does

    def click(self, key: str) -> None:
        """Press the button of a key."""
        self.press(self.widget(key))

    def press(self, node: Node) -> None:
        """Press a button; that of a form sends what was filled in, and empties the form where it says so."""
        form = node.body.form_id if node.body.is_form_submitter else ""
        filled = self._forms.pop(form, {})
        with self._news:
            former = {name: self._values.get(name) for name in filled}
            self._values.update(filled)
            self._rerun(node, WidgetState(id=node.body.id, trigger_value=True))
            forms = [block.body.form for block in self.nodes("block") if block.body.WhichOneof("type") == "form"]
            if any(each.clear_on_submit for each in forms if each.form_id == form):
                self._values.update({name: state for name, state in former.items() if state is not None})

    def choose(self, key: str, value: Any) -> None:
        """Give a widget a value: text, a number, a yes, a list of texts; in a form it goes with the form's button."""
        node = self.widget(key)
        state, form = _state(node.kind, node.body.id, value), node.body.form_id
        if form:
            self._forms.setdefault(form, {})[node.body.id] = state
            return
        with self._news:
            self._values[node.body.id] = state
            self._rerun(node)

    def move(self, shift: float) -> int:
        """Let go of the marker on the strip at a shift, standard deviations; the report's number."""
        node, (head, _) = self.widget("inspect.scrub"), self.scene()
        with self._news:
            self._turn = max(self._turn, head["turn"]) + 1
            report = {"moved": {"of": head["of"], "shift": shift, "turn": self._turn}}
            self._values[node.body.id] = WidgetState(id=node.body.id, json_value=json.dumps(report))
            self._rerun(node)
            return self._turn

    def open(self, title: str) -> None:
        """Follow the link to a page."""

        def found() -> Any:
            return next((node.body for node in self.nodes("page_link") if node.body.label == title), None)

        link = self.wait(found, f"a link to {title}")
        with self._news:
            self._timers.clear()
            kept = {node.body.id for node in self.nodes() if node.page == self.main and getattr(node.body, "id", "")}
            self._values = {name: value for name, value in self._values.items() if name in kept}
            self.page, self.query = link.page_script_hash, link.query_string
            self._rerun()

    def upload(self, key: str, name: str, data: bytes) -> None:
        """Bring a file, as the browser does: ask where to, put it there, and say so.

        Streamlit 1.67 drops its answer where a page begins to run before it has left (`ForwardMsgQueue.clear`): in five
        milliseconds, or in seconds where very many visit; then the person tries again, and `unanswered` counts it. An
        answer that is only late is taken.
        """
        node, wanted = self.widget(key), []

        def answered() -> Any:
            return next((self._files[name] for name in wanted if name in self._files), None)

        for tries_left in reversed(range(TRIES)):
            request = BackMsg()
            wanted.append(str(uuid.uuid4()))
            request.file_urls_request.request_id = wanted[-1]
            request.file_urls_request.file_names.append(name)
            request.file_urls_request.session_id = self.session
            self._socket.send(request.SerializeToString())
            try:
                answer = self.wait(answered, "a place to upload to", PATIENCE / TRIES)
                break
            except AssertionError:
                self.unanswered += 1
                if not tries_left:
                    raise
        urls = answer.file_urls[0]
        edge = uuid.uuid4().hex
        head = f'--{edge}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n'
        body = f"{head}Content-Type: application/octet-stream\r\n\r\n".encode() + data + f"\r\n--{edge}--\r\n".encode()
        self.http(urls.upload_url, body, "PUT", f"multipart/form-data; boundary={edge}")
        state = WidgetState(id=node.body.id)
        state.file_uploader_state_value.uploaded_file_info.add(
            name=name, size=len(data), file_id=urls.file_id, file_urls=urls
        )
        with self._news:
            self._values[node.body.id] = state
            self._rerun(node)

    def http(self, path: str, body: bytes | None = None, method: str = "GET", content: str = "") -> bytes:
        """What the server answers to this visitor's browser. Raises urllib.error.HTTPError."""
        cookie = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        headers = {"Cookie": cookie, "X-Xsrftoken": self._cookies.get(XSRF, "")}
        if content:
            headers["Content-Type"] = content
        request = urllib.request.Request(self.address + path, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.read()

    # ---- what it sees

    def nodes(self, kind: str = "") -> list[Node]:
        """What is on the page now, from the top; all of one kind, such as "button"."""
        with self._news:
            return [node for _, node in sorted(self.tree.items()) if kind in ("", node.kind)]

    def find(self, key: str) -> Node | None:
        """The widget of a key; one whose value the page has set has a number behind it (`components/held.py`)."""
        named = re.compile(rf"\$\$ID-[0-9a-f]+-{re.escape(key)}(\.\d+)?")
        return next((node for node in self.nodes() if named.fullmatch(getattr(node.body, "id", "") or "")), None)

    def keys(self, begin: str) -> list[str]:
        """Keys of the widgets that begin so, from the top of the page."""
        named = re.compile(rf"\$\$ID-[0-9a-f]+-({re.escape(begin)}.*?)(\.\d+)?")
        matches = (named.fullmatch(getattr(node.body, "id", "") or "") for node in self.nodes())
        return [match[1] for match in matches if match]

    def widget(self, key: str) -> Node:
        """The same, waited for."""
        return self.wait(lambda: self.find(key), f"the widget {key}")

    def words(self) -> str:
        """Everything that can be read on the page."""
        texts = []
        for node in self.nodes():
            if node.kind == "html":
                continue
            told = (getattr(node.body, name, "") for name in ("body", "label", "text"))
            texts += [text for text in told if text and isinstance(text, str)]
        return "\n".join(texts)

    def pictures(self, alt: str) -> list[bytes]:
        """Files of the pictures with this alternative text."""
        shown = [each for node in self.nodes("imgs") for each in node.body.imgs if each.alt == alt]
        return [file for each in shown if (file := self._file_of(each.url)) is not None]

    def scene(self) -> tuple[dict, tuple[bytes, ...]] | None:
        """Head and pictures of the strip; None where there is none."""
        node = self.find("inspect.scrub")
        return scrub.unpack(node.body.bytes) if node is not None else None

    def wait(self, until: Callable[[], T | None], what: str, seconds: float = PATIENCE) -> T:
        """The first answer that is true; asked again when the server has sent something, 50 times a second at most."""
        deadline = time.monotonic() + seconds
        while True:
            with self._news:
                if answer := until():
                    return answer
                if self._ended is not None:
                    raise AssertionError(f"The connection ended while waiting for {what}: {self._ended}")
                asked = self._told
            while self._told == asked:
                if time.monotonic() > deadline:
                    state = (self._runs, self._before, self._running, self._again, len(self._timers))
                    raise AssertionError(
                        f"Waited {seconds:.0f} s for {what} {state}, {self._heard}. The page says:\n{self.words()}"
                    )
                time.sleep(0.02)

    def settle(self, seconds: float = PATIENCE) -> None:
        """Wait until the page has answered what was done last, and has no timer left."""

        def at_rest() -> bool:
            return self._runs > self._before and not (self._running or self._again or self._timers)

        self.wait(at_rest, "a page at rest", seconds)

    def answered(self, seconds: float = PATIENCE) -> None:
        """Wait until the page was drawn anew after what was done last; what takes longer may still be on its way."""
        self.wait(lambda: self._runs > self._before and not (self._running or self._again), "the page", seconds)

    def faults(self) -> list[str]:
        """Exceptions on the page."""
        return [f"{node.body.type}: {node.body.message}" for node in self.nodes("exception")]

    # ---- the protocol

    def _rerun(self, node: Node | None = None, trigger: WidgetState | None = None, *, timer: str = "") -> None:
        message = BackMsg()
        ask = message.rerun_script
        ask.context_info.timezone, ask.context_info.locale = "UTC", "en-US"
        ask.context_info.url, ask.context_info.color_scheme = f"{self.address}/", "light"
        with self._news:  # also while it is sent: a browser does one thing at a time
            if not timer:
                self._before = self._runs
            ask.query_string, ask.page_script_hash, ask.is_auto_rerun = self.query, self.page, bool(timer)
            ask.fragment_id = timer or (node.fragment if node is not None else "")
            ask.widget_states.widgets.extend(self._values.values())
            if trigger is not None:
                ask.widget_states.widgets.append(trigger)
            ask.cached_message_hashes.extend(list(self._cache)[-24:])
            self._socket.send(message.SerializeToString())

    def _listen(self) -> None:
        try:
            while True:
                due = min((when for _, when in self._timers.values()), default=time.monotonic() + 1.0)
                try:
                    self._take(self._socket.recv(timeout=max(0.0, due - time.monotonic())))
                except TimeoutError:
                    pass
                for fragment, (every, when) in list(self._timers.items()):
                    if time.monotonic() >= when:
                        self._timers[fragment] = every, time.monotonic() + every
                        self._rerun(timer=fragment)
        except ConnectionClosed as error:
            self._ended = str(error)
        except Exception as error:  # noqa: BLE001 - who waits must read it
            self._ended = f"{type(error).__name__}: {error}"
        self._told += 1

    def _take(self, data: bytes) -> None:
        data = self._keep(data)
        for address in _MEDIA.findall(data):
            if (path := address.decode()) not in self._files:
                try:
                    self._files[path] = self._keep(self.http(path))
                except urllib.error.HTTPError:  # the page has drawn something else meanwhile
                    self.refused.append(path)
        message = ForwardMsg.FromString(data)
        with self._news:
            if message.WhichOneof("type") == "ref_hash":  # what this browser has told that it keeps
                place = message.metadata.delta_path
                message = ForwardMsg.FromString(self._cache[message.ref_hash])
                message.metadata.delta_path[:] = place
            elif message.metadata.cacheable:
                self._cache.pop(message.hash, None)
                self._cache[message.hash] = data
            self._apply(message)
            self._told += 1

    def _keep(self, data: bytes) -> bytes:
        return self.received.setdefault(hashlib.sha256(data).digest(), data)

    def _apply(self, message: ForwardMsg) -> None:
        if (kind := message.WhichOneof("type")) != "delta":
            self._heard.append(f"{kind} {message.script_finished or ''}".strip())
        match message.WhichOneof("type"):
            case "new_session":
                begun, part = message.new_session, message.metadata.run.fragment_ids
                self._run, self._part = message.metadata.run.script_run_id, frozenset(part)
                self.session, self.main = begun.initialize.session_id, begun.main_script_hash
                self._running, self._again = True, False
                if not part:
                    self._runs += 1
                    self._timers.clear()
                    self.page = begun.page_script_hash
            case "navigation":
                self.page = message.navigation.page_script_hash
            case "session_status_changed":
                self._running = message.session_status_changed.script_is_running
            case "page_info_changed":
                self.query = message.page_info_changed.query_string
            case "auto_rerun":
                every = message.auto_rerun.interval
                self._timers[message.auto_rerun.fragment_id] = every, time.monotonic() + every
            case "stop_auto_rerun":
                for fragment in message.stop_auto_rerun.fragment_ids:
                    self._timers.pop(fragment, None)
            case "file_urls_response":
                self._files[message.file_urls_response.response_id] = message.file_urls_response
            case "delta":
                self._draw(message)
            case "script_finished":
                self._sweep(message.script_finished)

    def _draw(self, message: ForwardMsg) -> None:
        path, delta = tuple(message.metadata.delta_path), message.delta
        kind = delta.WhichOneof("type")
        if kind == "new_transient":  # a spinner over what stands there
            return
        about = self._run, delta.fragment_id, message.metadata.active_script_hash
        former = self.tree.get(path)
        if kind != "add_block" or (former is not None and former.kind != "block"):
            self._drop([other for other in self.tree if other[: len(path)] == path])
        if kind == "add_block":
            self.tree[path] = Node("block", delta.add_block, *about)
            return
        name = delta.new_element.WhichOneof("type")
        body = getattr(delta.new_element, name)
        self.tree[path] = Node(name, body, *about)
        if getattr(body, "id", "") and (body.id not in self._values or getattr(body, "set_value", False)):
            if (value := _first(name, body)) is not None:
                self._values[body.id] = _state(name, body.id, value)

    def _sweep(self, ended: int) -> None:
        """Take away what the run that ended did not draw again."""
        if ended == ForwardMsg.FINISHED_SUCCESSFULLY:
            self._drop([path for path, node in self.tree.items() if node.run != self._run])
        elif ended == ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY:
            self._drop([p for p, node in self.tree.items() if node.fragment in self._part and node.run != self._run])
        else:
            self._again = ended == ForwardMsg.FINISHED_EARLY_FOR_RERUN
            return
        there = {getattr(node.body, "id", "") for node in self.tree.values()}
        self._values = {name: value for name, value in self._values.items() if name in there}

    def _drop(self, paths: list[Path]) -> None:
        for path in paths:
            del self.tree[path]

    def _file_of(self, url: str) -> bytes | None:
        if url.startswith("data:"):
            return base64.b64decode(url.partition(",")[2])
        return self._files.get(url)


def _first(kind: str, body: Any) -> Any:
    """What a widget says before anybody touches it, or what the page has set it to; None where that is nothing."""
    given = bool(getattr(body, "set_value", False))
    if kind in ("selectbox", "radio"):
        if given and body.HasField("raw_value"):
            return body.raw_value
        return body.options[body.default] if body.HasField("default") else None
    if kind == "multiselect":
        return list(body.raw_values) if given else [body.options[number] for number in body.default]
    if kind == "button_group":
        return list(body.raw_values) if given else [body.options[number].content for number in body.default]
    if kind == "slider":
        return list(body.value if given else body.default)
    if kind == "checkbox":
        return body.value if given else body.default
    if kind in ("number_input", "text_input", "text_area"):
        name = "value" if given else "default"
        return getattr(body, name) if body.HasField(name) else None
    return None


def _state(kind: str, name: str, value: Any) -> WidgetState:
    """A widget's value as its kind sends it."""
    state = WidgetState(id=name)
    if kind == "checkbox":
        state.bool_value = value
    elif kind == "number_input":
        state.double_value = value
    elif kind == "slider":
        state.double_array_value.data[:] = value
    elif isinstance(value, list):
        state.string_array_value.SetInParent()
        state.string_array_value.data[:] = value
    else:
        state.string_value = value
    return state


def pictures_in(data: bytes) -> Iterator[bytes]:
    """Every picture file in what a visitor received: a file itself, data URLs, WebP files among other bytes."""
    if data[:3] == b"\xff\xd8\xff" or data[:8] == b"\x89PNG\r\n\x1a\n":
        yield data
        return
    for written in _DATA.findall(data):
        yield base64.b64decode(written)
    place = data.find(b"RIFF")
    while place >= 0:
        size = 8 + int.from_bytes(data[place + 4 : place + 8], "little")
        if data[place + 8 : place + 12] == b"WEBP":
            yield data[place : place + size]
        place = data.find(b"RIFF", place + 4)
