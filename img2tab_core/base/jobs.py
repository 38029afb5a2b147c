"""Background work a person can watch and stop: one job, its progress, its result or the reason it failed."""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, Literal, TypeVar

from img2tab_core.base import persons
from img2tab_core.base.errors import Cancelled

Report = Callable[[float, str], None]  # called with the share done, 0 to 1, and a few words
Cancel = Callable[[], bool] | None  # called again and again: whether to stop; None where nobody can

T = TypeVar("T")
State = Literal["running", "done", "failed", "cancelled"]


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
    work that ends early with what it has; otherwise it is dropped and the job counts as cancelled.
    """

    def __init__(self, work: Callable[[Report, Callable[[], bool]], T], *, keeps_result: bool = False) -> None:
        self._work = work
        self._keeps_result = keeps_result
        self._person = persons.acting()  # whose work it is
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._now: _Snapshot[T] = _Snapshot()
        self._thread = threading.Thread(target=self._run, name="img2tab-job", daemon=True)

    @classmethod
    def start(cls, work: Callable[[Report, Callable[[], bool]], T], *, keeps_result: bool = False) -> Job[T]:
        """A job that is already running."""
        job = cls(work, keeps_result=keeps_result)
        _RUNNING.add(job)
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


_RUNNING: weakref.WeakSet[Job] = weakref.WeakSet()
_LAST_SECONDS = 15.0


def running() -> int:
    """How many jobs of this process have not ended."""
    return sum(job.state == "running" for job in list(_RUNNING))


@atexit.register
def end_all() -> None:
    """Stop what still runs when the process ends: cut off in the middle, PyTorch and CatBoost end it with an abort."""
    left = [job for job in list(_RUNNING) if job.state == "running"]
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
