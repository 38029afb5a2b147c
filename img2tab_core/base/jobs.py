"""Background work a person can watch and stop: one job, its progress, its result or the reason it failed; and a line
in which heavy work waits for its turn."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, Literal, TypeVar

from img2tab_core.base import persons
from img2tab_core.base.errors import Cancelled, Img2TabError

Report = Callable[[float, str], None]  # called with the share done, 0 to 1, and a few words
Cancel = Callable[[], bool] | None  # called again and again: whether to stop; None where nobody can

T = TypeVar("T")
State = Literal["running", "done", "failed", "cancelled"]

NICE = 10  # steps of priority that background work stands behind what a person waits for with the hand on it
AT_ONCE = "IMG2TAB_JOBS"  # an environment variable: how many of a line have their turn at once
MOST_WAITING = 16


@dataclass(frozen=True)
class _Snapshot(Generic[T]):
    """Everything a reader may see of a job at one moment; replaced as a whole, so no read is half new."""

    state: State = "running"
    fraction: float = 0.0
    text: str = ""
    result: T | None = None
    error: Exception | None = None


class Job(Generic[T]):
    """One piece of work in a daemon thread; every property may be read from any thread at any time.

    work: called with (progress, cancelled); it reports progress(share 0 to 1, text), asks cancelled() now and then, and
    stops by raising Cancelled. keeps_result: whether a result that arrives after a person has cancelled is kept, as of
    work that ends early with what it has; otherwise it is dropped and the job counts as cancelled. urgent: a person
    sits and waits for it; any other work has a lower priority than the pages, where the system knows one for a thread.
    """

    def __init__(
        self, work: Callable[[Report, Callable[[], bool]], T], *, keeps_result: bool = False, urgent: bool = False
    ) -> None:
        self._work = work
        self._keeps_result = keeps_result
        self._person = persons.acting()  # whose work it is
        self._urgent = urgent
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._now: _Snapshot[T] = _Snapshot()
        self._thread = threading.Thread(target=self._run, name="img2tab-job", daemon=True)

    @classmethod
    def start(
        cls, work: Callable[[Report, Callable[[], bool]], T], *, keeps_result: bool = False, urgent: bool = False
    ) -> Job[T]:
        """A job that is already running."""
        job = cls(work, keeps_result=keeps_result, urgent=urgent)
        with _NOTING:
            _STARTED.add(job)
        job._thread.start()
        return job

    @property
    def state(self) -> State:
        """ "running", "done", "failed" or "cancelled"."""
        return self._now.state

    @property
    def fraction(self) -> float:
        """How much is done, 0 to 1; never goes back, and is 1 exactly when the job is done."""
        return self._now.fraction

    @property
    def text(self) -> str:
        """The latest words of the work about itself."""
        return self._now.text

    @property
    def result(self) -> T | None:
        """What the work returned; None unless the state is "done"."""
        return self._now.result

    @property
    def error(self) -> Exception | None:
        """What the work raised; None unless the state is "failed"."""
        return self._now.error

    def cancel(self) -> None:
        """Ask the work to stop; returns at once."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        """Whether a person has cancelled and the work has not ended yet."""
        return self._stop.is_set() and self._now.state == "running"

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end, at most this long; whether the job has ended."""
        self._thread.join(seconds)
        return self._now.state != "running"

    def _run(self) -> None:
        work = self._work
        del self._work  # what it holds, a face perhaps, goes with it
        if not self._urgent:
            _step_back()
        try:
            with persons.carried(self._person):
                result = work(self._report, self._stop.is_set)
        except Cancelled:
            self._end("cancelled")
        except Exception as error:  # noqa: BLE001 - whatever it was, the person waiting must read it
            self._end("failed", error=error)
        else:
            if self._stop.is_set() and not self._keeps_result:
                self._end("cancelled")
            else:
                self._end("done", fraction=1.0, result=result)

    def _report(self, fraction: float, text: str = "") -> None:
        # work made of several parts may report a smaller share later; a bar that goes back looks like a fault
        with self._lock:
            now = self._now
            ahead = max(now.fraction, min(float(fraction), 0.999))
            self._now = replace(now, fraction=ahead, text=text or now.text)

    def _end(
        self, state: State, *, fraction: float | None = None, result: T | None = None, error: Exception | None = None
    ) -> None:
        with self._lock:
            share = self._now.fraction if fraction is None else fraction
            self._now = replace(self._now, state=state, fraction=share, result=result, error=error)


