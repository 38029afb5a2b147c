"""Requests of many visitors for one device: one thread takes what came meanwhile and does it together."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

A = TypeVar("A")
B = TypeVar("B")


@dataclass(eq=False)
class _Request(Generic[A, B]):
    kind: Hashable
    things: Sequence[A]
    answer: Future[list[B]]


class Batches(Generic[A, B]):
    """A line in which requests of the same kind are done together, `most` things at once.

    No request is held back until others join it: while nothing is being done a request begins at once, and what
    arrives while it is done makes up the next batch. So the wait is that of the batches ahead, each of at most `most`
    things; a larger request is split, and others go in between. work(kind, things) -> as many answers, called from one
    thread only; what it raises, everybody in that batch gets.
    """

    def __init__(self, work: Callable[[Any, list[A]], Sequence[B]], *, most: int) -> None:
        self._work, self._most = work, most
        self._line: deque[_Request[A, B]] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def do(self, kind: Hashable, things: Sequence[A]) -> list[B]:
        """The answers for these things, in order; waits for them."""
        parts = [things[start : start + self._most] for start in range(0, len(things), self._most)]
        requests: list[_Request] = [_Request(kind, part, Future()) for part in parts]
        with self._changed:
            self._line += requests
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="img2tab-batches", daemon=True)
                self._thread.start()
            self._changed.notify()
        return [result for request in requests for result in request.answer.result()]

    def _serve(self) -> None:
        while True:
            batch = self._next()
            try:
                results = self._work(batch[0].kind, [thing for request in batch for thing in request.things])
            except BaseException as error:  # noqa: BLE001 - each who waits must hear of it
                for request in batch:
                    request.answer.set_exception(error)
                continue
            start = 0
            for request in batch:
                request.answer.set_result(list(results[start : start + len(request.things)]))
                start += len(request.things)

    def _next(self) -> list[_Request[A, B]]:
        """The first in line, and those of its kind behind it that fit in."""
        with self._changed:
            self._changed.wait_for(lambda: self._line)
            batch, later = [self._line.popleft()], []
            room = self._most - len(batch[0].things)
            while self._line:
                request = self._line.popleft()
                if request.kind == batch[0].kind and len(request.things) <= room:
                    batch.append(request)
                    room -= len(request.things)
                else:
                    later.append(request)
            self._line.extend(later)
            return batch