class Line:
    """Heavy work in turn: who came first goes first, and no more wait than `most`.

    what: the work, in the plural. most: None for any number. at_once: how many have their turn at the same time; None
    for as many as IMG2TAB_JOBS says, else one for every two cores. Thread-safe.
    """

    def __init__(self, what: str, *, most: int | None = MOST_WAITING, at_once: int | None = None) -> None:
        self.what, self.most, self._at_once = what, most, at_once
        self._changed = threading.Condition()
        self._places: list[Place] = []  # the first of them have their turn

    def join(self) -> Place:
        """The last place. Raises Img2TabError where too many wait, or IMG2TAB_JOBS is no number."""
        with self._changed:
            waiting = len(self._places) - self.at_once
            if self.most is not None and waiting >= self.most:
                raise Img2TabError(
                    f"{waiting} {self.what} are waiting already, and no more may. Try again in a few minutes."
                )
            place = Place(self)
            self._places.append(place)
            return place

    @property
    def at_once(self) -> int:
        """How many have their turn at the same time. Raises Img2TabError where IMG2TAB_JOBS is no number."""
        return self._at_once or at_once()

    def in_turn(self, work: Callable[[Report, Callable[[], bool]], T]) -> Callable[[Report, Callable[[], bool]], T]:
        """The same work for a job, done when its turn comes; its place is taken here. Raises what `join` does."""
        place = self.join()

        def waits(progress: Report, cancelled: Callable[[], bool]) -> T:
            with place:
                place.wait(progress, cancelled)
                return work(progress, cancelled)

        return waits


class Place:
    """A place in a line, held until the context ends."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_: object) -> None:
        with self._line._changed:
            self._line._places.remove(self)
            self._line._changed.notify_all()

    def wait(self, progress: Report, cancelled: Callable[[], bool]) -> None:
        """Wait for the turn, reporting the place meanwhile. Raises Cancelled as soon as `cancelled` says so."""
        line, many = self._line, self._line.at_once
        with line._changed:
            while True:
                if cancelled():
                    raise Cancelled("Cancelled while it waited in line; nothing was begun.")
                number = line._places.index(self) + 1 - many
                if number <= 0:
                    return
                progress(0.0, f"Number {number} in line: {line.what} run {'one' if many == 1 else many} at a time")
                line._changed.wait(0.1)


def at_once() -> int:
    """How many of a line have their turn at the same time. Raises Img2TabError where IMG2TAB_JOBS is no number."""
    text = os.environ.get(AT_ONCE) or ""
    if text and not (text.isdecimal() and 1 <= int(text) <= 64):
        raise Img2TabError(
            f"{AT_ONCE} must be a whole number from 1 to 64, got {text!r}. Leave it out for the usual one."
        )
    return int(text) if text else max(1, (os.cpu_count() or 1) // 2)


def _step_back() -> None:
    """Give this thread, and every thread it begins, a lower priority: by thread, which only Linux has."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + NICE))


_STARTED: weakref.WeakSet[Job] = weakref.WeakSet()
_NOTING = threading.Lock()  # a set that another thread adds to while it is read raises
_LAST_SECONDS = 15.0


def running() -> int:
    """How many jobs of this process have not ended."""
    return len(_still_running())


def _still_running() -> list[Job]:
    with _NOTING:
        return [job for job in _STARTED if job.state == "running"]


@atexit.register
def end_all() -> None:
    """Stop what still runs when the process ends: cut off in the middle, PyTorch and CatBoost end it with an abort."""
    left = _still_running()
    for job in left:
        job.cancel()
    until = time.monotonic() + _LAST_SECONDS
    for job in left:
        job.wait(max(0.0, until - time.monotonic()))


def silent(fraction: float, text: str) -> None:
    """A report where nobody is watching."""


def never() -> bool:
    """Whether to stop, where nobody can stop it."""
    return False
